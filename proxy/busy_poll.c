/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "busy_poll.h"

#include <errno.h>
#include <time.h>

enum {
	TURN_UNIT = 256,
	TURN_MOST = TURN_UNIT * 3 / 2, /* 1.5 events in each turn */
	TURN_SMOOTH = 16,
	EVERY_NS = 1000,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The kernel need not be asked more often: returns when a little time has passed since then. */
static uint64_t rest(uint64_t since)
{
	uint64_t now;

	do {
		now = now_ns();
	} while (now - since < EVERY_NS);
	return now;
}

void busy_polls_init(struct busy_polls *all, uint32_t us, uint32_t n_loops)
{
	all->us = us;
	all->now = 0;
	all->most = n_loops > 1 ? n_loops / 2 : 1;
}

bool busy_poll_try(struct busy_poll *p, struct busy_polls *all)
{
	if (!p->after_event || p->turn > TURN_MOST)
		return false;
	if (p->skip) {
		p->skip--;
		return false;
	}
	if (atomic_fetch_add_explicit(&all->now, 1, memory_order_relaxed) < all->most)
		return true;
	atomic_fetch_sub_explicit(&all->now, 1, memory_order_relaxed);
	return false;
}

void busy_poll_note(struct busy_poll *p, struct busy_polls *all, bool hit)
{
	atomic_fetch_sub_explicit(&all->now, 1, memory_order_relaxed);
	if (hit && p->misses)
		p->misses--;
	else if (!hit)
		p->misses = p->misses + 2 < BUSY_POLL_RARELY ? p->misses + 2 : BUSY_POLL_RARELY;
	p->skip = (1U << p->misses) - 1;
}

void busy_poll_turn(struct busy_poll *p, int n)
{
	p->after_event = n > 0;
	if (n > 0)
		p->turn += (n * TURN_UNIT - p->turn) / TURN_SMOOTH;
}

int busy_poll(struct busy_poll *p, struct busy_polls *all, int epoll_fd,
	      struct epoll_event *events, int max)
{
	uint64_t us = atomic_load_explicit(&all->us, memory_order_relaxed);
	uint64_t all_ns = 1000 * us, long_ns = all_ns / 4 + 2 * EVERY_NS, start, last, now;
	int n;

	if (!us || !busy_poll_try(p, all))
		return -EAGAIN;
	now = start = now_ns();
	do {
		n = epoll_wait(epoll_fd, events, max, 0);
		last = now;
		now = n ? now_ns() : rest(last);
		/* Where that took long, somebody else had the CPU: perhaps who sent what is there. */
	} while (!n && now - start < all_ns && now - last < long_ns);
	busy_poll_note(p, all, n > 0 && now - last < long_ns);
	return n > 0 ? n : 0;
}
