// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "cleanup.h"
#include "intervals.h"
#include "rule_write.h"
#include "table.h"
#include "timed.h"

enum {
	ROOM_RULES = 1024,  /* rules that may be added in place, at least */
	ROOM_CELLS = 8192,
};

/* A set that gets an id: one of the caller's, or a list of a rule's prefixes. */
struct set_ref {
	const char *name;
	const struct shunt_prefix *v; /* of the caller */
	size_t n;
};

struct compiler {
	struct arena a;
	const struct shunt_rules *rules;
	struct set_ref *sets; /* owned: by id - 1 */
	size_t n_sets;
	bool no_id; /* a list of the rule being written got none */
	uint16_t *by_name;    /* owned: hash table of ids */
	size_t name_room;
};

/* ---- names of sets --------------------------------------------------------------------------- */

static size_t name_hash(const char *name)
{
	uint64_t h = 0;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * SHUNT_K1;
	return h >> 32;
}

static uint16_t *name_place(struct compiler *c, const char *name)
{
	size_t i = name_hash(name) & (c->name_room - 1);

	while (c->by_name[i] && strcmp(c->sets[c->by_name[i] - 1].name, name))
		i = (i + 1) & (c->name_room - 1);
	return &c->by_name[i];
}

static int set_find(void *ctx, const char *name)
{
	uint16_t id = *name_place(ctx, name);

	return id ? id : -ENOENT;
}

static int set_make(void *ctx, const struct shunt_prefix *v, size_t n)
{
	struct compiler *c = ctx;

	if (c->n_sets == SHUNT_MAX_SETS) {
		c->no_id = true;
		return -ENOSPC;
	}
	c->sets[c->n_sets++] = (struct set_ref){ "", v, n };
	return (int)c->n_sets;
}

static int take_sets(struct compiler *c, const struct shunt_sets *sets)
{
	uint16_t *place;

	if (sets->n > SHUNT_MAX_SETS)
		return shunt_err(-E2BIG, "%zu sets are too many: at most %d", sets->n,
				 SHUNT_MAX_SETS);
	c->name_room = 2 * (SHUNT_MAX_SETS + 1);
	c->sets = calloc(SHUNT_MAX_SETS, sizeof(*c->sets));
	c->by_name = calloc(c->name_room, sizeof(*c->by_name));
	if (!c->sets || !c->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < sets->n; i++) {
		place = name_place(c, sets->v[i].name);
		if (*place)
			return shunt_err(-EEXIST, "set '%s' is there twice", sets->v[i].name);
		c->sets[c->n_sets++] = (struct set_ref){
			sets->v[i].name, sets->v[i].v, sets->v[i].n,
		};
		*place = (uint16_t)c->n_sets;
	}
	return 0;
}

/* Before the rules, which are told of it. */
static int note_timed(struct compiler *c, const struct names *names)
{
	int r = 0, place;

	for (size_t i = 0; names->timed && i < c->n_sets && !r; i++) {
		place = names->timed(names->ctx, c->sets[i].name);
		if (place >= 0)
			r = timed_note_set(&c->a, (uint16_t)(i + 1), place);
		else if (place != -ENOENT)
			r = place;
	}
	return r;
}

/* ---- rules ------------------------------------------------------------------------------------ */

/* Both copies of what the head has two of. */
static int lay_out_head(struct compiler *c)
{
	struct shunt_arena_head *head = arena_head(&c->a);
	uint32_t max = (uint32_t)c->rules->n + (uint32_t)c->rules->n / 8 + ROOM_RULES;
	int r = plan_lay_out(&c->a);

	if (r)
		return r;
	head->index_max = max;
	for (int i = 0; i < 2; i++) {
		head->dir4_at[i] = arena_alloc(&c->a, SHUNT_DIR4_CELLS);
		head->index_at[i] = arena_alloc(&c->a, cells_for(max * sizeof(__u32)));
		if (!head->dir4_at[i] || !head->index_at[i])
			return -ENOSPC;
	}
	return 0;
}

static int no_id_for(const struct shunt_rule *rule)
{
	return shunt_err(-E2BIG, "no room for the list of addresses of rule %u: at most %d sets and "
			 "such lists are possible: delete sets, or let rules share one instead of "
			 "lists", rule->priority, SHUNT_MAX_SETS);
}

static int write_rules(struct compiler *c, const struct names *names)
{
	struct rule_writer w = {
		.a = &c->a, .names = names, .ctx = c, .set_find = set_find, .set_make = set_make,
	};
	uint32_t *index = arena_at(&c->a, arena_head(&c->a)->index_at[0]);
	int r;

	for (size_t i = 0; i < c->rules->n; i++) {
		if (i && c->rules->v[i].priority <= c->rules->v[i - 1].priority)
			return -EINVAL;
		c->no_id = false;
		r = rule_write(&w, &c->rules->v[i], &index[i]);
		if (r == -ENOSPC && c->no_id)
			return no_id_for(&c->rules->v[i]);
		if (r)
			return r;
	}
	arena_gen(&c->a)->n_rules = (uint32_t)c->rules->n;
	return 0;
}

static size_t count_entries(const struct compiler *c)
{
	const uint32_t *index = arena_at(&c->a, arena_head(&c->a)->index_at[0]);
	size_t n = 0;

	for (size_t i = 0; i < c->rules->n; i++)
		n += ((const struct shunt_rule2 *)arena_at(&c->a, index[i]))->n_entries;
	return n;
}

static int build_tables(struct compiler *c, bool v6)
{
	const uint32_t *index = arena_at(&c->a, arena_head(&c->a)->index_at[0]);
	_cleanup_free_ struct item *items = malloc((count_entries(c) + 1) * sizeof(*items));
	size_t n = 0;

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < c->rules->n; i++) {
		const struct shunt_rule2 *rule = arena_at(&c->a, index[i]);

		for (uint32_t k = 0; k < rule->n_entries; k++) {
			const struct shunt_entry2 *e = arena_at(&c->a, rule->entries_at + k);

			if (e->bits & (v6 ? SHUNT_BIT_V6 : SHUNT_BIT_V4))
				item_of_entry(&c->a, rule->entries_at + k, &items[n++]);
		}
	}
	return plan_tables(&c->a, items, n, v6);
}

/* ---- sets ------------------------------------------------------------------------------------- */

static int write_set(struct compiler *c, size_t i, const struct prefixes *p)
{
	struct shunt_set_rec *rec = arena_at(&c->a, arena_gen(&c->a)->sets_at);

	rec += i;
	memcpy(rec->name, c->sets[i].name, strlen(c->sets[i].name));
	rec->flags = 1;
	rec->users = !c->sets[i].name[0];
	return setstore_write(&c->a, rec, p);
}

static int build_index(struct compiler *c, struct classes *classes, const struct prefixes *sets,
		       bool v6)
{
	struct index_builder b;
	int r = index_begin(&b, &c->a, v6), e;

	if (!r)
		r = intervals_index(&b, classes, sets, c->n_sets);
	e = index_end(&b);
	return r ? r : e;
}

static int write_sets(struct compiler *c, struct prefixes *sets)
{
	struct shunt_gen *gen = arena_gen(&c->a);
	int r = 0;

	gen->n_sets = (uint32_t)c->n_sets;
	gen->sets_at = arena_alloc(&c->a, 2 * gen->n_sets);
	if (!gen->sets_at)
		return -ENOSPC;
	for (size_t i = 0; i < c->n_sets && !r; i++) {
		r = prefixes_make(&sets[i], c->sets[i].v, c->sets[i].n);
		if (!r)
			r = write_set(c, i, &sets[i]);
	}
	return r;
}

static int build_sets(struct compiler *c)
{
	struct prefixes *sets = calloc(c->n_sets + 1, sizeof(*sets));
	struct classes classes = {};
	int r;

	if (!sets)
		return -ENOMEM;
	r = write_sets(c, sets);
	if (!r)
		r = classes_init(&classes, &c->a);
	if (!r && c->n_sets)
		r = build_index(c, &classes, sets, false);
	if (!r && c->n_sets)
		r = build_index(c, &classes, sets, true);
	if (!r)
		r = classes_write(&classes);
	classes_release(&classes);
	for (size_t i = 0; i < c->n_sets; i++)
		prefixes_clear(&sets[i]);
	free(sets);
	return r;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

/* Cells for changes: also for another copy of the buckets of the largest table. */
static uint32_t room_for_changes(const struct compiler *c)
{
	const struct shunt_gen *gen = arena_gen(&c->a);
	uint32_t largest = 0;

	for (int v6 = 0; v6 < 2; v6++) {
		const struct shunt_table *t = arena_at(&c->a, gen->tables_at[v6]);

		for (int i = 0; i < gen->n_tables[v6]; i++)
			if (t[i].bucket_mask > largest)
				largest = t[i].bucket_mask;
	}
	return 3 * largest + c->a.used / 16 + ROOM_CELLS;
}

static int build(struct compiler *c, const struct shunt_sets *sets, const struct names *names,
		 uint64_t generation)
{
	int r = take_sets(c, sets);

	arena_gen(&c->a)->generation = generation;
	if (!r)
		r = lay_out_head(c);
	if (!r)
		r = note_timed(c, names);
	if (!r)
		r = write_rules(c, names);
	if (!r)
		r = build_tables(c, false);
	if (!r)
		r = build_tables(c, true);
	if (!r)
		r = build_sets(c);
	/* Those that name things have said so themselves, and fail with neither. */
	if (r == -ENOMEM)
		return shunt_err(r, "out of memory");
	if (r == -ENOSPC)
		return shunt_err(r, "the rules and sets are too large: they need more than %zu MB",
				 arena_most() >> 20);
	return r ? r : arena_seal(&c->a, room_for_changes(c));
}

int compile(const struct shunt_rules *rules, const struct shunt_sets *sets,
	    const struct names *names, uint64_t generation)
{
	struct compiler c = { .rules = rules };
	int r, fd = -1;

	if (rules->n > SHUNT_MAX_RULES)
		return shunt_err(-E2BIG, "%zu rules are too many: at most %d", rules->n,
				 SHUNT_MAX_RULES);
	r = arena_make(&c.a);
	if (r)
		return r;
	r = build(&c, sets, names, generation);
	if (!r)
		fd = take_fd(&c.a.fd);
	arena_release(&c.a);
	free(c.sets);
	free(c.by_name);
	return r ? r : fd;
}
