/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { LINGER_FIRST_MS = 5, LINGER_MAX_MS = 160 };

/* ---- time ---- */

/* The coarse clock costs no system call and is finer than any timeout here. */
static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void loop_look_at_clock(struct loop *l)
{
	l->now = clock_ms();
}

static struct timeval timeval_of(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
}

void loop_timeout(struct loop *l, struct flow *f, uint64_t due)
{
	struct timeval tick = timeval_of(WHEEL_TICK);

	if (!l->tick_on) {
		/* It stood still while nobody waited. */
		wheel_advance(&l->wheel, l->now, NULL, NULL);
		l->tick_on = true;
		event_add(l->tick, &tick);
	}
	wheel_set(&l->wheel, &f->timer, due);
}

static void timer_is_due(struct wheel_node *node, void *arg)
{
	(void)arg;
	flow_due((struct flow *)node);
}

static void tick_ran(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	loop_look_at_clock(l);
	wheel_advance(&l->wheel, l->now, timer_is_due, l);
	loop_reap(l);
	if (!l->wheel.count) {
		event_del(l->tick);
		l->tick_on = false;
	}
}

/* ---- queues of flows ---- */

void loop_dequeue(struct loop *l, struct flow *f)
{
	if (f->queue == FLOW_READY)
		TAILQ_REMOVE(&l->ready, f, link);
	else if (f->queue == FLOW_LINGERING)
		TAILQ_REMOVE(&l->lingering, f, link);
	f->queue = FLOW_UNQUEUED;
}

void loop_later(struct loop *l, struct flow *f)
{
	if (f->queue != FLOW_UNQUEUED)
		return;
	f->queue = FLOW_READY;
	TAILQ_INSERT_TAIL(&l->ready, f, link);
	event_active(l->turn, EV_READ, 0);
}

void loop_linger(struct loop *l, struct flow *f)
{
	struct timeval first = timeval_of(LINGER_FIRST_MS);

	if (f->queue == FLOW_LINGERING)
		return;
	loop_dequeue(l, f);
	f->queue = FLOW_LINGERING;
	TAILQ_INSERT_TAIL(&l->lingering, f, link);
	l->linger_ms = LINGER_FIRST_MS;
	event_add(l->linger, &first);
}

/* The kernel reports no "all acknowledged": ask, less often as it takes longer. */
static void linger_ran(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct timeval next;
	struct flow *f, *tmp;

	(void)fd;
	(void)what;
	loop_look_at_clock(l);
	for (f = TAILQ_FIRST(&l->lingering); f; f = tmp) {
		tmp = TAILQ_NEXT(f, link);
		flow_linger(f);
	}
	if (!TAILQ_EMPTY(&l->lingering)) {
		l->linger_ms = l->linger_ms < LINGER_MAX_MS ? 2 * l->linger_ms : LINGER_MAX_MS;
		next = timeval_of(l->linger_ms);
		event_add(l->linger, &next);
	}
	loop_reap(l);
}

void loop_reap(struct loop *l)
{
	struct flow *f;

	while ((f = TAILQ_FIRST(&l->dead))) {
		TAILQ_REMOVE(&l->dead, f, link);
		slab_put(&l->flows, f);
	}
	flowlog_flush(&l->log);
	if (l->draining && !l->wheel.count)
		event_base_loopbreak(l->base);
}

/* ---- a turn: the events of the sockets, then those flows that had more to do ---- */

static void run_ready(struct loop *l)
{
	struct flow *last = TAILQ_LAST(&l->ready, flow_queue);
	struct flow *f;

	/* Those that queue up again meanwhile wait for the next turn. A flow can close itself
	 * only, so the last of now stays in the queue until its turn. */
	while (last) {
		f = TAILQ_FIRST(&l->ready);
		if (f == last)
			last = NULL;
		loop_dequeue(l, f);
		flow_resume(f);
	}
}

static void turn_ran(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	int n;

	(void)fd;
	(void)what;
	loop_look_at_clock(l);
	n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS, 0);
	for (int i = 0; i < n; i++) {
		uint64_t data = l->events[i].data.u64;
		struct flow *f = (struct flow *)(uintptr_t)(data & ~(uint64_t)1);

		flow_event(f, data & 1, l->events[i].events);
	}
	run_ready(l);
	loop_reap(l);
	/* The set is watched edge-triggered: what is left in it brings no event of its own. */
	if (n == LOOP_EVENTS)
		event_active(l->turn, EV_READ, 0);
}

/* ---- commands of the main thread ---- */

static void stop_flow(struct wheel_node *node, void *arg)
{
	(void)arg;
	flow_close((struct flow *)node, FLOW_END_KILLED);
}

static void signal_fd(int fd)
{
	static const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd that counts the commands of a person cannot be full */
}

/* Whoever takes the job out, the loop or the main thread, signals that it is done. */
static void run_job(struct loop *l, bool run)
{
	struct loop_job *job = atomic_exchange(&l->job, NULL);

	if (!job)
		return;
	job->ran = run;
	if (run)
		job->run(l, job);
	signal_fd(job->done_fd);
}

void loop_post(struct loop *l, struct loop_job *job)
{
	atomic_store(&l->job, job);
	if (atomic_load(&l->ended))
		run_job(l, false);
	else
		signal_fd(l->command_fd);
}

static void command_came(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	loop_look_at_clock(l);
	run_job(l, true);
	if (!l->draining && atomic_load(&l->command) != LOOP_RUN) {
		l->draining = true;
		for (uint32_t i = 0; i < 2 * l->n_ports; i++)
			listener_drain(&l->ports[i / 2].listeners[i % 2]);
	}
	if (atomic_load(&l->command) == LOOP_STOP)
		wheel_empty(&l->wheel, stop_flow, l); /* each open flow has a timer */
	loop_reap(l);
}

void loop_command(struct loop *l, enum loop_command command)
{
	int now = atomic_load(&l->command);

	while (now < (int)command && !atomic_compare_exchange_weak(&l->command, &now, command))
		;
	signal_fd(l->command_fd);
}

/* ---- life ---- */

static void *loop_main(void *arg)
{
	struct loop *l = arg;

	loop_look_at_clock(l);
	wheel_init(&l->wheel, l->now);
	event_base_dispatch(l->base);
	atomic_store(&l->ended, true);
	run_job(l, false);
	signal_fd(l->done_fd);
	return NULL;
}

static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	/* One thread per loop; nobody else touches it. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int make_events(struct loop *l)
{
	l->turn = event_new(l->base, l->epoll_fd, EV_READ | EV_ET | EV_PERSIST, turn_ran, l);
	l->tick = event_new(l->base, -1, EV_PERSIST, tick_ran, l);
	l->linger = event_new(l->base, -1, 0, linger_ran, l);
	l->command_event =
		event_new(l->base, l->command_fd, EV_READ | EV_PERSIST, command_came, l);
	if (!l->turn || !l->tick || !l->linger || !l->command_event)
		return -ENOMEM;
	if (event_add(l->turn, NULL) < 0 || event_add(l->command_event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int open_parts(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epoll_fd < 0 || l->command_fd < 0)
		return -errno;
	l->base = make_base();
	return l->base ? make_events(l) : -ENOMEM;
}

static int make_ports(struct loop *l, uint32_t n)
{
	l->ports = calloc(n, sizeof(l->ports[0]));
	if (!l->ports)
		return -ENOMEM;
	l->n_ports = n;
	for (uint32_t i = 0; i < 2 * n; i++)
		l->ports[i / 2].listeners[i % 2].fd = -1;
	return 0;
}

int loop_open_port(struct loop *l, uint32_t i, struct target *t, const int fds[2])
{
	struct loop_port *port = &l->ports[i];
	int r = 0;

	port->target = target_enter(t);
	if (!port->target)
		r = -ENOMEM;
	for (int v6 = 0; v6 < 2; v6++) {
		if (!r)
			r = listener_attach(&port->listeners[v6], l, port->target, fds[v6]);
		else if (fds[v6] >= 0)
			close(fds[v6]);
	}
	return r;
}

int loop_new(struct loop **out, struct shared *shared, uint32_t n_ports, int done_fd)
{
	struct loop *l = aligned_alloc(64, (sizeof(*l) + 63) & ~(size_t)63);
	int r;

	if (!l)
		return -ENOMEM;
	memset(l, 0, sizeof(*l));
	l->shared = shared;
	l->done_fd = done_fd;
	l->epoll_fd = -1;
	l->command_fd = -1;
	slab_init(&l->flows, sizeof(struct flow));
	pipe_pool_init(&l->pipes, &shared->pipes);
	flowlog_init(&l->log, l);
	TAILQ_INIT(&l->ready);
	TAILQ_INIT(&l->lingering);
	TAILQ_INIT(&l->dead);
	r = make_ports(l, n_ports);
	if (!r)
		r = open_parts(l);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*out = l;
	return 0;
}

int loop_start(struct loop *l)
{
	return -pthread_create(&l->thread, NULL, loop_main, l);
}

void loop_join(struct loop *l)
{
	pthread_join(l->thread, NULL);
}

void loop_free(struct loop *l)
{
	struct event *events[] = { l->turn, l->tick, l->linger, l->command_event };

	for (uint32_t i = 0; i < l->n_ports; i++) {
		struct loop_port *port = &l->ports[i];

		for (int v6 = 0; v6 < 2; v6++)
			listener_close(&port->listeners[v6]);
		if (port->target)
			target_leave(port->target);
	}
	free(l->ports);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (l->base)
		event_base_free(l->base);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->command_fd >= 0)
		close(l->command_fd);
	pipe_pool_release(&l->pipes);
	slab_release(&l->flows);
	free(l);
}
