// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A file of prefixes, one a line, and the same prefixes written out for a rule file. */
#include "set_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "lines.h"
#include "prefix.h"

enum { PRINT_COLUMNS = 100 };

struct list {
	struct shunt_prefix *v; /* owned */
	size_t n, room;
};

static int append(struct list *list, const struct shunt_prefix *p, struct rule_error *e)
{
	size_t room = list->room ? 2 * list->room : 64;
	struct shunt_prefix *grown;

	if (list->n == list->room) {
		grown = reallocarray(list->v, room, sizeof(*grown));
		if (!grown)
			return rule_error_memory(e);
		list->v = grown;
		list->room = room;
	}
	list->v[list->n++] = *p;
	return 0;
}

static int read_line(struct list *list, struct rule_span line, struct rule_error *e)
{
	const char *comment = line.len ? memchr(line.at, '#', line.len) : NULL, *why;
	struct rule_reader reader = { .rest = line };
	struct rule_span word, more;
	struct shunt_prefix p;

	if (comment)
		reader.rest.len = (size_t)(comment - line.at);
	if (!rule_reader_next(&reader, &word))
		return 0;
	if (rule_reader_next(&reader, &more))
		return rule_error_at(e, "prefix", word, "one prefix a line");
	if (shunt_prefix_scan(&p, word.at, word.len, &why))
		return rule_error_at(e, "prefix", word, "%s", why);
	if (shunt_prefix_mask(&p))
		return rule_error_at(e, "prefix", word, "host bits are set");
	return append(list, &p, e);
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

int set_file_read(struct shunt_set *set, FILE *in, const char *name, struct rule_error *e)
{
	_cleanup_free_ struct lines *lines = calloc(1, sizeof(*lines));
	struct list list = {};
	struct shunt_prefix *grown;
	int r;

	if (!lines)
		return rule_error_memory(e);
	lines->in = in;
	r = read_lines(&list, lines, name, e);
	grown = r ? NULL : reallocarray(set->v, set->n + list.n + 1, sizeof(*grown));
	if (!r && !grown)
		r = rule_error_memory(e);
	if (!r) {
		set->v = grown;
		if (list.n)
			memcpy(grown + set->n, list.v, list.n * sizeof(*grown));
		set->n += list.n;
	}
	free(list.v);
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
	char text[SHUNT_PREFIX_STR];
	size_t column = 0, len;

	if (!set->n)
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
}
