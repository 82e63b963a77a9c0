/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory of a generation (shunt/arena.h): its map, and who has which cells.
 *
 * A new generation is made in memory of this process, where cells are given out one after the
 * other, and copied to a map when its size is known. In a live one a change is made aside and
 * published by one store: begin, alloc and free, commit or abort. Cells that a change frees
 * can be had by the next change only, which first waits until nobody reads them.
 */
#ifndef SHUNT_STEER_ARENA_H
#define SHUNT_STEER_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shunt/arena.h"

struct arena {
	int fd;		  /* -1 while it is made */
	char *mem;
	uint32_t n_cells;
	uint32_t used;	  /* while made: cells given out */
	uint32_t hint;	  /* in a change: no free cell before it */
	uint32_t gen_at;  /* cell of the struct shunt_gen to read, or in a change to write */
	uint64_t *bits;	  /* in a change: the bitmap to be published */
	uint64_t *live;	  /* and that in force */
};

static inline void *arena_at(const struct arena *a, uint32_t cell)
{
	return a->mem + (size_t)cell * SHUNT_CELL;
}

static inline struct shunt_arena_head *arena_head(const struct arena *a)
{
	return arena_at(a, 0);
}

static inline struct shunt_gen *arena_gen(const struct arena *a)
{
	return arena_at(a, a->gen_at);
}

/* Is this a place of n cells? Who reads without the lock may see what a change leaves. */
static inline bool arena_holds(const struct arena *a, uint32_t at, size_t n)
{
	return at && at < a->n_cells && n <= a->n_cells - at;
}

static inline uint32_t cells_for(size_t bytes)
{
	return (uint32_t)((bytes + SHUNT_CELL - 1) / SHUNT_CELL);
}

/* Begin a new generation. */
int arena_make(struct arena *out);
/* Bytes that one can have at most. */
size_t arena_most(void);
/* Turn it into a map with `room` more cells; on failure it is as before. */
int arena_seal(struct arena *a, uint32_t room);
/* Map the generation in slot 0 of the map in map. -ENOENT: there is none. */
int arena_open(struct arena *out, int ruleset_fd);
/* Map the generation that is this map; the fd stays the caller's. */
int arena_open_fd(struct arena *out, int fd);
/*
 * Is the generation that it was opened with, of this number, still in force? If so, all that was
 * read of it belongs together.
 */
bool arena_is_current(const struct arena *a, uint64_t generation);
void arena_release(struct arena *a);

/* n cells in a row, all zero; 0 if there are none. A block is of SHUNT_BLOCK_CELLS. */
uint32_t arena_alloc(struct arena *a, uint32_t n);
uint32_t arena_alloc_block(struct arena *a);
void arena_free(struct arena *a, uint32_t at, uint32_t n);

/*
 * A change of the live generation, of which the map is in slot 0 of ruleset_fd, under the lock;
 * -1 if no program reads it. Until commit, which is one store, it is in force as it was; it stays
 * so if the process ends before, or with abort.
 */
int arena_begin(struct arena *a, int ruleset_fd);
void arena_commit(struct arena *a);
void arena_abort(struct arena *a);

#endif
