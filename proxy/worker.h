/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The unprivileged process: one loop per thread, and a main thread that takes orders from the
 * supervisor. It ends when the supervisor does.
 */
#ifndef SHUNT_PROXY_WORKER_H
#define SHUNT_PROXY_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "settings.h"
#include "shunt/abi.h"

/* Messages on the channel (SOCK_SEQPACKET). */
enum worker_verb {
	WORKER_READY = 1, /* to the supervisor: privileges are dropped, threads run */
	WORKER_DRAIN,	  /* accept no more, end with the last flow, or after ms if not 0 */
	WORKER_STOP,	  /* reset all flows and end */
};

struct worker_message {
	uint32_t verb;
	uint32_t ms;
};

struct worker_config {
	struct settings *settings; /* in a worker: its own copy */
	uint32_t mark;
	uint32_t n_loops;
	uint32_t n_targets; /* as in settings */
	/* [target * n_loops + loop][IPv6], -1 none; NULL once they are closed. Owned. */
	int (*listeners)[2];
	int channel;
};

/* Runs in the forked child and owns the descriptors of config. Returns its exit status. */
int worker_run(struct worker_config *config);

#endif
