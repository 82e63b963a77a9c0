// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The IPv6 half of the set index. A tree is made of nodes of up to 128 intervals, the values of
 * the upper ones being the places of the lower ones, so that one of them can be replaced.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "setindex.h"

enum { NODE6_FILL = 104 }; /* of TREE6_NODE */

int tree6_add(struct tree6 *t, uint64_t end, uint32_t value)
{
	size_t room = t->room * 2 + 64;
	uint64_t *ends;
	uint32_t *values;

	if (t->n == t->room) {
		ends = realloc(t->ends, room * sizeof(*ends));
		t->ends = ends ? ends : t->ends;
		values = realloc(t->values, room * sizeof(*values));
		t->values = values ? values : t->values;
		if (!ends || !values)
			return -ENOMEM;
		t->room = room;
	}
	if (t->n && t->values[t->n - 1] == value) {
		t->ends[t->n - 1] = end;
		return 0;
	}
	t->ends[t->n] = end;
	t->values[t->n++] = value;
	return 0;
}

void tree6_release(struct tree6 *t)
{
	free(t->ends);
	free(t->values);
	*t = (struct tree6){};
}

static void fill_leaf(struct arena *a, uint32_t at, const uint64_t *ends, const uint32_t *values,
		      size_t n)
{
	memset(arena_at(a, at), 0xff, 2 * SHUNT_CELL);
	memcpy(arena_at(a, at), ends, n * sizeof(*ends));
	memcpy(arena_at(a, at + 2), values, n * sizeof(*values));
}

uint32_t tree6_write_node(struct arena *a, const uint64_t *ends, const uint32_t *values, size_t n)
{
	size_t leaves = (n + TREE6_LEAF - 1) / TREE6_LEAF, here;
	uint32_t at = arena_alloc(a, n <= TREE6_LEAF ? 3 : 1 + 3 * (uint32_t)leaves);
	uint64_t *top = arena_at(a, at);

	if (!at)
		return 0;
	if (n <= TREE6_LEAF) {
		fill_leaf(a, at, ends, values, n);
		return SHUNT_AT_NODE | at;
	}
	memset(top, 0xff, SHUNT_CELL);
	for (size_t i = 0; i < leaves; i++) {
		here = n - i * TREE6_LEAF < TREE6_LEAF ? n - i * TREE6_LEAF : TREE6_LEAF;
		top[i] = ends[i * TREE6_LEAF + here - 1];
		fill_leaf(a, at + 1 + (uint32_t)i * 3, ends + i * TREE6_LEAF,
			  values + i * TREE6_LEAF, here);
	}
	return SHUNT_AT_NODE | 1U << SHUNT_AT_DEPTH_SHIFT | at;
}

uint32_t tree6_write(struct arena *a, struct tree6 *t, int *err)
{
	size_t n, here;
	uint32_t at;

	while (t->n > 1) {
		n = 0;
		for (size_t i = 0; i < t->n; i += here) {
			here = t->n <= TREE6_NODE ? t->n : NODE6_FILL;
			here = t->n - i < here ? t->n - i : here;
			at = tree6_write_node(a, t->ends + i, t->values + i, here);
			if (!at) {
				*err = -ENOSPC;
				return 0;
			}
			t->ends[n] = t->ends[i + here - 1];
			t->values[n++] = at;
		}
		t->n = n;
	}
	return t->values[0];
}
