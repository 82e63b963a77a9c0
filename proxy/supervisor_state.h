/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the supervisor knows, for the files it is made of and nobody else. */
#ifndef SHUNT_PROXY_SUPERVISOR_STATE_H
#define SHUNT_PROXY_SUPERVISOR_STATE_H

#include <event2/event.h>
#include <time.h>

#include "child.h"
#include "control.h"
#include "control_socket.h"
#include "lock.h"
#include "sockets.h"
#include "supervisor.h"

enum { N_SIGNALS = 6 };

/* New settings on their way to the worker. */
struct reload {
	bool busy;
	uint64_t serial;	/* of the worker that has to answer */
	uint64_t tag;
	struct settings fresh;	/* theirs, while busy */
	struct event *patience;
};

/* What was learned, and when messages about it were last let through. */
struct learned {
	uint64_t added, failed;
	bool unprepared; /* sets of the settings, as the instance was locked */
	time_t said, prepared;
};

/* Of prefixes that have expired, in passes. */
struct collector {
	struct shunt_collector *pass;
	bool busy;	/* a pass is under way */
	time_t done;	/* when the last one was */
};

struct supervisor {
	struct settings *settings;
	struct lock locks[SHUNT_MAX_TARGETS]; /* one for each target */
	uint32_t n_locks;
	struct control_socket socket;
	struct control control;
	struct event_base *base;
	struct event *signals[N_SIGNALS];
	struct event *poll;
	struct event *kill; /* workers that do not end */
	struct event *again; /* what could not be done while the instance was locked */
	int locked_polls; /* in a row that found it so */
	struct shunt *shunt; /* NULL while the instance is not up */
	uint32_t mark;	     /* own_mark when last seen, 0 never */
	struct sockets sockets;
	struct child *children; /* all that live */
	struct child *current;	/* the one that accepts; NULL none */
	uint64_t last_serial;	/* of a child */
	time_t started;		/* CLOCK_MONOTONIC */
	struct worker_message message; /* the last one of a worker */
	int said_waiting; /* the error that it waits for the end of, 0 none */
	bool was_ready;
	bool stopping;	/* no worker is started any more */
	bool has_deadline; /* was told when to end */
	int predecessor; /* connection to the shuntd that we take over from; -1 none */
	pid_t successor; /* that we started; 0 none */
	char *program;	 /* our path, for that one; owned */
	struct reload reload;
	struct learned learned;
	struct collector collector;
	int result;
	uint32_t failed_starts; /* workers in a row that ended before they were ready */
};

/* Whole seconds of a clock that is never set. */
time_t supervisor_clock(void);
/* End after seconds at the latest, 0: now. */
void supervisor_stop(struct supervisor *s, uint32_t seconds);

/* The sockets into the targets, which may have to wait; and out of them. */
void supervisor_register(struct supervisor *s);
void supervisor_unregister(struct supervisor *s);
/* The instance is locked by someone else: what is not done yet is tried again soon. */
void supervisor_try_again(struct supervisor *s);
void supervisor_again_ran(evutil_socket_t fd, short what, void *arg);
/* Now and then: once that has lasted. */
void supervisor_say_locked(struct supervisor *s);

/* Say that the targets are ours now, or that we wait for the instance. */
void supervisor_took_over(struct supervisor *s);
/* Start the program that is installed now, to take over from us. */
void supervisor_start_successor(struct supervisor *s);

/* A worker has a destination for a set; the message is of this length. */
void supervisor_learn(struct supervisor *s, const struct worker_message *message, size_t len);
/* The sets that the settings name are there, and can learn. */
void supervisor_prepare_sets(struct supervisor *s);
/* A step, now and then. */
void supervisor_collect(struct supervisor *s);

/* The worker answered about new settings; has ended; does not answer. */
void supervisor_reloaded(struct supervisor *s, const struct child *from,
			 const struct worker_message *message, size_t len);
void supervisor_reload_lost(struct supervisor *s, const struct child *child);
void supervisor_reload_is_late(evutil_socket_t fd, short what, void *arg);

#endif
