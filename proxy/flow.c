/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flow.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "destination.h"
#include "fast_open.h"
#include "handshake.h"
#include "learn.h"
#include "loop.h"
#include "relay.h"
#include "shunt/shunt.h"
#include "tcp_options.h"
#include "throttle.h"
#include "upstream.h"

enum { ABORT_AFTER = 1000 }; /* ms: only flows that get this old pay for set_abort() */

/* ---- epoll ---- */

int flow_watch(struct flow *f, enum side side, bool out)
{
	struct end *e = &f->end[side];
	/* The flow is aligned to 16: the lowest bit tells the side. */
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (out ? EPOLLOUT : 0),
		.data.u64 = (uintptr_t)f | side,
	};

	if (epoll_ctl(f->loop->epoll_fd, e->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, e->fd,
		      &event) < 0)
		return -errno;
	e->watched = true;
	e->watch_out = out;
	return 0;
}

/* ---- the beginning ---- */

/* While the decision is fresh: the kernel's table of flows forgets the oldest. */
static void ask_rule(struct flow *f)
{
	struct sockaddr_storage client, destination;
	struct shunt_flow decision;

	address_to_sockaddr(&client, &f->client);
	address_to_sockaddr(&destination, &f->destination);
	if (shunt_flow_find(f->loop->shunt, (struct sockaddr *)&client,
			    (struct sockaddr *)&destination, IPPROTO_TCP, &decision) < 0)
		return;
	f->rule = decision.rule;
	f->rule_known = true;
}

static void flow_connected(struct flow *f)
{
	struct loop *l = f->loop;

	if (!fast_open_settle(f)) {
		flow_close(f, FLOW_END_ERROR);
		return;
	}
	upstream_connected(f);
	f->state = FLOW_RELAYING;
	f->active = l->now;
	f->end[CLIENT].writable = true;
	f->end[SERVER].writable = true;
	loop_timeout(l, f, l->now + ABORT_AFTER); /* no idle timeout is shorter */
	relay_run(f);
}

static void flow_shake(struct flow *f);
static void flow_redial(struct flow *f, int error);

/* The connection is in progress, or there if r is 0. */
static void flow_await_server(struct flow *f, int r)
{
	struct loop *l = f->loop;

	/* Both from now on: most clients have spoken when the server accepts, and those that
	 * have not are not read in vain. */
	if (flow_watch(f, SERVER, r != 0) < 0 ||
	    (!f->end[CLIENT].watched && flow_watch(f, CLIENT, false) < 0)) {
		flow_close(f, FLOW_END_LIMIT);
		return;
	}
	if (!r) {
		flow_shake(f);
		return;
	}
	f->state = FLOW_CONNECTING;
	loop_timeout(l, f, l->now + 1000ULL * f->target->settings->connect_timeout);
}

void flow_send_syn(struct flow *f)
{
	int r;

	f->state = FLOW_CONNECTING;
	loop_timeout(f->loop, f, f->loop->now + 1000ULL * f->target->settings->connect_timeout);
	if (!f->end[CLIENT].watched && flow_watch(f, CLIENT, false) < 0) {
		flow_close(f, FLOW_END_LIMIT);
		return;
	}
	r = fast_open_send(f);
	if (!r)
		flow_await_server(f, -EINPROGRESS);
	else if (r != -EAGAIN)
		flow_redial(f, r);
}

static void flow_connect(struct flow *f)
{
	int r = upstream_connect(f);

	if (r && r != -EINPROGRESS)
		flow_close(f, upstream_reason(r));
	else if (!r && f->target->settings->fast_open_servers)
		flow_send_syn(f);
	else
		flow_await_server(f, r);
}

/* Another upstream, if there is one; else the end. */
static void flow_redial(struct flow *f, int error)
{
	if (upstream_failed(f, error))
		flow_connect(f);
	else
		flow_close(f, upstream_reason(error));
}

/*
 * Could it be connected? The original destination's errors are found by the read, behind what came
 * before them, if nobody asks here. Who has had bytes by fast open and resets had accepted.
 */
static int dial_result(struct flow *f)
{
	int r;

	if (!f->upstream && !handshake_is_wanted(f->target->settings))
		return 0;
	r = upstream_result(f);
	return f->end[SERVER].sent && (r == -ECONNRESET || r == -EPIPE) ? 0 : r;
}

static void flow_dialed(struct flow *f)
{
	int r = dial_result(f);

	if (r < 0)
		flow_redial(f, r);
	else
		/* On failure too: the read finds the error, and what came before a reset. */
		flow_shake(f);
}

/* What is to be said before the client's bytes; mostly nothing. */
static void flow_shake(struct flow *f)
{
	struct loop *l = f->loop;
	int r = upstream_handshake(f);

	if (!r) {
		flow_connected(f);
	} else if (r != -EAGAIN) {
		flow_redial(f, r);
	} else if (f->state != FLOW_HANDSHAKE) {
		f->state = FLOW_HANDSHAKE;
		loop_timeout(l, f, l->now + 1000ULL * f->target->settings->handshake_timeout);
	}
}

static void warn_refused(struct flow *f, enum flow_reason reason)
{
	char client[ADDRESS_STR], destination[ADDRESS_STR];

	flowlog_warn(&f->loop->log, "refused %s to %s: %s", address_str(client, &f->client),
		     address_str(destination, &f->destination),
		     reason == FLOW_END_SELF ? "it would connect the proxy to itself"
					     : "not a unicast address of a network");
}

static void warn_unknown(struct flow *f)
{
	char client[ADDRESS_STR];

	flowlog_warn(&f->loop->log, "refused %s: where it meant to go is not known%s",
		     address_str(client, &f->client),
		     f->loop->shared->destination == DESTINATION_CONNTRACK
			     ? " to conntrack: nothing redirected it"
			     : "");
}

static enum flow_reason pass_limits(struct flow *f)
{
	const struct target_settings *s = f->target->settings;
	struct loop *l = f->loop;
	enum flow_reason reason;
	bool full;

	if (!limit_is_wanted(s))
		return FLOW_END_FIN;
	reason = limit_enter(f->target->target->limits, s, &f->client.ip, l->now, &f->pass, &full);
	if (full)
		count_add(&l->counters.v[COUNT_SOURCES_FULL], 1);
	if (reason == FLOW_END_FIN && !throttle_new(f))
		reason = FLOW_END_LIMIT;
	return reason;
}

void flow_start(struct loop *l, struct target_loop *target, int fd,
		const struct sockaddr_storage *peer)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct flow *f = slab_get(&l->flows);
	enum flow_reason reason;

	if (!f) {
		/* Counted as any other flow, so that accepted = active + ended holds. */
		count_add(&l->counters.ended[FLOW_END_LIMIT], 1);
		atomic_fetch_sub(&l->shared->connections, 1);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		return;
	}
	f->loop = l;
	f->id = ++l->last_id;
	f->target = target;
	target_add_flow(target);
	f->started = l->now;
	f->active = l->now;
	f->end[CLIENT].fd = fd;
	f->end[SERVER].fd = -1;
	f->end[CLIENT].nodelay = true;
	f->end[CLIENT].keepalive = true;
	address_from_sockaddr(&f->client, peer);
	if (destination_of(fd, l->shared->destination, &f->destination) < 0) {
		warn_unknown(f);
		flow_close(f, FLOW_END_ERROR);
		return;
	}
	if (target->settings->log_flows && l->shunt)
		ask_rule(f);
	reason = guard_check(&l->shared->guard, &l->cache, l->now,
			     upstream_has_own_source(target->settings), &f->client,
			     &f->destination);
	if (reason != FLOW_END_FIN) {
		warn_refused(f, reason);
		flow_close(f, reason);
		return;
	}
	reason = pass_limits(f);
	if (reason != FLOW_END_FIN) {
		flow_close(f, reason);
		return;
	}
	flow_connect(f);
}

/* ---- events ---- */

void flow_event(struct flow *f, enum side side, uint32_t events)
{
	if (f->state == FLOW_CLOSED)
		return;
	relay_note(f, side, events);
	switch ((enum flow_state)f->state) {
	case FLOW_CONNECTING:
		if (f->queue == FLOW_UNSENT)
			flow_send_syn(f);
		else if (side == SERVER && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			flow_dialed(f);
		break;
	case FLOW_HANDSHAKE:
		/* The client's are noted. If they led to another server's socket, an event of the one
		 * before it, from the same epoll_wait(), would be taken for one of the new. */
		if (side == SERVER)
			flow_shake(f);
		break;
	case FLOW_RELAYING:
		relay_run(f);
		break;
	case FLOW_RESETTING:
		if (f->end[CLIENT].broken && f->end[SERVER].broken)
			flow_close(f, f->reason);
		break;
	case FLOW_CLOSED:
		break;
	}
}

void flow_resume(struct flow *f)
{
	if (f->state == FLOW_RELAYING)
		relay_run(f);
}

void flow_linger(struct flow *f)
{
	struct end *c = &f->end[CLIENT];
	struct end *s = &f->end[SERVER];
	struct loop *l = f->loop;

	flow_blame(f, c->broken ? FLOW_END_CLIENT_RESET : FLOW_END_SERVER_RESET);
	/* A reset throws away what the kernel has not sent: wait until the peer has it. */
	if (!relay_unacked(c->broken ? s : c)) {
		flow_close(f, f->reason);
		return;
	}
	if (f->state != FLOW_RESETTING) {
		f->state = FLOW_RESETTING;
		loop_timeout(l, f, l->now + 1000ULL * f->target->settings->half_closed_timeout);
	}
	loop_linger(l, f);
}

/* ---- time ---- */

/*
 * The kernel closes the sockets of a process that dies as if it had finished, and a stream that
 * was cut would look whole. With this option it resets them. It costs a call for each end, and
 * one more at a good end, so flows that end soon go without: at most what they began in the
 * last second before a crash ends with a FIN.
 */
static void set_abort(struct flow *f, bool on)
{
	const struct linger linger = { .l_onoff = on };

	for (int side = 0; side < 2; side++)
		setsockopt(f->end[side].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	f->aborts = on;
}

static uint64_t silence_allowed(const struct flow *f)
{
	const struct target_settings *s = f->target->settings;
	bool half = f->end[CLIENT].eof || f->end[SERVER].eof;

	return 1000ULL * (half && s->half_closed_timeout < s->idle_timeout
				  ? s->half_closed_timeout
				  : s->idle_timeout);
}

/* Bytes that a slow receiver takes from the kernel's buffer are no event here. */
static void look_for_progress(struct flow *f)
{
	uint32_t unacked = relay_unacked(&f->end[CLIENT]) + relay_unacked(&f->end[SERVER]);

	if (unacked != f->unacked)
		f->active = f->loop->now;
	f->unacked = unacked;
}

static void relaying_due(struct flow *f)
{
	struct loop *l = f->loop;
	uint64_t due;

	look_for_progress(f);
	due = f->active + silence_allowed(f);
	if (due <= l->now) {
		flow_close(f, FLOW_END_IDLE);
		return;
	}
	if (!f->aborts)
		set_abort(f, true);
	if (!f->end[SERVER].keepalive) {
		uint64_t age = tcp_keepalive_age(f->target->settings);

		if (l->now - f->started >= age) {
			f->end[SERVER].keepalive = true;
			tcp_keepalive(f->end[SERVER].fd, f->target->settings);
		} else if (due - f->started > age) {
			due = f->started + age;
		}
	}
	loop_timeout(l, f, due);
}

void flow_due(struct flow *f)
{
	switch ((enum flow_state)f->state) {
	case FLOW_CONNECTING:
	case FLOW_HANDSHAKE:
		flow_redial(f, -ETIMEDOUT);
		break;
	case FLOW_RELAYING:
		relaying_due(f);
		break;
	case FLOW_RESETTING:
		flow_close(f, f->reason);
		break;
	case FLOW_CLOSED:
		break;
	}
}

void flow_half_closed(struct flow *f)
{
	uint64_t wait = silence_allowed(f);

	loop_timeout(f->loop, f,
		     f->loop->now + (f->aborts || wait < ABORT_AFTER ? wait : ABORT_AFTER));
}

/* ---- the end ---- */

void flow_blame(struct flow *f, enum flow_reason reason)
{
	if (f->reason_set)
		return;
	f->reason = reason;
	f->reason_set = true;
}

/* Its close() will be a reset. */
static void prepare_reset(const struct end *e)
{
	static const struct linger now = { .l_onoff = 1 };

	/* Also where the end is broken: not each error means that the peer knows. */
	if (e->fd >= 0)
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/*
 * The epoll set forgets a descriptor that is closed. The two were opened one after the other
 * and are neighbours most of the time: one call for both.
 */
static void close_ends(const struct flow *f)
{
	int c = f->end[CLIENT].fd;
	int s = f->end[SERVER].fd;

	if (s == c + 1 && !close_range((unsigned int)c, (unsigned int)s, 0))
		return;
	if (s >= 0)
		close(s);
	close(c);
}

void flow_close(struct flow *f, enum flow_reason reason)
{
	struct loop *l = f->loop;

	if (f->state == FLOW_CLOSED)
		return;
	f->reason = reason;
	loop_dequeue(l, f);
	f->state = FLOW_CLOSED;
	relay_release(f);
	wheel_remove(&l->wheel, &f->timer);
	if (f->aborts && reason == FLOW_END_FIN)
		set_abort(f, false);
	if (!f->aborts && reason != FLOW_END_FIN) {
		prepare_reset(&f->end[SERVER]);
		prepare_reset(&f->end[CLIENT]);
	}
	close_ends(f);
	count_add(&l->counters.ended[reason], 1);
	atomic_fetch_sub(&l->shared->connections, 1);
	flowlog_flow(&l->log, f);
	if (reason == FLOW_END_FIN && learn_is_wanted(f))
		learn_flow(f);
	upstream_release(f);
	throttle_free(f);
	limit_leave(f->target->target->limits, &f->pass);
	target_forget_flow(f->target);
	TAILQ_INSERT_TAIL(&l->dead, f, link);
}
