/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "supervisor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify.h"
#include "shunt/shunt.h"
#include "supervisor_state.h"
#include "takeover.h"

enum {
	DESCRIPTORS_MIN = 48, /* of the supervisor; a worker counts its own */
	POLL_MS = 500,
	KILL_AFTER_S = 3,
	MAX_FAILED_STARTS = 5,
	OLD_MS = 1000, /* a worker that lived so long is replaced at once */
};

/* ---- workers ---- */

static void fail(struct supervisor *s, int r)
{
	s->result = r;
	event_base_loopbreak(s->base);
}

/* n bytes of it are in s->message. */
static void take_message(struct supervisor *s, struct child *c, ssize_t n)
{
	const struct worker_message *m = &s->message;

	if (n < (ssize_t)sizeof(m->head))
		return;
	if (m->head.verb == WORKER_LEARN) {
		supervisor_learn(s, m, (size_t)n);
		return;
	}
	if (m->head.verb == WORKER_SETTINGS) {
		supervisor_reloaded(s, c, m, (size_t)n);
		return;
	}
	if (m->head.verb != WORKER_READY) {
		control_answered(&s->control, c, m, (size_t)n);
		return;
	}
	c->ready = true;
	clock_gettime(CLOCK_MONOTONIC, &c->ready_at);
	s->failed_starts = 0;
	if (c == s->current && s->shunt && !s->sockets.registered)
		supervisor_register(s);
}

static void child_spoke(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	ssize_t n = recv(fd, &s->message, sizeof(s->message), 0);
	struct child *c;

	(void)what;
	for (c = s->children; c && c->channel != fd; c = c->next)
		;
	if (!c)
		return;
	if (!n || (n < 0 && errno != EAGAIN))
		event_del(c->event); /* it is about to end; SIGCHLD tells */
	take_message(s, c, n);
}

/*
 * What it said before it ended, perhaps how many flows it has killed: its last ones. (That it is
 * ready is no longer true.)
 */
static void hear_last_words(struct supervisor *s, struct child *c)
{
	struct worker_message *m = &s->message;
	ssize_t n;

	while ((n = recv(c->channel, m, sizeof(*m), MSG_DONTWAIT)) > 0)
		if (n >= (ssize_t)sizeof(m->head) && m->head.verb != WORKER_READY)
			take_message(s, c, n);
}

static uint32_t count_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);

	return n > SHUNT_TARGET_SLOTS ? SHUNT_TARGET_SLOTS : (uint32_t)n;
}

/* With the sockets there are, or new ones. */
static int start_child(struct supervisor *s)
{
	struct settings *set = s->settings;
	struct child *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return shunt_err(-ENOMEM, "cannot start a worker: out of memory");
	if (!s->sockets.fds)
		r = sockets_open(&s->sockets, set, set->workers ? set->workers : count_cpus(),
				 s->mark);
	if (r < 0)
		goto out_free;
	c->serial = ++s->last_serial;
	c->config.settings = set;
	c->config.mark = s->mark;
	c->config.n_targets = s->sockets.n_targets;
	c->config.n_loops = s->sockets.n_loops;
	c->config.listeners = s->sockets.fds;
	r = child_fork(c);
	if (r < 0)
		goto out_free;
	c->event = event_new(s->base, c->channel, EV_READ | EV_PERSIST, child_spoke, s);
	if (!c->event || event_add(c->event, NULL) < 0)
		child_order(c, WORKER_STOP, 0); /* it can never be heard */
	c->next = s->children;
	s->children = c;
	s->current = c;
	return 0;
out_free:
	free(c);
	return r;
}

/* Its flows go on until they end; nothing new comes to it. */
static void retire_current(struct supervisor *s)
{
	sockets_close(&s->sockets);
	if (!s->current)
		return;
	child_order(s->current, WORKER_DRAIN, 0);
	s->current = NULL;
}

static void forget_child(struct supervisor *s, struct child *c)
{
	struct child **at = &s->children;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (s->current == c)
		s->current = NULL;
	control_child_gone(&s->control, c);
	supervisor_reload_lost(s, c);
	if (c->event)
		event_free(c->event);
	close(c->channel);
	free(c);
}

static bool is_old(const struct child *c)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return c->ready && (now.tv_sec - c->ready_at.tv_sec) * 1000 +
				   (now.tv_nsec - c->ready_at.tv_nsec) / 1000000 >= OLD_MS;
}

/*
 * Connections that wait in the sockets are for the next worker, which is started at once. But
 * if that does not work out, or workers do not live, nobody may be kept waiting: the sockets
 * are closed, so that the fail mode of the rules holds, and the poll starts another.
 */
static void replace_current(struct supervisor *s, bool was_old)
{
	if (was_old && start_child(s) == 0)
		return;
	sockets_close(&s->sockets);
}

static void child_ended(struct supervisor *s, struct child *c, int status)
{
	bool current = s->current == c, was_ready = c->ready, was_old = is_old(c);
	int pid = (int)c->pid;

	hear_last_words(s, c);
	forget_child(s, c);
	if (WIFSIGNALED(status))
		shunt_warn("worker %d was ended by signal %d", pid, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		shunt_warn("worker %d failed", pid);
	if (s->stopping) {
		if (!s->children)
			event_base_loopbreak(s->base);
	} else if (current && !was_ready &&
		   (!s->was_ready || ++s->failed_starts == MAX_FAILED_STARTS)) {
		fail(s, -ECHILD); /* it would fail the next time too */
	} else if (current) {
		replace_current(s, was_old);
	}
}

/* ---- events ---- */

struct message {
	char text[512];
};

static void keep(void *arg, enum shunt_level level, const char *text)
{
	struct message *m = arg;

	if (level == SHUNT_LOG_ERROR)
		snprintf(m->text, sizeof(m->text), "%s", text);
}

/*
 * That it is not up is no news. But if it is there and cannot be used, as one of another version,
 * whom we would take over from can use it: then that one serves on.
 */
static void wait_for_instance(struct supervisor *s, int r, const struct message *why)
{
	bool up = r != -ENOENT && r != -ENODEV;

	if (up && s->predecessor >= 0) {
		fail(s, shunt_err(r, "%s", why->text));
		return;
	}
	if (r != -ENOENT && s->said_waiting != r)
		shunt_warn("%s", why->text);
	if (!s->said_waiting)
		shunt_info("waiting for instance '%s': make it with 'shuntctl up'",
			   s->settings->instance);
	s->said_waiting = r;
	supervisor_took_over(s);
}

/* True once the instance is there. */
static bool find_instance(struct supervisor *s)
{
	struct shunt_where where = { .instance = s->settings->instance };
	struct message why = {};
	uint32_t mark;
	int r;

	shunt_set_sink(keep, &why);
	r = shunt_open(&s->shunt, &where);
	shunt_set_sink(NULL, NULL);
	if (r < 0) {
		wait_for_instance(s, r, &why);
		return false;
	}
	s->said_waiting = 0;
	shunt_set_impatient(s->shunt);
	mark = shunt_instance_info(s->shunt)->own_mark;
	if (s->mark && s->mark != mark)
		shunt_warn("instance '%s' has another mark now: 0x%x, not 0x%x", where.instance,
			   mark, s->mark);
	s->mark = mark;
	if (s->sockets.mark != mark)
		sockets_close(&s->sockets); /* taken over, and of an instance that is gone */
	return true;
}

static void poll_ran(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	int r;

	(void)fd;
	(void)what;
	if (s->stopping)
		return;
	supervisor_say_locked(s);
	if (s->shunt && !shunt_is_current(s->shunt)) {
		shunt_info("instance '%s' was taken down", s->settings->instance);
		shunt_close(s->shunt);
		s->shunt = NULL;
		/* Its listeners are in no map any more, and ours cannot be put into another. */
		retire_current(s);
		return; /* a fixed port is free again by the next time */
	}
	if (!s->shunt && !find_instance(s))
		return;
	supervisor_collect(s);
	if (!s->current) {
		r = start_child(s);
		if (r < 0 && !s->was_ready)
			fail(s, r);
	} else if (s->current->ready && !s->sockets.registered) {
		supervisor_register(s);
	}
}

static void order_all(struct supervisor *s, enum worker_verb verb, uint32_t ms)
{
	for (struct child *c = s->children; c; c = c->next)
		child_order(c, verb, ms);
}

static void kill_ran(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	for (struct child *c = s->children; c; c = c->next)
		kill(c->pid, SIGKILL);
}

void supervisor_stop(struct supervisor *s, uint32_t seconds)
{
	struct timeval patience = { .tv_sec = (time_t)seconds + KILL_AFTER_S };

	s->has_deadline = true;
	if (!s->stopping) {
		s->stopping = true;
		notify_send("STOPPING=1");
		/* First, so that the fail mode of the rules holds from now on. */
		supervisor_unregister(s);
		sockets_close(&s->sockets);
	}
	if (!s->children)
		event_base_loopbreak(s->base);
	order_all(s, seconds ? WORKER_DRAIN : WORKER_STOP, seconds * 1000);
	event_add(s->kill, &patience);
}

static void signal_came(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;
	struct child *c, *next;
	char err[512];
	int status;

	(void)what;
	switch (sig) {
	case SIGTERM:
	case SIGINT:
		supervisor_stop(s, s->has_deadline ? 0 : s->settings->drain_timeout);
		break;
	case SIGCHLD:
		for (c = s->children; c; c = next) {
			next = c->next;
			if (waitpid(c->pid, &status, WNOHANG) == c->pid)
				child_ended(s, c, status);
		}
		if (s->successor && waitpid(s->successor, &status, WNOHANG) == s->successor) {
			/* Later than that its end is no news here: it has served. */
			if (!s->stopping)
				shunt_warn("the shuntd that was started to take over has ended");
			s->successor = 0;
		}
		break;
	case SIGUSR2:
		supervisor_start_successor(s);
		break;
	case SIGHUP:
		if (supervisor_reload(s, err, sizeof(err)) < 0)
			shunt_warn("the settings stay as they were: %s", err);
		break;
	case SIGUSR1:
		for (c = s->children; c; c = c->next)
			if (c->ready)
				kill(c->pid, SIGUSR1);
		break;
	}
}

/* ---- life ---- */

static int make_events(struct supervisor *s)
{
	static const int numbers[N_SIGNALS] = { SIGTERM, SIGINT, SIGCHLD, SIGUSR1,
					  SIGHUP, SIGUSR2 };
	struct timeval interval = { .tv_usec = POLL_MS * 1000 };

	s->base = event_base_new();
	if (!s->base)
		return -ENOMEM;
	for (int i = 0; i < N_SIGNALS; i++) {
		s->signals[i] = evsignal_new(s->base, numbers[i], signal_came, s);
		if (!s->signals[i] || event_add(s->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	s->poll = event_new(s->base, -1, EV_PERSIST, poll_ran, s);
	s->kill = event_new(s->base, -1, 0, kill_ran, s);
	s->again = event_new(s->base, -1, 0, supervisor_again_ran, s);
	s->reload.patience = event_new(s->base, -1, 0, supervisor_reload_is_late, s);
	if (!s->poll || !s->kill || !s->again || !s->reload.patience ||
	    event_add(s->poll, &interval) < 0)
		return -ENOMEM;
	event_active(s->poll, EV_TIMEOUT, 0); /* and once at once */
	if (control_start(&s->control, s, s->socket.fd) < 0)
		return -ENOMEM;
	if (s->predecessor < 0)
		control_open(&s->control);
	return 0;
}

/* With too few to open the maps the instance would look as if it were not there. */
static int raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return shunt_err(-errno, "cannot count descriptors: %s", strerror(errno));
	if (limit.rlim_max < DESCRIPTORS_MIN)
		return shunt_err(-EMFILE, "%llu descriptors are too few: at least %d are needed",
				 (unsigned long long)limit.rlim_max, DESCRIPTORS_MIN);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		shunt_warn("cannot raise the descriptor limit: %s", strerror(errno));
	return 0;
}

/* What is not ours alone yet stays for whom we would have taken over from. */
static void release_names(struct supervisor *s)
{
	bool taking = s->predecessor >= 0;

	if (taking) {
		s->socket.n_paths = 0;
		close(s->predecessor);
	}
	control_socket_remove(&s->socket);
	for (uint32_t i = 0; i < s->n_locks; i++) {
		if (taking)
			lock_leave(&s->locks[i]);
		else
			lock_release(&s->locks[i]);
	}
	free(s->program);
}

static void release(struct supervisor *s)
{
	/* Only after a failure are there any: they end with their channel. */
	while (s->children)
		forget_child(s, s->children);
	sockets_close(&s->sockets);
	control_stop(&s->control);
	for (int i = 0; i < N_SIGNALS; i++)
		if (s->signals[i])
			event_free(s->signals[i]);
	if (s->poll)
		event_free(s->poll);
	if (s->kill)
		event_free(s->kill);
	if (s->again)
		event_free(s->again);
	if (s->reload.patience)
		event_free(s->reload.patience);
	if (s->reload.busy)
		settings_release(&s->reload.fresh);
	if (s->base)
		event_base_free(s->base);
	if (s->shunt)
		shunt_close(s->shunt);
	shunt_collector_free(s->collector.pass);
	if (s->control.supervisor)
		s->socket.fd = -1; /* the control closed it */
	release_names(s);
}

/* First the locks: they make the other files ours. */
static int take_names(struct supervisor *s)
{
	const struct settings *set = s->settings;
	int r = set->takeover ? takeover_take(s) : 0;

	if (r)
		return r < 0 ? r : 0;
	for (; s->n_locks < set->n_targets; s->n_locks++) {
		r = lock_take(&s->locks[s->n_locks], set->instance,
			      set->targets[s->n_locks]->name);
		if (r < 0)
			return r;
	}
	return control_socket_open(&s->socket, set);
}

static int run(struct supervisor *s)
{
	int r = make_events(s);

	if (r < 0)
		return shunt_err(r, "cannot start: %s", strerror(-r));
	event_base_dispatch(s->base);
	return s->result;
}

int supervisor_run(struct settings *settings)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return shunt_err(-ENOMEM, "cannot start: out of memory");
	s->settings = settings;
	s->socket.fd = -1;
	s->control.fd = -1;
	s->predecessor = -1;
	s->started = supervisor_clock();
	s->program = realpath("/proc/self/exe", NULL);
	signal(SIGPIPE, SIG_IGN);
	r = raise_descriptor_limit();
	if (!r)
		r = take_names(s);
	if (!r)
		r = run(s);
	release(s);
	free(s);
	return r;
}
