// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "classes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

enum {
	IN_CELL = 32,
	FIRST_ROOM = 1024,
	/* Sets of a class whose ids use all its cells alike: one place is the count's. */
	CLASS_MOST = SHUNT_CLASS_MAX_CELLS * IN_CELL - 1,
};

static int compare_ids(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

size_t class_ids(const struct arena *a, uint32_t cell, uint16_t *ids)
{
	const uint16_t *places = arena_at(a, cell); /* the count, and then ids over many cells */
	size_t n = 0;

	if (!cell)
		return 0;
	for (uint32_t i = 1; i <= places[0]; i++)
		if (places[i])
			ids[n++] = places[i];
	qsort(ids, n, sizeof(*ids), compare_ids);
	return n;
}

uint64_t class_hash_of(uint16_t set)
{
	uint64_t h = set * SHUNT_K1;

	h ^= h >> 31;
	h *= SHUNT_K2;
	return h ^ h >> 29;
}

int classes_init(struct classes *c, struct arena *a)
{
	*c = (struct classes){ .a = a, .room = FIRST_ROOM };
	c->v = calloc(c->room, sizeof(*c->v));
	return c->v ? 0 : -ENOMEM;
}

void classes_release(struct classes *c)
{
	free(c->v);
	c->v = NULL;
}

static void place(struct classes *c, struct class_known known)
{
	size_t i = known.hash & (c->room - 1);

	while (c->v[i].cell)
		i = (i + 1) & (c->room - 1);
	c->v[i] = known;
	c->n++;
}

static int grow(struct classes *c)
{
	struct classes bigger = { .a = c->a, .room = c->room * 2 };

	bigger.v = calloc(bigger.room, sizeof(*bigger.v));
	if (!bigger.v)
		return -ENOMEM;
	for (size_t i = 0; i < c->room; i++)
		if (c->v[i].cell)
			place(&bigger, c->v[i]);
	free(c->v);
	*c = bigger;
	return 0;
}

static int add(struct classes *c, uint64_t hash, uint32_t cell)
{
	int r = c->n * 2 >= c->room ? grow(c) : 0;

	if (!r)
		place(c, (struct class_known){ hash, cell });
	return r;
}

int classes_read(struct classes *c, struct arena *a)
{
	const struct shunt_gen *gen = arena_gen(a);
	const uint32_t *cells = arena_at(a, gen->classes_at);
	uint16_t ids[SHUNT_CLASS_MAX_CELLS * IN_CELL];
	int r = classes_init(c, a);

	for (uint32_t i = 0; i < gen->n_classes && !r; i++) {
		size_t n = class_ids(a, cells[i], ids);
		uint64_t hash = 0;

		for (size_t k = 0; k < n; k++)
			hash += class_hash_of(ids[k]);
		r = add(c, hash, cells[i]);
	}
	return r;
}

int classes_write(struct classes *c)
{
	struct shunt_gen *gen = arena_gen(c->a);
	uint32_t at = arena_alloc(c->a, cells_for(c->n * sizeof(__u32))), *cells;

	if (!at)
		return -ENOSPC;
	cells = arena_at(c->a, at);
	gen->classes_at = at;
	gen->n_classes = 0;
	for (size_t i = 0; i < c->room; i++)
		if (c->v[i].cell)
			cells[gen->n_classes++] = c->v[i].cell;
	return 0;
}

/* Cells that a list needs, each set in the cell of its id's low bits; 0 if too many. */
static uint32_t cells_of(const uint16_t *ids, size_t n)
{
	uint16_t used[SHUNT_CLASS_MAX_CELLS];
	uint32_t cells = 1;
	size_t i;

	if (n < IN_CELL)
		return 1;
	for (cells = 2; cells <= SHUNT_CLASS_MAX_CELLS; cells *= 2) {
		memset(used, 0, sizeof(used));
		used[0] = 1; /* the count */
		for (i = 0; i < n && used[ids[i] & (cells - 1)] < IN_CELL; i++)
			used[ids[i] & (cells - 1)]++;
		if (i == n)
			return cells;
	}
	return 0;
}

static bool is_class(const struct classes *c, uint32_t cell, const uint16_t *ids, size_t n)
{
	const struct shunt_class *class = arena_at(c->a, cell);
	uint16_t have[SHUNT_CLASS_MAX_CELLS * IN_CELL];

	if (class->n < IN_CELL)
		return class->n == n && !memcmp(class->id, ids, n * sizeof(*ids));
	return class_ids(c->a, cell, have) == n && !memcmp(have, ids, n * sizeof(*ids));
}

static void fill(struct shunt_class *class, uint32_t cells, const uint16_t *ids, size_t n)
{
	uint16_t used[SHUNT_CLASS_MAX_CELLS] = { 1 }, *places = (uint16_t *)class;
	uint32_t cell;

	class->n = (uint16_t)(cells == 1 ? n : IN_CELL * cells - 1);
	for (size_t i = 0; i < n; i++) {
		cell = ids[i] & (cells - 1);
		places[cell * IN_CELL + used[cell]++] = ids[i];
	}
}

int classes_get(struct classes *c, const uint16_t *ids, size_t n, uint64_t hash, uint32_t *cell)
{
	size_t i = hash & (c->room - 1);
	uint32_t cells, at;

	*cell = 0;
	if (!n)
		return 0;
	for (; c->v[i].cell; i = (i + 1) & (c->room - 1)) {
		if (c->v[i].hash == hash && is_class(c, c->v[i].cell, ids, n)) {
			*cell = c->v[i].cell;
			return 0;
		}
	}
	cells = cells_of(ids, n);
	if (!cells)
		return shunt_err(-E2BIG, "an address is in %zu sets and lists of rules: there is "
				 "room for %d at best: let them overlap less", n, CLASS_MOST);
	at = arena_alloc(c->a, cells);
	if (!at)
		return -ENOSPC;
	fill(arena_at(c->a, at), cells, ids, n);
	*cell = at;
	return add(c, hash, at);
}
