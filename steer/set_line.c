// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `set` lines of a rule file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "lines.h"
#include "prefix.h"
#include "rule_value.h"
#include "set_file.h"
#include "shunt/arena.h"

enum { NAME_SLOTS = 4 * 65536 }; /* of the hash table, for SHUNT_MAX_SETS names */
static_assert(NAME_SLOTS >= 2 * SHUNT_MAX_SETS, "always a free slot");

void set_lines_clear(struct set_lines *lines)
{
	shunt_sets_clear(&lines->sets);
	free(lines->rooms);
	free(lines->by_name);
	*lines = (struct set_lines){};
}

/* ---- sets by name --------------------------------------------------------------------------- */

static uint32_t *find_slot(struct set_lines *lines, const char *name)
{
	uint64_t h = 0;
	size_t i;

	for (const char *c = name; *c; c++)
		h = (h ^ (unsigned char)*c) * SHUNT_K1;
	for (i = h >> 40; lines->by_name[i % NAME_SLOTS]; i++)
		if (!strcmp(lines->sets.v[lines->by_name[i % NAME_SLOTS] - 1].name, name))
			break;
	return &lines->by_name[i % NAME_SLOTS];
}

static int reserve_set(struct set_lines *lines, struct rule_error *e)
{
	size_t room = lines->room ? 2 * lines->room : 16;
	struct shunt_set *sets;
	size_t *rooms;

	if (lines->sets.n == SHUNT_MAX_SETS)
		return rule_error(e, "more than %d sets", SHUNT_MAX_SETS);
	if (lines->sets.n < lines->room)
		return 0;
	sets = reallocarray(lines->sets.v, room, sizeof(*sets));
	if (!sets)
		return rule_error_memory(e);
	lines->sets.v = sets;
	rooms = reallocarray(lines->rooms, room, sizeof(*rooms));
	if (!rooms)
		return rule_error_memory(e);
	lines->rooms = rooms;
	lines->room = room;
	return 0;
}

/* Make it the last one: the set of that name, which is new if there is none. */
static int choose_set(struct set_lines *lines, const char *name, struct rule_error *e)
{
	uint32_t *slot;
	int r;

	if (lines->sets.n && !strcmp(lines->sets.v[lines->last].name, name))
		return 0;
	if (!lines->by_name)
		lines->by_name = calloc(NAME_SLOTS, sizeof(*lines->by_name));
	if (!lines->by_name)
		return rule_error_memory(e);
	slot = find_slot(lines, name);
	if (!*slot) {
		r = reserve_set(lines, e);
		if (r)
			return r;
		lines->rooms[lines->sets.n] = 0;
		lines->sets.v[lines->sets.n] = (struct shunt_set){};
		strcpy(lines->sets.v[lines->sets.n].name, name);
		*slot = (uint32_t)++lines->sets.n;
	}
	lines->last = *slot - 1;
	return 0;
}

/* ---- prefixes ------------------------------------------------------------------------------- */

/* Room for n more in the last set. */
static struct shunt_prefix *reserve(struct set_lines *lines, size_t n, struct rule_error *e)
{
	struct shunt_set *set = &lines->sets.v[lines->last];
	size_t *room = &lines->rooms[lines->last], want = set->n + n;
	struct shunt_prefix *grown;

	if (want > *room) {
		want = want > 2 * *room ? want : 2 * *room;
		grown = reallocarray(set->v, want, sizeof(*grown));
		if (!grown) {
			rule_error_memory(e);
			return NULL;
		}
		set->v = grown;
		*room = want;
	}
	return set->v + set->n;
}

static int add_prefix(struct set_lines *lines, struct rule_span text, struct rule_error *e)
{
	struct shunt_prefix p, *at;
	const char *why;

	if (shunt_prefix_scan(&p, text.at, text.len, &why))
		return rule_error_at(e, "prefix", text, "%s", why);
	if (shunt_prefix_mask(&p))
		return rule_error_at(e, "prefix", text, "host bits are set");
	at = reserve(lines, 1, e);
	if (!at)
		return -ENOMEM;
	*at = p;
	lines->sets.v[lines->last].n++;
	return 0;
}

static int add_list(struct set_lines *lines, struct rule_span list, struct rule_error *e)
{
	const char *at = list.at, *end = list.at + list.len, *comma;
	int r = 0;

	do {
		comma = memchr(at, ',', (size_t)(end - at));
		if (!comma)
			comma = end;
		r = add_prefix(lines, (struct rule_span){ at, (size_t)(comma - at) }, e);
		at = comma + 1;
	} while (!r && comma < end);
	return r;
}

/* ---- files ---------------------------------------------------------------------------------- */

static char *path_in(const char *dir, struct rule_span word)
{
	char *path = NULL;

	if (word.at[0] == '/')
		return rule_span_dup(word);
	return asprintf(&path, "%s/%.*s", dir, (int)word.len, word.at) < 0 ? NULL : path;
}

static int add_file(struct set_lines *lines, struct rule_span word, struct rule_error *e)
{
	_cleanup_free_ char *name = rule_span_dup(word), *path = NULL;
	struct shunt_set more = {};
	struct shunt_prefix *at;
	FILE *in;
	int r;

	if (!lines->dir)
		return rule_error_at(e, RULE_FILE_FILE, word, "not possible here");
	path = path_in(lines->dir, word);
	if (!name || !path)
		return rule_error_memory(e);
	in = fopen(path, "re");
	if (!in) {
		r = -errno;
		rule_error_at(e, RULE_FILE_FILE, word, "cannot open: %s", strerror(-r));
		return r;
	}
	r = set_file_read(&more, in, name, e);
	fclose(in);
	at = r ? NULL : reserve(lines, more.n, e);
	if (!r && more.n && !at)
		r = -ENOMEM;
	if (!r && more.n) {
		memcpy(at, more.v, more.n * sizeof(*at));
		lines->sets.v[lines->last].n += more.n;
	}
	for (size_t i = 0; i < more.n_timed && !r; i++)
		if (set_append_timed(&lines->sets.v[lines->last], &more.timed[i].prefix,
				     more.timed[i].left))
			r = rule_error_memory(e);
	shunt_set_clear(&more);
	return r;
}

/* ---- the line ------------------------------------------------------------------------------- */

/* The prefixes from the n-th on are for a time. */
static int make_timed(struct shunt_set *set, size_t n, uint64_t ns, struct rule_error *e)
{
	for (size_t i = n; i < set->n; i++)
		if (set_append_timed(set, &set->v[i], ns))
			return rule_error_memory(e);
	set->n = n;
	return 0;
}

static int read_list(struct set_lines *lines, struct rule_span list, struct rule_reader *reader,
		     struct rule_error *e)
{
	struct shunt_set *set = &lines->sets.v[lines->last];
	struct rule_reader before;
	struct rule_span word;
	size_t n = set->n;
	uint64_t ns;
	int r = add_list(lines, list, e);

	before = *reader;
	if (r || !rule_reader_next(reader, &word))
		return r;
	if (!rule_span_is(word, RULE_FILE_TIMEOUT)) {
		*reader = before;
		return 0;
	}
	r = set_timeout_read(&ns, reader, e);
	return r ? r : make_timed(set, n, ns, e);
}

/* Behind the name: nothing, a list, which may have a timeout, or `file` and its path. */
static int read_rest(struct set_lines *lines, struct rule_reader *reader, struct rule_error *e)
{
	struct rule_span word, more;
	char quoted[RULE_QUOTED_LEN];
	int r;

	if (!rule_reader_next(reader, &word))
		return 0;
	if (rule_span_is(word, RULE_FILE_FILE)) {
		if (!rule_reader_next(reader, &word))
			return rule_error(e, "'" RULE_FILE_FILE "' needs a path");
		r = add_file(lines, word, e);
	} else {
		r = read_list(lines, word, reader, e);
	}
	if (!r && rule_reader_next(reader, &more))
		return rule_error(e, "a word too many: %s; prefixes are a list with commas, "
				  "without blanks", rule_quote(quoted, more));
	return r;
}

int set_line_read(struct set_lines *lines, struct rule_span line, struct rule_error *e)
{
	struct rule_reader reader = { .rest = line };
	char name[SHUNT_NAME_LEN];
	struct rule_span word;
	int r;

	rule_reader_next(&reader, &word);
	if (!rule_reader_next(&reader, &word))
		return rule_error(e, "'" RULE_FILE_SET "' needs a name");
	r = rule_value_name(name, RULE_FILE_SET, word, e);
	if (!r)
		r = choose_set(lines, name, e);
	return r ? r : read_rest(lines, &reader, e);
}
