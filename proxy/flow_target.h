/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A target in a worker process, with one generation of its settings.
 *
 * struct target is shared by the loops; each has a struct target_loop of its own, to which the
 * flows point, so that the data path counts without atomics. New settings are a new struct
 * target: each loop puts a new target_loop into its place for what it accepts from then on
 * (target_enter(), target_leave()), and flows that run keep theirs. What was left is freed by
 * the last flow, and the struct target by the last loop.
 */
#ifndef SHUNT_PROXY_FLOW_TARGET_H
#define SHUNT_PROXY_FLOW_TARGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance.h"
#include "limit.h"
#include "settings.h"
#include "source_pool.h"

struct target {
	struct target_settings *settings; /* one use of them is ours */
	struct balance balance; /* of upstreams; empty: the original destination */
	struct source_pool pool;
	struct limit_state *limits;
	_Atomic uint32_t users; /* target_loops, and who made it */
};

struct target_loop {
	const struct target_settings *settings; /* those of target */
	struct target *target;
	uint32_t flows;	 /* that point here */
	bool current;	 /* more may come */
};

/*
 * *out has one user, the caller. What the settings have in common with those of before, if that
 * is not NULL, goes on as it is. 0 or -ENOMEM.
 */
int target_new(struct target **out, struct target_settings *settings,
	       const struct target *before);
void target_put(struct target *t);

/* A loop's part of t. NULL: out of memory. */
struct target_loop *target_enter(struct target *t);
/* No new flow will come; it is freed with its last one. */
void target_leave(struct target_loop *tl);

static inline void target_add_flow(struct target_loop *tl)
{
	tl->flows++;
}

void target_forget_flow(struct target_loop *tl);

#endif
