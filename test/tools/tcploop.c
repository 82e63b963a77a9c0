/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcploop: one TCP end that does what its arguments say, in their order, and fails with the
 * first one that does not come true. For the rare sequences: resets with data before them,
 * half-closes, readers that stall.
 */
#include "lib/args.h"
#include "lib/pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: tcploop [-t SECONDS] [-v] ACTION ...\n"
	"\n"
	"  listen ADDR:PORT     and say `ready` on stderr\n"
	"  accept               one connection of the listener; closes the one before\n"
	"  bind ADDR:PORT       source of the next connect\n"
	"  rcvbuf:N             receive buffer of the next connect or of accepted connections\n"
	"  connect ADDR:PORT\n"
	"  connect-refused ADDR:PORT  the peer must answer with a reset\n"
	"  connect-reset ADDR:PORT  connected or not, a reset comes and no byte before it\n"
	"  send:N               N bytes of the pattern\n"
	"  drain                until the peer has acknowledged all\n"
	"  recv:N               exactly N bytes, checked against the pattern\n"
	"  recv-all             to the end of stream; a reset is a failure; prints the count\n"
	"  shut-wr              half-close\n"
	"  close\n"
	"  rst                  close with a reset\n"
	"  wait-file:PATH       until the file exists\n"
	"  make-file:PATH\n"
	"  expect-eof           the end of stream, now\n"
	"  expect-rst           a reset, now, and no byte before it\n"
	"  print                `local ADDR:PORT` and `remote ADDR:PORT`\n"
	"  mptcp                sockets from here on are of Multipath TCP\n"
	"  fastopen             data of the next connect goes with its SYN; a listener takes it\n"
	"  oobinline            urgent data stay in the stream\n"
	"  send-urgent:N        N bytes, the last of them urgent\n"
	"  repeat:N             all that follows, N times\n"
	"\n"
	"-t: limit for each action (default 60). Exit 0 if all came true.\n";

struct loop {
	int listener, fd;
	bool client;
	uint64_t sent, received;
	uint64_t rcvbuf;
	int protocol;
	bool fastopen;
	int timeout_ms;
	struct sockaddr_storage from;
	bool has_from;
	const char *action; /* for messages */
};

static void fail(const struct loop *l, const char *what)
{
	die("%s: %s, after %" PRIu64 " bytes sent and %" PRIu64 " received", l->action, what,
	    l->sent, l->received);
}

static void wait_io(const struct loop *l, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, l->timeout_ms) == 0)
		fail(l, "timed out");
}

static void need_connection(const struct loop *l)
{
	if (l->fd < 0)
		die_usage("%s: no connection", l->action);
}

static void new_connection(struct loop *l, int fd, bool client)
{
	int on = 1;

	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	l->client = client;
	l->sent = l->received = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int new_socket(const struct loop *l, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, l->protocol);
	int size = (int)l->rcvbuf, on = 1;

	if (fd < 0)
		fail(l, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (l->rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static void do_listen(struct loop *l, const char *text)
{
	struct sockaddr_storage at;
	int queue = 128;

	arg_sockaddr(&at, text);
	l->listener = new_socket(l, at.ss_family);
	if (bind(l->listener, (struct sockaddr *)&at, sockaddr_len(&at)) ||
	    (l->fastopen && setsockopt(l->listener, IPPROTO_TCP, TCP_FASTOPEN, &queue,
				       sizeof(queue))) ||
	    listen(l->listener, 128))
		fail(l, strerror(errno));
	fprintf(stderr, "ready\n");
}

static void do_accept(struct loop *l, const char *text)
{
	int fd;

	(void)text;
	if (l->listener < 0)
		die_usage("accept: not listening");
	wait_io(l, l->listener, POLLIN);
	fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		fail(l, strerror(errno));
	new_connection(l, fd, false);
}

static void do_bind(struct loop *l, const char *text)
{
	arg_sockaddr(&l->from, text);
	l->has_from = true;
}

/* 0 or the error of connect(2). */
static int try_connect(struct loop *l, const char *text)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(int);
	int fd, error = 0, on = 1;

	arg_sockaddr(&to, text);
	fd = new_socket(l, to.ss_family);
	if (l->has_from && bind(fd, (struct sockaddr *)&l->from, sockaddr_len(&l->from)))
		fail(l, strerror(errno));
	if (l->fastopen &&
	    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)))
		fail(l, strerror(errno));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&to, sockaddr_len(&to)) && errno != EINPROGRESS)
		return errno;
	wait_io(l, fd, POLLOUT);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	fcntl(fd, F_SETFL, 0);
	new_connection(l, fd, true);
	return error;
}

static void do_connect(struct loop *l, const char *text)
{
	int error = try_connect(l, text);

	if (error)
		fail(l, strerror(error));
}

static void do_connect_refused(struct loop *l, const char *text)
{
	int error = try_connect(l, text);

	if (error != ECONNREFUSED)
		fail(l, error ? strerror(error) : "connected");
}

static void do_expect_rst(struct loop *l, const char *text);

/* The reset may be there before connect() is looked at. */
static void do_connect_reset(struct loop *l, const char *text)
{
	int error = try_connect(l, text);

	if (!error)
		do_expect_rst(l, NULL);
	else if (error != ECONNRESET)
		fail(l, strerror(error));
}

static void do_rcvbuf(struct loop *l, const char *text)
{
	l->rcvbuf = arg_u64("size", text, 1 << 30);
}

static void send_pattern(struct loop *l, uint64_t n, int flags)
{
	uint64_t key = pattern_key(0, l->client);
	uint8_t buf[65536];

	need_connection(l);
	while (n) {
		size_t want = n < sizeof(buf) ? (size_t)n : sizeof(buf);
		ssize_t r;

		wait_io(l, l->fd, POLLOUT);
		pattern_fill(buf, want, key, l->sent);
		r = send(l->fd, buf, want, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
		if (r < 0 && errno != EAGAIN)
			fail(l, strerror(errno));
		if (r > 0) {
			l->sent += (uint64_t)r;
			n -= (uint64_t)r;
		}
	}
}

static void do_send(struct loop *l, const char *text)
{
	send_pattern(l, arg_u64("count", text, UINT64_MAX), 0);
}

static void do_send_urgent(struct loop *l, const char *text)
{
	send_pattern(l, arg_u64("count", text, 65536), MSG_OOB);
}

static void do_oobinline(struct loop *l, const char *text)
{
	int on = 1;

	(void)text;
	need_connection(l);
	if (setsockopt(l->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)))
		fail(l, strerror(errno));
}

static void do_mptcp(struct loop *l, const char *text)
{
	(void)text;
	l->protocol = IPPROTO_MPTCP;
}

static void do_fastopen(struct loop *l, const char *text)
{
	(void)text;
	l->fastopen = true;
}

/* Poll for a condition that has no file descriptor event. */
static void wait_until(const struct loop *l, bool (*holds)(const struct loop *l, const char *arg),
		       const char *arg)
{
	uint64_t until = now_ns() + (uint64_t)l->timeout_ms * 1000000;

	while (!holds(l, arg)) {
		if (now_ns() > until)
			fail(l, "timed out");
		usleep(2000);
	}
}

static bool is_drained(const struct loop *l, const char *arg)
{
	int left = 0;

	(void)arg;
	if (ioctl(l->fd, SIOCOUTQ, &left))
		fail(l, strerror(errno));
	return left == 0;
}

static void do_drain(struct loop *l, const char *text)
{
	(void)text;
	need_connection(l);
	wait_until(l, is_drained, NULL);
}

static bool file_exists(const struct loop *l, const char *path)
{
	(void)l;
	return access(path, F_OK) == 0;
}

static void do_wait_file(struct loop *l, const char *text)
{
	wait_until(l, file_exists, text);
}

static void do_make_file(struct loop *l, const char *text)
{
	int fd = open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		fail(l, strerror(errno));
	close(fd);
}

/* Bytes, 0 at the end of stream, or -errno. At most max bytes, checked. */
static ssize_t receive(struct loop *l, uint64_t max)
{
	uint8_t buf[65536];
	ssize_t r;

	wait_io(l, l->fd, POLLIN);
	r = recv(l->fd, buf, max < sizeof(buf) ? (size_t)max : sizeof(buf), 0);
	if (r < 0)
		return -errno;
	if (pattern_check(buf, (size_t)r, pattern_key(0, !l->client), l->received) >= 0)
		fail(l, "wrong byte");
	l->received += (uint64_t)r;
	return r;
}

static void do_recv(struct loop *l, const char *text)
{
	uint64_t n = arg_u64("count", text, UINT64_MAX);
	ssize_t r;

	need_connection(l);
	for (; n; n -= (uint64_t)r) {
		r = receive(l, n);
		if (r <= 0)
			fail(l, r ? strerror((int)-r) : "end of stream");
	}
}

static void do_recv_all(struct loop *l, const char *text)
{
	ssize_t r;

	(void)text;
	need_connection(l);
	while ((r = receive(l, UINT64_MAX)) > 0)
		;
	if (r < 0)
		fail(l, strerror((int)-r));
	printf("recv-all %" PRIu64 "\n", l->received);
}

static void do_expect_eof(struct loop *l, const char *text)
{
	ssize_t r;

	(void)text;
	need_connection(l);
	r = receive(l, 1);
	if (r)
		fail(l, r > 0 ? "a byte came" : strerror((int)-r));
}

static void do_expect_rst(struct loop *l, const char *text)
{
	ssize_t r;

	(void)text;
	need_connection(l);
	r = receive(l, 1);
	if (r != -ECONNRESET)
		fail(l, r > 0 ? "a byte came" : r ? strerror((int)-r) : "end of stream");
}

static void do_shut_wr(struct loop *l, const char *text)
{
	(void)text;
	need_connection(l);
	if (shutdown(l->fd, SHUT_WR))
		fail(l, strerror(errno));
}

static void do_close(struct loop *l, const char *text)
{
	(void)text;
	need_connection(l);
	close(l->fd);
	l->fd = -1;
}

static void do_rst(struct loop *l, const char *text)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	need_connection(l);
	setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	do_close(l, text);
}

static void do_print(struct loop *l, const char *text)
{
	struct sockaddr_storage local, remote;
	socklen_t n = sizeof(local), m = sizeof(remote);
	char buf[ADDR_STR];

	(void)text;
	need_connection(l);
	if (getsockname(l->fd, (struct sockaddr *)&local, &n) ||
	    getpeername(l->fd, (struct sockaddr *)&remote, &m))
		fail(l, strerror(errno));
	printf("local %s\n", sockaddr_str(buf, &local));
	printf("remote %s\n", sockaddr_str(buf, &remote));
	fflush(stdout);
}

enum operand { NONE, NEXT_WORD, AFTER_COLON };

static const struct action {
	const char *name;
	enum operand operand;
	void (*run)(struct loop *l, const char *text);
} actions[] = {
	{ "listen", NEXT_WORD, do_listen },
	{ "accept", NONE, do_accept },
	{ "bind", NEXT_WORD, do_bind },
	{ "rcvbuf", AFTER_COLON, do_rcvbuf },
	{ "connect", NEXT_WORD, do_connect },
	{ "connect-refused", NEXT_WORD, do_connect_refused },
	{ "connect-reset", NEXT_WORD, do_connect_reset },
	{ "send", AFTER_COLON, do_send },
	{ "drain", NONE, do_drain },
	{ "recv", AFTER_COLON, do_recv },
	{ "recv-all", NONE, do_recv_all },
	{ "shut-wr", NONE, do_shut_wr },
	{ "close", NONE, do_close },
	{ "rst", NONE, do_rst },
	{ "wait-file", AFTER_COLON, do_wait_file },
	{ "make-file", AFTER_COLON, do_make_file },
	{ "expect-eof", NONE, do_expect_eof },
	{ "expect-rst", NONE, do_expect_rst },
	{ "print", NONE, do_print },
	{ "mptcp", NONE, do_mptcp },
	{ "fastopen", NONE, do_fastopen },
	{ "oobinline", NONE, do_oobinline },
	{ "send-urgent", AFTER_COLON, do_send_urgent },
};

static const struct action *find_action(const char *word, const char **operand)
{
	size_t n = strcspn(word, ":");

	*operand = word[n] ? word + n + 1 : NULL;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		const struct action *a = &actions[i];

		if (strlen(a->name) == n && !strncmp(a->name, word, n) &&
		    (a->operand == AFTER_COLON) == (*operand != NULL))
			return a;
	}
	die_usage("action '%s': unknown", word);
}

static void run_actions(struct loop *l, char **words, bool verbose)
{
	for (; *words; words++) {
		const char *operand;
		const struct action *a;

		l->action = *words;
		if (!strncmp(*words, "repeat:", 7)) {
			uint64_t n = arg_u64("count", *words + 7, UINT64_MAX);

			while (n--)
				run_actions(l, words + 1, verbose && !n);
			return;
		}
		a = find_action(*words, &operand);
		if (a->operand == NEXT_WORD) {
			if (!*++words)
				die_usage("%s: no address", a->name);
			operand = *words;
		}
		a->run(l, operand);
		if (verbose)
			fprintf(stderr, "%s done\n", l->action);
	}
}

int main(int argc, char **argv)
{
	struct loop l = { .listener = -1, .fd = -1, .timeout_ms = 60000 };
	bool verbose = false;
	int c;

	while ((c = getopt(argc, argv, "+t:vh")) != -1) {
		switch (c) {
		case 't': l.timeout_ms = (int)arg_u64("seconds", optarg, 86400) * 1000; break;
		case 'v': verbose = true; break;
		case 'h': fputs(usage_text, stdout); return 0;
		default: fputs(usage_text, stderr); return 2;
		}
	}
	if (optind == argc) {
		fputs(usage_text, stderr);
		return 2;
	}
	run_actions(&l, argv + optind, verbose);
	return 0;
}
