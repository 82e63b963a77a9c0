/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of rules, and of the sets that they name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "rule_parse.h"
#include "set_file.h"

/* What is known of rules[i] beside the rule. */
struct origin {
	uint32_t priority;
	uint32_t rule;
	size_t line;
};

struct rule_file {
	struct lines *lines;
	struct shunt_rule *rules;
	struct origin *origins;
	size_t n, size;
	struct set_lines *sets; /* NULL: only rules */
	struct rule_error *e;
};

/* ---- rules ------------------------------------------------------------------------------ */

static int file_reserve(struct rule_file *file)
{
	size_t size = file->size ? file->size * 2 : 64;
	struct shunt_rule *rules;
	struct origin *origins;

	if (file->n < file->size)
		return 0;
	if (size > UINT32_MAX)
		return rule_error_memory(file->e);
	rules = reallocarray(file->rules, size, sizeof(*rules));
	if (!rules)
		return rule_error_memory(file->e);
	file->rules = rules;
	origins = reallocarray(file->origins, size, sizeof(*origins));
	if (!origins)
		return rule_error_memory(file->e);
	file->origins = origins;
	file->size = size;
	return 0;
}

static int file_add(struct rule_file *file, struct rule_span line)
{
	struct shunt_rule *rule;
	int r;

	r = file_reserve(file);
	if (r)
		return r;
	rule = &file->rules[file->n];
	r = rule_parse(rule, line, file->e);
	if (r)
		return r;
	file->origins[file->n] = (struct origin){
		.priority = rule->priority,
		.rule = (uint32_t)file->n,
		.line = file->lines->number,
	};
	file->n++;
	return 0;
}

/* Rules begin with a number. */
static bool is_set_line(struct rule_span line)
{
	struct rule_reader reader = { .rest = line };
	struct rule_span word;

	return rule_reader_next(&reader, &word) && rule_span_is(word, RULE_FILE_SET);
}

static int file_read(struct rule_file *file)
{
	struct rule_span line, trimmed;
	int r;

	for (;;) {
		r = lines_next(file->lines, &line, file->e);
		if (r <= 0)
			return r;
		trimmed = rule_span_trim(line);
		if (trimmed.len == 0 || trimmed.at[0] == '#')
			continue;
		r = file->sets && is_set_line(trimmed) ? set_line_read(file->sets, line, file->e)
						       : file_add(file, line);
		if (r)
			return r;
	}
}

static int compare_origins(const void *a, const void *b)
{
	const struct origin *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

/* Put the rules into the order of the sorted origins: each cycle of moves with one spare. */
static void file_permute(struct rule_file *file)
{
	for (size_t i = 0; i < file->n; i++) {
		struct shunt_rule spare;
		size_t to = i, from = file->origins[i].rule;

		if (from == i)
			continue;
		spare = file->rules[i];
		while (from != i) {
			file->rules[to] = file->rules[from];
			file->origins[to].rule = (uint32_t)to;
			to = from;
			from = file->origins[to].rule;
		}
		file->rules[to] = spare;
		file->origins[to].rule = (uint32_t)to;
	}
}

static int file_sort(struct rule_file *file)
{
	struct origin *o = file->origins;
	bool sorted = true;

	for (size_t i = 1; i < file->n && sorted; i++)
		sorted = o[i - 1].priority < o[i].priority;
	if (sorted)
		return 0;
	qsort(o, file->n, sizeof(*o), compare_origins);
	for (size_t i = 1; i < file->n; i++) {
		if (o[i - 1].priority != o[i].priority)
			continue;
		file->lines->number = o[i].line;
		return rule_error(file->e, "priority '%u' is already that of line %zu",
				  o[i].priority, o[i - 1].line);
	}
	file_permute(file);
	return 0;
}

static int file_parse(struct rule_file *file, FILE *in, const char *name)
{
	int r;

	file->lines = calloc(1, sizeof(*file->lines));
	if (!file->lines)
		return rule_error_memory(file->e);
	file->lines->in = in;
	r = file_read(file);
	if (!r)
		r = file_sort(file);
	if (r)
		lines_locate(file->lines, name, file->e);
	free(file->origins);
	free(file->lines);
	return r;
}

int shunt_rules_parse(struct shunt_rules *out, FILE *in, const char *name, char *err,
		      size_t err_size)
{
	struct rule_error e;
	struct rule_file file = { .e = &e };
	int r = file_parse(&file, in, name);

	if (r) {
		shunt_rules_clear(&(struct shunt_rules){ file.rules, file.n });
		return rule_error_give(&e, r, err, err_size);
	}
	*out = (struct shunt_rules){ file.rules, file.n };
	return 0;
}

int shunt_config_parse(struct shunt_config *out, FILE *in, const char *name, const char *dir,
		       char *err, size_t err_size)
{
	struct set_lines sets = { .dir = dir };
	struct rule_error e;
	struct rule_file file = { .e = &e, .sets = &sets };
	int r = file_parse(&file, in, name);

	if (r) {
		shunt_rules_clear(&(struct shunt_rules){ file.rules, file.n });
		rule_error_give(&e, r, err, err_size);
	} else {
		*out = (struct shunt_config){ { file.rules, file.n }, sets.sets };
		sets.sets = (struct shunt_sets){};
	}
	set_lines_clear(&sets);
	return r;
}
