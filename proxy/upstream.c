/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow.h"
#include "loop.h"

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

bool upstream_has_own_source(const struct target_settings *s)
{
	return s->source == SOURCE_PROXY;
}

static int bind_source(int fd, const struct flow *f, enum source_mode mode)
{
	bool v4 = address_is_v4(&f->client);
	struct address source = f->client;
	struct sockaddr_storage sa;
	socklen_t len;
	int r;

	r = v4 ? set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
	       : set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
	if (r < 0)
		return r;
	if (mode == SOURCE_CLIENT_PORT) {
		r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	} else {
		/* The port is chosen by connect(), which knows the destination: 28,000 ports
		 * per server and not per client. It works at this level for IPv6 too. */
		source.port = 0;
		r = set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	}
	if (r < 0)
		return r;
	len = address_to_sockaddr(&sa, &source);
	return bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static int try_connect(struct flow *f, enum source_mode mode)
{
	struct sockaddr_storage sa;
	socklen_t len = address_to_sockaddr(&sa, &f->destination);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = set_int(fd, SOL_SOCKET, SO_MARK, (int)f->loop->shared->mark);
	if (!r && mode != SOURCE_PROXY)
		r = bind_source(fd, f, mode);
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
	f->guarded = guard_note(&shared->guard, &f->source, &f->destination);
	if (!f->guarded)
		count_add(&f->loop->counters.v[COUNT_GUARD_FULL], 1);
}

/* The client's very port may be taken (a direct flow, TIME_WAIT) or privileged. */
static bool is_port_error(int r)
{
	return r == -EADDRNOTAVAIL || r == -EADDRINUSE || r == -EACCES;
}

int upstream_connect(struct flow *f)
{
	enum source_mode mode = f->target->settings->source;
	int r = try_connect(f, mode);

	if (mode == SOURCE_CLIENT_PORT && is_port_error(r)) {
		count_add(&f->loop->counters.v[COUNT_PORT_RETRIES], 1);
		r = try_connect(f, SOURCE_CLIENT);
	}
	if (!r || r == -EINPROGRESS)
		learn_source(f);
	return r;
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
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EACCES:
	case EPERM:
		return FLOW_END_UNREACHABLE;
	case ECONNREFUSED:
		return FLOW_END_REFUSED;
	case ETIMEDOUT:
		return FLOW_END_TIMEOUT;
	default:
		return FLOW_END_ERROR;
	}
}
