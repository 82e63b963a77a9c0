/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

int sockets_init(struct sockets *s, uint32_t n_targets, uint32_t n_loops)
{
	*s = (struct sockets){ .n_targets = n_targets, .n_loops = n_loops };
	s->fds = malloc(sockets_count(s) * sizeof(s->fds[0]));
	if (!s->fds)
		return -ENOMEM;
	for (uint32_t i = 0; i < sockets_count(s); i++)
		s->fds[i][0] = s->fds[i][1] = -1;
	return 0;
}

void sockets_close(struct sockets *s)
{
	for (uint32_t i = 0; s->fds && i < sockets_count(s); i++)
		for (int v6 = 0; v6 < 2; v6++)
			if (s->fds[i][v6] >= 0)
				close(s->fds[i][v6]);
	free(s->fds);
	s->fds = NULL;
	s->registered = false;
}

void sockets_narrow(struct sockets *s, uint32_t n_loops)
{
	for (uint32_t i = 0; i < sockets_count(s); i++) {
		uint32_t target = i / s->n_loops, loop = i % s->n_loops;

		for (int v6 = 0; v6 < 2; v6++) {
			int fd = s->fds[i][v6];

			s->fds[i][v6] = -1;
			if (loop < n_loops)
				s->fds[target * n_loops + loop][v6] = fd;
			else if (fd >= 0)
				close(fd);
		}
	}
	s->n_loops = n_loops;
}

uint16_t sockets_port(const struct sockets *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address a;

	if (!s->fds || getsockname(s->fds[0][0], (struct sockaddr *)&sa, &len) < 0)
		return 0;
	address_from_sockaddr(&a, &sa);
	return a.port;
}

void sockets_set_backlog(const struct sockets *s, uint32_t backlog)
{
	for (uint32_t i = 0; s->fds && i < sockets_count(s); i++)
		for (int v6 = 0; v6 < 2; v6++)
			if (s->fds[i][v6] >= 0)
				listen(s->fds[i][v6], (int)backlog); /* it listens already */
}

static bool is_without_ipv6(int r)
{
	return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL;
}

static int open_pair(int fds[2], uint16_t port, uint32_t mark, const struct settings *settings)
{
	enum destination_mode mode = (enum destination_mode)settings->original_destination;
	bool any = mode == DESTINATION_CONNTRACK;

	fds[0] = listener_open(AF_INET, port, mark, settings->backlog, mode);
	if (fds[0] < 0)
		return shunt_err(fds[0], "cannot listen on %s port %u: %s",
				 any ? "0.0.0.0" : "127.0.0.1", port, strerror(-fds[0]));
	fds[1] = listener_open(AF_INET6, port, mark, settings->backlog, mode);
	if (fds[1] >= 0 || is_without_ipv6(fds[1]))
		return 0;
	return shunt_err(fds[1], "cannot listen on %s port %u: %s", any ? "::" : "::1", port,
			 strerror(-fds[1]));
}

int sockets_open(struct sockets *s, const struct settings *settings, uint32_t n_loops,
		 uint32_t mark)
{
	uint32_t port = settings->port, n = settings->n_targets * n_loops;
	int r;

	if (port && port + n - 1 > UINT16_MAX)
		return shunt_err(-EINVAL, "port %u leaves no room for %u listeners", port, n);
	r = sockets_init(s, settings->n_targets, n_loops);
	if (r < 0)
		return shunt_err(r, "cannot listen: out of memory");
	s->mark = mark;
	for (uint32_t i = 0; i < n && !r; i++)
		r = open_pair(s->fds[i], port ? (uint16_t)(port + i) : 0, mark, settings);
	if (r < 0)
		sockets_close(s);
	else if (s->fds[0][1] < 0)
		shunt_warn("no IPv6 on this host: IPv6 flows are not served");
	return r;
}

static int register_family(struct sockets *s, struct shunt *shunt, int target, uint32_t nth,
			   int v6)
{
	int fds[SHUNT_TARGET_SLOTS];

	for (uint32_t i = 0; i < s->n_loops; i++)
		fds[i] = s->fds[nth * s->n_loops + i][v6];
	return shunt_target_set_sockets(shunt, target, v6, fds, s->n_loops, SHUNT_TARGET_PLAIN,
					getpid());
}

int sockets_register(struct sockets *s, struct shunt *shunt, const struct settings *settings)
{
	for (uint32_t i = 0; i < s->n_targets; i++) {
		int target = shunt_target_get(shunt, settings->targets[i]->name);
		int r = target < 0 ? target : 0;

		for (int v6 = 0; v6 < 2 && !r; v6++)
			r = register_family(s, shunt, target, i, v6);
		if (r)
			return r;
	}
	s->registered = true;
	return 0;
}

void sockets_unregister(struct sockets *s, struct shunt *shunt, const struct settings *settings)
{
	for (uint32_t i = 0; i < s->n_targets && s->registered; i++) {
		int target = shunt_target_find(shunt, settings->targets[i]->name);

		for (int v6 = 0; v6 < 2 && target >= 0; v6++)
			shunt_target_set_sockets(shunt, target, v6, NULL, 0, SHUNT_TARGET_PLAIN,
						 0);
	}
	s->registered = false;
}
