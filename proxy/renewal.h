/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the worker's main thread: new settings take the place of those in force. All that can fail
 * is done before the first loop hears of it; then each loop changes over in its own thread, for
 * what it accepts from then on. Flows keep the settings they began with.
 */
#ifndef SHUNT_PROXY_RENEWAL_H
#define SHUNT_PROXY_RENEWAL_H

#include <event2/event.h>

#include "health.h"
#include "loop.h"
#include "message.h"
#include "settings.h"

/* What is renewed; the worker's, and there as long as it is. */
struct renewed {
	struct settings *settings;
	struct target **targets; /* in the order of the settings, as health */
	struct health **health;
	uint32_t n_targets;
	struct loop *const *loops;
	uint32_t n_loops;
	struct shared *shared;
	uint64_t flow_fds; /* descriptors that flows and checks may take */
	struct event_base *base;
	int channel;
};

struct renewal_job {
	struct loop_job job; /* first */
	struct target_loop **entries; /* of this loop, in the order of the targets */
};

struct renewal {
	struct renewed of;
	int done_fd;	    /* eventfd: a loop has changed over; owned, as the event */
	struct event *done;
	bool busy;
	uint64_t tag;
	uint32_t loop;	    /* that is changing over */
	struct renewal_job job;
	/* Made for it, and owned until it is in force: */
	struct settings settings;
	struct target *targets[SHUNT_MAX_TARGETS];
	struct health *health[SHUNT_MAX_TARGETS];
	struct target_loop **entries; /* [loop * n_targets + target] */
};

/* How many flows there can be beside the checks of these settings. */
uint32_t renewal_max_flows(uint64_t flow_fds, const struct settings *s);
/* 0 or -errno. */
int renewal_init(struct renewal *r, const struct renewed *of);
void renewal_release(struct renewal *r);
/* Read the settings file that fd is, which is closed, and answer when they are in force. */
void renewal_start(struct renewal *r, uint64_t tag, int fd);

#endif
