/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who accepts what waits: a loop with few flows takes from the next one's listener, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

enum { WAITING = 5, WAIT_MS = 60000 };

struct pair {
	struct shared shared;
	struct target_settings *settings;
	struct target *target;
	struct loop *loops[2]; /* the first helps the second */
	struct sockaddr_in at[2];
	int clients[WAITING];
	int done_fd, log_fd;
};

/* Its own network, with nothing but lo. */
static int enter_network(void **state)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
	return 0;
}

static int listen_on_lo(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){ .sin_family = AF_INET };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	return fd;
}

static void pair_open(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	p->done_fd = eventfd(0, EFD_CLOEXEC);
	p->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	p->shared.log_fds[STDERR_FILENO] = p->log_fd;
	p->shared.max_connections = 100;
	assert_int_equal(guard_init(&p->shared.guard), 0);
	assert_int_equal(target_settings_new(&p->settings, "t"), 0);
	assert_int_equal(target_new(&p->target, p->settings, NULL), 0);
	for (int i = 0; i < 2; i++) {
		int fds[2] = { listen_on_lo(&p->at[i]), -1 };

		/* What comes to a listener's own address is accepted and refused. */
		guard_add_port(&p->shared.guard, ntohs(p->at[i].sin_port));
		assert_int_equal(loop_new(&p->loops[i], &p->shared, 1, p->done_fd), 0);
		assert_int_equal(loop_open_port(p->loops[i], 0, p->target, fds), 0);
	}
	assert_int_equal(loop_help(p->loops[0], p->loops[1]), 0);
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < WAITING; i++)
		close(p->clients[i]);
	for (int i = 0; i < 2; i++)
		loop_free(p->loops[i]);
	target_put(p->target);
	target_settings_put(p->settings);
	guard_release(&p->shared.guard);
	close(p->log_fd);
	close(p->done_fd);
}

static struct listener *listener(struct pair *p, int nth)
{
	return &p->loops[nth]->ports[0].listeners[0];
}

/* They wait in the queue of the second loop's listener. */
static void connect_to_second(struct pair *p)
{
	for (int i = 0; i < WAITING; i++) {
		p->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(p->clients[i], (struct sockaddr *)&p->at[1],
					 sizeof(p->at[1])), 0);
	}
}

/* Its own listener is ready, so it seems. queue: a descriptor of the second's */
static void is_ready(struct pair *p, int nth, int queue)
{
	struct watch *w = &listener(p, nth)->watch;
	struct pollfd waiting = { .fd = queue, .events = POLLIN };

	/* The last step of a handshake may come after connect() has returned. */
	assert_int_equal(poll(&waiting, 1, WAIT_MS), 1);
	w->ready(w);
}

static uint64_t accepted(const struct loop *l)
{
	return l->counters.v[COUNT_ACCEPTED];
}

static void accepts_all(struct pair *p, int nth, int queue)
{
	while (accepted(p->loops[nth]) < WAITING)
		is_ready(p, nth, queue);
	assert_int_equal(accepted(p->loops[nth]), WAITING);
	assert_int_equal(p->loops[nth]->counters.ended[FLOW_END_SELF], WAITING);
}

static void test_helps_who_has_more(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	connect_to_second(&p);
	p.loops[1]->n_flows = 100;
	accepts_all(&p, 0, listener(&p, 1)->fd);
	pair_close(&p);
}

static void test_leaves_it_to_who_has_few(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	connect_to_second(&p);
	p.loops[1]->n_flows = 1;
	is_ready(&p, 0, listener(&p, 1)->fd);
	assert_int_equal(accepted(p.loops[0]), 0);
	accepts_all(&p, 1, listener(&p, 1)->fd);
	pair_close(&p);
}

/* The copy outlives the owner's own, and ends with the helper. */
static void test_owner_leaves_first(void **state)
{
	struct pair p;
	int copy;

	(void)state;
	pair_open(&p);
	connect_to_second(&p);
	copy = listener(&p, 0)->next_fd;
	p.loops[1]->n_flows = 100;
	listener_close(listener(&p, 1));
	accepts_all(&p, 0, copy);
	listener_close(listener(&p, 0));
	assert_true(fcntl(copy, F_GETFD) < 0);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_helps_who_has_more),
		cmocka_unit_test(test_leaves_it_to_who_has_few),
		cmocka_unit_test(test_owner_leaves_first),
	};

	return cmocka_run_group_tests(tests, enter_network, NULL);
}
