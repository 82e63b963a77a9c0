/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the names in rules stand for in an instance: targets and devices, which are looked up or
 * made, cgroups, and the counters of a rule.
 */
#ifndef SHUNT_STEER_LINKER_H
#define SHUNT_STEER_LINKER_H

#include "compile.h"
#include "instance.h"

struct linker {
	struct shunt *s;
	const struct shunt_rules *rules;     /* to be compiled; by priority, as the next */
	const struct shunt_rules *old_rules; /* those of the same get their counters */
	const struct arena *old;	     /* whose counters are in use; NULL: none */
	bool *used;			     /* owned: indexes in rule_stats */
	size_t rule, old_rule;		     /* both lists are gone through once */
	bool timed_known;		     /* s->timed_names is as of now */
	size_t next;			     /* no free index before it */
};

/* The first four are the caller's. *names has the linker as context. */
int linker_init(struct linker *l, struct names *names);
void linker_release(struct linker *l);

#endif
