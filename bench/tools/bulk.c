/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes as fast as they go, over some connections, one way. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "load.h"
#include "window.h"

enum { CHUNK = 256 * 1024, TURN = 4, EVENTS = 64 };

struct bulk {
	const struct load_options *options;
	bool down;
	int epoll;
	int *fds;
	char *chunk;
	uint64_t bytes;
};

static int open_all(struct bulk *b)
{
	const struct load_options *o = b->options;
	struct epoll_event e = { .events = b->down ? EPOLLIN : EPOLLOUT };

	for (uint32_t i = 0; i < o->parallel; i++) {
		b->fds[i] = load_connect(o, i);
		if (b->fds[i] < 0)
			return b->fds[i];
		e.data.fd = b->fds[i];
		if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->fds[i], &e) < 0)
			return -errno;
	}
	return 0;
}

/* A few chunks at once; not until EAGAIN, so that no connection starves the others. */
static int move(struct bulk *b, int fd)
{
	for (int i = 0; i < TURN; i++) {
		ssize_t n = b->down ? recv(fd, b->chunk, CHUNK, 0)
				    : send(fd, b->chunk, CHUNK, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -errno;
		if (!n)
			return -EPIPE;
		b->bytes += (uint64_t)n;
		if (n < CHUNK)
			return 0;
	}
	return 0;
}

static int loop(struct bulk *b, struct window *w)
{
	struct epoll_event events[EVENTS];
	bool just_opened;
	uint64_t now;
	int r;

	for (;;) {
		now = clock_now();
		if (!window_go_on(w, now, &just_opened))
			return w->error;
		if (just_opened)
			b->bytes = 0;
		int n = epoll_wait(b->epoll, events, EVENTS, window_timeout(w, now));

		for (int i = 0; i < n; i++) {
			r = move(b, events[i].data.fd);
			if (r < 0)
				return r;
		}
	}
}

static void print(const struct bulk *b, const struct window *w)
{
	printf("{\"bytes\":%" PRIu64 ",", b->bytes);
	window_print(w);
	printf("}\n");
}

int bulk_run(const struct load_options *o, bool down)
{
	struct bulk b = { .options = o, .down = down, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct window w;
	int r = -ENOMEM;

	b.fds = calloc(o->parallel, sizeof(*b.fds));
	b.chunk = calloc(1, CHUNK);
	if (b.epoll < 0 || !b.fds || !b.chunk)
		goto out;
	window_plan(&w, o);
	r = open_all(&b);
	if (!r)
		r = loop(&b, &w);
	if (!r && !b.bytes)
		r = -ETIMEDOUT;
	if (!r)
		print(&b, &w);
out:
	for (uint32_t i = 0; b.fds && i < o->parallel; i++)
		if (b.fds[i] > 0)
			close(b.fds[i]);
	if (b.epoll >= 0)
		close(b.epoll);
	free(b.fds);
	free(b.chunk);
	return r;
}
