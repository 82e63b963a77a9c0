/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Faults: what a rule set would be to a classifier that is wrong about one part of a match. */
#ifndef TEST_BPF_MUTATION_H
#define TEST_BPF_MUTATION_H

#include "random_rules.h"

enum mutation {
	MUTATION_ORDER,	       /* two rules in the other order */
	MUTATION_TO_SHORTER,   /* the last bit of a prefix does not count */
	MUTATION_FROM_SHORTER,
	MUTATION_TO_LOST,      /* a prefix of a list does not count */
	MUTATION_FROM_LOST,
	MUTATION_SET_THIN,     /* nor every other one of a set */
	MUTATION_NOT,	       /* `not` does not count */
	MUTATION_PORT_END,     /* a range ends one later */
	MUTATION_SPORT_END,
	MUTATION_UID_END,
	MUTATION_CGROUP,       /* does not count, and so on */
	MUTATION_PROTO,
	MUTATION_DIR,
	MUTATION_DEVICE,
	MUTATIONS
};
extern const char *const mutation_names[MUTATIONS];

/*
 * Change as many rules as have that part, as the fault would. False: none has, the case is as
 * it was. Rules stay in order.
 */
bool mutation_make(struct random_case *c, enum mutation m);

#endif
