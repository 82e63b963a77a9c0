/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * slowpokes: many connections to a flowgen server that read, or send, one byte a second. Every
 * byte is checked. For relays that must not let the slow take from the rest.
 */
#include "lib/args.h"
#include "lib/flow.h"
#include "lib/pattern.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: slowpokes read|send|mute COUNT ADDR:PORT BYTES\n"
	"\n"
	"read: ask the server for BYTES on each connection, and take one a second.\n"
	"send: announce BYTES, and send one a second.\n"
	"mute: announce BYTES, and send none.\n"
	"Says `ready` on stderr when all are connected. Reports on SIGUSR1 and at the end, on\n"
	"SIGTERM, in a line of JSON: alive, ended, wrong, bytes. Sizes take K, M and G.\n";

enum mode { READ, SEND, MUTE };

static volatile sig_atomic_t want_report, want_end;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		want_report = 1;
	else
		want_end = 1;
}

struct crowd {
	struct flow *flows;
	size_t n, alive, wrong;
	uint64_t bytes;
	enum mode mode;
};

static void connect_one(struct flow *f, const struct sockaddr_storage *to)
{
	struct pollfd p;
	int error = 0;
	socklen_t len = sizeof(error);

	flow_connect(f, to, NULL);
	if (f->result)
		die("cannot connect: %s", strerror(f->error));
	p = (struct pollfd){ .fd = f->fd, .events = POLLOUT };
	if (poll(&p, 1, 60000) <= 0)
		die("cannot connect: no answer");
	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		die("cannot connect: %s", strerror(error));
	if (send(f->fd, f->header, FLOW_HEADER_LEN, MSG_NOSIGNAL) != FLOW_HEADER_LEN)
		die("cannot send: %s", strerror(errno));
}

static void crowd_connect(struct crowd *c, const struct sockaddr_storage *to, uint64_t bytes)
{
	c->flows = calloc(c->n, sizeof(*c->flows));
	if (!c->flows)
		die("out of memory");
	for (size_t i = 0; i < c->n; i++) {
		struct flow *f = &c->flows[i];

		f->id = i + 1;
		/* So that the server has not finished before we do. */
		f->order = c->mode == READ ? FLOW_FREE : FLOW_SERVER_WAITS;
		f->down = c->mode == READ ? bytes : 1;
		f->up = c->mode == READ ? 0 : bytes;
		connect_one(f, to);
		c->alive++;
	}
}

static void gone(struct crowd *c, struct flow *f)
{
	flow_close(f);
	c->alive--;
}

static void read_one(struct crowd *c, struct flow *f)
{
	uint8_t byte;
	ssize_t r = recv(f->fd, &byte, 1, MSG_DONTWAIT);

	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0) {
		gone(c, f);
		return;
	}
	if (pattern_check(&byte, 1, pattern_key(f->id, 0), f->received) >= 0)
		c->wrong++;
	f->received++;
	c->bytes++;
}

static void send_one(struct crowd *c, struct flow *f)
{
	uint8_t byte;
	ssize_t r;

	pattern_fill(&byte, 1, pattern_key(f->id, 1), f->sent);
	r = send(f->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r < 0 && errno != EAGAIN) {
		gone(c, f);
		return;
	}
	f->sent += r > 0;
	c->bytes += r > 0;
}

/* A mute end is alone in noticing nothing but the end. */
static void look_for_end(struct crowd *c, struct flow *f)
{
	uint8_t byte;
	ssize_t r = recv(f->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (!r || (r < 0 && errno != EAGAIN))
		gone(c, f);
}

static void everyone(struct crowd *c)
{
	static void (*const turn[])(struct crowd *c, struct flow *f) = {
		[READ] = read_one, [SEND] = send_one, [MUTE] = look_for_end,
	};

	for (size_t i = 0; i < c->n; i++)
		if (c->flows[i].fd >= 0)
			turn[c->mode](c, &c->flows[i]);
}

static void report(const struct crowd *c)
{
	printf("{\"alive\":%zu,\"ended\":%zu,\"wrong\":%zu,\"bytes\":%" PRIu64 "}\n", c->alive,
	       c->n - c->alive, c->wrong, c->bytes);
	fflush(stdout);
}

static void run(struct crowd *c)
{
	/* A mute crowd only watches, so it can do that closely. */
	uint64_t gap = c->mode == MUTE ? 20000000 : 1000000000, next = now_ns();

	while (!want_end) {
		uint64_t now = now_ns();

		if (now >= next) {
			everyone(c);
			next += gap;
			continue;
		}
		poll(NULL, 0, (int)((next - now) / 1000000) + 1);
		if (want_report) {
			want_report = 0;
			report(c);
		}
	}
	report(c);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sockaddr_storage to;
	struct crowd crowd = { .n = 0 };

	if (argc != 5 || (strcmp(argv[1], "read") && strcmp(argv[1], "send") &&
			  strcmp(argv[1], "mute"))) {
		fputs(usage_text, stderr);
		return 2;
	}
	crowd.mode = *argv[1] == 'r' ? READ : *argv[1] == 's' ? SEND : MUTE;
	crowd.n = arg_u64("count", argv[2], 100000);
	arg_sockaddr(&to, argv[3]);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	crowd_connect(&crowd, &to, arg_u64("bytes", argv[4], UINT64_MAX));
	fprintf(stderr, "ready\n");
	run(&crowd);
	free(crowd.flows);
	return 0;
}
