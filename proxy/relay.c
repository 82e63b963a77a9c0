/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "learn.h"
#include "loop.h"
#include "throttle.h"

enum {
	CHUNK = sizeof(((struct loop *)0)->buffer), /* of a copy: also the most a flow stores */
	CHUNK_POOR = 4096,	    /* when slow receivers hold too much */
	TURN_BYTES = 1 << 20,	    /* per direction and turn, so that nobody starves */
	SPLICE_BYTES = PIPE_SIZE,   /* asked of one splice */
	BULK_READ = 16384,	    /* a read of this size speaks for a thick stream... */
	BULK_ENTER = 4,		    /* ...so many in a row make it one */
	BULK_LEAVE = 4096,	    /* a read of less ends it */
};

struct held {
	size_t at, len;
	char bytes[];
};

enum step { STEP_MORE, STEP_WAIT };

/* ---- the ends ---- */

static void end_broke(struct flow *f, enum side side, int error)
{
	struct end *e = &f->end[side];

	e->broken = true;
	/* What the peer sent before the reset is still to be had. */
	e->readable = !e->eof;
	if (error == ETIMEDOUT)
		flow_blame(f, FLOW_END_TIMEOUT);
	else if (error == ECONNREFUSED)
		flow_blame(f, FLOW_END_REFUSED);
	else if (error == EHOSTUNREACH || error == ENETUNREACH)
		flow_blame(f, FLOW_END_UNREACHABLE);
	else
		flow_blame(f, side == CLIENT ? FLOW_END_CLIENT_RESET : FLOW_END_SERVER_RESET);
}

/* Urgent data stays in the stream: a relay cannot pass on the mark faithfully. */
static void end_urgent(struct end *e)
{
	static const int on = 1;

	e->urgent = true;
	setsockopt(e->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

void relay_note(struct flow *f, enum side side, uint32_t events)
{
	struct end *e = &f->end[side];

	if ((events & EPOLLPRI) && !e->urgent)
		end_urgent(e);
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) && !e->eof)
		e->readable = true;
	if (events & EPOLLOUT)
		e->writable = true;
	if (events & EPOLLRDHUP)
		e->fin = true;
	if (events & EPOLLERR) {
		/* Which error, the read tells after the data; but nothing can be sent. */
		e->broken = true;
		e->readable = !e->eof;
	}
}

/*
 * The first send of a connection is never delayed by Nagle's algorithm; most connections to
 * servers see no second one. (Accepted sockets have the option from their listener.)
 */
static void end_before_send(struct end *e)
{
	static const int on = 1;

	if (e->sent && !e->nodelay) {
		setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		e->nodelay = true;
	}
	e->sent = true;
}

static void end_is_full(struct flow *f, enum side side)
{
	struct end *e = &f->end[side];

	e->writable = false;
	if (!e->watch_out && flow_watch(f, side, true) < 0)
		flow_close(f, FLOW_END_LIMIT);
}

static void end_was_read(struct flow *f, enum side side, size_t n)
{
	struct end *e = &f->end[side];

	e->bytes += n;
	f->active = f->loop->now;
	count_add(&f->loop->counters.v[side == CLIENT ? COUNT_BYTES_UP : COUNT_BYTES_DOWN], n);
	if (f->throttle)
		throttle_read(f, side, n);
	if (learn_is_wanted(f))
		learn_bytes(f);
}

/* Nothing was read: by an end, an error, or for the time being. */
static enum step end_read_nothing(struct flow *f, enum side side, ssize_t n, int error)
{
	struct end *e = &f->end[side];

	if (n < 0 && error == EINTR)
		return STEP_MORE;
	e->readable = false;
	if (n < 0 && error == EAGAIN)
		return STEP_WAIT;
	e->eof = true;
	/* After FIN and RST the read says 0, and only epoll told of the error. */
	if (n < 0 || e->broken)
		end_broke(f, side, n < 0 ? error : ECONNRESET);
	e->readable = false;
	return STEP_WAIT;
}

/* ---- copying ---- */

static void send_failed(struct flow *f, enum side to, int error)
{
	/* No event will say when there is memory again. */
	if (error == ENOBUFS || error == ENOMEM)
		flow_close(f, FLOW_END_LIMIT);
	else
		end_broke(f, to, error);
}

/* Returns how many bytes were taken, 0 if none can be now or ever. */
static size_t send_some(struct flow *f, enum side to, const char *bytes, size_t len, bool last)
{
	struct end *e = &f->end[to];
	ssize_t n;

	end_before_send(e);
	do {
		/* MSG_MORE: the FIN follows at once and travels in the same packet. */
		n = send(e->fd, bytes, len, MSG_NOSIGNAL | (last ? MSG_MORE : 0));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN) {
		send_failed(f, to, errno);
		return 0;
	}
	f->active = f->loop->now;
	if (n < (ssize_t)len)
		end_is_full(f, to);
	return n < 0 ? 0 : (size_t)n;
}

static void hold(struct flow *f, enum side from, const char *bytes, size_t len)
{
	struct held *h = malloc(sizeof(*h) + len);

	if (!h) {
		flow_close(f, FLOW_END_LIMIT);
		return;
	}
	h->at = 0;
	h->len = len;
	memcpy(h->bytes, bytes, len);
	f->end[from].held = h;
	f->loop->held_bytes += len;
}

static void drop_held(struct flow *f, struct end *e)
{
	f->loop->held_bytes -= e->held->len;
	free(e->held);
	e->held = NULL;
}

static void flush_held(struct flow *f, enum side from)
{
	struct end *e = &f->end[from];
	struct held *h = e->held;
	size_t taken;

	taken = send_some(f, !from, h->bytes + h->at, h->len - h->at, e->eof && !e->broken);
	if (f->state == FLOW_CLOSED)
		return;
	h->at += taken;
	if (h->at == h->len)
		drop_held(f, e);
}

static void judge_bulk(struct end *e, size_t n)
{
	if (n < BULK_LEAVE)
		e->bulk = 0;
	else if (n >= BULK_READ && e->bulk < BULK_ENTER)
		e->bulk++;
}

/* How much to read in one go. */
static size_t at_once(const struct flow *f, size_t most)
{
	return f->throttle && f->throttle->quantum < most ? f->throttle->quantum : most;
}

/* Is there something to read that may be read now? */
static bool may_read(const struct flow *f, enum side from)
{
	return f->end[from].readable && !throttle_is_paused(f->throttle, from);
}

static enum step copy(struct flow *f, enum side from, size_t *moved)
{
	struct loop *l = f->loop;
	struct end *e = &f->end[from];
	uint64_t most = atomic_load_explicit(&l->shared->held_most, memory_order_relaxed);
	size_t size = at_once(f, l->held_bytes < most ? CHUNK : CHUNK_POOR);
	ssize_t n = recv(e->fd, l->buffer, size, 0);
	size_t taken;

	if (n <= 0)
		return end_read_nothing(f, from, n, errno);
	end_was_read(f, from, (size_t)n);
	judge_bulk(e, (size_t)n);
	*moved += (size_t)n;
	if ((size_t)n < size && !e->urgent && !e->broken) {
		/* The queue is empty, and what comes later comes with an edge of its own. */
		e->readable = false;
		e->eof = e->fin;
	}
	taken = send_some(f, !from, l->buffer, (size_t)n, e->eof);
	if (f->state == FLOW_CLOSED)
		return STEP_WAIT;
	if (taken < (size_t)n && !f->end[!from].broken)
		hold(f, from, l->buffer + taken, (size_t)n - taken);
	return e->readable ? STEP_MORE : STEP_WAIT;
}

/* ---- splicing ---- */

static void flush_pipe(struct flow *f, enum side from)
{
	struct end *to = &f->end[!from];
	struct pipe *p = f->end[from].pipe;
	ssize_t n;

	end_before_send(to);
	while (p->held) {
		n = splice(p->read_fd, NULL, to->fd, NULL, p->held,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n > 0) {
			p->held -= (uint32_t)n;
			f->active = f->loop->now;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			end_is_full(f, !from);
		else
			send_failed(f, !from, n < 0 ? errno : EPIPE);
		return;
	}
}

static void put_pipe(struct flow *f, struct end *e)
{
	pipe_pool_put(&f->loop->pipes, e->pipe);
	e->pipe = NULL;
}

static enum step splice_on(struct flow *f, enum side from, size_t *moved)
{
	struct end *e = &f->end[from];
	ssize_t n = splice(e->fd, NULL, e->pipe->write_fd, NULL, at_once(f, SPLICE_BYTES),
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n <= 0)
		return end_read_nothing(f, from, n, errno);
	end_was_read(f, from, (size_t)n);
	count_add(&f->loop->counters.v[COUNT_SPLICED], (size_t)n);
	judge_bulk(e, (size_t)n);
	*moved += (size_t)n;
	e->pipe->held = (uint32_t)n;
	flush_pipe(f, from);
	return STEP_MORE;
}

/* A thick stream gets a pipe, for as long as it has something to move. */
static bool has_pipe(struct flow *f, struct end *e)
{
	uint32_t mode = f->target->settings->splice;

	if (e->urgent || mode == SPLICE_NEVER || (mode == SPLICE_AUTO && e->bulk < BULK_ENTER))
		return false;
	if (!e->pipe) {
		e->pipe = pipe_pool_get(&f->loop->pipes);
		if (!e->pipe) {
			count_add(&f->loop->counters.v[COUNT_NO_PIPE], 1);
			e->bulk = 0;
		}
	}
	return e->pipe;
}

/* ---- a direction ---- */

static bool is_empty(const struct end *e)
{
	return !e->held && !e->pipe;
}

/* The receiver is gone: what it was to get is of no use. */
static void discard(struct flow *f, struct end *e)
{
	if (e->held)
		drop_held(f, e);
	if (e->pipe)
		put_pipe(f, e);
	e->readable = false;
}

/* Deliver what is stored. */
static void flush(struct flow *f, enum side from)
{
	struct end *e = &f->end[from];

	if (e->held)
		flush_held(f, from);
	if (e->pipe && e->pipe->held)
		flush_pipe(f, from);
	if (f->state != FLOW_CLOSED && e->pipe && !e->pipe->held && !e->readable)
		put_pipe(f, e);
}

static void pass_fin(struct flow *f, enum side from)
{
	struct end *to = &f->end[!from];

	/* When both have finished, close() does it. */
	if (to->shut || (to->eof && is_empty(to)))
		return;
	to->shut = true;
	shutdown(to->fd, SHUT_WR);
	flow_half_closed(f);
}

static void move(struct flow *f, enum side from)
{
	struct end *e = &f->end[from];
	struct end *to = &f->end[!from];
	size_t moved = 0;

	if (to->writable && !to->broken)
		flush(f, from);
	while (f->state != FLOW_CLOSED && may_read(f, from) && to->writable && !to->broken) {
		enum step step;

		if (moved >= TURN_BYTES) {
			loop_later(f->loop, f);
			return;
		}
		step = has_pipe(f, e) ? splice_on(f, from, &moved) : copy(f, from, &moved);
		if (step == STEP_WAIT)
			break;
	}
	if (f->state == FLOW_CLOSED)
		return;
	if (to->broken) {
		discard(f, e);
		return;
	}
	if (e->pipe && !e->pipe->held)
		put_pipe(f, e);
	if (e->eof && !e->broken && is_empty(e))
		pass_fin(f, from);
}

/* A reset end whose last bytes are on their way to the other. */
static bool is_spent(const struct end *e)
{
	return e->broken && !e->readable && is_empty(e);
}

static bool can_move(const struct flow *f, enum side from)
{
	const struct end *to = &f->end[!from];

	return may_read(f, from) && to->writable && !to->broken;
}

void relay_run(struct flow *f)
{
	struct end *c = &f->end[CLIENT];
	struct end *s = &f->end[SERVER];

	move(f, CLIENT);
	if (f->state == FLOW_CLOSED)
		return;
	move(f, SERVER);
	if (f->state == FLOW_CLOSED)
		return;
	if (c->broken && s->broken)
		flow_close(f, f->reason_set ? f->reason : FLOW_END_ERROR);
	else if (is_spent(c) || is_spent(s))
		flow_linger(f);
	else if (c->eof && s->eof && is_empty(c) && is_empty(s))
		flow_close(f, FLOW_END_FIN);
	else if (can_move(f, CLIENT) || can_move(f, SERVER))
		/* The second direction found out something about the first. */
		loop_later(f->loop, f);
}

bool relay_skip(struct flow *f, size_t n)
{
	while (n) {
		ssize_t got = recv(f->end[CLIENT].fd, f->loop->buffer, n, 0);

		if (got <= 0)
			return false; /* they would be sent twice */
		end_was_read(f, CLIENT, (size_t)got);
		n -= (size_t)got;
	}
	return true;
}

uint32_t relay_unacked(const struct end *e)
{
	int left;

	return ioctl(e->fd, SIOCOUTQ, &left) < 0 ? 0 : (uint32_t)left;
}

void relay_release(struct flow *f)
{
	for (int side = CLIENT; side <= SERVER; side++)
		discard(f, &f->end[side]);
}
