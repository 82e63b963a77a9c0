/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One thread of the worker: an epoll set with the sockets of its flows, its listeners and the
 * descriptor of its commands, and a few alarms.
 *
 * Why not libevent, which the main thread and the supervisor use: struct event, its entry in
 * libevent's table by descriptor (one table per loop, over the descriptors of the whole
 * process) and the epoll_ctl() that event_del() needs before close() would be most of the
 * memory of an idle flow, grow with the number of threads, and cost two system calls per
 * connection. libevent also hides EPOLLRDHUP next to EPOLLERR, which the relay uses to tell
 * the end of the data. And a set of our own inside libevent's costs a second epoll_wait() for
 * each wake: two of the eight system calls of a request on a quiet connection.
 *
 * A flow belongs to one loop for life; nothing here is locked.
 */
#ifndef SHUNT_PROXY_LOOP_H
#define SHUNT_PROXY_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "busy_poll.h"
#include "counters.h"
#include "fast_open.h"
#include "flow.h"
#include "flow_target.h"
#include "flowlog.h"
#include "listener.h"
#include "pipe_pool.h"
#include "shared.h"
#include "slab.h"
#include "throttle.h"
#include "watch.h"
#include "wheel.h"

struct shunt;

/* What the main thread asks for; later ones are stronger. */
enum loop_command {
	LOOP_RUN,
	LOOP_DRAIN, /* accept no more, end with the last flow */
	LOOP_STOP,  /* reset all flows and end */
};

/*
 * A piece of work that the main thread wants done by a loop, between its turns. It must be
 * short: many small jobs, not a large one. One at a time for each loop.
 */
struct loop_job {
	void (*run)(struct loop *l, struct loop_job *job);
	int done_fd; /* eventfd: it has run, or the loop has ended */
	bool ran;
};

enum { LOOP_EVENTS = 256 };

/* Where flows of a target come in. */
struct loop_port {
	struct target_loop *target;
	struct listener listeners[2]; /* IPv4, IPv6 */
};

struct loop {
	struct shared *shared;
	struct shunt *shunt; /* to ask for rules in the flow log; NULL without it */
	struct alarm tick;   /* of the wheel, while it is not empty */
	struct throttle_heap throttled;
	struct fast_open fast_open;
	struct alarm linger; /* while a flow waits for its last bytes to be acknowledged */
	struct watch commands;
	TAILQ_HEAD(, alarm) alarms; /* those that are set: a handful */
	struct busy_poll busy_poll;
	int epoll_fd;
	int command_fd;	     /* eventfd, written by the main thread */
	_Atomic int command; /* enum loop_command */
	_Atomic(struct loop_job *) job; /* waits for the loop; NULL none */
	_Atomic uint32_t n_flows; /* at the end of the last turn */
	_Atomic bool ended;  /* the thread takes no more jobs */
	bool draining;
	bool over;	     /* after this turn */
	uint64_t now;	     /* ms, CLOCK_MONOTONIC, of this turn */
	uint32_t linger_ms;
	uint64_t last_id;    /* of a flow; its upper bits are the loop's own */

	struct loop_port *ports; /* one for each target */
	uint32_t n_ports;
	struct slab flows;
	struct wheel wheel;
	struct pipe_pool pipes;
	struct guard_cache cache;
	uint32_t next_port;	     /* of a range of source ports: upstream.c */
	struct flow_queue ready;     /* have more to do than one turn allows */
	struct flow_queue lingering;
	struct flow_queue dead;	     /* closed in this turn; events may still name them */
	size_t held_bytes;	     /* in buffers of flows whose receiver is slow */
	struct flowlog log;
	struct counters counters;

	pthread_t thread;
	int done_fd; /* eventfd: the thread has ended */
	char buffer[65536]; /* what is being copied; empty between calls */
	struct epoll_event events[LOOP_EVENTS];
};

/*
 * Nothing runs before loop_start(). *out is freed by loop_free(), after loop_join().
 */
int loop_new(struct loop **out, struct shared *shared, uint32_t n_ports, int done_fd);
/*
 * Before loop_start(): port i is of target t. fds: its listeners, -1 none; they belong to the
 * loop from now on, also on failure.
 */
int loop_open_port(struct loop *l, uint32_t i, struct target *t, const int fds[2]);
int loop_start(struct loop *l);
/* Before loop_start(), when both have opened all ports: accept for the next one, if it has more. */
int loop_help(struct loop *l, const struct loop *next);
/* From any thread: how many it has, or had a turn ago. */
static inline uint32_t loop_flows(const struct loop *l)
{
	return atomic_load_explicit(&l->n_flows, memory_order_relaxed);
}

/* From any thread. */
void loop_command(struct loop *l, enum loop_command command);
/* Main thread: have the job done; job->done_fd is signalled when it was, or never will be. */
void loop_post(struct loop *l, struct loop_job *job);
void loop_join(struct loop *l);
void loop_free(struct loop *l);

/* For flow.c and relay.c, in the thread of the loop: */
void loop_later(struct loop *l, struct flow *f);   /* f has more to do */
void loop_linger(struct loop *l, struct flow *f);  /* ask f again soon: flow_linger() */
void loop_dequeue(struct loop *l, struct flow *f); /* neither */
void loop_timeout(struct loop *l, struct flow *f, uint64_t due);

/*
 * Hear when fd can be read: as long as it can, one loop at a time of those that watch it. w
 * lives until fd is closed, or unwatched and the turn has ended. 0 or -errno.
 */
int loop_watch(struct loop *l, int fd, struct watch *w);
void loop_unwatch(struct loop *l, int fd);
void loop_set_alarm(struct loop *l, struct alarm *a, uint64_t due);
void loop_stop_alarm(struct loop *l, struct alarm *a);

#endif
