/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many flows on one epoll set, and the count of how they ended. The fleet owns its flows: a
 * flow that has ended is counted, shown to the callback and freed.
 */
#ifndef TEST_TOOLS_FLEET_H
#define TEST_TOOLS_FLEET_H

#include "flow.h"

#include <stddef.h>
#include <stdio.h>

struct fleet {
	int ep;
	int listener;	       /* -1, or a socket whose connections join the fleet */
	size_t open;
	uint64_t stuck_ns;     /* a flow without progress for so long is stuck; 0 never */
	uint64_t results[FLOW_RESULTS];
	uint64_t sent, received;
	uint64_t next_check;
	struct flow *first;
	void (*ended)(struct fleet *fleet, const struct flow *f); /* may be NULL */
	void *arg;
};

void fleet_init(struct fleet *fleet);
/* Listen on an address; accepted flows are added by fleet_poll. */
void fleet_listen(struct fleet *fleet, const struct sockaddr_storage *at);
/* A zeroed flow to fill and give to fleet_add. */
struct flow *fleet_new_flow(void);
/* After flow_connect or flow_accept. */
void fleet_add(struct fleet *fleet, struct flow *f);
/* Register again after the caller changed what the flow wants (echo_want). */
void fleet_update(struct fleet *fleet, struct flow *f);
/* Wait at most timeout_ms and do what can be done. */
void fleet_poll(struct fleet *fleet, int timeout_ms);
/* Close all flows, uncounted, and the listener. */
void fleet_clear(struct fleet *fleet);
/* Flows that ended well or badly. */
uint64_t fleet_ended(const struct fleet *fleet);
uint64_t fleet_failed(const struct fleet *fleet);
/* The members "flows", "ok", ..., "sent", "received" of a JSON object, without braces. */
void fleet_print(const struct fleet *fleet, FILE *out);

#endif
