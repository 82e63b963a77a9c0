/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the worker's main thread: answers what the supervisor asks about flows, counters and upstreams. One
 * question at a time; the next is asked when this one is answered.
 */
#ifndef SHUNT_PROXY_INQUIRY_H
#define SHUNT_PROXY_INQUIRY_H

#include <event2/event.h>

#include "inspect.h"

struct inquiry {
	struct loop *const *loops;
	uint32_t n_loops;
	struct target *const *targets; /* those in force */
	uint32_t n_targets;
	int channel;
	int done_fd;	    /* eventfd: a loop has looked; owned, as the event */
	struct event *done;
	bool busy;
	uint64_t tag;	    /* of the question */
	struct inspection page;
	struct worker_message message; /* what is sent; too large for a stack */
};

/*
 * *q has loops, targets and channel; they are the caller's and outlive it. All else is set here.
 * 0 or -errno.
 */
int inquiry_init(struct inquiry *q, struct event_base *base);
void inquiry_release(struct inquiry *q);
/* Answer, now or later. */
void inquiry_status(struct inquiry *q, uint64_t tag);
void inquiry_upstreams(struct inquiry *q, uint64_t tag, const struct flow_query *query);
void inquiry_flows(struct inquiry *q, uint64_t tag, const struct flow_query *query);

#endif
