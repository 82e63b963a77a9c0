/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all threads of a worker process share. Fixed before they start, but for the atomics. */
#ifndef SHUNT_PROXY_SHARED_H
#define SHUNT_PROXY_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include "busy_poll.h"
#include "guard.h"
#include "pipe_pool.h"
#include "settings.h"

struct learn_counts;

struct shared {
	uint32_t mark;		/* own_mark of the instance, on every socket */
	enum destination_mode destination;
	struct guard guard;
	struct pipe_limit pipes;
	struct busy_polls busy_polls;
	_Atomic uint32_t connections;
	_Atomic uint32_t max_connections; /* settings change it, and the next */
	_Atomic uint64_t held_most; /* by each thread for slow receivers, before it gives less */
	_Atomic uint64_t quiet_until; /* ms: when a thread may print a message again */
	_Atomic uint32_t suppressed;  /* messages left out since the last */
	_Atomic uint64_t log_lost;    /* lines not written, and not yet counted by a loop */
	struct learn_counts *learn;
	int channel;		/* to the supervisor; threads only send, and do not wait */
	int log_fds[3];		/* flowlog.h: lines for descriptors 1 and 2 go in here */
};

/* What settings allow each of the threads to hold. */
static inline uint64_t shared_held_most(const struct settings *s, uint32_t n_loops)
{
	return ((uint64_t)s->buffers << 20) / n_loops;
}

#endif
