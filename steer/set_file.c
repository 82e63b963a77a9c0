// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A file of prefixes, one a line, and the same prefixes written out for a rule file. */
#include "set_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "lines.h"
#include "prefix.h"
#include "rule_grammar.h"

enum { PRINT_COLUMNS = 100 };

struct list {
	struct shunt_set set; /* owned */
	size_t room;	      /* prefixes that set.v has room for */
};

int set_append_timed(struct shunt_set *set, const struct shunt_prefix *p, uint64_t ns)
{
	struct shunt_timed *grown = set->timed;

	/* There is room for a power of two. */
	if (!(set->n_timed & (set->n_timed - 1)))
		grown = reallocarray(grown, set->n_timed ? 2 * set->n_timed : 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	set->timed = grown;
	grown[set->n_timed++] = (struct shunt_timed){ *p, ns };
	return 0;
}

static int append(struct list *list, const struct shunt_prefix *p, struct rule_error *e)
{
	size_t room = list->room ? 2 * list->room : 64;
	struct shunt_prefix *grown;

	if (list->set.n == list->room) {
		grown = reallocarray(list->set.v, room, sizeof(*grown));
		if (!grown)
			return rule_error_memory(e);
		list->set.v = grown;
		list->room = room;
	}
	list->set.v[list->set.n++] = *p;
	return 0;
}

int set_timeout_read(uint64_t *ns, struct rule_reader *reader, struct rule_error *e)
{
	struct rule_span word;
	char text[32];
	const char *why = "not a time as 30s, 5m, 1h30m or 7d";

	if (!rule_reader_next(reader, &word))
		return rule_error(e, "'" RULE_FILE_TIMEOUT "' needs a time");
	if (word.len >= sizeof(text) || memchr(word.at, '\0', word.len))
		return rule_error_at(e, RULE_FILE_TIMEOUT, word, "%s", why);
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	if (shunt_time_parse(ns, text, &why))
		return rule_error_at(e, RULE_FILE_TIMEOUT, word, "%s", why);
	return 0;
}

/* Behind the prefix: nothing (*ns is 0), or a timeout. */
static int read_timeout(uint64_t *ns, struct rule_reader *reader, struct rule_span prefix,
			struct rule_error *e)
{
	struct rule_span word;
	int r;

	*ns = 0;
	if (!rule_reader_next(reader, &word))
		return 0;
	r = rule_span_is(word, RULE_FILE_TIMEOUT) ? set_timeout_read(ns, reader, e) : 0;
	if (!r && (!*ns || rule_reader_next(reader, &word)))
		return rule_error_at(e, "prefix", prefix, "one prefix a line");
	return r;
}

static int read_line(struct list *list, struct rule_span line, struct rule_error *e)
{
	const char *comment = line.len ? memchr(line.at, '#', line.len) : NULL, *why;
	struct rule_reader reader = { .rest = line };
	struct shunt_prefix p;
	struct rule_span word;
	uint64_t ns;
	int r;

	if (comment)
		reader.rest.len = (size_t)(comment - line.at);
	if (!rule_reader_next(&reader, &word))
		return 0;
	r = read_timeout(&ns, &reader, word, e);
	if (r)
		return r;
	if (shunt_prefix_scan(&p, word.at, word.len, &why))
		return rule_error_at(e, "prefix", word, "%s", why);
	if (shunt_prefix_mask(&p))
		return rule_error_at(e, "prefix", word, "host bits are set");
	if (!ns)
		return append(list, &p, e);
	return set_append_timed(&list->set, &p, ns) ? rule_error_memory(e) : 0;
}

static int read_lines(struct list *list, struct lines *lines, const char *name,
		      struct rule_error *e)
{
	struct rule_span line;
	int r;

	while ((r = lines_next(lines, &line, e)) > 0) {
		r = read_line(list, line, e);
		if (r)
			break;
	}
	if (r)
		lines_locate(lines, name, e);
	return r;
}

/* On failure `to` holds what it held. */
static int join(struct shunt_set *to, const struct shunt_set *more, struct rule_error *e)
{
	struct shunt_prefix *grown = reallocarray(to->v, to->n + more->n + 1, sizeof(*grown));
	size_t n_timed = to->n_timed;

	if (!grown)
		return rule_error_memory(e);
	to->v = grown;
	for (size_t i = 0; i < more->n_timed; i++) {
		if (set_append_timed(to, &more->timed[i].prefix, more->timed[i].left)) {
			to->n_timed = n_timed;
			return rule_error_memory(e);
		}
	}
	if (more->n)
		memcpy(grown + to->n, more->v, more->n * sizeof(*grown));
	to->n += more->n;
	return 0;
}

int set_file_read(struct shunt_set *set, FILE *in, const char *name, struct rule_error *e)
{
	_cleanup_free_ struct lines *lines = calloc(1, sizeof(*lines));
	struct list list = {};
	int r;

	if (!lines)
		return rule_error_memory(e);
	lines->in = in;
	r = read_lines(&list, lines, name, e);
	if (!r)
		r = join(set, &list.set, e);
	shunt_set_clear(&list.set);
	return r;
}

int shunt_set_parse(struct shunt_set *set, FILE *in, const char *name, char *err,
		    size_t err_size)
{
	struct rule_error e;
	int r = set_file_read(set, in, name, &e);

	return r ? rule_error_give(&e, r, err, err_size) : 0;
}

void shunt_set_print(FILE *out, const struct shunt_set *set)
{
	char text[SHUNT_PREFIX_STR], time[SHUNT_TIME_STR];
	size_t column = 0, len;

	if (!set->n && !set->n_timed)
		fprintf(out, RULE_FILE_SET " %s\n", set->name);
	for (size_t i = 0; i < set->n; i++) {
		len = strlen(shunt_prefix_str(text, &set->v[i]));
		if (column && column + 1 + len > PRINT_COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (column)
			column += (size_t)fprintf(out, ",%s", text);
		else
			column = (size_t)fprintf(out, RULE_FILE_SET " %s %s", set->name, text);
	}
	if (column)
		fputc('\n', out);
	for (size_t i = 0; i < set->n_timed; i++)
		fprintf(out, RULE_FILE_SET " %s %s " RULE_FILE_TIMEOUT " %s\n", set->name,
			shunt_prefix_str(text, &set->timed[i].prefix),
			shunt_time_str(time, set->timed[i].left));
}
