/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shunt/shunt.h"

static uint32_t n_listeners(const struct worker_config *config)
{
	return config->n_loops * config->n_targets;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* A worker has its listeners, the channel and 0 to 2, and nothing else of the supervisor. */
static int close_others(const struct worker_config *config)
{
	size_t n = 0, max = 2 * (size_t)n_listeners(config) + 1;
	int *keep = malloc(max * sizeof(*keep));
	int from = STDERR_FILENO + 1;
	int r = 0;

	if (!keep)
		return -ENOMEM;
	keep[n++] = config->channel;
	for (size_t i = 0; i < max - 1; i++)
		if (config->listeners[i / 2][i % 2] >= 0)
			keep[n++] = config->listeners[i / 2][i % 2];
	qsort(keep, n, sizeof(keep[0]), compare_ints);
	for (size_t i = 0; i < n && !r; i++) {
		unsigned int last = (unsigned int)keep[i] - 1;

		if (keep[i] > from && close_range((unsigned int)from, last, 0) < 0)
			r = -errno;
		from = keep[i] + 1;
	}
	free(keep);
	if (!r && close_range((unsigned int)from, ~0U, 0) < 0)
		r = -errno;
	return r;
}

static void __attribute__((noreturn)) child_main(struct worker_config *config)
{
	int r = close_others(config);

	if (r < 0) {
		shunt_err(r, "cannot close descriptors: %s", strerror(-r));
		exit(1);
	}
	exit(worker_run(config));
}

int child_fork(struct child *c)
{
	sigset_t all, before;
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return shunt_err(-errno, "cannot make a socket pair: %s", strerror(errno));
	c->channel = fds[0];
	c->config.channel = fds[1];
	/* Until the child has its own handlers, a signal would run ours there. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	fflush(NULL);
	c->pid = fork();
	r = -errno;
	if (!c->pid)
		child_main(&c->config);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	if (c->pid > 0)
		return 0;
	close(fds[0]);
	return shunt_err(r, "cannot fork: %s", strerror(-r));
}

void child_order(struct child *c, enum worker_verb verb, uint32_t ms)
{
	struct worker_order order = { .verb = verb, .ms = ms };

	if (send(c->channel, &order, sizeof(order), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
	    errno != ECONNRESET)
		kill(c->pid, SIGKILL); /* it has not read for a long time */
}

int child_ask(struct child *c, enum worker_verb verb, uint64_t tag, const struct flow_query *query)
{
	struct worker_order order = { .verb = verb, .tag = tag, .query = *query };

	return send(c->channel, &order, sizeof(order), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int child_send_settings(struct child *c, uint64_t tag, int fd)
{
	struct worker_order order = { .verb = WORKER_SETTINGS, .tag = tag };
	struct iovec iov = { .iov_base = &order, .iov_len = sizeof(order) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	return sendmsg(c->channel, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
