/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

enum { LINGER_FIRST_MS = 5, LINGER_MAX_MS = 160 };

/* ---- time ---- */

void loop_set_alarm(struct loop *l, struct alarm *a, uint64_t due)
{
	if (!a->due)
		TAILQ_INSERT_TAIL(&l->alarms, a, link);
	a->due = due;
}

void loop_stop_alarm(struct loop *l, struct alarm *a)
{
	if (a->due)
		TAILQ_REMOVE(&l->alarms, a, link);
	a->due = 0;
}

static void ring_alarms(struct loop *l)
{
	struct alarm *a, *next;

	for (a = TAILQ_FIRST(&l->alarms); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->due > l->now)
			continue;
		loop_stop_alarm(l, a);
		a->ring(a);
	}
}

/* How long the loop may sleep, in ms; -1: until something happens. */
static int patience(const struct loop *l)
{
	uint64_t first = UINT64_MAX;
	const struct alarm *a;

	if (!TAILQ_EMPTY(&l->ready))
		return 0;
	TAILQ_FOREACH(a, &l->alarms, link)
		if (a->due < first)
			first = a->due;
	if (first == UINT64_MAX)
		return -1;
	return first <= l->now ? 0 : (int)(first - l->now);
}

void loop_timeout(struct loop *l, struct flow *f, uint64_t due)
{
	if (!l->tick.due) {
		/* It stood still while nobody waited. */
		wheel_advance(&l->wheel, l->now, NULL, NULL);
		loop_set_alarm(l, &l->tick, l->now + WHEEL_TICK);
	}
	wheel_set(&l->wheel, &f->timer, due);
}

static void timer_is_due(struct wheel_node *node, void *arg)
{
	(void)arg;
	flow_due((struct flow *)node);
}

static void tick_rang(struct alarm *a)
{
	struct loop *l = (void *)((char *)a - offsetof(struct loop, tick));

	/* Set first: what is due may ask for a timeout, and must find the wheel turning. */
	loop_set_alarm(l, a, l->now + WHEEL_TICK);
	wheel_advance(&l->wheel, l->now, timer_is_due, l);
	if (!l->wheel.count)
		loop_stop_alarm(l, a);
}

/* ---- queues of flows ---- */

void loop_dequeue(struct loop *l, struct flow *f)
{
	if (f->queue == FLOW_READY)
		TAILQ_REMOVE(&l->ready, f, link);
	else if (f->queue == FLOW_LINGERING)
		TAILQ_REMOVE(&l->lingering, f, link);
	else if (f->queue == FLOW_UNSENT)
		fast_open_stop(f);
	f->queue = FLOW_UNQUEUED;
}

void loop_later(struct loop *l, struct flow *f)
{
	if (f->queue != FLOW_UNQUEUED)
		return;
	f->queue = FLOW_READY;
	TAILQ_INSERT_TAIL(&l->ready, f, link);
}

void loop_linger(struct loop *l, struct flow *f)
{
	if (f->queue == FLOW_LINGERING)
		return;
	loop_dequeue(l, f);
	f->queue = FLOW_LINGERING;
	TAILQ_INSERT_TAIL(&l->lingering, f, link);
	l->linger_ms = LINGER_FIRST_MS;
	loop_set_alarm(l, &l->linger, l->now + LINGER_FIRST_MS);
}

/* The kernel reports no "all acknowledged": ask, less often as it takes longer. */
static void linger_rang(struct alarm *a)
{
	struct loop *l = (void *)((char *)a - offsetof(struct loop, linger));
	struct flow *f, *tmp;

	for (f = TAILQ_FIRST(&l->lingering); f; f = tmp) {
		tmp = TAILQ_NEXT(f, link);
		flow_linger(f);
	}
	if (TAILQ_EMPTY(&l->lingering))
		return;
	l->linger_ms = l->linger_ms < LINGER_MAX_MS ? 2 * l->linger_ms : LINGER_MAX_MS;
	loop_set_alarm(l, a, l->now + l->linger_ms);
}

/* ---- the epoll set ---- */

enum { TAG_WATCH = 2, TAGS = 3 }; /* in the low bits of a pointer; without, a side of a flow */

int loop_watch(struct loop *l, int fd, struct watch *w)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.u64 = (uintptr_t)w | TAG_WATCH,
	};

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *l, int fd)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void dispatch(const struct epoll_event *event)
{
	uint64_t data = event->data.u64;
	void *who = (void *)(uintptr_t)(data & ~(uint64_t)TAGS);
	struct watch *w = who;

	if (data & TAG_WATCH)
		w->ready(w);
	else
		flow_event(who, data & 1, event->events);
}

/* ---- a turn: the events, then those flows that had more to do, then what is due ---- */

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

/* Free what was closed in this turn: no event can name it any more. */
static void reap(struct loop *l)
{
	struct flow *f;

	while ((f = TAILQ_FIRST(&l->dead))) {
		TAILQ_REMOVE(&l->dead, f, link);
		slab_put(&l->flows, f);
	}
}

static int wait_for_events(struct loop *l)
{
	int timeout = patience(l);
	int n = -EAGAIN;

	if (timeout)
		n = busy_poll(&l->busy_poll, &l->shared->busy_polls, l->epoll_fd, l->events,
			      LOOP_EVENTS);
	if (n >= 0)
		count_add(&l->counters.v[COUNT_BUSY_POLLS], 1);
	if (n > 0)
		count_add(&l->counters.v[COUNT_BUSY_HITS], 1);
	else
		n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS, timeout);
	busy_poll_turn(&l->busy_poll, n);
	return n;
}

static void run_turn(struct loop *l)
{
	int n = wait_for_events(l);

	l->now = clock_ms();
	for (int i = 0; i < n; i++)
		dispatch(&l->events[i]);
	run_ready(l);
	ring_alarms(l);
	reap(l);
	atomic_store_explicit(&l->n_flows, l->wheel.count, memory_order_relaxed);
	flowlog_flush(&l->log);
	if (l->draining && !l->wheel.count)
		l->over = true;
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

static void command_came(struct watch *w)
{
	struct loop *l = (void *)((char *)w - offsetof(struct loop, commands));
	uint64_t count;

	if (read(l->command_fd, &count, sizeof(count)) < 0)
		return;
	run_job(l, true);
	if (!l->draining && atomic_load(&l->command) != LOOP_RUN) {
		l->draining = true;
		for (uint32_t i = 0; i < 2 * l->n_ports; i++)
			listener_drain(&l->ports[i / 2].listeners[i % 2]);
	}
	if (atomic_load(&l->command) == LOOP_STOP)
		wheel_empty(&l->wheel, stop_flow, l); /* each open flow has a timer */
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

	l->now = clock_ms();
	wheel_init(&l->wheel, l->now);
	while (!l->over)
		run_turn(l);
	atomic_store(&l->ended, true);
	run_job(l, false);
	signal_fd(l->done_fd);
	return NULL;
}

static int open_parts(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epoll_fd < 0 || l->command_fd < 0)
		return -errno;
	return loop_watch(l, l->command_fd, &l->commands);
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

int loop_help(struct loop *l, const struct loop *next)
{
	int r = 0;

	for (uint32_t i = 0; i < 2 * l->n_ports && !r; i++)
		r = listener_help(&l->ports[i / 2].listeners[i % 2],
				  &next->ports[i / 2].listeners[i % 2]);
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
	l->tick.ring = tick_rang;
	l->linger.ring = linger_rang;
	l->commands.ready = command_came;
	TAILQ_INIT(&l->alarms);
	throttle_init(&l->throttled);
	fast_open_init(&l->fast_open);
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
	for (uint32_t i = 0; i < l->n_ports; i++) {
		struct loop_port *port = &l->ports[i];

		for (int v6 = 0; v6 < 2; v6++)
			listener_close(&port->listeners[v6]);
		if (port->target)
			target_leave(port->target);
	}
	free(l->ports);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->command_fd >= 0)
		close(l->command_fd);
	throttle_release(&l->throttled);
	pipe_pool_release(&l->pipes);
	slab_release(&l->flows);
	free(l);
}
