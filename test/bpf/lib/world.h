/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small world of addresses and ports, and in it random rules and sets that overlap, random
 * changes of them, and questions that lie at their borders.
 */
#ifndef TEST_BPF_WORLD_H
#define TEST_BPF_WORLD_H

#include "plane.h"
#include "random_frame.h"

enum world_kind {
	WORLD_RULE_ADD,
	WORLD_RULE_DEL,
	WORLD_SET_ADD,	/* also of a name that is new */
	WORLD_SET_TAKE,
	WORLD_SET_DEL,
	WORLD_KINDS
};

/* Owns its rule and its prefixes. */
struct world_change {
	enum world_kind kind;
	struct shunt_rule rule;
	uint32_t priority; /* of the rule to delete */
	struct shunt_set set;
};

struct world {
	struct plane *p;
	struct chance chance;
	bool wide;		    /* many addresses, so that sets are large */
	struct shunt_config config; /* owned: what should be in force; prefixes are sorted */
};

/* A question, and the priority of the rule that should decide, 0 none. */
struct world_question {
	struct frame frame;
	bool out;
	uint32_t uid;
	uint32_t rule;
};

/* With so many rules, and three sets of about so many prefixes. */
void world_make(struct world *w, struct plane *p, uint64_t seed, size_t rules, size_t members);
void world_release(struct world *w);

/* A change that can be made now; world_do() makes it in w->config, and forgets it. */
void world_think(struct world *w, struct world_change *out);
void world_do(struct world *w, struct world_change *change);
void world_forget(struct world_change *change);
const char *world_kind_name(enum world_kind kind);

/* Are these the same rules and sets, counters aside? The prefixes of b are sorted for it. */
bool world_same(const struct shunt_config *a, struct shunt_config *b);

void world_ask(struct world *w, struct world_question *out);
/* The rule that decides as the loaded program says, and of which generation. */
uint32_t world_answer(struct world *w, const struct world_question *q, uint64_t *generation);
/* Ask n questions; fails the test where the answer is not the oracle's. */
void world_check(struct world *w, int n);

#endif
