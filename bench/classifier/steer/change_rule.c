// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rules in and out of a live generation. Tables that change get new buckets; which of them have
 * is known for the time of the change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "rule_write.h"
#include "setstore.h"
#include "table.h"

enum {
	CHANGE_CHAIN_MAX = 32,	/* entries on one key, above which another table is tried */
	CHANGE_LOAD_MAX = 6,	/* slots a bucket, on average, above which a table grows */
};

struct change {
	struct arena *a;
	struct shunt_table *tables[2];
	uint64_t owned[2];   /* by id: tables whose buckets are of this change */
	struct chain chain;  /* owned */
};

static uint32_t *index_of(const struct arena *a)
{
	return arena_at(a, arena_head(a)->index_at[arena_gen(a)->side]);
}

static const struct shunt_rule2 *rule_at(const struct arena *a, uint32_t i)
{
	return arena_at(a, index_of(a)[i]);
}

/* Where in the index a rule of this priority is, or would be. */
static uint32_t find_rule(const struct arena *a, uint32_t priority)
{
	uint32_t lo = 0, hi = arena_gen(a)->n_rules, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (rule_at(a, mid)->priority < priority)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_rule(const struct arena *a, uint32_t i, uint32_t priority)
{
	return i < arena_gen(a)->n_rules && rule_at(a, i)->priority == priority;
}

/* ---- begin and end ------------------------------------------------------------------------------ */

/* The tables of both families, to be written. */
static int begin(struct change *c, struct arena *a)
{
	struct shunt_gen *gen;
	uint32_t at;
	int r = arena_begin(a);

	if (r)
		return r;
	*c = (struct change){ .a = a };
	gen = arena_gen(a);
	for (int v6 = 0; v6 < 2; v6++) {
		at = arena_alloc_page(a);
		if (!at)
			return -ENOSPC;
		memcpy(arena_at(a, at), arena_at(a, gen->tables_at[v6]),
		       gen->n_tables[v6] * sizeof(struct shunt_table));
		arena_free(a, gen->tables_at[v6], SHUNT_PAGE_CELLS);
		gen->tables_at[v6] = at;
		c->tables[v6] = arena_at(a, at);
	}
	return 0;
}

static int by_best(const void *a, const void *b)
{
	const struct shunt_table *x = a, *y = b;

	return x->best < y->best ? -1 : x->best > y->best;
}

/* Leave tables without entries out, order the others, and publish; or give all up. */
static int end(struct change *c, int r)
{
	struct shunt_gen *gen = arena_gen(c->a);

	free(c->chain.v);
	if (r) {
		arena_abort(c->a);
		return r;
	}
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t n = 0;

		for (uint8_t i = 0; i < gen->n_tables[v6]; i++) {
			struct shunt_table *t = &c->tables[v6][i];

			if (t->n_slots)
				c->tables[v6][n++] = *t;
			else
				arena_free(c->a, t->buckets_at, t->bucket_mask + 1);
		}
		gen->n_tables[v6] = n;
		qsort(c->tables[v6], n, sizeof(struct shunt_table), by_best);
	}
	arena_commit(c->a);
	return 0;
}

/* ---- buckets ------------------------------------------------------------------------------------ */

static int copy_buckets(struct change *c, struct shunt_table *t)
{
	uint32_t n = t->bucket_mask + 1, at = arena_alloc(c->a, n);

	if (!at)
		return -ENOSPC;
	memcpy(arena_at(c->a, at), arena_at(c->a, t->buckets_at), (size_t)n * SHUNT_CELL);
	arena_free(c->a, t->buckets_at, n);
	t->buckets_at = at;
	return 0;
}

/* Move the slots of the chain that belong to bucket b of the larger table in order to it. */
static int write_part(struct change *c, uint32_t buckets_at, uint32_t mask, uint32_t b)
{
	struct chain part = {};
	int r = 0;

	for (size_t i = 0; i < c->chain.n && !r; i++)
		if ((c->chain.v[i].hash & mask) == b)
			r = chain_insert(&part, part.n, c->chain.v[i]);
	if (!r)
		r = chain_write(c->a, buckets_at + b, part.v, part.n);
	free(part.v);
	return r;
}

static int double_buckets(struct change *c, struct shunt_table *t)
{
	uint32_t n = t->bucket_mask + 1, mask = 2 * n - 1, at = arena_alloc(c->a, 2 * n);
	int r = at ? 0 : -ENOSPC;

	for (uint32_t b = 0; b < n && !r; b++) {
		r = chain_read(c->a, t->buckets_at + b, &c->chain);
		if (!r)
			r = write_part(c, at, mask, b);
		if (!r)
			r = write_part(c, at, mask, b + n);
		chain_free_rest(c->a, t->buckets_at + b);
	}
	if (r)
		return r;
	arena_free(c->a, t->buckets_at, n);
	t->buckets_at = at;
	t->bucket_mask = mask;
	return 0;
}

static int own(struct change *c, struct shunt_table *t, bool v6)
{
	int r = 0;

	if (t->n_slots > CHANGE_LOAD_MAX * (t->bucket_mask + 1))
		r = double_buckets(c, t);
	else if (!(c->owned[v6] >> t->id & 1))
		r = copy_buckets(c, t);
	c->owned[v6] |= 1ULL << t->id;
	return r;
}

static uint32_t bucket_of(const struct shunt_table *t, uint32_t hash)
{
	return t->buckets_at + (hash & t->bucket_mask);
}

static int write_chain(struct change *c, struct shunt_table *t, uint32_t hash)
{
	struct shunt_gen *gen = arena_gen(c->a);

	if (c->chain.n > gen->longest_chain)
		gen->longest_chain = (uint32_t)c->chain.n;
	chain_free_rest(c->a, bucket_of(t, hash));
	return chain_write(c->a, bucket_of(t, hash), c->chain.v, c->chain.n);
}

/* ---- add ---------------------------------------------------------------------------------------- */

static uint32_t priority_of(const struct change *c, size_t i)
{
	const struct shunt_entry2 *e = arena_at(c->a, c->chain.v[i].entry);

	return e->priority;
}

static int add_to(struct change *c, struct shunt_table *t, const struct item *it, bool v6)
{
	struct shunt_gen *gen = arena_gen(c->a);
	uint32_t hash = table_hash(t, it, v6);
	bool all[2] = {};
	size_t i = 0;
	int r = own(c, t, v6);

	if (!r)
		r = chain_read(c->a, bucket_of(t, hash), &c->chain);
	if (r)
		return r;
	while (i < c->chain.n && priority_of(c, i) <= it->priority)
		i++;
	r = chain_insert(&c->chain, i, (struct shunt_slot){ hash, it->entry });
	if (!r)
		r = write_chain(c, t, hash);
	if (r)
		return r;
	t->n_slots++;
	if (it->priority < t->best)
		t->best = it->priority;
	if (gen->filters_at[v6])
		filter_add(c->a, gen->filters_at[v6], t->id, it, v6, all);
	return 0;
}

static int new_table(struct change *c, const struct item *it, bool v6, struct shunt_table **out)
{
	struct shunt_gen *gen = arena_gen(c->a);
	struct shunt_table *t = &c->tables[v6][gen->n_tables[v6]];
	struct shape shape = it->shape;
	uint64_t ids = 0;

	if (gen->n_tables[v6] == SHUNT_MAX_TABLES)
		return -ENOSPC;
	for (int i = 0; i < gen->n_tables[v6]; i++)
		ids |= 1ULL << c->tables[v6][i].id;
	if (shape.flags & SHUNT_TABLE_DST_SET)
		shape.flags &= (uint8_t)~SHUNT_TABLE_SRC_SET;
	table_init(t, &shape);
	t->id = (uint8_t)__builtin_ctzll(~ids);
	t->buckets_at = arena_alloc(c->a, 1);
	if (!t->buckets_at)
		return -ENOSPC;
	c->owned[v6] |= 1ULL << t->id;
	gen->n_tables[v6]++;
	*out = t;
	return 0;
}

/* Entries with the same key, or -errno. */
static int crowd(struct change *c, const struct shunt_table *t, const struct item *it, bool v6)
{
	uint32_t hash = table_hash(t, it, v6);
	int r = chain_read(c->a, bucket_of(t, hash), &c->chain), n = 0;

	for (size_t i = 0; i < c->chain.n && !r; i++)
		n += c->chain.v[i].hash == hash;
	return r ? r : n;
}

static int add_item(struct change *c, const struct item *it, bool v6)
{
	struct shunt_table *best = NULL;
	int least = CHANGE_CHAIN_MAX, n, r = 0;

	for (int i = 0; i < arena_gen(c->a)->n_tables[v6]; i++) {
		struct shunt_table *t = &c->tables[v6][i];
		struct shape shape = table_shape(t);

		if (!shape_covers(&shape, &it->shape))
			continue;
		n = crowd(c, t, it, v6);
		if (n < 0)
			return n;
		if (n < least) {
			least = n;
			best = t;
		}
	}
	if (!best)
		r = new_table(c, it, v6, &best);
	return r ? r : add_to(c, best, it, v6);
}

static int add_entries(struct change *c, const struct shunt_rule2 *rule)
{
	struct item it;
	int r = 0;

	for (uint32_t i = 0; i < rule->n_entries && !r; i++) {
		const struct shunt_entry2 *e = arena_at(c->a, rule->entries_at + i);

		item_of_entry(c->a, rule->entries_at + i, &it);
		if (e->bits & SHUNT_BIT_V4)
			r = add_item(c, &it, false);
		if (!r && (e->bits & SHUNT_BIT_V6))
			r = add_item(c, &it, true);
	}
	return r;
}

static int set_find(void *ctx, const char *name)
{
	const struct shunt_gen *gen = arena_gen(ctx);
	const struct shunt_set_rec *rec = arena_at(ctx, gen->sets_at);

	for (uint32_t i = 0; i < gen->n_sets; i++)
		if ((rec[i].flags & 1) && !strcmp(rec[i].name, name))
			return (int)i + 1;
	return -ENOENT;
}

/* A new set changes the whole index: that is for a new generation. */
static int set_make(void *ctx, const struct shunt_prefix *v, size_t n)
{
	(void)ctx;
	(void)v;
	(void)n;
	return -ENOSPC;
}

int change_rule_add(struct arena *a, const struct shunt_rule *rule, const struct names *names)
{
	struct rule_writer w = {
		.a = a, .names = names, .ctx = a, .set_find = set_find, .set_make = set_make,
	};
	struct change c = { .a = a };
	uint32_t i = find_rule(a, rule->priority), cell, *index;
	int r;

	if (has_rule(a, i, rule->priority))
		return -EEXIST;
	if (arena_gen(a)->n_rules == arena_head(a)->index_max)
		return -ENOSPC;
	r = begin(&c, a);
	if (!r)
		r = rule_write(&w, rule, &cell);
	if (!r)
		r = add_entries(&c, arena_at(a, cell));
	if (!r) {
		index = index_of(a);
		memmove(index + i + 1, index + i, (arena_gen(a)->n_rules++ - i) * sizeof(*index));
		index[i] = cell;
	}
	return end(&c, r);
}

/* ---- delete -------------------------------------------------------------------------------------- */

/* Take the entry out of the table, if it is there with this key. */
static int remove_from(struct change *c, struct shunt_table *t, const struct item *it, bool v6)
{
	uint32_t hash = table_hash(t, it, v6);
	size_t i = 0;
	int r = chain_read(c->a, bucket_of(t, hash), &c->chain);

	while (!r && i < c->chain.n && c->chain.v[i].entry != it->entry)
		i++;
	if (r || i == c->chain.n)
		return r;
	r = own(c, t, v6);
	if (!r)
		r = chain_read(c->a, bucket_of(t, hash), &c->chain);
	for (i = 0; !r && c->chain.v[i].entry != it->entry;)
		i++;
	if (r)
		return r;
	memmove(&c->chain.v[i], &c->chain.v[i + 1], (--c->chain.n - i) * sizeof(*c->chain.v));
	t->n_slots--;
	return write_chain(c, t, hash);
}

static int remove_item(struct change *c, const struct item *it, bool v6)
{
	int r = 0;

	for (int i = 0; i < arena_gen(c->a)->n_tables[v6] && !r; i++) {
		struct shape shape = table_shape(&c->tables[v6][i]);

		if (shape_covers(&shape, &it->shape))
			r = remove_from(c, &c->tables[v6][i], it, v6);
	}
	return r;
}

/* Whether its ranges were cut nobody noted: look for it whole and in pieces. */
static int remove_entry(struct change *c, uint32_t entry)
{
	const struct shunt_entry2 *e = arena_at(c->a, entry);
	struct item it, pieces[ITEM_CUT_MAX];
	size_t n;
	int r = 0;

	item_of_entry(c->a, entry, &it);
	n = item_cut(c->a, &it, pieces, ITEM_CUT_MAX);
	for (int v6 = 0; v6 < 2 && !r; v6++) {
		if (!(e->bits & (v6 ? SHUNT_BIT_V6 : SHUNT_BIT_V4)))
			continue;
		r = remove_item(c, &it, v6);
		for (size_t i = 0; i < n && !r; i++)
			r = remove_item(c, &pieces[i], v6);
	}
	return r;
}

int change_rule_del(struct arena *a, uint32_t priority)
{
	struct change c = { .a = a };
	uint32_t i = find_rule(a, priority), *index, cell;
	const struct shunt_rule2 *rule;
	int r;

	if (!has_rule(a, i, priority))
		return -ENOENT;
	r = begin(&c, a);
	cell = index_of(a)[i];
	rule = arena_at(a, cell);
	for (uint32_t k = 0; k < rule->n_entries && !r; k++)
		r = remove_entry(&c, rule->entries_at + k);
	if (!r) {
		index = index_of(a);
		memmove(index + i, index + i + 1, (--arena_gen(a)->n_rules - i) * sizeof(*index));
		arena_free(a, rule->entries_at, rule->n_entries);
		arena_free(a, rule->source_at, cells_for(rule->source_len));
		arena_free(a, cell, 1);
	}
	return end(&c, r);
}
