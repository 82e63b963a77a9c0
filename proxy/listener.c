/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "tcp_options.h"

enum { BATCH_MAX = 32, FILLED_TO_GROW = 8, HELP_FROM = 4, PAUSE_MS = 100 };

/* ---- opening, in the supervisor ---- */

static int set_options(int fd, int family, uint32_t mark)
{
	const struct {
		int level, option, value;
	} options[] = {
		{ SOL_SOCKET, SO_MARK, (int)mark },
		{ family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		  family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1 },
		/* Accepted sockets inherit these, and those of tcp_options.c. */
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		/* A connection's first byte may be urgent, and is read before epoll tells. */
		{ SOL_SOCKET, SO_OOBINLINE, 1 },
	};
	int one = 1;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			       sizeof(int)) < 0)
			return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

/*
 * Bound to the loopback address: a packet from outside that was not steered cannot reach it.
 * What a NAT redirects comes to whatever address the interface has; who comes without is refused,
 * as the original destination is then the listener itself or not known.
 * No SO_REUSEPORT: bpf_sk_assign() refuses such sockets on older kernels.
 */
static int bind_listener(int fd, int family, uint16_t port, uint32_t backlog, bool any)
{
	struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK),
	};
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = any ? in6addr_any : in6addr_loopback,
	};
	const struct sockaddr *sa = family == AF_INET ? (void *)&v4 : (void *)&v6;

	if (bind(fd, sa, family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0)
		return -errno;
	return listen(fd, (int)backlog) < 0 ? -errno : 0;
}

int listener_open(int family, uint16_t port, uint32_t mark, uint32_t backlog,
		  enum destination_mode mode)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, family, mark);
	if (!r)
		r = bind_listener(fd, family, port, backlog, mode == DESTINATION_CONNTRACK);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

bool listener_fits(int fd, enum destination_mode mode)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address a;
	bool any;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return false;
	address_from_sockaddr(&a, &sa);
	any = IN6_IS_ADDR_UNSPECIFIED(&a.ip) ||
	      (address_is_v4(&a) && a.ip.s6_addr32[3] == INADDR_ANY);
	return any == (mode == DESTINATION_CONNTRACK);
}

/* ---- accepting, in a loop ---- */

static void listener_pause(struct listener *ln)
{
	ln->paused = true;
	loop_unwatch(ln->loop, ln->fd);
	loop_set_alarm(ln->loop, &ln->resume, ln->loop->now + PAUSE_MS);
}

static void listener_resume(struct alarm *a)
{
	struct listener *ln = (void *)((char *)a - offsetof(struct listener, resume));

	ln->paused = false;
	if (loop_watch(ln->loop, ln->fd, &ln->watch) < 0)
		listener_pause(ln);
}

/* The limit is exact between threads: a place is taken before the connection is. */
static bool take_place(struct shared *shared)
{
	if (atomic_fetch_add(&shared->connections, 1) < shared->max_connections)
		return true;
	atomic_fetch_sub(&shared->connections, 1);
	return false;
}

static void accept_failed(struct listener *ln, int error)
{
	struct loop *l = ln->loop;

	switch (error) {
	case EAGAIN:
	case EINTR:
		return;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		count_add(&l->counters.v[COUNT_PAUSES], 1);
		flowlog_warn(&l->log, "cannot accept: %s; trying again every 0.1 s",
			     strerror(error));
		listener_pause(ln);
		return;
	default: /* that one connection is gone: ECONNABORTED, EPERM, network errors */
		count_add(&l->counters.v[COUNT_ACCEPT_ERRORS], 1);
	}
}

enum accepted { ACCEPTED_ONE, ACCEPTED_NONE, ACCEPTED_STOP };

/* from: its own descriptor, or the next loop's */
static enum accepted accept_one(struct listener *ln, int from)
{
	struct loop *l = ln->loop;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;

	if (!take_place(l->shared)) {
		count_add(&l->counters.v[COUNT_LIMIT_PAUSES], 1);
		flowlog_warn(&l->log, "%u connections are open, which is the limit; new ones wait",
			     l->shared->max_connections);
		listener_pause(ln);
		return ACCEPTED_STOP;
	}
	fd = accept4(from, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		int error = errno;

		atomic_fetch_sub(&l->shared->connections, 1);
		accept_failed(ln, error);
		return error == EAGAIN || ln->paused ? ACCEPTED_STOP : ACCEPTED_NONE;
	}
	count_add(&l->counters.v[COUNT_ACCEPTED], 1);
	flow_start(l, ln->target, fd, &peer);
	return ACCEPTED_ONE;
}

/*
 * The batch follows the load: it grows when it has been filled several times in a row, and
 * shrinks to what was there when it ran dry. A lone connection thus costs one accept4() and
 * hardly ever a second one that says EAGAIN.
 */
static void adapt_batch(struct listener *ln, uint32_t n)
{
	if (n < ln->batch) {
		ln->batch = n ? n : 1;
		ln->filled = 0;
	} else if (++ln->filled == FILLED_TO_GROW) {
		ln->batch = n < BATCH_MAX ? n + 1 : BATCH_MAX;
		ln->filled = 0;
	}
}

/*
 * The kernel deals flows out by their hash, which is even in the long run only: a loop that has
 * clearly fewer than the next takes of what waits for that. It looks when it accepts anyway. To
 * watch the other's listener wakes it in vain most of the time.
 */
static void help_next(struct listener *ln)
{
	for (int n = 0; ln->next_fd >= 0 && !ln->paused && n < BATCH_MAX; n++)
		if (loop_flows(ln->next) <= ln->loop->wheel.count + HELP_FROM ||
		    accept_one(ln, ln->next_fd) == ACCEPTED_STOP)
			return;
}

static void listener_ready(struct watch *w)
{
	struct listener *ln = (void *)((char *)w - offsetof(struct listener, watch));
	uint32_t n = 0;

	if (ln->fd < 0 || ln->paused)
		return;
	while (n < ln->batch) {
		if (accept_one(ln, ln->fd) == ACCEPTED_STOP)
			break;
		n++;
	}
	adapt_batch(ln, n);
	help_next(ln);
}

int listener_attach(struct listener *ln, struct loop *l, struct target_loop *target, int fd)
{
	int r;

	*ln = (struct listener){ .loop = l, .target = target, .fd = fd, .next_fd = -1, .batch = 1 };
	ln->watch.ready = listener_ready;
	ln->resume.ring = listener_resume;
	if (fd < 0)
		return 0;
	r = tcp_options_of_listener(fd, target->settings);
	if (!r)
		r = loop_watch(l, fd, &ln->watch);
	if (r < 0)
		listener_close(ln);
	return r;
}

int listener_help(struct listener *ln, const struct listener *next)
{
	if (ln->fd < 0 || next->fd < 0)
		return 0;
	/* A copy, as either loop closes its own when it likes. */
	ln->next_fd = fcntl(next->fd, F_DUPFD_CLOEXEC, 0);
	if (ln->next_fd < 0)
		return -errno;
	ln->next = next->loop;
	return 0;
}

void listener_set_target(struct listener *ln, struct target_loop *target)
{
	ln->target = target;
	/* Cannot fail where it has worked before; if it did, the options of before would stay. */
	if (ln->fd >= 0)
		tcp_options_of_listener(ln->fd, target->settings);
}

void listener_drain(struct listener *ln)
{
	while (ln->fd >= 0 && !ln->paused && accept_one(ln, ln->fd) != ACCEPTED_STOP)
		;
	listener_close(ln);
}

void listener_close(struct listener *ln)
{
	if (ln->fd < 0)
		return;
	loop_stop_alarm(ln->loop, &ln->resume);
	loop_unwatch(ln->loop, ln->fd); /* somebody else may have a copy: close() is not enough */
	close(ln->fd);
	ln->fd = -1;
	if (ln->next_fd >= 0)
		close(ln->next_fd);
	ln->next_fd = -1;
}
