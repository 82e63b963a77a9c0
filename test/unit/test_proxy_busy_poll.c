/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* When a loop asks for events instead of sleeping. No clock: what is decided, not how fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "busy_poll.h"

enum { WAITS = 4096 };

/* Waits that each find n events, by a try or by sleeping. Returns the tries. */
static int waits(struct busy_poll *p, struct busy_polls *all, int count, int n, bool hit)
{
	int tries = 0;

	for (int i = 0; i < count; i++) {
		if (busy_poll_try(p, all)) {
			busy_poll_note(p, all, hit);
			tries++;
		}
		busy_poll_turn(p, n);
	}
	return tries;
}

static void test_while_it_pays(void **state)
{
	struct busy_poll p = { .turn = 0 };
	struct busy_polls all;

	(void)state;
	busy_polls_init(&all, 50, 2);
	assert_int_equal(waits(&p, &all, WAITS, 1, true), WAITS - 1); /* the first follows nothing */
	/* In vain: one in 256, and a few until then. */
	assert_in_range(waits(&p, &all, WAITS, 1, false), WAITS / 256, WAITS / 256 + 9);
	/* And it is soon found out when it pays again. */
	waits(&p, &all, 1024, 1, true);
	assert_int_equal(waits(&p, &all, WAITS, 1, true), WAITS);
	assert_int_equal(all.now, 0);
}

static void test_never_without_events(void **state)
{
	struct busy_poll p = { .turn = 0 };
	struct busy_polls all;

	(void)state;
	busy_polls_init(&all, 50, 2);
	waits(&p, &all, 10, 1, true);
	/* The first is after an event; then alarms alone wake it. */
	assert_int_equal(waits(&p, &all, WAITS, 0, true), 1);
	assert_int_equal(waits(&p, &all, 3, 1, true), 2);
}

static void test_not_when_busy(void **state)
{
	struct busy_poll p = { .turn = 0 };
	struct busy_polls all;

	(void)state;
	busy_polls_init(&all, 50, 2);
	waits(&p, &all, 100, 8, true);
	assert_int_equal(waits(&p, &all, WAITS, 8, true), 0);
	assert_int_equal(waits(&p, &all, WAITS, 2, true), 0);
	waits(&p, &all, 100, 1, true);
	assert_int_equal(waits(&p, &all, WAITS, 1, true), WAITS);
}

/* Of four loops, two at a time. */
static void test_half_of_the_loops(void **state)
{
	struct busy_poll p[4] = {};
	struct busy_polls all;

	(void)state;
	busy_polls_init(&all, 50, 4);
	for (int i = 0; i < 4; i++)
		busy_poll_turn(&p[i], 1);
	assert_true(busy_poll_try(&p[0], &all));
	assert_true(busy_poll_try(&p[1], &all));
	assert_false(busy_poll_try(&p[2], &all));
	busy_poll_note(&p[0], &all, true);
	assert_true(busy_poll_try(&p[3], &all));
	assert_false(busy_poll_try(&p[2], &all));
	busy_poll_note(&p[1], &all, false);
	busy_poll_note(&p[3], &all, false);
	assert_int_equal(all.now, 0);
	/* One alone may. */
	busy_polls_init(&all, 50, 1);
	assert_true(busy_poll_try(&p[0], &all));
}

static long slow_ns;

int __real_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);

/* While it is under way, somebody else has the CPU. */
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	const struct timespec pause = { .tv_nsec = slow_ns };

	if (slow_ns)
		nanosleep(&pause, NULL);
	return __real_epoll_wait(fd, events, max, timeout);
}

/* What comes while others have the CPU would have come as soon to a sleeper. */
static void test_no_hit_after_others(void **state)
{
	struct epoll_event event = { .events = EPOLLIN }, got[4];
	struct busy_poll p = { .turn = 0 };
	struct busy_polls all;
	int set = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(1, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	busy_polls_init(&all, 60000000, 1);
	busy_poll_turn(&p, 1);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 1);
	assert_int_equal(p.misses, 0);
	all.us = 100;
	slow_ns = 5000000;
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 1);
	slow_ns = 0;
	assert_int_equal(p.misses, 2);
	close(fd);
	close(set);
}

static void test_asking(void **state)
{
	struct epoll_event event = { .events = EPOLLIN }, got[4];
	struct busy_poll p = { .turn = 0 };
	struct busy_polls all;
	int set = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	busy_polls_init(&all, 0, 1);
	busy_poll_turn(&p, 1);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), -EAGAIN); /* off */
	all.us = 100;
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	all.us = 60000000; /* whoever has the CPU in between does not have it for long */
	for (int i = 0; i < 3; i++) /* it has just been in vain */
		assert_int_equal(busy_poll(&p, &all, set, got, 4), -EAGAIN);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 1);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), -EAGAIN);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 1);
	assert_int_equal(busy_poll(&p, &all, set, got, 4), 1);
	assert_int_equal(all.now, 0);
	close(fd);
	close(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_it_pays),
		cmocka_unit_test(test_never_without_events),
		cmocka_unit_test(test_not_when_busy),
		cmocka_unit_test(test_half_of_the_loops),
		cmocka_unit_test(test_no_hit_after_others),
		cmocka_unit_test(test_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
