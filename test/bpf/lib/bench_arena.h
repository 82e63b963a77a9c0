/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A world and the generation made of it, which is changed by the compiler's own functions: no
 * lock, and no waiting for packets, as nothing but the test looks at it.
 */
#ifndef TEST_BPF_BENCH_ARENA_H
#define TEST_BPF_BENCH_ARENA_H

#include "change.h"
#include "world.h"

struct bench_arena {
	struct plane *p;
	struct world w;
	struct arena a;
	uint64_t generation;
	unsigned int inside[WORLD_KINDS], anew[WORLD_KINDS]; /* changes made */
};

/* b->p is set; the rest is kept over release and make. */
void bench_arena_make(struct bench_arena *b, uint64_t seed, size_t rules, size_t members);
void bench_arena_release(struct bench_arena *b);

/* A new generation of b->w, in force. */
void bench_arena_build(struct bench_arena *b);
/* After another process may have changed it. */
void bench_arena_reopen(struct bench_arena *b);
/* Make the change inside: 0, or -ENOSPC. The world stays as it is. */
int bench_arena_change(struct bench_arena *b, const struct world_change *change);
/* Make the change, inside or by a new generation; and in the world. */
void bench_arena_do(struct bench_arena *b, struct world_change *change);
void bench_arena_step(struct bench_arena *b); /* one by chance */

void bench_arena_check_read_back(struct bench_arena *b);
void bench_arena_read(struct bench_arena *b, struct shunt_config *out);
/* The set index holds the same as that of a new generation of the world. */
void bench_arena_check_index(struct bench_arena *b);
/* How many of which were made. */
void bench_arena_tell(const struct bench_arena *b);

#endif
