/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tcp_options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { FAST_OPEN_QUEUE = 1024, OLD_MS = 60000 };

static int set_int(int fd, int level, int option, uint32_t value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_keepalive(int fd, const struct target_settings *s)
{
	int r;

	if (!s->keepalive_idle)
		return set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, s->keepalive_idle);
	if (!r)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, s->keepalive_interval);
	if (!r)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, s->keepalive_count);
	return r ? r : set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

int tcp_options_of_listener(int fd, const struct target_settings *s)
{
	int r = set_keepalive(fd, s);

	/* 0 is the kernel's default, and has to be set again after a reload. */
	if (!r)
		r = set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000 * s->user_timeout);
	if (!r)
		r = set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, s->fast_open ? FAST_OPEN_QUEUE : 0);
	return r;
}

int tcp_options_of_server(int fd, const struct target_settings *s)
{
	if (!s->user_timeout)
		return 0;
	return set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000 * s->user_timeout);
}

uint64_t tcp_keepalive_age(const struct target_settings *s)
{
	uint64_t idle = 1000ULL * s->keepalive_idle;

	if (!idle)
		return UINT64_MAX;
	return idle < OLD_MS ? idle : OLD_MS;
}

void tcp_keepalive(int fd, const struct target_settings *s)
{
	set_keepalive(fd, s); /* without it the idle timeout remains */
}
