/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "fast_open.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "handshake.h"
#include "loop.h"
#include "relay.h"
#include "upstream.h"

enum {
	WAIT_MS = 10,	 /* since the client came: who speaks first does so in its third packet */
	SYN_BYTES = 4096, /* to offer; a SYN takes what fits one segment */
};

void fast_open_prepare(int fd, const struct target_settings *s)
{
	static const int on = 1;

	if (s->fast_open_servers)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
}

/* ---- those that wait ---- */

static void set_alarm(struct loop *l)
{
	const struct flow *first = TAILQ_FIRST(&l->fast_open.waiting);

	if (first)
		loop_set_alarm(l, &l->fast_open.alarm, first->started + WAIT_MS);
	else
		loop_stop_alarm(l, &l->fast_open.alarm);
}

static void rang(struct alarm *a)
{
	struct loop *l = (void *)((char *)a - offsetof(struct loop, fast_open.alarm));
	struct flow *f;

	while ((f = TAILQ_FIRST(&l->fast_open.waiting)) && f->started + WAIT_MS <= l->now)
		flow_send_syn(f); /* and so it leaves the queue */
	set_alarm(l);
}

void fast_open_init(struct fast_open *o)
{
	TAILQ_INIT(&o->waiting);
	o->alarm = (struct alarm){ .ring = rang };
}

static void wait(struct flow *f)
{
	if (f->queue != FLOW_UNQUEUED)
		return;
	f->queue = FLOW_UNSENT;
	TAILQ_INSERT_TAIL(&f->loop->fast_open.waiting, f, link);
	set_alarm(f->loop);
}

void fast_open_stop(struct flow *f)
{
	TAILQ_REMOVE(&f->loop->fast_open.waiting, f, link);
	f->queue = FLOW_UNQUEUED;
}

/* ---- the SYN ---- */

/* Into the loop's buffer. -1: nothing yet. */
static ssize_t look_at_client(struct flow *f)
{
	ssize_t n = recv(f->end[CLIENT].fd, f->loop->buffer, SYN_BYTES, MSG_PEEK);

	if (n >= 0 || errno == EAGAIN)
		return n;
	/* It has gone, and the kernel says so only once. */
	relay_note(f, CLIENT, EPOLLERR);
	return 0;
}

static int send_first(struct flow *f, const char *bytes, size_t len)
{
	struct end *e = &f->end[SERVER];
	ssize_t n = send(e->fd, bytes, len, MSG_NOSIGNAL);

	/* In progress: it is on its way, but without the bytes. */
	if (n < 0)
		return errno == EINPROGRESS || errno == EAGAIN ? 0 : -errno;
	f->dial->early = (uint32_t)n;
	e->sent = n > 0;
	return 0;
}

int fast_open_send(struct flow *f)
{
	struct loop *l = f->loop;
	ssize_t n;
	int r;

	if (handshake_is_wanted(f->target->settings)) {
		r = upstream_greet(f);
	} else {
		n = look_at_client(f);
		if (n < 0 && l->now < f->started + WAIT_MS) {
			wait(f);
			return -EAGAIN;
		}
		r = upstream_need_dial(f) ? send_first(f, l->buffer, n < 0 ? 0 : (size_t)n)
					  : -ENOMEM;
	}
	loop_dequeue(l, f);
	if (!r && f->end[SERVER].sent)
		count_add(&l->counters.v[COUNT_FAST_OPENS], 1);
	return r;
}

bool fast_open_settle(struct flow *f)
{
	return !f->dial || !f->dial->early || relay_skip(f, f->dial->early);
}
