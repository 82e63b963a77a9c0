/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a loop calls: when a descriptor can be read, and when a time has come. See loop.h. */
#ifndef SHUNT_PROXY_WATCH_H
#define SHUNT_PROXY_WATCH_H

#include <stdint.h>
#include <sys/queue.h>

/* A descriptor in the set that is not a flow's; part of who owns that. */
struct watch {
	void (*ready)(struct watch *w);
};

/* Rings once, at or after due; part of who sets it. Ringing may set alarms, and stop its own. */
struct alarm {
	void (*ring)(struct alarm *a);
	TAILQ_ENTRY(alarm) link;
	uint64_t due; /* ms, CLOCK_MONOTONIC; 0: not set */
};

#endif
