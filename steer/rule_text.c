/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rule_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { QUOTED_MAX = 64 }; /* bytes between the quotes */

char *rule_quote(char *buf, struct rule_span text)
{
	size_t at = 0;

	buf[at++] = '\'';
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (at + (plain ? 1 : 4) > QUOTED_MAX + 1) {
			memcpy(buf + at, "...", 3);
			at += 3;
			break;
		}
		if (plain)
			buf[at++] = (char)c;
		else
			at += (size_t)sprintf(buf + at, "\\x%02x", c);
	}
	buf[at++] = '\'';
	buf[at] = '\0';
	return buf;
}

int rule_error(struct rule_error *e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
	return -EINVAL;
}

int rule_error_at(struct rule_error *e, const char *what, struct rule_span bad, const char *fmt,
		  ...)
{
	char quoted[RULE_QUOTED_LEN], reason[sizeof(e->text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return rule_error(e, "%s %s: %s", what, rule_quote(quoted, bad), reason);
}

int rule_error_memory(struct rule_error *e)
{
	rule_error(e, "out of memory");
	return -ENOMEM;
}

int rule_error_give(const struct rule_error *e, int r, char *err, size_t err_size)
{
	if (err_size > 0)
		snprintf(err, err_size, "%s", e->text);
	return r;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool rule_reader_next(struct rule_reader *reader, struct rule_span *word)
{
	const char *at = reader->rest.at, *end = at + reader->rest.len, *start;

	if (reader->commented)
		return false;
	while (at < end && is_blank(*at))
		at++;
	/* Inside a word '#' is a letter like others: a cgroup may be called a#b. */
	if (at < end && *at == '#') {
		reader->commented = true;
		reader->rest = (struct rule_span){ at + 1, (size_t)(end - at - 1) };
		return false;
	}
	start = at;
	while (at < end && !is_blank(*at))
		at++;
	*word = (struct rule_span){ start, (size_t)(at - start) };
	reader->rest = (struct rule_span){ at, (size_t)(end - at) };
	return word->len > 0;
}

bool rule_span_is(struct rule_span span, const char *text)
{
	return span.len == strlen(text) && !memcmp(span.at, text, span.len);
}

struct rule_span rule_span_trim(struct rule_span text)
{
	while (text.len > 0 && is_blank(text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.at[text.len - 1]))
		text.len--;
	return text;
}

/* Bytes of the UTF-8 character at s, 0 if it is not one or is a control character. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t len;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc0 || s[0] > 0xf7 || len > left)
		return 0;
	code = s[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[len] || code < 0xa0 || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return len;
}

bool rule_span_is_text(struct rule_span text)
{
	for (size_t i = 0; i < text.len;) {
		size_t n = utf8_len((const unsigned char *)text.at + i, text.len - i);

		/* A tab is a blank to the reader: it may stand in a comment. */
		if (n == 0 && text.at[i] == '\t')
			n = 1;
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
