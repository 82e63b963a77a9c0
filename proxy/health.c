/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

/* Of one upstream. */
struct check {
	struct health *health;
	struct upstream *upstream;
	struct event *due;    /* timer: the next check */
	struct event *answer; /* of the connection, while there is one */
	int fd;
	uint32_t good, bad;   /* in a row */
};

struct health {
	struct event_base *base;
	struct target *target;
	uint32_t mark;
	int log_fd;
	uint32_t n;
	struct check checks[];
};

/* The pipe takes a line whole, or nobody reads and it is lost; never wait. */
static void say(const struct check *c, const char *what)
{
	char line[256], address[ADDRESS_STR];
	int len = snprintf(line, sizeof(line), "%supstream %s of target '%s' %s\n",
			   atomic_load(&c->upstream->unhealthy) ? "warning: " : "",
			   address_str(address, &c->upstream->address),
			   c->health->target->settings->name, what);

	if (write(c->health->log_fd, line, (size_t)len) < 0)
		return;
}

/* error: 0 or errno */
static void note(struct check *c, int error)
{
	const struct target_settings *s = c->health->target->settings;
	bool good = !error;

	c->upstream->checked = clock_ms();
	c->upstream->check_error = error;
	c->good = good ? c->good + 1 : 0;
	c->bad = good ? 0 : c->bad + 1;
	if (c->good >= s->health_rise && atomic_load(&c->upstream->unhealthy)) {
		atomic_store(&c->upstream->unhealthy, false);
		say(c, "is back: checks succeed");
	} else if (c->bad >= s->health_fall && !atomic_load(&c->upstream->unhealthy)) {
		atomic_store(&c->upstream->unhealthy, true);
		say(c, "is out: checks fail");
	}
	/* It answers: what connections found out before is history. */
	if (good && c->good >= s->health_rise) {
		atomic_store(&c->upstream->failed, 0);
		atomic_store(&c->upstream->out_until, 0);
	}
}

/* With a reset: TIME_WAIT of checks would take up ports. */
static void close_connection(struct check *c)
{
	static const struct linger now = { .l_onoff = 1 };

	if (c->answer)
		event_free(c->answer);
	c->answer = NULL;
	if (c->fd < 0)
		return;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->fd);
	c->fd = -1;
}

static void answered(evutil_socket_t fd, short what, void *arg)
{
	struct check *c = arg;
	socklen_t len = sizeof(int);
	int error = ETIMEDOUT;

	if (!(what & EV_TIMEOUT) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	close_connection(c);
	note(c, error);
}

/* 0 connected, -EINPROGRESS, or what went wrong. */
static int begin(struct check *c)
{
	struct timeval timeout = { .tv_sec = c->health->target->settings->health_timeout };
	struct sockaddr_storage sa;
	socklen_t len = address_to_sockaddr(&sa, &c->upstream->address);

	c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || setsockopt(c->fd, SOL_SOCKET, SO_MARK, &c->health->mark,
				    sizeof(c->health->mark)) < 0)
		return -errno;
	if (!connect(c->fd, (struct sockaddr *)&sa, len))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	c->answer = event_new(c->health->base, c->fd, EV_WRITE, answered, c);
	return c->answer && !event_add(c->answer, &timeout) ? -EINPROGRESS : -ENOMEM;
}

static bool is_our_fault(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM ||
	       r == -EADDRNOTAVAIL;
}

static void check_due(evutil_socket_t fd, short what, void *arg)
{
	struct check *c = arg;
	int r;

	(void)fd;
	(void)what;
	if (c->fd >= 0)
		return; /* the timeout is longer than the interval */
	r = begin(c);
	if (r == -EINPROGRESS)
		return;
	close_connection(c);
	if (!is_our_fault(r))
		note(c, -r);
}

static int start_check(struct check *c)
{
	struct timeval interval = { .tv_sec = c->health->target->settings->health_interval };

	c->due = event_new(c->health->base, -1, EV_PERSIST, check_due, c);
	if (!c->due || event_add(c->due, &interval) < 0)
		return -ENOMEM;
	event_active(c->due, EV_TIMEOUT, 0); /* and once at once */
	return 0;
}

uint64_t health_descriptors(const struct settings *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n_targets; i++)
		if (s->targets[i]->health_interval)
			n += s->targets[i]->upstreams.n;
	return n;
}

int health_start(struct health **out, struct event_base *base, struct target *t, uint32_t mark,
		 int log_fd)
{
	uint32_t n = t->settings->health_interval ? t->balance.n : 0;
	struct health *h;

	*out = NULL;
	if (!n)
		return 0;
	h = calloc(1, sizeof(*h) + n * sizeof(h->checks[0]));
	if (!h)
		return -ENOMEM;
	h->base = base;
	h->target = t;
	atomic_fetch_add(&t->users, 1);
	h->mark = mark;
	h->log_fd = log_fd;
	for (; h->n < n; h->n++) {
		struct check *c = &h->checks[h->n];

		*c = (struct check){ .health = h, .upstream = t->balance.upstreams[h->n],
				     .fd = -1 };
		if (start_check(c) < 0) {
			h->n++;
			health_stop(h);
			return -ENOMEM;
		}
	}
	*out = h;
	return 0;
}

void health_stop(struct health *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->n; i++) {
		close_connection(&h->checks[i]);
		if (h->checks[i].due)
			event_free(h->checks[i].due);
	}
	target_put(h->target);
	free(h);
}
