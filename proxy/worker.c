/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "worker.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "health.h"
#include "inquiry.h"
#include "learn.h"
#include "loop.h"
#include "privileges.h"
#include "renewal.h"
#include "shunt/shunt.h"
#include "syscalls.h"
#include "upstream.h"

enum {
	RESERVED_FDS = 16,	/* beyond those open at the start: for probes and libraries */
	PIPES_PER_LOOP = 32,
	LOOP_ID_SHIFT = 44,	/* 17 million million flows for each loop; exact as a double */
};

struct worker {
	struct worker_config *config;
	struct shared shared;
	struct target *targets[SHUNT_MAX_TARGETS]; /* in the order of the settings */
	uint32_t n_targets;
	struct health *health[SHUNT_MAX_TARGETS]; /* of each; NULL without checks */
	struct loop *loops[SHUNT_TARGET_SLOTS];
	uint32_t n_loops;
	uint32_t n_running;
	struct inquiry inquiry;
	struct renewal renewal;
	uint64_t flow_fds; /* descriptors that flows and checks may take */
	struct event_base *base;
	struct event *events[4]; /* channel, signals, done, deadline */
	int done_fd;
	int signal_fd;
	struct flowlog_writer writers[2]; /* standard output, standard error */
};

enum { EVENT_CHANNEL, EVENT_SIGNAL, EVENT_DONE, EVENT_DEADLINE };

/* ---- limits ---- */

/* A copy of each listener: make_helpers(). */
static uint64_t helper_fds(const struct worker *w)
{
	return w->n_loops > 1 ? 2ULL * w->n_loops * w->n_targets : 0;
}

/*
 * What is open now, if lowest is the lowest number that is free: all below it, and above it what
 * came with its number from the supervisor.
 */
static uint64_t open_fds(const struct worker_config *config, int lowest)
{
	uint64_t n = (uint64_t)lowest + (config->channel > lowest);

	for (uint32_t i = 0; i < config->n_loops * config->n_targets; i++)
		for (int v6 = 0; v6 < 2; v6++)
			n += config->listeners[i][v6] > lowest;
	return n;
}

/*
 * Two descriptors for each flow, two for each pipe, and what is open now. Nothing is
 * allocated by these numbers: the limit may be a thousand million.
 */
static int set_limits(struct worker *w)
{
	const struct settings *s = w->config->settings;
	uint64_t pipes = (uint64_t)PIPES_PER_LOOP * w->n_loops;
	uint64_t open, checks = health_descriptors(s), flows;
	struct rlimit limit;
	int lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return shunt_err(-errno, "cannot count descriptors: %s", strerror(errno));
	close(lowest);
	open = open_fds(w->config, lowest) + RESERVED_FDS + checks + helper_fds(w);
	/* A small limit is for flows first: they can do without pipes. */
	if (pipes > limit.rlim_cur / 16)
		pipes = limit.rlim_cur / 16;
	if (limit.rlim_cur < open + 2 * pipes + 2)
		return shunt_err(-EMFILE, "%llu descriptors are too few: at least %llu are needed",
				 (unsigned long long)limit.rlim_cur,
				 (unsigned long long)(open + 2 * pipes + 2));
	flows = (limit.rlim_cur - open - 2 * pipes) / 2;
	if (s->max_connections > flows)
		return shunt_err(-EMFILE,
				 "max-connections %u needs %llu descriptors, the limit is %llu: "
				 "raise LimitNOFILE or 'ulimit -n'",
				 s->max_connections,
				 (unsigned long long)(2ULL * s->max_connections + open + 2 * pipes),
				 (unsigned long long)limit.rlim_cur);
	w->flow_fds = limit.rlim_cur - open - 2 * pipes + checks;
	w->shared.max_connections = s->max_connections ? s->max_connections
						       : renewal_max_flows(w->flow_fds, s);
	w->shared.pipes.max = (uint32_t)pipes;
	return 0;
}

/* ---- orders ---- */

static void command_all(struct worker *w, enum loop_command command)
{
	for (uint32_t i = 0; i < w->n_loops; i++)
		loop_command(w->loops[i], command);
}

static void deadline_came(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	command_all(arg, LOOP_STOP);
}

static void drain(struct worker *w, uint32_t ms)
{
	struct timeval deadline = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	command_all(w, LOOP_DRAIN);
	if (ms)
		event_add(w->events[EVENT_DEADLINE], &deadline);
}

/* *file is the descriptor that came with the order, -1 none. */
static ssize_t receive(int channel, struct worker_order *order, int *file)
{
	struct iovec iov = { .iov_base = order, .iov_len = sizeof(*order) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	*file = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(file, CMSG_DATA(head), sizeof(*file));
	return n;
}

static void message_came(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct worker_order order;
	int file;
	ssize_t n = receive(fd, &order, &file);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(order))
		order.verb = WORKER_STOP;
	if (order.verb == WORKER_DRAIN) {
		drain(w, order.ms);
	} else if (order.verb == WORKER_STATUS) {
		inquiry_status(&w->inquiry, order.tag);
	} else if (order.verb == WORKER_UPSTREAMS) {
		inquiry_upstreams(&w->inquiry, order.tag, &order.query);
	} else if (order.verb == WORKER_FLOWS) {
		inquiry_flows(&w->inquiry, order.tag, &order.query);
	} else if (order.verb == WORKER_SETTINGS && file >= 0) {
		renewal_start(&w->renewal, order.tag, file);
	} else {
		/* An order to stop, or the supervisor is gone: its flows must not look complete. */
		event_del(w->events[EVENT_CHANNEL]);
		command_all(w, LOOP_STOP);
	}
}

static void print_counters(struct worker *w)
{
	const struct counters *all[SHUNT_TARGET_SLOTS];
	char line[2048];
	size_t len;

	for (uint32_t i = 0; i < w->n_loops; i++)
		all[i] = &w->loops[i]->counters;
	len = (size_t)snprintf(line, sizeof(line), "counters worker=%d ", (int)getpid());
	len += counters_format(line + len, sizeof(line) - len - 1, all, w->n_loops);
	line[len++] = '\n';
	/* At most PIPE_BUF: whole or, if nobody reads, not at all. */
	if (write(w->shared.log_fds[STDERR_FILENO], line, len) < 0)
		return;
}

static void signal_came(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;

	(void)what;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		print_counters(arg);
}

static void loop_ended(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	w->n_running -= (uint32_t)n;
	if (!w->n_running)
		event_base_loopbreak(w->base);
}

/* ---- life ---- */

/* Only the channel and SIGUSR1 steer a worker: a terminal's ^C goes to all processes. */
static int set_signals(struct worker *w)
{
	sigset_t usr1;

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_SETMASK, &usr1, NULL);
	w->signal_fd = signalfd(-1, &usr1, SFD_NONBLOCK | SFD_CLOEXEC);
	return w->signal_fd < 0 ? -errno : 0;
}

static int make_events(struct worker *w)
{
	w->base = event_base_new();
	w->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!w->base || w->done_fd < 0)
		return -ENOMEM;
	w->events[EVENT_CHANNEL] =
		event_new(w->base, w->config->channel, EV_READ | EV_PERSIST, message_came, w);
	w->events[EVENT_SIGNAL] =
		event_new(w->base, w->signal_fd, EV_READ | EV_PERSIST, signal_came, w);
	w->events[EVENT_DONE] =
		event_new(w->base, w->done_fd, EV_READ | EV_PERSIST, loop_ended, w);
	w->events[EVENT_DEADLINE] = event_new(w->base, -1, 0, deadline_came, w);
	for (int i = 0; i < 4; i++)
		if (!w->events[i] || (i != EVENT_DEADLINE && event_add(w->events[i], NULL) < 0))
			return -ENOMEM;
	return 0;
}

static void note_ports(struct worker *w)
{
	const struct worker_config *config = w->config;

	for (uint32_t i = 0; i < config->n_loops * config->n_targets; i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			struct sockaddr_storage sa;
			socklen_t len = sizeof(sa);
			int fd = config->listeners[i][v6];
			struct address a;

			if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
				continue;
			address_from_sockaddr(&a, &sa);
			guard_add_port(&w->shared.guard, a.port);
		}
	}
}

static bool wants_rules(const struct settings *s)
{
	for (uint32_t i = 0; i < s->n_targets; i++)
		if (s->targets[i]->log_flows)
			return true;
	return false;
}

static int make_loop(struct worker *w, uint32_t nth)
{
	const struct worker_config *config = w->config;
	struct shunt_where where = { .instance = config->settings->instance };
	struct loop *l;
	int r = loop_new(&l, &w->shared, config->n_targets, w->done_fd);

	if (r < 0)
		return shunt_err(r, "cannot make a worker thread: %s", strerror(-r));
	l->last_id = (uint64_t)nth << LOOP_ID_SHIFT;
	w->loops[w->n_loops++] = l;
	for (uint32_t i = 0; i < config->n_targets && !r; i++)
		r = loop_open_port(l, i, w->targets[i],
				   config->listeners[i * config->n_loops + nth]);
	if (r < 0)
		return shunt_err(r, "cannot make a worker thread: %s", strerror(-r));
	/* While we still may: the handle is used later only to look up flows. */
	return wants_rules(config->settings) ? shunt_open(&l->shunt, &where) : 0;
}

static int make_targets(struct worker *w)
{
	const struct settings *s = w->config->settings;

	for (; w->n_targets < s->n_targets; w->n_targets++) {
		struct target_settings *settings = s->targets[w->n_targets];
		int r = upstream_check_kernel(settings);

		if (r < 0)
			return r;
		r = target_new(&w->targets[w->n_targets], settings, NULL);
		if (r < 0)
			return shunt_err(r, "cannot make a target: %s", strerror(-r));
	}
	return 0;
}

static int start_checks(struct worker *w)
{
	for (uint32_t i = 0; i < w->n_targets; i++) {
		int r = health_start(&w->health[i], w->base, w->targets[i], w->shared.mark,
				     w->shared.log_fds[STDERR_FILENO]);

		if (r < 0)
			return shunt_err(r, "cannot start checks: %s", strerror(-r));
	}
	return 0;
}

static int make_loops(struct worker *w)
{
	int r = make_targets(w);

	for (uint32_t i = 0; i < w->config->n_loops && !r; i++)
		r = make_loop(w, i);
	return r;
}

/* Each helps one other: all others would take the square of their number of descriptors. */
static int make_helpers(struct worker *w)
{
	int r = 0;

	for (uint32_t i = 0; w->n_loops > 1 && i < w->n_loops && !r; i++)
		r = loop_help(w->loops[i], w->loops[(i + 1) % w->n_loops]);
	return r < 0 ? shunt_err(r, "cannot make a worker thread: %s", strerror(-r)) : 0;
}

static int open_writers(struct worker *w)
{
	for (int i = 0; i < 2; i++) {
		int to = STDOUT_FILENO + i;
		int r = flowlog_writer_open(&w->writers[i], to);

		if (r < 0)
			return shunt_err(r, "cannot make a pipe: %s", strerror(-r));
		w->shared.log_fds[to] = w->writers[i].write_fd;
	}
	return 0;
}

static int start_writers(struct worker *w)
{
	for (int i = 0; i < 2; i++) {
		int r = flowlog_writer_start(&w->writers[i], &w->shared.log_lost);

		if (r < 0)
			return shunt_err(r, "cannot start a thread: %s", strerror(-r));
	}
	return 0;
}

static int init_inquiry(struct worker *w)
{
	w->inquiry.loops = w->loops;
	w->inquiry.n_loops = w->n_loops;
	w->inquiry.targets = w->targets;
	w->inquiry.n_targets = w->n_targets;
	w->inquiry.channel = w->config->channel;
	return inquiry_init(&w->inquiry, w->base);
}

static int init_renewal(struct worker *w)
{
	const struct renewed of = {
		.settings = w->config->settings,
		.targets = w->targets,
		.health = w->health,
		.n_targets = w->n_targets,
		.loops = w->loops,
		.n_loops = w->n_loops,
		.shared = &w->shared,
		.flow_fds = w->flow_fds,
		.base = w->base,
		.channel = w->config->channel,
	};

	return renewal_init(&w->renewal, &of);
}

static int start(struct worker *w)
{
	struct worker_config *config = w->config;
	struct worker_answer ready = { .verb = WORKER_READY };
	int r;

	w->shared.mark = config->mark;
	w->shared.channel = config->channel;
	w->shared.destination = (enum destination_mode)config->settings->original_destination;
	busy_polls_init(&w->shared.busy_polls, config->settings->busy_poll, config->n_loops);
	w->shared.held_most = shared_held_most(config->settings, config->n_loops);
	r = set_signals(w);
	if (!r)
		r = guard_init(&w->shared.guard);
	if (!r)
		r = learn_counts_new(&w->shared.learn);
	if (!r)
		r = make_events(w);
	if (r < 0)
		return shunt_err(r, "cannot start a worker: %s", strerror(-r));
	note_ports(w);
	r = make_loops(w);
	if (!r)
		r = init_inquiry(w);
	if (!r)
		r = open_writers(w);
	if (!r)
		r = privileges_drop(config->settings->user);
	if (!r)
		r = syscalls_restrict();
	if (r < 0)
		return r;
	r = start_writers(w);
	if (!r)
		r = set_limits(w);
	if (!r)
		r = make_helpers(w);
	if (!r)
		r = start_checks(w);
	if (!r)
		r = init_renewal(w);
	for (uint32_t i = 0; i < w->n_loops && !r; i++) {
		r = loop_start(w->loops[i]);
		if (r < 0)
			return shunt_err(r, "cannot start a thread: %s", strerror(-r));
		w->n_running++;
	}
	if (r < 0)
		return r;
	if (send(config->channel, &ready, sizeof(ready), MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static void release(struct worker *w)
{
	for (uint32_t i = 0; i < w->n_loops; i++)
		loop_join(w->loops[i]); /* all first: they look at each other */
	for (uint32_t i = 0; i < w->n_loops; i++) {
		struct shunt *s = w->loops[i]->shunt;

		loop_free(w->loops[i]);
		if (s)
			shunt_close(s);
	}
	for (uint32_t i = 0; i < w->n_targets; i++) {
		health_stop(w->health[i]);
		target_put(w->targets[i]);
	}
	for (int i = 0; i < 2; i++)
		flowlog_writer_stop(&w->writers[i]);
	for (int i = 0; i < 4; i++)
		event_free(w->events[i]);
	inquiry_release(&w->inquiry);
	renewal_release(&w->renewal);
	event_base_free(w->base);
	guard_release(&w->shared.guard);
	learn_counts_free(w->shared.learn);
}

int worker_run(struct worker_config *config)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return 1;
	w->config = config;
	/* A failed start ends the process: the kernel is the one to clean up. */
	if (start(w) < 0)
		return 1;
	event_base_dispatch(w->base);
	/* The last flow may have ended by a question's being answered. */
	while (w->inquiry.busy && event_base_loop(w->base, EVLOOP_ONCE) == 0)
		;
	release(w);
	free(w);
	return 0;
}
