/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking for events for some microseconds before sleeping: who is awake need not be woken, which
 * between two CPUs is most of the time that a message takes. It takes a CPU from whoever else
 * has work, so it is done only
 * - right after events, of which there was about one in each turn lately: a loop with more is
 *   busy and hardly sleeps, and one with idle connections sleeps;
 * - while it pays: a try in vain makes the next four times rarer, down to one of 2^BUSY_POLL_RARELY
 *   waits, and a hit twice as frequent;
 * - by half of the loops at a time: somebody has to send what is waited for.
 *
 * Owned by a loop; nothing here allocates.
 */
#ifndef SHUNT_PROXY_BUSY_POLL_H
#define SHUNT_PROXY_BUSY_POLL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* Of all loops of a process. */
struct busy_polls {
	_Atomic uint32_t us; /* the setting; 0: never */
	_Atomic uint32_t now; /* loops that do it */
	uint32_t most;
};

struct busy_poll {
	int turn;	  /* events of a turn lately, in 1/256 */
	uint32_t skip;	  /* waits until it may be tried again */
	uint32_t misses;  /* log2 of that, to begin with */
	bool after_event; /* the last wait found one */
};

enum { BUSY_POLL_RARELY = 8 }; /* one of 2^8 waits, at least, is a try */

/* us: for how long to ask */
void busy_polls_init(struct busy_polls *all, uint32_t us, uint32_t n_loops);

/*
 * Before a loop sleeps: ask. Returns how many events there are, 0 if none have come, and -EAGAIN
 * if this was no time to try.
 */
int busy_poll(struct busy_poll *p, struct busy_polls *all, int epoll_fd,
	      struct epoll_event *events, int max);
/* A wait, of whatever kind, has found so many. */
void busy_poll_turn(struct busy_poll *p, int n);

/* The decisions alone. If it is to be tried now, busy_poll_note() follows. */
bool busy_poll_try(struct busy_poll *p, struct busy_polls *all);
void busy_poll_note(struct busy_poll *p, struct busy_polls *all, bool hit);

#endif
