/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of shunt_check(). Each returns 0 or -errno with a message. Private to libshunt. */
#ifndef SHUNT_STEER_CHECK_H
#define SHUNT_STEER_CHECK_H

#include "match_index.h"

struct check {
	struct shunt *s; /* NULL: rules and sets by themselves */
	const struct shunt_config *config;
	struct matches matches;
	struct match_index index; /* of rules that decide and can be reached, when all are in it */
	bool *dead;		  /* owned; by rule: there is a finding why it takes no flow */
	struct shunt_findings found;
	size_t room;
};

/* A finding about rules[rule], or about a set: set not NULL and rule without meaning. */
int check_add(struct check *c, enum shunt_finding_kind kind, size_t rule, const char *set,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* It is because of these rules, given by index. */
int check_because(struct check *c, const uint32_t *rules, size_t n);

/* check_shadow.c: rules that earlier ones leave nothing to; fills the index. */
int check_shadows(struct check *c);
/* check_gap.c: what goes round a rule by the other family or protocol. */
int check_gaps(struct check *c);
/* check_place.c: rules and sets as they stand in the instance. */
int check_sets(struct check *c);
int check_place(struct check *c);
/* Behind the others: rules that have a finding already are left out. */
int check_counters(struct check *c);

#endif
