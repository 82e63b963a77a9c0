/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that have read more than a limit of bytes allows: reading from the end pauses until
 * what was read is paid for. A heap for each loop, by time, with one alarm.
 */
#ifndef SHUNT_PROXY_THROTTLE_H
#define SHUNT_PROXY_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "flow.h"
#include "watch.h"

/* Of a flow whose target has a limit of bytes. */
struct throttle {
	uint32_t quantum; /* to read at most at once */
	struct throttle_pause {
		struct flow *flow;
		uint64_t until; /* ms */
		uint32_t at;	/* place in the heap, plus 1; 0: reading goes on */
	} pauses[2];		/* by enum side */
};

/* Of a loop. */
struct throttle_heap {
	struct throttle_pause **v;
	uint32_t n, size;
	struct alarm alarm;
};

void throttle_init(struct throttle_heap *h);
void throttle_release(struct throttle_heap *h);

/* For a flow that begins. False: out of memory. */
bool throttle_new(struct flow *f);
void throttle_free(struct flow *f);

/* Reading from a side waits. */
static inline bool throttle_is_paused(const struct throttle *t, enum side side)
{
	return t && t->pauses[side].at;
}

/* n bytes were read from side: perhaps no more for a while. */
void throttle_read(struct flow *f, enum side side, uint64_t n);

#endif
