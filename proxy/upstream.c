/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fast_open.h"
#include "handshake.h"
#include "loop.h"
#include "shunt/shunt.h"
#include "tcp_options.h"

enum { PORT_TRIES = 4 }; /* for a connection of the pool, from each address */

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3 */
#endif

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* ---- which server ---- */

const struct address *upstream_address(const struct flow *f)
{
	if (!f->upstream)
		return &f->destination;
	return &f->target->target->balance.upstreams[f->upstream - 1]->address;
}

bool upstream_need_dial(struct flow *f)
{
	if (!f->dial)
		f->dial = calloc(1, sizeof(*f->dial));
	return f->dial;
}

/* 0, also where there is nothing to choose. */
static int pick(struct flow *f)
{
	struct balance *b = &f->target->target->balance;
	/* The client's address is of its own family. */
	int family = upstream_has_own_source(f->target->settings) ? AF_UNSPEC
								  : address_family(&f->client);
	int i;

	if (!b->n)
		return 0;
	if (!upstream_need_dial(f))
		return -ENOMEM;
	i = balance_pick(b, &f->client, family, f->dial->tried, f->loop->now);
	if (i < 0)
		return f->dial->error ? f->dial->error : -EHOSTUNREACH;
	f->dial->tried |= 1ULL << i;
	if (f->dial->attempts++)
		count_add(&f->loop->counters.v[COUNT_UPSTREAM_RETRIES], 1);
	f->upstream = (uint8_t)(i + 1);
	/* Somebody may have written our own listener into the file. */
	return guard_is_listener(&f->loop->shared->guard, upstream_address(f)) ? -ELOOP : 0;
}

/* ---- from whose address ---- */

static int limit_ports(int fd, const struct port_range *range)
{
	uint32_t ports = (uint32_t)range->high << 16 | range->low; /* more than an int holds */

	if (!range->low)
		return 0;
	/* At this level for IPv6, too. */
	return set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, (int)ports);
}

int upstream_check_kernel(const struct target_settings *s)
{
	int fd, r;

	if (!s->source_ports.low)
		return 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return shunt_err(-errno, "cannot make a socket: %s", strerror(errno));
	r = limit_ports(fd, &s->source_ports);
	close(fd);
	return r < 0 ? shunt_err(r, "source-ports: this kernel cannot limit ports per socket, "
				    "which needs Linux 6.3") : 0;
}

bool upstream_has_own_source(const struct target_settings *s)
{
	return s->source == SOURCE_PROXY || s->source == SOURCE_POOL;
}

/* from: with its port, unless that is 0 or the mode is client */
static int bind_source(int fd, const struct address *from, enum source_mode mode)
{
	bool v4 = address_is_v4(from);
	struct address source = *from;
	struct sockaddr_storage sa;
	socklen_t len;
	int r;

	r = v4 ? set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
	       : set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
	if (r < 0)
		return r;
	if (mode == SOURCE_CLIENT)
		source.port = 0;
	/* Of the pool, too, where the port is the kernel's choice: it may be ours later. */
	if (mode != SOURCE_CLIENT)
		r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* The port is chosen by connect(), which knows the destination: 28,000 ports per server
	 * and not per client. It works at this level for IPv6 too. */
	if (!r && !source.port)
		r = set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	if (r < 0)
		return r;
	len = address_to_sockaddr(&sa, &source);
	return bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

/* from: the address to bind to; of no meaning with our own. */
static int try_connect(struct flow *f, enum source_mode mode, const struct address *from)
{
	struct sockaddr_storage sa;
	socklen_t len = address_to_sockaddr(&sa, upstream_address(f));
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = set_int(fd, SOL_SOCKET, SO_MARK, (int)f->loop->shared->mark);
	if (!r)
		r = tcp_options_of_server(fd, f->target->settings);
	if (!r)
		r = limit_ports(fd, &f->target->settings->source_ports);
	if (!r && mode != SOURCE_PROXY)
		r = bind_source(fd, from, mode);
	if (!r)
		fast_open_prepare(fd, f->target->settings);
	if (!r && connect(fd, (struct sockaddr *)&sa, len) < 0)
		r = -errno;
	if (r && r != -EINPROGRESS) {
		close(fd);
		return r;
	}
	f->end[SERVER].fd = fd;
	return r;
}

static void learn_source(struct flow *f)
{
	struct shared *shared = f->loop->shared;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	bool guarded = upstream_has_own_source(f->target->settings) &&
		       guard_is_armed(&shared->guard);

	if (!guarded && !f->target->settings->log_flows)
		return;
	if (getsockname(f->end[SERVER].fd, (struct sockaddr *)&sa, &len) < 0)
		return;
	address_from_sockaddr(&f->source, &sa);
	if (!guarded)
		return;
	f->guarded = guard_note(&shared->guard, &f->source, upstream_address(f));
	if (!f->guarded)
		count_add(&f->loop->counters.v[COUNT_GUARD_FULL], 1);
}

/* The client's very port may be taken (a direct flow, TIME_WAIT) or privileged. */
static bool is_port_error(int r)
{
	return r == -EADDRNOTAVAIL || r == -EADDRINUSE || r == -EACCES;
}

/* port n of the target's range, which goes round */
static uint16_t nth_port(const struct port_range *range, uint64_t n)
{
	return (uint16_t)(range->low + n % (range->high - range->low + 1U));
}

/*
 * From one address of the pool after the other, where their ports are used up. again: with a
 * port of our choice, from which a connection in TIME_WAIT may be followed by another.
 */
static int try_pool(struct flow *f, bool again)
{
	const struct port_range *ports = &f->target->settings->source_ports;
	struct source_pool *pool = &f->target->target->pool;
	bool v4 = address_is_v4(upstream_address(f));
	struct source_tried tried = { .n = 0 };
	struct address from = { .port = 0 };
	int r = -EADDRNOTAVAIL;

	while (source_pool_get(pool, v4, &tried, &from.ip, &f->pool_at)) {
		if (tried.n > 1 || again)
			count_add(&f->loop->counters.v[COUNT_PORT_RETRIES], 1);
		if (again)
			from.port = nth_port(ports, f->loop->next_port++);
		r = try_connect(f, SOURCE_POOL, &from);
		if (!is_port_error(r))
			return r;
		source_pool_put(pool, v4, f->pool_at);
		f->pool_at = 0;
	}
	return r;
}

static int connect_once(struct flow *f)
{
	enum source_mode mode = (enum source_mode)f->target->settings->source;
	int r = pick(f);

	if (r < 0)
		return r;
	r = mode == SOURCE_POOL ? try_pool(f, false) : try_connect(f, mode, &f->client);
	for (int i = 0; mode == SOURCE_POOL && is_port_error(r) && i < PORT_TRIES &&
			f->target->settings->source_ports.low; i++)
		r = try_pool(f, true);
	if (mode == SOURCE_CLIENT_PORT && is_port_error(r)) {
		count_add(&f->loop->counters.v[COUNT_PORT_RETRIES], 1);
		r = try_connect(f, SOURCE_CLIENT, &f->client);
	}
	if (!r || r == -EINPROGRESS)
		learn_source(f);
	return r;
}

int upstream_connect(struct flow *f)
{
	int r;

	do {
		r = connect_once(f);
	} while (r && r != -EINPROGRESS && upstream_failed(f, r));
	return r;
}

int upstream_result(struct flow *f)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(f->end[SERVER].fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

/* ---- another one ---- */

/* Is it the upstream's fault? Else it is ours, or that of what we asked for. */
static bool is_fault_of_upstream(int error)
{
	switch (-error) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
		return true;
	default:
		return false;
	}
}

static void blame_upstream(struct flow *f)
{
	const struct target_settings *s = f->target->settings;
	struct loop *l = f->loop;
	char text[ADDRESS_STR];

	if (!balance_failed(&f->target->target->balance, f->upstream - 1, l->now))
		return;
	count_add(&l->counters.v[COUNT_UPSTREAMS_OUT], 1);
	flowlog_warn(&l->log, "upstream %s of target '%s' is out for %u s: connections to it fail",
		     address_str(text, upstream_address(f)), s->name, s->fail_hold);
}

static void leave_server(struct flow *f)
{
	if (f->guarded)
		guard_forget(&f->loop->shared->guard, &f->source, upstream_address(f));
	f->guarded = false;
	source_pool_put(&f->target->target->pool, address_is_v4(upstream_address(f)), f->pool_at);
	f->pool_at = 0;
	if (f->upstream)
		balance_leave(&f->target->target->balance, f->upstream - 1);
	f->upstream = 0;
}

bool upstream_failed(struct flow *f, int error)
{
	static const struct linger now = { .l_onoff = 1 };
	struct end *e = &f->end[SERVER];

	/* The original destination, or no upstream was to be had. */
	if (!f->upstream || upstream_reason(error) == FLOW_END_LIMIT)
		return false;
	if (f->dial->handshake && f->dial->connected) {
		/* Slow, or gone without a word: perhaps for where the client wants to go, and
		 * clients must not be able to take a proxy from others. */
		if (handshake_is_final(f->dial->handshake) || error == -ETIMEDOUT)
			return false;
	} else if (is_fault_of_upstream(error)) {
		blame_upstream(f);
	}
	if (f->dial->attempts > f->target->settings->retries)
		return false;
	leave_server(f);
	if (e->fd >= 0) {
		/* What was given up leaves no TIME_WAIT. */
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(e->fd);
	}
	*e = (struct end){ .fd = -1 };
	free(f->dial->handshake);
	f->dial->handshake = NULL;
	f->dial->connected = false;
	f->dial->early = 0;
	f->dial->error = error;
	return true;
}

static void free_dial(struct flow *f)
{
	if (f->dial)
		free(f->dial->handshake);
	free(f->dial);
	f->dial = NULL;
}

static int need_handshake(struct flow *f)
{
	if (!upstream_need_dial(f))
		return -ENOMEM;
	if (!f->dial->handshake)
		f->dial->handshake = handshake_new(f);
	return f->dial->handshake ? 0 : -ENOMEM;
}

int upstream_greet(struct flow *f)
{
	int r = need_handshake(f);

	return r < 0 ? r : handshake_greet(f->dial->handshake, f);
}

int upstream_handshake(struct flow *f)
{
	bool room;
	int r;

	if (!handshake_is_wanted(f->target->settings))
		return 0;
	r = need_handshake(f);
	if (r < 0)
		return r;
	f->dial->connected = true;
	r = handshake_run(f->dial->handshake, f, &room);
	if (room && !f->end[SERVER].watch_out && flow_watch(f, SERVER, true) < 0)
		return -ENOMEM;
	/* The server may have spoken already, and there is no second edge for that. */
	if (!r)
		f->end[SERVER].readable = true;
	return r;
}

void upstream_connected(struct flow *f)
{
	if (f->upstream)
		balance_worked(&f->target->target->balance, f->upstream - 1);
	free_dial(f);
}

void upstream_release(struct flow *f)
{
	leave_server(f);
	free_dial(f);
}

enum flow_reason upstream_reason(int error)
{
	switch (-error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC:
		return FLOW_END_LIMIT;
	case EADDRNOTAVAIL:
	case EADDRINUSE:
		return FLOW_END_NO_PORT;
	case ELOOP:
		return FLOW_END_SELF;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case EACCES:
	case EPERM:
		return FLOW_END_UNREACHABLE;
	case ECONNREFUSED:
		return FLOW_END_REFUSED;
	case ETIMEDOUT:
		return FLOW_END_TIMEOUT;
	case ECONNRESET:
	case EPIPE:
		return FLOW_END_SERVER_RESET;
	case EPROTO:
	case EKEYREJECTED:
	case EREMOTEIO:
		return FLOW_END_VIA;
	default:
		return FLOW_END_ERROR;
	}
}
