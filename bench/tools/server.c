/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * relay-server: the server of the relay benchmark. One thread, one epoll. What a connection is
 * for depends on the port it came to:
 *
 *   sink    everything is read and thrown away
 *   source  bytes without end
 *   echo    what came is sent back
 *   who     the address and port it came from, as text
 *   socks   SOCKS5 without authentication, for redirectors that can only speak to such a proxy:
 *           the connection then is what the port asked for means here, with no second relay on
 *           the way
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum role { ROLE_NONE, ROLE_SINK, ROLE_SOURCE, ROLE_ECHO, ROLE_WHO, ROLE_SOCKS, ROLE_SOCKS_2 };

static const char *const role_names[] = {
	[ROLE_SINK] = "sink",
	[ROLE_SOURCE] = "source",
	[ROLE_ECHO] = "echo",
	[ROLE_WHO] = "who",
	[ROLE_SOCKS] = "socks",
};

enum { CHUNK = 256 * 1024, FDS_MAX = 1 << 16, EVENTS = 256, BACKLOG = 4096 };

struct server {
	int epoll;
	uint8_t port_roles[1 << 16];
	uint8_t fd_roles[FDS_MAX];
	uint8_t is_listener[FDS_MAX];
	char chunk[CHUNK];
};

static int watch(struct server *s, int operation, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(s->epoll, operation, fd, &e) < 0 ? -errno : 0;
}

static int send_all(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOBUFS;
}

static int tell_who(int fd)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	char line[64], address[INET_ADDRSTRLEN];

	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return -errno;
	inet_ntop(AF_INET, &peer.sin_addr, address, sizeof(address));
	snprintf(line, sizeof(line), "%s %u\n", address, ntohs(peer.sin_port));
	return send_all(fd, line, strlen(line));
}

static int start_role(struct server *s, int fd, enum role role, int operation)
{
	int r = watch(s, operation, fd, role == ROLE_SOURCE ? EPOLLOUT : EPOLLIN);

	s->fd_roles[fd] = role;
	if (!r && role == ROLE_WHO)
		r = tell_who(fd);
	return r;
}

static void accept_all(struct server *s, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (fd >= FDS_MAX || start_role(s, fd, s->fd_roles[listener], EPOLL_CTL_ADD) < 0)
			close(fd);
	}
}

/* Each message of the other side waits for our answer to the last: they come one by one. */
static int speak_socks(struct server *s, int fd, const char *data, size_t size)
{
	static const char method[] = { 5, 0 };
	static const char done[] = { 5, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	uint16_t port;
	int r;

	if (s->fd_roles[fd] == ROLE_SOCKS) {
		if (size < 3 || data[0] != 5)
			return -EPROTO;
		s->fd_roles[fd] = ROLE_SOCKS_2;
		return send_all(fd, method, sizeof(method));
	}
	/* version, connect, reserved, IPv4, address, port */
	if (size != 10 || memcmp(data, "\5\1\0\1", 4))
		return -EPROTO;
	memcpy(&port, data + 8, sizeof(port));
	port = ntohs(port);
	if (!s->port_roles[port] || s->port_roles[port] == ROLE_SOCKS)
		return -ECONNREFUSED;
	r = send_all(fd, done, sizeof(done));
	return r < 0 ? r : start_role(s, fd, s->port_roles[port], EPOLL_CTL_MOD);
}

static int serve(struct server *s, int fd)
{
	enum role role = s->fd_roles[fd];
	ssize_t n;

	if (role == ROLE_SOURCE) {
		n = send(fd, s->chunk, CHUNK, MSG_NOSIGNAL);
		return n < 0 && errno != EAGAIN ? -errno : 0;
	}
	n = recv(fd, s->chunk, CHUNK, 0);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (!n)
		return -ECONNABORTED;
	if (role == ROLE_ECHO)
		return send_all(fd, s->chunk, (size_t)n);
	if (role == ROLE_SOCKS || role == ROLE_SOCKS_2)
		return speak_socks(s, fd, s->chunk, (size_t)n);
	return 0;
}

static int listen_on(struct server *s, enum role role, unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	s->port_roles[port] = s->fd_roles[fd] = role;
	s->is_listener[fd] = 1;
	return watch(s, EPOLL_CTL_ADD, fd, EPOLLIN);
}

/* ROLE=PORT or ROLE=FIRST-LAST */
static int add_role(struct server *s, const char *text)
{
	unsigned first, last;
	char name[16];
	int n = sscanf(text, "%15[a-z]=%u-%u", name, &first, &last);
	int r = 0;

	if (n == 2)
		last = first;
	if (n < 2 || !first || last > 65535)
		return -EINVAL;
	for (int role = ROLE_SINK; role <= ROLE_SOCKS; role++) {
		if (strcmp(name, role_names[role]))
			continue;
		for (unsigned port = first; !r && port <= last; port++)
			r = listen_on(s, role, port);
		return r;
	}
	return -EINVAL;
}

static void loop(struct server *s)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (s->is_listener[fd])
				accept_all(s, fd);
			else if (serve(s, fd) < 0)
				close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	static struct server s; /* too large for the stack */
	struct rlimit limit;
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (argc < 2 || s.epoll < 0) {
		fprintf(stderr, "usage: relay-server ROLE=PORT[-LAST] ...\n"
				"ROLE: sink, source, echo, who or socks\n");
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		r = add_role(&s, argv[i]);
		if (r < 0) {
			fprintf(stderr, "relay-server: '%s': %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	loop(&s);
}
