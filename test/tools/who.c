/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * who: which of several servers gets each of many flows, and when. A server says its name and
 * the address that it was called at; the clients write down who answered. Times are those of
 * CLOCK_MONOTONIC, so that they can be laid beside what others did meanwhile.
 */
#include "lib/args.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: who server NAME=ADDR:PORT ...\n"
	"       who ask RATE SECONDS ADDR:PORT[+COUNT] ...\n"
	"\n"
	"server: answers each connection with 'NAME ADDR:PORT', the address it was made to.\n"
	"ask: RATE new connections a second, to each ADDR:PORT in turn; +COUNT: and to so many\n"
	"addresses from it on; SECONDS 0: once to each. Each prints a line 'BEGIN END ADDR:PORT NAME', in nanoseconds; the\n"
	"name is '-' if nobody answered, and '!' if the answer was to another address. At the end,\n"
	"or at SIGTERM, a report in JSON on stderr; exit 0 if all were answered.\n";

enum { EVENTS = 128, BACKLOG = 4096, MAX_ENDS = 64, BANNER = 128 };
/* What is late after a pause of the machine must not come in one burst that queues cannot hold. */
enum { MAX_OPEN = 256 };
#define SECOND 1000000000ULL
#define PATIENCE (60 * SECOND)
/* The first SYN was lost if it takes so long: it is sent again after a second. */
#define SENT_AGAIN (SECOND * 9 / 10)

static volatile sig_atomic_t want_end;

static void on_signal(int sig)
{
	(void)sig;
	want_end = 1;
}

static void watch(int ep, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event ev = { .events = events, .data.ptr = what };

	if (epoll_ctl(ep, op, fd, &ev))
		die("cannot watch a socket: %s", strerror(errno));
}

/* ---- server ------------------------------------------------------------------------------ */

/* A listener with a name, or a connection that waits for its client's close. */
struct end {
	int fd;
	const char *name; /* NULL: a connection */
	struct end *next, **at;
};

/* All there are, from the first. */
struct ends {
	int ep;
	struct end *first;
};

static struct end *new_end(struct ends *ends, int fd, const char *name)
{
	struct end *e = malloc(sizeof(*e));

	if (!e)
		die("out of memory");
	*e = (struct end){ fd, name, ends->first, &ends->first };
	if (e->next)
		e->next->at = &e->next;
	ends->first = e;
	return e;
}

static void free_end(struct end *e)
{
	*e->at = e->next;
	if (e->next)
		e->next->at = e->at;
	close(e->fd);
	free(e);
}

static void listen_as(struct ends *ends, char *word)
{
	char *at = strchr(word, '=');
	struct sockaddr_storage to;
	int on = 1, fd;

	if (!at)
		die_usage("'%s': not NAME=ADDR:PORT", word);
	*at++ = '\0';
	arg_sockaddr(&to, at);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (to.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, (struct sockaddr *)&to, sockaddr_len(&to)) || listen(fd, BACKLOG))
		die("cannot listen on '%s': %s", at, strerror(errno));
	watch(ends->ep, EPOLL_CTL_ADD, fd, EPOLLIN, new_end(ends, fd, word));
}

static void answer(struct ends *ends, const struct end *listener)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char text[BANNER], addr[ADDR_STR];
	int n, fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return; /* it may have been reset meanwhile */
	if (getsockname(fd, (struct sockaddr *)&at, &len))
		die("cannot ask for an address: %s", strerror(errno));
	n = snprintf(text, sizeof(text), "%s %s\n", listener->name, sockaddr_str(addr, &at));
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) == n)
		watch(ends->ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, new_end(ends, fd, NULL));
	else
		close(fd);
}

static int serve(char **words)
{
	struct ends ends = { .ep = epoll_create1(EPOLL_CLOEXEC) };
	struct epoll_event ev[EVENTS];
	sigset_t signals, before;
	int n;

	for (; *words; words++)
		listen_as(&ends, *words);
	/* Only while it waits: one that came just before the wait would not end it. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &before);
	fprintf(stderr, "ready\n");
	while (!want_end) {
		n = epoll_pwait(ends.ep, ev, EVENTS, -1, &before);
		for (int i = 0; i < n; i++) {
			struct end *e = ev[i].data.ptr;

			if (e->name)
				answer(&ends, e);
			else
				free_end(e);
		}
	}
	while (ends.first)
		free_end(ends.first);
	close(ends.ep);
	return 0;
}

/* ---- ask --------------------------------------------------------------------------------- */

struct destinations {
	struct sockaddr_storage first[MAX_ENDS];
	uint32_t count[MAX_ENDS];
	size_t n;
	size_t word;   /* the next one: of first, */
	uint32_t step; /* and behind it */
};

struct ask {
	int fd;
	uint64_t begin;
	struct sockaddr_storage to;
	struct ask *next, *prev; /* oldest first */
};

struct asker {
	int ep;
	struct ask *first, *last;
	uint64_t open, asked, answered, again;
	uint64_t start;
	uint64_t *by_second; /* answers */
	uint64_t seconds;
};

static void parse_destination(struct destinations *d, char *word)
{
	char *plus = strchr(word, '+');

	if (d->n == MAX_ENDS)
		die_usage("more than %d destinations", MAX_ENDS);
	if (plus)
		*plus++ = '\0';
	arg_sockaddr(&d->first[d->n], word);
	d->count[d->n++] = plus ? (uint32_t)arg_u64("count", plus, 1 << 24) : 1;
}

static void next_destination(struct destinations *d, struct sockaddr_storage *to)
{
	uint32_t *low;

	*to = d->first[d->word];
	low = to->ss_family == AF_INET ? &((struct sockaddr_in *)to)->sin_addr.s_addr
				       : &((struct sockaddr_in6 *)to)->sin6_addr.s6_addr32[3];
	*low = htonl(ntohl(*low) + d->step);
	if (++d->step < d->count[d->word])
		return;
	d->step = 0;
	d->word = (d->word + 1) % d->n;
}

/* A reset instead of a FIN: no socket in TIME_WAIT keeps the port. */
static void end_ask(struct asker *a, struct ask *ask, const char *name)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	uint64_t now = now_ns(), second = (now - a->start) / SECOND;
	char addr[ADDR_STR];

	printf("%" PRIu64 " %" PRIu64 " %s %s\n", ask->begin, now, sockaddr_str(addr, &ask->to),
	       name);
	a->again += now - ask->begin > SENT_AGAIN;
	if (name[0] != '-' && name[0] != '!') {
		a->answered++;
		if (second < a->seconds)
			a->by_second[second]++;
	}
	*(ask->prev ? &ask->prev->next : &a->first) = ask->next;
	*(ask->next ? &ask->next->prev : &a->last) = ask->prev;
	a->open--;
	setsockopt(ask->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(ask->fd);
	free(ask);
}

static void begin_ask(struct asker *a, struct destinations *d)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	if (!ask)
		die("out of memory");
	next_destination(d, &ask->to);
	ask->prev = a->last;
	*(a->last ? &a->last->next : &a->first) = ask;
	a->last = ask;
	a->open++;
	a->asked++;
	ask->fd = socket(ask->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask->fd < 0)
		die("cannot make a socket: %s", strerror(errno));
	ask->begin = now_ns();
	if (connect(ask->fd, (struct sockaddr *)&ask->to, sockaddr_len(&ask->to)) &&
	    errno != EINPROGRESS)
		end_ask(a, ask, "-");
	else
		watch(a->ep, EPOLL_CTL_ADD, ask->fd, EPOLLIN | EPOLLRDHUP, ask);
}

static void hear(struct asker *a, struct ask *ask)
{
	char text[BANNER], addr[ADDR_STR], *space;
	ssize_t n = recv(ask->fd, text, sizeof(text) - 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	/* It was sent in one piece, so it comes in one. */
	if (n <= 0 || text[n - 1] != '\n') {
		end_ask(a, ask, "-");
		return;
	}
	text[n - 1] = '\0';
	space = strchr(text, ' ');
	if (space)
		*space++ = '\0';
	end_ask(a, ask, space && !strcmp(space, sockaddr_str(addr, &ask->to)) ? text : "!");
}

static void ask_poll(struct asker *a, int timeout)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(a->ep, ev, EVENTS, timeout);

	for (int i = 0; i < n; i++)
		hear(a, ev[i].data.ptr);
	while (a->first && now_ns() - a->first->begin > PATIENCE)
		end_ask(a, a->first, "-");
}

static void report(const struct asker *a, uint64_t took)
{
	uint64_t slowest = UINT64_MAX, whole = took / SECOND;

	for (uint64_t i = 0; i < whole && i < a->seconds; i++)
		if (a->by_second[i] < slowest)
			slowest = a->by_second[i];
	fprintf(stderr,
		"{\"flows\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"sent_again\":%" PRIu64
		",\"seconds\":%.3f,\"rate\":%.0f,\"slowest_second\":%" PRIu64 "}\n",
		a->asked, a->answered, a->again, (double)took / 1e9,
		(double)a->answered / ((double)took / 1e9), whole ? slowest : a->answered);
}

static int run_ask(uint64_t rate, uint64_t seconds, char **words)
{
	struct asker a = { .ep = epoll_create1(EPOLL_CLOEXEC), .seconds = seconds };
	uint64_t end, due, now, total = rate * seconds;
	struct destinations d = {};

	for (; *words; words++)
		parse_destination(&d, *words);
	for (size_t i = 0; !seconds && i < d.n; i++)
		total += d.count[i];
	a.by_second = calloc(seconds + 1, sizeof(*a.by_second));
	if (!a.by_second)
		die("out of memory");
	a.start = end = now_ns();
	fprintf(stderr, "ready\n");
	while (!want_end && a.asked < total) {
		now = now_ns();
		due = a.start + a.asked * SECOND / rate;
		if (due <= now && a.open < MAX_OPEN)
			begin_ask(&a, &d);
		ask_poll(&a, due <= now && a.open < MAX_OPEN ? 0 : 1);
		end = now;
	}
	while (a.open)
		ask_poll(&a, 10);
	report(&a, end - a.start);
	free(a.by_second);
	return a.answered != a.asked;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	uint64_t rate;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc > 2 && !strcmp(argv[1], "server"))
		return serve(argv + 2);
	if (argc > 4 && !strcmp(argv[1], "ask")) {
		rate = arg_u64("rate", argv[2], 1000000);
		if (!rate)
			die_usage("rate '0': no flow at all");
		return run_ask(rate, arg_u64("seconds", argv[3], 86400), argv + 4);
	}
	fputs(usage_text, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
	return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
}
