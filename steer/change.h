/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes inside the live generation, which is published by one store: what a change of a rule or
 * of some prefixes costs does not depend on how many there are.
 *
 * Each function begins, changes, and publishes. ruleset_fd holds the map of the arena. Functions
 * return 0 or -errno with a message, without one: -ENOMEM, and -ENOSPC if the change cannot be
 * made inside (a new generation can do it, or says why not). Nothing is changed on failure.
 */
#ifndef SHUNT_STEER_CHANGE_H
#define SHUNT_STEER_CHANGE_H

#include "compile.h"

/* Where in the arena's index a rule of this priority is, or would be. */
uint32_t change_find_rule(const struct arena *a, uint32_t priority);
/* The record of the i-th rule: its cell, and itself. */
uint32_t change_rule_cell(const struct arena *a, uint32_t i);
const struct shunt_rule2 *change_rule_at(const struct arena *a, uint32_t i);

/* -EEXIST. */
int change_rule_add(struct arena *a, int ruleset_fd, const struct shunt_rule *rule,
		    const struct names *names);
/* -ENOENT. */
int change_rule_del(struct arena *a, int ruleset_fd, uint32_t priority);

/* Prefixes into a set, which is made if need be; what it has already makes no difference. */
int change_set_add(struct arena *a, int ruleset_fd, const struct shunt_set *set);
/* And out. -ENOENT if it does not hold all of them. */
int change_set_take(struct arena *a, int ruleset_fd, const struct shunt_set *set);
/* Does a set hold the prefix for good? 1, 0. */
int change_set_holds(const struct arena *a, const char *name, const struct shunt_prefix *p);
/* A set has a place in timed_sets: already? From now on? -ENOENT. */
bool change_set_is_timed(const struct arena *a, const char *name, int place);
int change_set_timed(struct arena *a, int ruleset_fd, const char *name, int place);
/* -ENOENT, -EBUSY: a rule names it. */
int change_set_del(struct arena *a, int ruleset_fd, const char *name);

#endif
