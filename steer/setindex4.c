// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The IPv4 half of the set index: nodes below a slot of the front. */
#include <errno.h>
#include <string.h>

#include "setindex.h"

enum { FAN4 = 32, HALF_LEAF = 16 };

/* Intervals that a full node of a depth holds. */
static uint32_t full4(uint32_t depth)
{
	return 1U << 5 * (depth + 1);
}

static uint32_t node_cells(uint32_t n, uint32_t depth)
{
	uint32_t child;

	if (!depth)
		return n > HALF_LEAF ? 3 : 2;
	child = full4(depth - 1);
	return 1 + (n - 1) / child * SHUNT_NODE4_CELLS(depth - 1) +
	       node_cells(n - (n - 1) / child * child, depth - 1);
}

static void fill_node(struct arena *a, uint32_t at, uint32_t depth, const uint16_t *ends,
		      const uint32_t *values, uint32_t n)
{
	uint16_t *node = arena_at(a, at);
	uint32_t child = depth ? full4(depth - 1) : 1, i = 0, here;

	memset(node, 0xff, SHUNT_CELL);
	if (!depth) {
		memcpy(node, ends, n * sizeof(*ends));
		memcpy(arena_at(a, at + 1), values, n * sizeof(*values));
		return;
	}
	for (uint32_t done = 0; done < n; done += here, i++) {
		here = n - done < child ? n - done : child;
		node[i] = ends[done + here - 1];
		fill_node(a, at + 1 + i * SHUNT_NODE4_CELLS(depth - 1), depth - 1, ends + done,
			  values + done, here);
	}
}

static uint32_t depth_for(uint32_t n)
{
	uint32_t depth = 0;

	while (full4(depth) < n)
		depth++;
	return depth;
}

uint32_t index4_write(struct arena *a, const uint16_t *ends, const uint32_t *values, uint32_t n,
		      int *err)
{
	uint32_t depth = depth_for(n), at;

	if (n == 1)
		return values[0];
	at = arena_alloc(a, node_cells(n, depth));
	if (!at) {
		*err = -ENOSPC;
		return 0;
	}
	fill_node(a, at, depth, ends, values, n);
	return SHUNT_AT_NODE | depth << SHUNT_AT_DEPTH_SHIFT | at;
}

/* ---- and back ------------------------------------------------------------------------------------ */

static bool is_full(const struct index4_slot *s)
{
	return s->n && s->ends[s->n - 1] == 0xffff;
}

/* Up to the interval that ends at `last`. */
static void read_node(const struct arena *a, uint32_t at, uint32_t depth, uint16_t last,
		      struct index4_slot *out)
{
	const uint16_t *ends = arena_at(a, at);
	const uint32_t *values = arena_at(a, at + 1);

	for (uint32_t i = 0; i < FAN4; i++) {
		if (depth) {
			read_node(a, at + 1 + i * SHUNT_NODE4_CELLS(depth - 1), depth - 1, ends[i],
				  out);
		} else {
			out->ends[out->n] = ends[i];
			out->values[out->n++] = values[i];
		}
		if (ends[i] == last || is_full(out))
			return;
	}
}

void index4_read(const struct arena *a, uint32_t at, struct index4_slot *out)
{
	out->n = 0;
	if (at & SHUNT_AT_NODE) {
		read_node(a, SHUNT_AT_CELL(at), SHUNT_AT_DEPTH(at), 0xffff, out);
		return;
	}
	out->n = 1;
	out->ends[0] = 0xffff;
	out->values[0] = at;
}

static uint32_t count_node(const struct arena *a, uint32_t at, uint32_t depth, uint16_t last)
{
	const uint16_t *ends = arena_at(a, at);
	uint32_t i = 0;

	while (i < FAN4 - 1 && ends[i] != last)
		i++;
	if (!depth)
		return i + 1;
	return i * full4(depth - 1) +
	       count_node(a, at + 1 + i * SHUNT_NODE4_CELLS(depth - 1), depth - 1, last);
}

void index4_free(struct arena *a, uint32_t at)
{
	uint32_t depth = SHUNT_AT_DEPTH(at);

	if (at & SHUNT_AT_NODE)
		arena_free(a, SHUNT_AT_CELL(at),
			   node_cells(count_node(a, SHUNT_AT_CELL(at), depth, 0xffff), depth));
}

/* ---- change -------------------------------------------------------------------------------------- */

static void push(struct index4_slot *s, uint32_t end, uint32_t value)
{
	if (s->n && s->values[s->n - 1] == value)
		s->n--;
	s->ends[s->n] = (uint16_t)end;
	s->values[s->n++] = value;
}

/* The slot with the classes of lo..hi changed, to c->new. */
static int change_intervals(struct index_change *c, uint32_t lo, uint32_t hi)
{
	const struct index4_slot *old = c->old;
	uint32_t begin = 0, end, class;
	int r;

	c->new->n = 0;
	for (uint32_t i = 0; i < old->n; begin = end + 1, i++) {
		end = old->ends[i];
		if (end < lo || begin > hi) {
			push(c->new, end, old->values[i]);
			continue;
		}
		r = c->class(c->ctx, old->values[i], &class);
		if (r)
			return r;
		if (begin < lo)
			push(c->new, lo - 1, old->values[i]);
		push(c->new, end < hi ? end : hi, class);
		if (end > hi)
			push(c->new, end, old->values[i]);
	}
	return index_work(c, old->n);
}

static int change_slot(struct index_change *c, uint32_t *place, uint32_t lo, uint32_t hi)
{
	uint32_t at;
	int r;

	index4_read(c->a, *place, c->old);
	r = change_intervals(c, lo, hi);
	if (r)
		return r;
	at = index4_write(c->a, c->new->ends, c->new->values, c->new->n, &r);
	if (r)
		return r;
	index4_free(c->a, *place);
	*place = at;
	return 0;
}

int index4_change(struct index_change *c, uint32_t lo, uint32_t hi)
{
	uint32_t *front = arena_at(c->a, arena_head(c->a)->dir4_at[arena_gen(c->a)->side & 1]);
	uint32_t first = lo >> 16, last = hi >> 16;
	int r = 0;

	for (uint32_t slot = first; slot <= last && !r; slot++)
		r = change_slot(c, &front[slot], slot == first ? lo & 0xffff : 0,
				slot == last ? hi & 0xffff : 0xffff);
	return r;
}
