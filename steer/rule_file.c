/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of rules. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rule_grammar.h"
#include "rule_parse.h"

/* A line in full and its end, with room to read on in large pieces. */
enum { BUFFER_SIZE = 4 * RULE_TEXT_MAX };

struct lines {
	FILE *in;
	size_t number; /* of the line last given, from 1 */
	size_t start, end;
	bool at_eof;
	char buffer[BUFFER_SIZE];
};

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
	struct rule_error *e;
};

/* ---- lines ------------------------------------------------------------------------------ */

static int lines_fill(struct lines *lines, struct rule_error *e)
{
	size_t held = lines->end - lines->start, got;

	memmove(lines->buffer, lines->buffer + lines->start, held);
	lines->start = 0;
	errno = 0;
	got = fread(lines->buffer + held, 1, sizeof(lines->buffer) - held, lines->in);
	lines->end = held + got;
	if (lines->end == sizeof(lines->buffer))
		return 0;
	if (ferror(lines->in)) {
		int r = errno ? -errno : -EIO;

		lines->number = 0; /* not the fault of a line */
		rule_error(e, "cannot read: %s", strerror(-r));
		return r;
	}
	lines->at_eof = true;
	return 0;
}

/* What belongs to the file and not to the line: a byte order mark, a CR before the LF. */
static struct rule_span line_strip(struct rule_span line, size_t number)
{
	if (number == 1 && line.len >= 3 && !memcmp(line.at, "\xef\xbb\xbf", 3))
		line = (struct rule_span){ line.at + 3, line.len - 3 };
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* 1 and the next line without its end, 0 at the end of the file, or -errno. */
static int lines_next(struct lines *lines, struct rule_span *line, struct rule_error *e)
{
	char *start = lines->buffer + lines->start, *newline;
	int r;

	newline = memchr(start, '\n', lines->end - lines->start);
	if (!newline && !lines->at_eof && lines->end - lines->start <= RULE_TEXT_MAX + 4) {
		r = lines_fill(lines, e);
		if (r)
			return r;
		start = lines->buffer;
		newline = memchr(start, '\n', lines->end);
	}
	if (!newline && lines->start == lines->end)
		return 0;
	lines->number++;
	line->at = start;
	line->len = newline ? (size_t)(newline - start) : lines->end - lines->start;
	lines->start += line->len + (newline ? 1 : 0);
	*line = line_strip(*line, lines->number);
	if (line->len > RULE_TEXT_MAX)
		return rule_error(e, "longer than %d bytes", RULE_TEXT_MAX);
	if (memchr(line->at, '\0', line->len))
		return rule_error(e, "there is a NUL byte in the line");
	return 1;
}

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
		r = file_add(file, line);
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

/* Put "NAME:LINE: " before the message; of a long name the end tells more. */
static void error_locate(struct rule_error *e, const char *name, size_t line)
{
	enum { NAME_SHOWN = 60 };
	char message[sizeof(e->text)], number[24] = "";
	size_t len = strlen(name);

	memcpy(message, e->text, sizeof(message));
	if (line > 0)
		snprintf(number, sizeof(number), ":%zu", line);
	if (len > NAME_SHOWN)
		rule_error(e, "...%s%s: %s", name + len - NAME_SHOWN, number, message);
	else
		rule_error(e, "%s%s: %s", name, number, message);
	for (char *c = e->text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

int shunt_rules_parse(struct shunt_rules *out, FILE *in, const char *name, char *err,
		      size_t err_size)
{
	struct rule_error e;
	struct rule_file file = { .e = &e };
	int r;

	file.lines = calloc(1, sizeof(*file.lines));
	if (!file.lines) {
		r = rule_error_memory(&e);
		return rule_error_give(&e, r, err, err_size);
	}
	file.lines->in = in;
	r = file_read(&file);
	if (!r)
		r = file_sort(&file);
	if (r) {
		error_locate(&e, name, file.lines->number);
		rule_error_give(&e, r, err, err_size);
		shunt_rules_clear(&(struct shunt_rules){ file.rules, file.n });
	} else {
		*out = (struct shunt_rules){ file.rules, file.n };
	}
	free(file.origins);
	free(file.lines);
	return r;
}
