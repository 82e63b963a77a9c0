/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a rule does not match, word by word. Private to libshunt. */
#ifndef SHUNT_EXPLAIN_WHY_H
#define SHUNT_EXPLAIN_WHY_H

#include "shunt/shunt.h"

/* A packet that is asked about, as far as rules look at it. */
struct asked {
	const struct shunt_config *config;
	uint8_t dir, proto;
	const char *device;
	struct in6_addr src, dst; /* v4-mapped if IPv4 */
	uint16_t sport, dport;
	bool has_uid;
	uint32_t uid;
	const char *cgroup; /* NULL: not known */
	struct asked_set *sets; /* owned; by index of the config's sets */
	uint16_t *by_name;	/* owned: indexes of sets in the order of their names */
};

/* q stays; -ENOMEM with a message. */
int asked_init(struct asked *out, const struct shunt_config *config,
	       const struct shunt_question *q, const char *device);
void asked_clear(struct asked *a);

/* How many words of the rule do not hold. */
unsigned int asked_misses(struct asked *a, const struct shunt_rule *rule);
/* The candidate with a sentence for each; -ENOMEM with a message. */
int asked_candidate(struct asked *a, const struct shunt_rule *rule, struct shunt_candidate *out);
void candidate_clear(struct shunt_candidate *c);

#endif
