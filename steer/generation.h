/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The generation of rules and sets in force: reading it, and putting a new one in its place.
 * Private to libshunt; messages are given; changes are made under the lock.
 */
#ifndef SHUNT_GENERATION_H
#define SHUNT_GENERATION_H

#include "arena.h"
#include "instance.h"

/* Map the generation in force. 0, or -ENOENT without a message if there is none. */
int generation_open(struct arena *out, const struct shunt *s);

enum generation_part {
	GENERATION_RULES = 1 << 0, /* with their counters */
	GENERATION_SETS = 1 << 1,
	GENERATION_ALL = GENERATION_RULES | GENERATION_SETS,
};

/*
 * Rules and sets as they were given, of one generation; empty if there is none. The second reads
 * all, for who holds the lock.
 */
int generation_read(struct shunt *s, enum generation_part parts, struct shunt_config *out);
int generation_read_locked(struct shunt *s, struct shunt_config *out);

struct set_timed_undo;

/*
 * A change that is taken back after so many seconds; lock is what pin_lock() returned. timed is
 * what was put into sets for a time before it, to be taken back with it.
 */
struct generation_trial {
	uint32_t seconds;
	int lock;
	const struct set_timed_undo *timed;
};

/*
 * Compile rules and sets and put them in force, for good or (trial) until it is taken back;
 * -EBUSY if a change waits for its confirmation. Rules that are the same in the generation
 * before keep their counters. Names of targets and devices are looked up or made.
 */
int generation_replace(struct shunt *s, const struct shunt_config *config,
		       const struct generation_trial *trial);

/* Could this be put in force? All is done for it but the last step. */
int generation_check(struct shunt *s, const struct shunt_config *config);

/* Can this version carry the rule out? */
int generation_check_rule(const struct shunt_rule *rule);

/*
 * A rule, a set or some prefixes more or less, changing only what is to be changed inside the
 * generation in force (change.h). -ENOSPC, without a message, if there is none or it cannot be
 * done so.
 */
int generation_add_rule(struct shunt *s, const struct shunt_rule *rule);
int generation_del_rule(struct shunt *s, uint32_t priority);
int generation_add_prefixes(struct shunt *s, const struct shunt_set *set);
int generation_take_prefixes(struct shunt *s, const struct shunt_set *set);
/* The set has a place in timed_sets. */
int generation_time_set(struct shunt *s, const char *name, int place);
int generation_del_set(struct shunt *s, const struct shunt_set *named);

/* The one write that puts a generation in force. */
int generation_publish(struct shunt *s, int fd);

#endif
