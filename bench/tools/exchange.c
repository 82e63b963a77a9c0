/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { EVENTS = 128, REQUEST_MAX = 64 * 1024 };

static char request[REQUEST_MAX]; /* what is sent; never written to */

int exchange_init(struct exchange *x, const struct load_options *o, uint32_t n_ends,
		  exchange_next next)
{
	*x = (struct exchange){ .options = o, .next = next, .n_ends = n_ends };
	if (!o->size || o->size > REQUEST_MAX)
		return -EINVAL;
	x->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (x->epoll < 0)
		return -errno;
	x->ends = calloc(n_ends, sizeof(*x->ends));
	if (!x->ends) {
		close(x->epoll);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_ends; i++)
		x->ends[i].fd = -1;
	return 0;
}

void exchange_close(struct exchange_end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

void exchange_release(struct exchange *x)
{
	for (uint32_t i = 0; i < x->n_ends; i++)
		exchange_close(&x->ends[i]);
	close(x->epoll);
	free(x->ends);
	samples_release(&x->samples);
}

int exchange_open(struct exchange *x, struct exchange_end *e)
{
	/* Edge-triggered: no change of the mask between connecting and reading. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = e };

	*e = (struct exchange_end){ .fd = -1, .started = clock_now() };
	e->fd = load_connect(x->options, x->n_opened++);
	if (e->fd < 0)
		return e->fd;
	return epoll_ctl(x->epoll, EPOLL_CTL_ADD, e->fd, &event) < 0 ? -errno : 0;
}

static int send_request(struct exchange *x, struct exchange_end *e)
{
	ssize_t n = send(e->fd, request, x->options->size, MSG_NOSIGNAL);

	e->got = 0;
	e->is_waiting = true;
	if (n < 0)
		return -errno;
	return n == (ssize_t)x->options->size ? 0 : -ENOBUFS;
}

int exchange_again(struct exchange *x, struct exchange_end *e)
{
	e->started = clock_now();
	return send_request(x, e);
}

/* 1 when the response is complete, 0 when not yet. */
static int receive(struct exchange *x, struct exchange_end *e)
{
	char buffer[4096];
	ssize_t n;

	while (e->got < x->options->size) {
		n = recv(e->fd, buffer, sizeof(buffer), 0);
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (!n)
			return -ECONNABORTED;
		e->got += (uint32_t)n;
	}
	return e->got == x->options->size ? 1 : -EPROTO;
}

static int serve(struct exchange *x, struct exchange_end *e, uint32_t events)
{
	int r;

	if (!e->is_waiting) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return 0;
		r = send_request(x, e);
		if (r < 0)
			return r;
	}
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return 0;
	return receive(x, e);
}

static int note_done(struct exchange *x, uint64_t now, uint64_t started)
{
	if (x->last_done && now - x->last_done > x->longest_gap)
		x->longest_gap = now - x->last_done;
	x->last_done = now;
	return samples_add(&x->samples, now - started);
}

int exchange_step(struct exchange *x, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(x->epoll, events, EVENTS, timeout_ms);
	int r = 0;

	for (int i = 0; i < n && r >= 0; i++) {
		struct exchange_end *e = events[i].data.ptr;

		if (e->fd < 0)
			continue;
		r = serve(x, e, events[i].events);
		if (r < 0) {
			x->n_failed++;
			x->last_error = r;
			exchange_close(e);
			r = exchange_open(x, e);
		} else if (r > 0) {
			r = note_done(x, clock_now(), e->started);
			if (!r)
				r = x->next(x, e);
		}
	}
	return r < 0 ? r : 0;
}
