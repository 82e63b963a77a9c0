/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flow.h"
#include "args.h"
#include "pattern.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	FLOW_MAGIC = 0x666c6f77,
	CHUNK = 65536,
	CHUNKS_PER_STEP = 8, /* so that one fast flow does not starve the others */
};

const char *const flow_result_names[FLOW_RESULTS] = {
	[FLOW_RUNNING] = "running",   [FLOW_OK] = "ok",
	[FLOW_SHORT] = "short",	      [FLOW_EXCESS] = "excess",
	[FLOW_MISMATCH] = "mismatched", [FLOW_RESET] = "resets",
	[FLOW_NO_CONNECT] = "no_connect", [FLOW_STUCK] = "stuck",
};

static void header_write(struct flow *f)
{
	uint64_t words[4] = {
		htobe64((uint64_t)FLOW_MAGIC << 32 | f->order),
		htobe64(f->id),
		htobe64(f->up),
		htobe64(f->down),
	};

	memcpy(f->header, words, sizeof(words));
}

static int header_read(struct flow *f)
{
	uint64_t words[4];

	memcpy(words, f->header, sizeof(words));
	if (be64toh(words[0]) >> 32 != FLOW_MAGIC || (uint32_t)be64toh(words[0]) >= FLOW_ORDERS)
		return -EPROTO;
	f->order = (enum flow_order)(uint32_t)be64toh(words[0]);
	f->id = be64toh(words[1]);
	f->up = be64toh(words[2]);
	f->down = be64toh(words[3]);
	return 0;
}

static bool header_done(const struct flow *f)
{
	return f->header_at == FLOW_HEADER_LEN;
}

static uint64_t to_send(const struct flow *f)
{
	if (f->order == FLOW_ECHO)
		return f->client ? f->echo_want : f->received;
	return f->client ? f->up : f->down;
}

static uint64_t to_receive(const struct flow *f)
{
	if (f->order == FLOW_ECHO)
		return f->client ? f->sent : UINT64_MAX;
	return f->client ? f->down : f->up;
}

static bool may_send(const struct flow *f)
{
	switch (f->order) {
	case FLOW_SERVER_WAITS:
		return f->client || f->eof_seen;
	case FLOW_CLIENT_WAITS:
		return !f->client || f->eof_seen;
	case FLOW_CLIENT_RST:
		return f->client || f->received == f->up;
	default:
		return true;
	}
}

static bool may_fin(const struct flow *f)
{
	if (f->sent < to_send(f))
		return false;
	switch (f->order) {
	case FLOW_CLIENT_FIN_LAST:
		return !f->client || f->eof_seen;
	case FLOW_SERVER_FIN_LAST:
	case FLOW_ECHO:
		return f->client ? f->order != FLOW_ECHO : f->eof_seen;
	case FLOW_CLIENT_RST:
		return false;
	default:
		return true;
	}
}

static void flow_failed(struct flow *f, int error)
{
	bool complete = f->received == to_receive(f) && f->sent == to_send(f);

	f->error = error;
	if (f->connecting)
		f->result = FLOW_NO_CONNECT;
	else if (f->order == FLOW_CLIENT_RST && !f->client && complete && error == ECONNRESET)
		f->result = FLOW_OK;
	else
		f->result = FLOW_RESET;
}

/* 1: went on, 0: would block, -1: the flow has ended */
static int send_bytes(struct flow *f, const void *buf, size_t n, size_t *went)
{
	ssize_t r = send(f->fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	*went = r > 0 ? (size_t)r : 0;
	if (r >= 0)
		return 1;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	flow_failed(f, errno);
	return -1;
}

static void step_send(struct flow *f)
{
	uint8_t buf[CHUNK];
	size_t went;

	if (f->client && !header_done(f)) {
		if (send_bytes(f, f->header + f->header_at, FLOW_HEADER_LEN - f->header_at,
			       &went) <= 0)
			return;
		f->header_at += (uint32_t)went;
		f->progress = now_ns();
	}
	if (!header_done(f) || !may_send(f))
		return;
	for (int i = 0; i < CHUNKS_PER_STEP && f->sent < to_send(f); i++) {
		uint64_t left = to_send(f) - f->sent;
		size_t n = left < sizeof(buf) ? (size_t)left : sizeof(buf);

		/* An echo is the same pattern in both directions. */
		pattern_fill(buf, n, pattern_key(f->id, f->client || f->order == FLOW_ECHO),
			     f->sent);
		if (send_bytes(f, buf, n, &went) <= 0)
			return;
		f->sent += went;
		f->progress = now_ns();
	}
}

static void received_bytes(struct flow *f, const uint8_t *buf, size_t n)
{
	size_t take;

	f->progress = now_ns();
	if (!f->client && !header_done(f)) {
		take = FLOW_HEADER_LEN - f->header_at;
		if (take > n)
			take = n;
		memcpy(f->header + f->header_at, buf, take);
		f->header_at += (uint32_t)take;
		buf += take;
		n -= take;
		if (header_done(f) && header_read(f))
			f->result = FLOW_MISMATCH;
		if (!header_done(f) || f->result)
			return;
	}
	if (pattern_check(buf, n, pattern_key(f->id, !f->client || f->order == FLOW_ECHO),
			  f->received) >= 0)
		f->result = FLOW_MISMATCH;
	else if (n > to_receive(f) - f->received)
		f->result = FLOW_EXCESS;
	f->received += n;
}

static void step_receive(struct flow *f)
{
	uint8_t buf[CHUNK];

	for (int i = 0; i < CHUNKS_PER_STEP && !f->result && !f->eof_seen; i++) {
		ssize_t r = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (r > 0) {
			received_bytes(f, buf, (size_t)r);
		} else if (r == 0) {
			f->eof_seen = true;
			f->progress = now_ns();
			/* A client of the echo closes first, or something is wrong. */
			if (!header_done(f) ||
			    (f->order == FLOW_ECHO ? f->client : f->received < to_receive(f)))
				f->result = FLOW_SHORT;
		} else if (errno == EAGAIN || errno == EINTR) {
			return;
		} else {
			flow_failed(f, errno);
		}
	}
}

static void step_finish(struct flow *f)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (f->client && f->order == FLOW_CLIENT_RST && f->received == f->down) {
		setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		f->result = FLOW_OK;
		return;
	}
	if (!f->fin_sent && header_done(f) && may_fin(f)) {
		if (shutdown(f->fd, SHUT_WR)) {
			flow_failed(f, errno);
			return;
		}
		f->fin_sent = true;
		f->progress = now_ns();
	}
	if (f->fin_sent && f->eof_seen)
		f->result = FLOW_OK;
}

static bool step_connected(struct flow *f)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		flow_failed(f, error);
		return false;
	}
	f->connecting = false;
	f->progress = now_ns();
	return true;
}

void flow_step(struct flow *f, uint32_t epoll_events)
{
	if (f->result)
		return;
	if (f->connecting) {
		if (!(epoll_events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) || !step_connected(f))
			return;
	}
	/* Receive first: a reset must not hide bytes that came before it. */
	step_receive(f);
	if (!f->result)
		step_send(f);
	if (!f->result)
		step_finish(f);
}

uint32_t flow_wants(const struct flow *f)
{
	uint32_t events = 0;

	if (f->connecting)
		return EPOLLOUT;
	if (!f->eof_seen)
		events |= EPOLLIN;
	if (f->client && !header_done(f))
		events |= EPOLLOUT;
	else if (header_done(f) && may_send(f) && f->sent < to_send(f))
		events |= EPOLLOUT;
	return events;
}

void flow_connect(struct flow *f, const struct sockaddr_storage *to,
		  const struct sockaddr_storage *bind_to)
{
	int on = 1;

	f->client = true;
	f->connecting = true;
	f->started = f->progress = now_ns();
	header_write(f);
	f->fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		die("cannot make a socket: %s", strerror(errno));
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind_to) {
		setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(f->fd, (const struct sockaddr *)bind_to, sockaddr_len(bind_to))) {
			flow_failed(f, errno);
			return;
		}
	}
	if (connect(f->fd, (const struct sockaddr *)to, sockaddr_len(to)) && errno != EINPROGRESS)
		flow_failed(f, errno);
}

void flow_accept(struct flow *f, int fd)
{
	int on = 1;

	f->fd = fd;
	f->started = f->progress = now_ns();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void flow_close(struct flow *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
