/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets in files: a file of prefixes, and the `set` lines of rule files. Private to libshunt.
 * -errno with the message in e.
 */
#ifndef SHUNT_STEER_SET_FILE_H
#define SHUNT_STEER_SET_FILE_H

#include "rule_text.h"
#include "shunt/shunt.h"

/* Prefixes of a file, appended to the set's; on failure it is as before. */
int set_file_read(struct shunt_set *set, FILE *in, const char *name, struct rule_error *e);

/* One more with a timeout. -ENOMEM, without a message. */
int set_append_timed(struct shunt_set *set, const struct shunt_prefix *p, uint64_t ns);
/* The value behind `timeout`. */
int set_timeout_read(uint64_t *ns, struct rule_reader *reader, struct rule_error *e);

/* What the `set` lines of a rule file have said so far. */
struct set_lines {
	const char *dir;	/* of the caller: where paths begin; NULL: no files */
	struct shunt_sets sets; /* owned, in the order of their first lines */
	size_t room;		/* sets that sets.v has room for */
	size_t *rooms;		/* owned: prefixes that each has room for */
	uint32_t *by_name;	/* owned: hash table of indexes + 1 */
	size_t last;		/* set of the line before, very often that of the next */
};

/* line begins with the word `set`. */
int set_line_read(struct set_lines *lines, struct rule_span line, struct rule_error *e);
void set_lines_clear(struct set_lines *lines);

#endif
