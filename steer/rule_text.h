/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The text of a rule: its words, and messages that quote them. Nothing is copied: a span
 * points into the caller's text.
 */
#ifndef SHUNT_STEER_RULE_TEXT_H
#define SHUNT_STEER_RULE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct rule_span {
	const char *at;
	size_t len;
};

/* A message; printable, however odd the text that it quotes. */
struct rule_error {
	char text[256];
};

/* Both return -EINVAL, so that `return rule_error(...)` works. */
int rule_error(struct rule_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "what 'bad': reason"; bad is escaped and, if long, cut. */
int rule_error_at(struct rule_error *e, const char *what, struct rule_span bad, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* -ENOMEM, with a message. */
int rule_error_memory(struct rule_error *e);
/* Put the message into a caller's buffer, which may be of any size; returns r. */
int rule_error_give(const struct rule_error *e, int r, char *err, size_t err_size);

/* buf has RULE_QUOTED_LEN bytes. "'text'" with bytes that are not printable as \xNN. */
enum { RULE_QUOTED_LEN = 72 };
char *rule_quote(char *buf, struct rule_span text);

struct rule_reader {
	struct rule_span rest; /* not read yet */
	bool commented;	       /* the words have ended at a '#', which rest begins after */
};

/* The next word: false at the end of the text or at its comment. */
bool rule_reader_next(struct rule_reader *reader, struct rule_span *word);

/* Is it just this text? */
bool rule_span_is(struct rule_span span, const char *text);
/* Take blanks off both ends. */
struct rule_span rule_span_trim(struct rule_span text);
/* False if text is not UTF-8 or holds a control character. */
bool rule_span_is_text(struct rule_span text);

#endif
