/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker process as its supervisor sees it. */
#ifndef SHUNT_PROXY_CHILD_H
#define SHUNT_PROXY_CHILD_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "worker.h"

struct child {
	uint64_t serial;      /* 1 is the first of this supervisor */
	pid_t pid;
	int channel;
	struct event *event;  /* the channel has a message; owned */
	struct worker_config config;
	struct timespec ready_at; /* CLOCK_MONOTONIC */
	bool ready;	      /* its threads run */
	struct child *next;
};

/* Fork the worker of config; c->channel is our end of the channel. 0 or -errno with a message. */
int child_fork(struct child *c);
/* Ask for an answer with tag. 0 or -errno. */
int child_ask(struct child *c, enum worker_verb verb, uint64_t tag,
	      const struct flow_query *query);
/* New settings, answered with tag; fd stays the caller's. 0 or -errno. */
int child_send_settings(struct child *c, uint64_t tag, int fd);
/* Send an order; a worker that is gone is no error. */
void child_order(struct child *c, enum worker_verb verb, uint32_t ms);

#endif
