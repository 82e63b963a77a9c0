/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker process as its supervisor sees it. */
#ifndef SHUNT_PROXY_CHILD_H
#define SHUNT_PROXY_CHILD_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker.h"

struct child {
	uint64_t serial;      /* 1 is the first of this supervisor */
	pid_t pid;
	int channel;
	struct event *event;  /* the channel has a message; owned */
	struct worker_config config; /* its listeners are open here until child_close_listeners() */
	bool ready;	      /* its threads run */
	bool registered;      /* its listeners are in the target */
	struct child *next;
};

/*
 * Open listeners for config's targets and threads, on the port of its settings and those that
 * follow; 0: any. IPv6 may be missing on this host. On failure nothing is open; -errno with a
 * message.
 */
int child_open_listeners(struct worker_config *config);
void child_close_listeners(struct worker_config *config);
/* Fork the worker of config; c->channel is our end of the channel. 0 or -errno with a message. */
int child_fork(struct child *c);
/* Ask for an answer with tag. 0 or -errno. */
int child_ask(struct child *c, enum worker_verb verb, uint64_t tag,
	      const struct flow_query *query);
/* Send an order; a worker that is gone is no error. */
void child_order(struct child *c, enum worker_verb verb, uint32_t ms);

#endif
