// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Changing the classes of a prefix in the IPv6 half of the set index: the nodes on the way to it
 * are made anew, and split if they get too full. A node of which one interval is left is replaced
 * by its value, if that is a class.
 */
#include <errno.h>
#include <string.h>

#include "setindex.h"

enum { LEVELS_MAX = 4 }; /* nodes on a way down one half: two steps each (bpf/sets.h) */

/* A prefix reaches over whole high halves, or over a part of the low ones of a single one. */
struct range6 {
	uint64_t lo, hi;	 /* high half */
	uint64_t low_lo, low_hi; /* low half; all of it if lo and hi differ */
};

struct node6 {
	uint64_t ends[TREE6_NODE];
	uint32_t values[TREE6_NODE];
	size_t n;
};

/* ---- nodes --------------------------------------------------------------------------------------- */

static void read_leaf(const struct arena *a, uint32_t at, uint64_t last, struct node6 *out)
{
	const uint64_t *ends = arena_at(a, at);
	const uint32_t *values = arena_at(a, at + 2);

	for (int i = 0; i < TREE6_LEAF; i++) {
		out->ends[out->n] = ends[i];
		out->values[out->n++] = values[i];
		if (ends[i] == last)
			return;
	}
}

/* The intervals of a node of which the last one ends at `last`; returns its number of cells. */
static uint32_t read_node(const struct arena *a, uint32_t place, uint64_t last, struct node6 *out)
{
	uint32_t at = SHUNT_AT_CELL(place);
	const uint64_t *top = arena_at(a, at);

	out->n = 0;
	if (!SHUNT_AT_DEPTH(place)) {
		read_leaf(a, at, last, out);
		return 3;
	}
	for (uint32_t i = 0; i < TREE6_NODE / TREE6_LEAF; i++) {
		read_leaf(a, at + 1 + 3 * i, top[i], out);
		if (top[i] == last)
			return 1 + 3 * (i + 1);
	}
	return 1 + 3 * TREE6_NODE / TREE6_LEAF;
}

static bool is_node(uint32_t value)
{
	return value & SHUNT_AT_NODE && !(value & SHUNT_AT_LOW);
}

/* Nodes on the longest way down; only asked when a tree gets a new root. */
static int levels_of(const struct arena *a, uint32_t place, uint64_t last)
{
	struct node6 node;
	int deepest = 0, levels;

	if (!is_node(place))
		return 0;
	read_node(a, place, last, &node);
	for (size_t i = 0; i < node.n; i++) {
		levels = levels_of(a, node.values[i], node.ends[i]);
		deepest = levels > deepest ? levels : deepest;
	}
	return deepest + 1;
}

/* ---- change -------------------------------------------------------------------------------------- */

static int change_tree(struct index_change *c, uint32_t *place, const struct range6 *range,
		       bool low);

/* What stands for an interval that is in the range as a whole, in its high half at least. */
static int change_value(struct index_change *c, uint32_t value, const struct range6 *range, bool low,
			uint32_t *out)
{
	struct range6 below = { .lo = range->low_lo, .hi = range->low_hi };
	uint32_t tree = value & SHUNT_AT_NODE ? value & ~SHUNT_AT_LOW : value;
	bool whole = range->low_lo == 0 && range->low_hi == ~0ULL;
	int r;

	if (low || (whole && !(value & SHUNT_AT_NODE)))
		return c->class(c->ctx, value, out);
	r = change_tree(c, &tree, &below, true);
	*out = tree & SHUNT_AT_NODE ? tree | SHUNT_AT_LOW : tree;
	return r;
}

/* The nodes that stand for one, which a change makes longer by two at most, to the end of out. */
static int write_nodes(struct index_change *c, struct tree6 *out, const struct tree6 *t)
{
	size_t half = t->n > TREE6_NODE ? (t->n + 1) / 2 : t->n, here;
	uint32_t at;
	int r = 0;

	for (size_t i = 0; i < t->n && !r; i += here) {
		here = t->n - i < half ? t->n - i : half;
		at = t->values[i];
		if (here > 1 || is_node(at)) {
			at = tree6_write_node(c->a, t->ends + i, t->values + i, here);
			if (!at)
				return -ENOSPC;
		}
		r = tree6_add(out, t->ends[i + here - 1], at);
	}
	return r ? r : index_work(c, t->n);
}

static int change_interval(struct index_change *c, struct tree6 *out, uint64_t begin, uint64_t end,
			   uint32_t value, const struct range6 *range, bool low);

/* The intervals of the node, with the range changed, as nodes to the end of out. */
static int change_node(struct index_change *c, struct tree6 *out, uint32_t place, uint64_t begin,
		       uint64_t last, const struct range6 *range, bool low)
{
	uint32_t cells;
	struct tree6 t = {};
	struct node6 node;
	int r = 0;

	cells = read_node(c->a, place, last, &node);
	for (size_t i = 0; i < node.n && !r; begin = node.ends[i] + 1, i++)
		r = change_interval(c, &t, begin, node.ends[i], node.values[i], range, low);
	if (!r)
		r = write_nodes(c, out, &t);
	if (!r)
		arena_free(c->a, SHUNT_AT_CELL(place), cells);
	tree6_release(&t);
	return r;
}

static int change_interval(struct index_change *c, struct tree6 *out, uint64_t begin, uint64_t end,
			   uint32_t value, const struct range6 *range, bool low)
{
	uint32_t changed;
	int r = 0;

	if (end < range->lo || begin > range->hi)
		return tree6_add(out, end, value);
	if (is_node(value))
		return change_node(c, out, value, begin, end, range, low);
	if (begin < range->lo)
		r = tree6_add(out, range->lo - 1, value);
	if (!r)
		r = change_value(c, value, range, low, &changed);
	if (!r)
		r = tree6_add(out, end < range->hi ? end : range->hi, changed);
	if (!r && end > range->hi)
		r = tree6_add(out, end, value);
	return r;
}

static int change_tree(struct index_change *c, uint32_t *place, const struct range6 *range, bool low)
{
	struct tree6 t = {};
	bool grown;
	uint32_t root;
	int r = change_interval(c, &t, 0, ~0ULL, *place, range, low);

	grown = t.n > 1;
	root = r ? 0 : tree6_write(c->a, &t, &r);
	tree6_release(&t);
	if (!r && grown && levels_of(c->a, root, ~0ULL) > LEVELS_MAX)
		r = -ENOSPC;
	if (!r)
		*place = root;
	return r;
}

int index6_change(struct index_change *c, addr_t lo, addr_t hi)
{
	const struct range6 range = {
		.lo = (uint64_t)(lo >> 64), .hi = (uint64_t)(hi >> 64),
		.low_lo = (uint64_t)lo, .low_hi = (uint64_t)hi,
	};

	return change_tree(c, &arena_gen(c->a)->tree6, &range, false);
}
