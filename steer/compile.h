/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Between rules and sets as people write them and a generation (shunt/arena.h). Functions
 * return 0 or -errno; messages are given.
 */
#ifndef SHUNT_STEER_COMPILE_H
#define SHUNT_STEER_COMPILE_H

#include "arena.h"
#include "shunt/shunt.h"

/* What names stand for in the instance. Each function returns a number, or -errno and gives a
 * message. */
struct names {
	void *ctx;
	int (*device)(void *ctx, const char *name);  /* slot in the map devices */
	int (*target)(void *ctx, const char *name);  /* index in the map targets */
	int (*stat)(void *ctx, uint32_t priority);   /* index in the map rule_stats */
	/* Group in the map hops of what a rule with route names; not called if it names nothing. */
	int (*hops)(void *ctx, const struct shunt_rule *rule);
	/* The set's place in timed_sets; -ENOENT, without a message: it has none. NULL: no set has. */
	int (*timed)(void *ctx, const char *set);
	/* Level below the cgroup root and id. */
	int (*cgroup)(void *ctx, const char *path, uint64_t *id);
};

/*
 * A map of a generation with these rules, ordered by priority, and sets, of which all that rules
 * name must be there; its fd.
 */
int compile(const struct shunt_rules *rules, const struct shunt_sets *sets,
	    const struct names *names, uint64_t generation);

/*
 * Rules and sets as they were given; without counters. -EAGAIN, without a message, only to who
 * does not hold the lock: they were changed meanwhile.
 */
int decompile_rules(const struct arena *a, struct shunt_rules *out);
int decompile_sets(const struct arena *a, struct shunt_sets *out);

#endif
