// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "change_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CROWD_MAX = 32,	      /* entries on one key, above which another table is made */
	CROWD_WORST = 256,    /* or, if there can be no other, a new generation */
	LOAD_MAX = 6,	      /* slots a bucket, on average, above which a table grows */
	UNFILTERED_MAX = 6,   /* tables of a generation without filters */
};

/* ---- begin and end ------------------------------------------------------------------------------ */

int table_change_begin(struct table_change *c, struct arena *a)
{
	struct shunt_gen *gen = arena_gen(a);
	uint32_t at;

	*c = (struct table_change){ .a = a };
	for (int v6 = 0; v6 < 2; v6++) {
		at = arena_alloc_block(a);
		if (!at)
			return -ENOSPC;
		memcpy(arena_at(a, at), arena_at(a, gen->tables_at[v6]),
		       gen->n_tables[v6] * sizeof(struct shunt_table));
		arena_free(a, gen->tables_at[v6], SHUNT_BLOCK_CELLS);
		gen->tables_at[v6] = at;
		c->tables[v6] = arena_at(a, at);
	}
	return 0;
}

static uint32_t priority_of(const struct arena *a, const struct shunt_slot *slot)
{
	const struct shunt_entry2 *e = arena_at(a, slot->entry);

	return e->priority;
}

/* The lowest priority number that is left: that of the first slot of some chain. */
static void find_best(const struct arena *a, struct shunt_table *t)
{
	t->best = ~0U;
	for (uint32_t b = 0; b <= t->bucket_mask; b++) {
		const struct shunt_slot *first = arena_at(a, t->buckets_at + b);

		if (first->hash && priority_of(a, first) < t->best)
			t->best = priority_of(a, first);
	}
}

static int by_best(const void *a, const void *b)
{
	const struct shunt_table *x = a, *y = b;

	return x->best < y->best ? -1 : x->best > y->best;
}

void table_change_end(struct table_change *c)
{
	struct shunt_gen *gen = arena_gen(c->a);

	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t n = 0;

		for (uint8_t i = 0; i < gen->n_tables[v6]; i++) {
			struct shunt_table *t = &c->tables[v6][i];

			if (!t->n_slots) {
				arena_free(c->a, t->buckets_at, t->bucket_mask + 1);
				continue;
			}
			if (c->stale[v6] >> t->id & 1)
				find_best(c->a, t);
			c->tables[v6][n++] = *t;
		}
		gen->n_tables[v6] = n;
		qsort(c->tables[v6], n, sizeof(struct shunt_table), by_best);
	}
}

void table_change_release(struct table_change *c)
{
	free(c->chain.v);
	c->chain = (struct chain){};
}

/* ---- buckets ------------------------------------------------------------------------------------ */

static int copy_buckets(struct table_change *c, struct shunt_table *t)
{
	uint32_t n = t->bucket_mask + 1, at = arena_alloc(c->a, n);

	if (!at)
		return -ENOSPC;
	memcpy(arena_at(c->a, at), arena_at(c->a, t->buckets_at), (size_t)n * SHUNT_CELL);
	arena_free(c->a, t->buckets_at, n);
	t->buckets_at = at;
	return 0;
}

/* The slots of the chain that belong to bucket b of a table with this mask, into it. */
static int write_part(struct table_change *c, uint32_t buckets_at, uint32_t mask, uint32_t b)
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

static int double_buckets(struct table_change *c, struct shunt_table *t)
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

/* Buckets that may be written. */
static int own(struct table_change *c, struct shunt_table *t, bool v6)
{
	int r = 0;

	if (t->n_slots > LOAD_MAX * (t->bucket_mask + 1))
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

static int write_chain(struct table_change *c, struct shunt_table *t, uint32_t hash)
{
	struct shunt_gen *gen = arena_gen(c->a);

	if (c->chain.n > gen->longest_chain)
		gen->longest_chain = (uint32_t)c->chain.n;
	chain_free_rest(c->a, bucket_of(t, hash));
	return chain_write(c->a, bucket_of(t, hash), c->chain.v, c->chain.n);
}

/* ---- add ---------------------------------------------------------------------------------------- */

static int add_to(struct table_change *c, struct shunt_table *t, const struct item *it, bool v6)
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
	while (i < c->chain.n && priority_of(c->a, &c->chain.v[i]) <= it->priority)
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

/*
 * An id that no table has; the bits of one that had it before go. Packets do not look at them:
 * those tables that they look into now are among ours until the change ends.
 */
static uint8_t new_id(struct table_change *c, bool v6)
{
	const struct shunt_gen *gen = arena_gen(c->a);
	uint64_t used = 0, *words, bit;
	uint8_t id;

	for (int i = 0; i < gen->n_tables[v6]; i++)
		used |= 1ULL << c->tables[v6][i].id;
	id = (uint8_t)__builtin_ctzll(~used);
	bit = 1ULL << id;
	words = arena_at(c->a, gen->filters_at[v6]);
	for (uint32_t i = 0; gen->filters_at[v6] && i < 2 * SHUNT_FILTER_SLOTS; i++)
		if (words[i] & bit)
			__atomic_fetch_and(&words[i], ~bit, __ATOMIC_RELAXED);
	return id;
}

static bool can_make_table(const struct table_change *c, bool v6)
{
	const struct shunt_gen *gen = arena_gen(c->a);

	return gen->n_tables[v6] < SHUNT_MAX_TABLES &&
	       (gen->filters_at[v6] || gen->n_tables[v6] < UNFILTERED_MAX);
}

static int new_table(struct table_change *c, const struct item *it, bool v6,
		     struct shunt_table **out)
{
	struct shunt_gen *gen = arena_gen(c->a);
	struct shunt_table *t = &c->tables[v6][gen->n_tables[v6]];
	struct shape shape = it->shape;

	if (shape.flags & SHUNT_TABLE_DST_SET)
		shape.flags &= (uint8_t)~SHUNT_TABLE_SRC_SET;
	table_init(t, &shape);
	t->id = new_id(c, v6);
	t->buckets_at = arena_alloc(c->a, 1);
	if (!t->buckets_at)
		return -ENOSPC;
	c->owned[v6] |= 1ULL << t->id;
	gen->n_tables[v6]++;
	*out = t;
	return 0;
}

/* Entries with the same key, or -errno. */
static int crowd(struct table_change *c, const struct shunt_table *t, const struct item *it,
		 bool v6)
{
	uint32_t hash = table_hash(t, it, v6);
	int r = chain_read(c->a, bucket_of(t, hash), &c->chain), n = 0;

	for (size_t i = 0; i < c->chain.n && !r; i++)
		n += c->chain.v[i].hash == hash;
	return r ? r : n;
}

/* Into the table that can have it where the fewest others stand, or a new one. */
static int add_item(struct table_change *c, const struct item *it, bool v6)
{
	struct shunt_table *best = NULL;
	int least = can_make_table(c, v6) ? CROWD_MAX : CROWD_WORST, n, r = 0;

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
		r = can_make_table(c, v6) ? new_table(c, it, v6, &best) : -ENOSPC;
	return r ? r : add_to(c, best, it, v6);
}

static bool is_of(const struct shunt_entry2 *e, bool v6)
{
	return e->bits & (v6 ? SHUNT_BIT_V6 : SHUNT_BIT_V4);
}

int table_change_add(struct table_change *c, uint32_t entry)
{
	const struct shunt_entry2 *e = arena_at(c->a, entry);
	struct item it;
	int r = 0;

	item_of_entry(c->a, entry, &it);
	for (int v6 = 0; v6 < 2 && !r; v6++)
		if (is_of(e, v6))
			r = add_item(c, &it, v6);
	return r;
}

/* ---- remove ------------------------------------------------------------------------------------- */

static int find_slot(struct table_change *c, const struct shunt_table *t, uint32_t hash,
		     uint32_t entry, size_t *i)
{
	int r = chain_read(c->a, bucket_of(t, hash), &c->chain);

	*i = 0;
	while (!r && *i < c->chain.n && c->chain.v[*i].entry != entry)
		++*i;
	return r;
}

/* Take the entry out of the table, if it is there with this key. */
static int remove_from(struct table_change *c, struct shunt_table *t, const struct item *it,
		       bool v6)
{
	uint32_t hash = table_hash(t, it, v6);
	size_t i;
	int r = find_slot(c, t, hash, it->entry, &i);

	if (r || i == c->chain.n)
		return r;
	r = own(c, t, v6);
	if (!r) /* the table may have grown */
		r = find_slot(c, t, hash, it->entry, &i);
	if (r)
		return r;
	memmove(&c->chain.v[i], &c->chain.v[i + 1], (--c->chain.n - i) * sizeof(*c->chain.v));
	t->n_slots--;
	if (it->priority == t->best)
		c->stale[v6] |= 1ULL << t->id;
	return write_chain(c, t, hash);
}

static int remove_item(struct table_change *c, const struct item *it, bool v6)
{
	int r = 0;

	for (int i = 0; i < arena_gen(c->a)->n_tables[v6] && !r; i++) {
		struct shape shape = table_shape(&c->tables[v6][i]);

		if (shape_covers(&shape, &it->shape))
			r = remove_from(c, &c->tables[v6][i], it, v6);
	}
	return r;
}

/* The item, and its pieces from tables of all prefixes of the port. */
static int remove_levels(struct table_change *c, const struct item *it, bool v6)
{
	struct item pieces[PORT_PREFIXES_MAX];
	size_t n = item_levels(c->a, it, pieces);
	int r = remove_item(c, it, v6);

	for (size_t i = 0; i < n && !r; i++)
		r = remove_item(c, &pieces[i], v6);
	return r;
}

/* Whether its ranges were cut nobody noted: look for it whole and in pieces. */
int table_change_remove(struct table_change *c, uint32_t entry)
{
	const struct shunt_entry2 *e = arena_at(c->a, entry);
	struct item it, pieces[ITEM_CUT_MAX];
	size_t n;
	int r = 0;

	item_of_entry(c->a, entry, &it);
	n = item_cut(c->a, &it, pieces, ITEM_CUT_MAX);
	for (int v6 = 0; v6 < 2 && !r; v6++) {
		if (!is_of(e, v6))
			continue;
		r = remove_levels(c, &it, v6);
		for (size_t i = 0; i < n && !r; i++)
			r = remove_levels(c, &pieces[i], v6);
	}
	return r;
}
