// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which tables there are: again and again the mask that takes most of the entries that are
 * left, with no more than `limit` of them on one key. Few tables are few probes for each
 * packet; short chains are few entries for each probe. Masks are tried on a sample first.
 * Where no mask takes a fair part, ranges of ports are cut into prefixes, for tables whose
 * keys have prefixes of ports of any length; then the limit grows. On a key only those
 * count that a packet can come to: none behind one that matches for certain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "table.h"

enum {
	PLAN_TABLES = 48,      /* the other ones are for changes in place */
	PLAN_LIMIT = 16,       /* entries on one key, at first */
	PLAN_SHAPES = 14,      /* most frequent shapes that candidates are made from */
	PLAN_CANDIDATES = 256,
	PLAN_FINALISTS = 6,
	PLAN_SAMPLE = 2048,
	PLAN_FAIR_PART = 24,   /* a table should take 1/24 of what is left */
	PLAN_WHOLE = 6,	       /* tables of whole ranges, while most of what is left are such */
	PLAN_FILTERED = 3,     /* tables from which on filters are worth their memory */
	PLAN_MAX_CUT = 2000000, /* items, all in all, above which no more ranges are cut */
};

/* What stands on the keys of one hash, while a table is tried. */
struct plan_key {
	uint16_t n;   /* that a packet may have to look at */
	uint8_t bits; /* enum shunt_bits of packets that go no further */
};

struct plan {
	struct arena *a;
	bool v6;
	bool cut;	      /* ranges of what is left are cut already */
	struct item *items;   /* owned */
	size_t n_items;
	uint32_t *left;	      /* owned: indices of items, by priority */
	size_t n_left;
	uint32_t *taken;      /* owned: what the table being made takes */
	struct plan_key *keys; /* owned: by hash */
	uint32_t keys_mask;
	struct shunt_table tables[SHUNT_MAX_TABLES];
	uint8_t n_tables;
	uint32_t longest;
};

struct candidate {
	struct shape shape;
	int64_t score;
};

static int prepare(struct plan *p)
{
	size_t n_keys = 4096;

	while (n_keys < 4 * p->n_items)
		n_keys *= 2;
	free(p->left);
	free(p->taken);
	free(p->keys);
	p->left = malloc((p->n_items + 1) * sizeof(*p->left));
	p->taken = malloc((p->n_items + 1) * sizeof(*p->taken));
	p->keys = malloc(n_keys * sizeof(*p->keys));
	p->keys_mask = (uint32_t)n_keys - 1;
	return p->left && p->taken && p->keys ? 0 : -ENOMEM;
}

/* ---- candidates ------------------------------------------------------------------------------- */

static bool same_shape(const struct shape *a, const struct shape *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static size_t add_candidate(struct candidate *c, size_t n, struct shape s)
{
	const uint8_t both = SHUNT_TABLE_DST_SET | SHUNT_TABLE_SRC_SET;

	if (s.flags & SHUNT_TABLE_PORTS)
		s.dport_len = 0;
	if ((s.flags & both) == both) {
		struct shape dst = s;

		dst.flags &= (uint8_t)~SHUNT_TABLE_SRC_SET;
		s.flags &= (uint8_t)~SHUNT_TABLE_DST_SET;
		n = add_candidate(c, n, dst);
	}
	if (n == PLAN_CANDIDATES)
		return n;
	for (size_t i = 0; i < n; i++)
		if (same_shape(&c[i].shape, &s))
			return n;
	c[n].shape = s;
	return n + 1;
}

struct frequent {
	struct shape shape;
	uint32_t n;
};

static int more_frequent(const void *a, const void *b)
{
	const struct frequent *x = a, *y = b;

	return x->n < y->n ? 1 : x->n > y->n ? -1 : 0;
}

/* Shapes of the sample, most frequent first. */
static size_t frequent_shapes(const struct plan *p, size_t step, struct frequent *out)
{
	size_t n = 0, k;

	for (size_t i = 0; i < p->n_left; i += step) {
		const struct shape *s = &p->items[p->left[i]].shape;

		for (k = 0; k < n && !same_shape(&out[k].shape, s); k++)
			;
		if (k == n && n < PLAN_SAMPLE)
			out[n++] = (struct frequent){ .shape = *s };
		if (k < n)
			out[k].n++;
	}
	qsort(out, n, sizeof(*out), more_frequent);
	return n;
}

/* A length rounded down, counted from the family's first bit. */
static uint8_t rounded(uint8_t len, uint8_t unit, bool v6)
{
	uint8_t skip = v6 ? 0 : 96;

	return len <= skip ? 0 : (uint8_t)(skip + (len - skip) / unit * unit);
}

static size_t add_relaxed(struct candidate *c, size_t n, struct shape s, bool v6)
{
	static const uint8_t units[] = { 4, 8, 16 };
	struct shape t = s;

	for (size_t i = 0; i < sizeof(units); i++) {
		t.dst_len = rounded(s.dst_len, units[i], v6);
		t.src_len = rounded(s.src_len, units[i], v6);
		n = add_candidate(c, n, t);
		t.src_len = 0;
		n = add_candidate(c, n, t);
		t.dport_len = s.dport_len == 16 ? 16 : 0;
		t.sport_len = 0;
		n = add_candidate(c, n, t);
		t.dport_len = s.dport_len;
		t.sport_len = s.sport_len;
	}
	t = s;
	t.dport_len = t.sport_len = 0;
	n = add_candidate(c, n, t);
	t.flags &= SHUNT_TABLE_UID | SHUNT_TABLE_PORTS;
	return add_candidate(c, n, t);
}

/* No table has entries with SHUNT_TABLE_PORTS and such without. */
static bool same_kind(const struct shape *a, const struct shape *b)
{
	return !((a->flags ^ b->flags) & SHUNT_TABLE_PORTS);
}

/* Of those that are like the first of them. */
static struct shape meet_of_left(const struct plan *p)
{
	struct shape m = p->items[p->left[0]].shape;

	for (size_t i = 1; i < p->n_left; i++)
		if (same_kind(&m, &p->items[p->left[i]].shape))
			m = shape_meet(m, p->items[p->left[i]].shape);
	if (m.flags & SHUNT_TABLE_PORTS)
		m.dport_len = 0;
	return m;
}

static size_t candidates(const struct plan *p, size_t step, struct frequent *shapes,
			 struct candidate *out)
{
	size_t n_shapes = frequent_shapes(p, step, shapes), n;

	if (n_shapes > PLAN_SHAPES)
		n_shapes = PLAN_SHAPES;
	n = add_candidate(out, 0, meet_of_left(p));
	for (size_t i = 0; i < n_shapes; i++)
		n = add_candidate(out, n, shapes[i].shape);
	for (size_t i = 0; i < n_shapes; i++)
		for (size_t k = 0; k < i; k++)
			if (same_kind(&shapes[i].shape, &shapes[k].shape))
				n = add_candidate(out, n,
						  shape_meet(shapes[i].shape, shapes[k].shape));
	for (size_t i = 0; i < n_shapes; i++)
		n = add_relaxed(out, n, shapes[i].shape, p->v6);
	return n;
}

/* ---- choice ------------------------------------------------------------------------------------ */

static bool fits(const struct shape *table, const struct item *it)
{
	return shape_covers(table, &it->shape);
}

/* A table's key holds one set at most. */
static struct shape one_set(struct shape s)
{
	if (s.flags & SHUNT_TABLE_DST_SET)
		s.flags &= (uint8_t)~SHUNT_TABLE_SRC_SET;
	return s;
}

/* May the item stand on the key, behind those that do already? */
static bool key_take(struct plan_key *key, const struct shape *table, const struct item *it,
		     uint32_t limit)
{
	if ((it->bits & key->bits) == it->bits)
		return true;
	if (key->n >= limit)
		return false;
	key->n += key->n < UINT16_MAX;
	if (item_is_certain(table, it) && (it->bits & key->bits) == key->bits)
		key->bits = it->bits;
	return true;
}

/* What the table would take of each step-th item that is left: many, on short chains. */
static int64_t score_of(struct plan *p, const struct shape *s, size_t step, uint32_t limit)
{
	size_t sampled = p->n_left / step + 1, mask = 1023;
	struct shunt_table t;
	struct plan_key *key;
	int64_t score = 0;

	while (mask < 4 * sampled && mask < p->keys_mask)
		mask = mask * 2 + 1;
	table_init(&t, s);
	memset(p->keys, 0, (mask + 1) * sizeof(*p->keys));
	for (size_t i = 0; i < p->n_left; i += step) {
		const struct item *it = &p->items[p->left[i]];

		if (!fits(s, it))
			continue;
		key = &p->keys[table_hash(&t, it, p->v6) & mask];
		score += 256 - (int64_t)key->n * 128 / limit;
		if (!key_take(key, s, it, limit))
			score -= 256 - (int64_t)key->n * 128 / limit;
	}
	return score;
}

static int better_candidate(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->score < y->score ? 1 : x->score > y->score ? -1 : 0;
}

static int choose(struct plan *p, uint32_t limit, struct shape *out)
{
	_cleanup_free_ struct candidate *c = malloc(PLAN_CANDIDATES * sizeof(*c));
	_cleanup_free_ struct frequent *shapes = malloc(PLAN_SAMPLE * sizeof(*shapes));
	size_t step = p->n_left / PLAN_SAMPLE + 1, n;
	uint32_t sample_limit = (uint32_t)(limit / step) + 1;

	if (!c || !shapes)
		return -ENOMEM;
	n = candidates(p, step, shapes, c);
	for (size_t i = 0; i < n; i++)
		c[i].score = score_of(p, &c[i].shape, step, step > 1 ? sample_limit : limit);
	qsort(c, n, sizeof(*c), better_candidate);
	if (step > 1) {
		n = n < PLAN_FINALISTS ? n : PLAN_FINALISTS;
		for (size_t i = 0; i < n; i++)
			c[i].score = score_of(p, &c[i].shape, 1, limit);
		qsort(c, n, sizeof(*c), better_candidate);
	}
	*out = c[0].shape;
	return 0;
}

/* Would a table of this shape be worth its probe? */
static bool takes_fair_part(struct plan *p, const struct shape *s, uint32_t limit)
{
	size_t n = (size_t)(score_of(p, s, 1, limit) / 256);

	return n * PLAN_FAIR_PART >= p->n_left || n >= p->n_left / 2;
}

/* ---- making a table ------------------------------------------------------------------------------ */

/* Move what the table takes from left to taken; returns how many. */
static size_t take(struct plan *p, const struct shape *s, uint32_t limit)
{
	struct shunt_table t;
	size_t n = 0, kept = 0;
	struct plan_key *key;

	table_init(&t, s);
	memset(p->keys, 0, (p->keys_mask + 1) * sizeof(*p->keys));
	for (size_t i = 0; i < p->n_left; i++) {
		const struct item *it = &p->items[p->left[i]];

		key = &p->keys[table_hash(&t, it, p->v6) & p->keys_mask];
		if (fits(s, it) && key_take(key, s, it, limit)) {
			p->taken[n++] = p->left[i];
		} else {
			p->left[kept++] = p->left[i];
		}
	}
	p->n_left = kept;
	return n;
}

/* The slots of what was taken, ordered by bucket and then by priority; ends[b] is behind b's. */
static int fill_buckets(struct plan *p, struct shunt_table *t, size_t n, uint32_t *ends,
			struct shunt_slot *slots)
{
	uint32_t n_buckets = t->bucket_mask + 1, begin = 0, hash;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		ends[(table_hash(t, &p->items[p->taken[i]], p->v6) & t->bucket_mask) + 1]++;
	for (uint32_t b = 0; b < n_buckets; b++)
		ends[b + 1] += ends[b];
	for (size_t i = 0; i < n; i++) {
		hash = table_hash(t, &p->items[p->taken[i]], p->v6);
		slots[ends[hash & t->bucket_mask]++] =
			(struct shunt_slot){ hash, p->items[p->taken[i]].entry };
	}
	for (uint32_t b = 0; b < n_buckets && !r; b++) {
		r = chain_write(p->a, t->buckets_at + b, slots + begin, ends[b] - begin);
		if (ends[b] - begin > p->longest)
			p->longest = ends[b] - begin;
		begin = ends[b];
	}
	return r;
}

/* A table of the first n of taken. */
static int make_table(struct plan *p, const struct shape *s, size_t n)
{
	struct shunt_table *t = &p->tables[p->n_tables];
	_cleanup_free_ struct shunt_slot *slots = malloc(n * sizeof(*slots));
	_cleanup_free_ uint32_t *ends = NULL;
	uint32_t n_buckets = 1;

	while (n_buckets < (n + 3) / 4)
		n_buckets *= 2;
	ends = calloc(n_buckets + 1, sizeof(*ends));
	if (!slots || !ends)
		return -ENOMEM;
	table_init(t, s);
	t->best = p->items[p->taken[0]].priority;
	t->bucket_mask = n_buckets - 1;
	t->n_slots = (uint32_t)n;
	t->id = p->n_tables++;
	t->buckets_at = arena_alloc(p->a, n_buckets);
	if (!t->buckets_at)
		return -ENOSPC;
	return fill_buckets(p, t, n, ends, slots);
}

/* Filters for what is in the table that was made last. */
static void filter_taken(struct plan *p, uint32_t filters_at, size_t n)
{
	uint8_t id = p->tables[p->n_tables - 1].id;
	bool all[2] = {};

	for (size_t i = 0; i < n && !(all[0] && all[1]); i++)
		filter_add(p->a, filters_at, id, &p->items[p->taken[i]], p->v6, all);
}

/* A key has a set or all prefixes of the port, not both. */
static bool has_set(const struct item *it)
{
	return it->shape.flags & (SHUNT_TABLE_DST_SET | SHUNT_TABLE_SRC_SET);
}

/* Are ranges of ports what most of those that are left have, and tables could tell them by? */
static bool are_mostly_ranges(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_left; i++) {
		const struct item *it = &p->items[p->left[i]];

		n += it->loose & LOOSE_DPORT && !has_set(it);
	}
	return 2 * n >= p->n_left;
}

/* The item's pieces, at most max; itself if it has none. */
static size_t cut_item(const struct plan *p, const struct item *it, bool levels,
		       struct item *out, size_t max)
{
	size_t n = 0;

	if (!levels || has_set(it))
		n = item_cut(p->a, it, out, max < ITEM_CUT_MAX ? max : ITEM_CUT_MAX);
	else if (max >= PORT_PREFIXES_MAX)
		n = item_levels(p->a, it, out);
	if (!n)
		out[n++] = *it;
	return n;
}

/* Cut the ranges of what is left. The items get a new order, by priority as before. */
static int cut_left(struct plan *p)
{
	size_t room = p->n_left + PLAN_MAX_CUT;
	struct item *items = malloc(room * sizeof(*items));
	bool levels = are_mostly_ranges(p);
	size_t n = 0;
	int r;

	p->cut = true;
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_left; i++)
		n += cut_item(p, &p->items[p->left[i]], levels, items + n,
			      room - n - (p->n_left - i) + 1);
	free(p->items);
	p->items = items;
	p->n_items = n;
	r = prepare(p);
	p->n_left = n;
	for (size_t i = 0; i < n && !r; i++)
		p->left[i] = (uint32_t)i;
	return r;
}

/* Are there tables enough that know nothing of ports, and more would not help? */
static bool wants_cut(const struct plan *p)
{
	return !p->cut && p->n_tables >= PLAN_WHOLE && are_mostly_ranges(p);
}

static int make_tables(struct plan *p, uint32_t filters_at)
{
	uint32_t limit = PLAN_LIMIT;
	struct shape shape;
	size_t n;
	int r = 0;

	while (p->n_left && !r) {
		if (wants_cut(p))
			r = cut_left(p);
		if (r)
			return r;
		if (p->n_tables >= PLAN_TABLES - 2) { /* the last of both kinds */
			shape = one_set(meet_of_left(p));
			limit = ~0U;
		} else {
			r = choose(p, limit, &shape);
			if (r)
				return r;
		}
		if (limit != ~0U && !takes_fair_part(p, &shape, limit)) {
			if (!p->cut)
				r = cut_left(p);
			else
				limit = limit < UINT16_MAX / 4 ? limit * 2 : ~0U;
			continue;
		}
		n = take(p, &shape, limit);
		r = make_table(p, &shape, n);
		if (!r)
			filter_taken(p, filters_at, n);
	}
	return r;
}

static int by_best(const void *a, const void *b)
{
	const struct shunt_table *x = a, *y = b;

	return x->best < y->best ? -1 : x->best > y->best;
}

static void publish_tables(struct plan *p, uint32_t filters_at)
{
	struct shunt_gen *gen = arena_gen(p->a);

	qsort(p->tables, p->n_tables, sizeof(*p->tables), by_best);
	memcpy(arena_at(p->a, gen->tables_at[p->v6]), p->tables,
	       p->n_tables * sizeof(*p->tables));
	gen->n_tables[p->v6] = p->n_tables;
	/* With few tables the look at the filters costs more than they save. */
	gen->filters_at[p->v6] = p->n_tables >= PLAN_FILTERED ? filters_at : 0;
	if (p->longest > gen->longest_chain)
		gen->longest_chain = p->longest;
}

int plan_lay_out(struct arena *a)
{
	struct shunt_gen *gen = arena_gen(a);

	for (int v6 = 0; v6 < 2; v6++) {
		gen->tables_at[v6] = arena_alloc_block(a);
		gen->filters_at[v6] = arena_alloc(a, 2 * SHUNT_FILTER_CELLS);
		if (!gen->tables_at[v6] || !gen->filters_at[v6])
			return -ENOSPC;
	}
	return 0;
}

int plan_tables(struct arena *a, struct item *items, size_t n, bool v6)
{
	uint32_t filters_at = arena_gen(a)->filters_at[v6];
	struct plan p = { .a = a, .v6 = v6, .n_items = n, .n_left = n };
	int r;

	p.items = malloc((n + 1) * sizeof(*items));
	r = p.items ? prepare(&p) : -ENOMEM;
	if (!r) {
		memcpy(p.items, items, n * sizeof(*items));
		for (size_t i = 0; i < n; i++)
			p.left[i] = (uint32_t)i;
		r = make_tables(&p, filters_at);
	}
	if (!r)
		publish_tables(&p, filters_at);
	free(p.items);
	free(p.left);
	free(p.taken);
	free(p.keys);
	return r;
}
