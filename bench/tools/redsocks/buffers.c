/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * redsocks-buffers.so, to be preloaded into redsocks: gives it buffers of RELAY_BUFFER bytes.
 * redsocks has no setting for that. It asks libevent to stop reading at 4 KiB waiting, and
 * libevent 2.1 reads 4 KiB at a time and writes 16: with less than other proxies have, it would
 * not be compared at its best.
 */
#include <dlfcn.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { HALF_BUFFER = 4096 }; /* of redsocks */

static size_t buffer_size(void)
{
	static size_t size;
	const char *text;

	if (!size) {
		text = getenv("RELAY_BUFFER");
		size = text ? strtoul(text, NULL, 10) : 0;
		if (!size)
			abort(); /* whoever preloads this says how much */
	}
	return size;
}

int evbuffer_read(struct evbuffer *buf, evutil_socket_t fd, int howmuch)
{
	size_t size = howmuch < 0 ? buffer_size() : (size_t)howmuch;
	struct evbuffer_iovec room;
	ssize_t n;

	if (evbuffer_reserve_space(buf, (ev_ssize_t)size, &room, 1) < 1)
		return -1;
	n = recv(fd, room.iov_base, room.iov_len < size ? room.iov_len : size, 0);
	if (n <= 0)
		return (int)n;
	room.iov_len = (size_t)n;
	return evbuffer_commit_space(buf, &room, 1) < 0 ? -1 : (int)n;
}

void bufferevent_setwatermark(struct bufferevent *b, short events, size_t low, size_t high)
{
	void (*real)(struct bufferevent *, short, size_t, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "bufferevent_setwatermark");
	/* Less is the length of an answer of its SOCKS5 server, of which it wants no byte more. */
	if (high >= HALF_BUFFER) {
		high = buffer_size();
		bufferevent_set_max_single_read(b, high);
		bufferevent_set_max_single_write(b, high);
	}
	real(b, events, low, high);
}
