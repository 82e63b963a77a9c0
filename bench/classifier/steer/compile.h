/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Between rules and sets as people write them and a generation (shunt/arena.h).
 *
 * Functions return 0 or -errno. -ENOSPC from a change in place means that the arena has no room
 * left or the change cannot be made in place: build the generation anew. Nothing is published
 * then.
 */
#ifndef SHUNT_STEER_COMPILE_H
#define SHUNT_STEER_COMPILE_H

#include "arena.h"
#include "shunt/shunt.h"

/* What names stand for in the instance. Each function returns a number or -errno. */
struct names {
	void *ctx;
	int (*device)(void *ctx, const char *name);  /* slot in the map devices */
	int (*target)(void *ctx, const char *name);  /* index in the map targets */
	int (*stat)(void *ctx, uint32_t priority);   /* index in the map rule_stats */
	/* Level below the cgroup root and id. */
	int (*cgroup)(void *ctx, const char *path, uint64_t *id);
};

/* A set: prefixes in any order, also some twice. */
struct set_in {
	char name[SHUNT_NAME_LEN];
	struct shunt_prefix *v; /* owned */
	size_t n;
};
struct sets_in {
	struct set_in *v; /* owned */
	size_t n;
};
void sets_clear(struct sets_in *sets);

/*
 * A map of a generation with these rules and sets; its fd. Room is left for changes in place.
 * -ENOENT: a rule names a set that is not there.
 */
int compile(const struct shunt_rules *rules, const struct sets_in *sets,
	    const struct names *names, uint64_t generation);

/* Rules and sets as they were given. */
int decompile_rules(const struct arena *a, struct shunt_rules *out);
int decompile_sets(const struct arena *a, struct sets_in *out);

/* ---- changes in place: each begins, changes, and publishes --------------------------------- */

int change_rule_add(struct arena *a, const struct shunt_rule *rule, const struct names *names);
int change_rule_del(struct arena *a, uint32_t priority);
/* Prefixes of one set, in or out, as one change. -EEXIST, -ENOENT. */
int change_set(struct arena *a, const char *name, const struct shunt_prefix *v, size_t n,
	       bool add);

#endif
