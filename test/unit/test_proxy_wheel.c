/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Coarse timeouts: never early, at most a tick late, safe against changes from callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wheel.h"

enum { START = 1000007, N = 2000 };

struct timer {
	struct wheel_node node; /* first */
	uint64_t due, ran;
	int runs;
};

struct run {
	struct wheel *wheel;
	uint64_t now;
	struct timer *also_remove; /* by the next callback */
	uint64_t again;		   /* set anew, that much later, once */
};

static void ran(struct wheel_node *node, void *arg)
{
	struct timer *t = (struct timer *)node;
	struct run *run = arg;

	t->ran = run->now;
	t->runs++;
	if (run->also_remove)
		wheel_remove(run->wheel, &run->also_remove->node);
	run->also_remove = NULL;
	if (run->again) {
		t->due = run->now + run->again;
		run->again = 0;
		wheel_set(run->wheel, node, t->due);
	}
}

static void advance(struct run *run, uint64_t to)
{
	run->now = to;
	wheel_advance(run->wheel, to, ran, run);
}

static void test_times(void **state)
{
	struct timer *timers = calloc(N, sizeof(*timers));
	struct wheel wheel;
	struct run run = { .wheel = &wheel };
	uint64_t last = 0;

	(void)state;
	wheel_init(&wheel, START);
	srandom(1);
	for (int i = 0; i < N; i++) {
		/* Up to four times round the wheel. */
		timers[i].due = START + (uint64_t)random() % (4 * WHEEL_SLOTS * WHEEL_TICK);
		if (timers[i].due > last)
			last = timers[i].due;
		wheel_set(&wheel, &timers[i].node, timers[i].due);
	}
	assert_int_equal(wheel.count, N);
	for (uint64_t now = START; now <= last + 2 * WHEEL_TICK; now += 37)
		advance(&run, now);
	assert_int_equal(wheel.count, 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(timers[i].runs, 1);
		assert_true(timers[i].ran >= timers[i].due);
		assert_true(timers[i].ran < timers[i].due + 2 * WHEEL_TICK);
	}
	free(timers);
}

static void test_past_is_next_tick(void **state)
{
	struct timer t = { 0 };
	struct wheel wheel;
	struct run run = { .wheel = &wheel };

	(void)state;
	wheel_init(&wheel, START);
	wheel_set(&wheel, &t.node, 0);
	advance(&run, START);
	assert_int_equal(t.runs, 0);
	advance(&run, START + WHEEL_TICK);
	assert_int_equal(t.runs, 1);
}

static void test_move_and_remove(void **state)
{
	struct timer a = { 0 }, b = { 0 };
	struct wheel wheel;
	struct run run = { .wheel = &wheel };

	(void)state;
	wheel_init(&wheel, START);
	wheel_set(&wheel, &a.node, START + 1000);
	wheel_set(&wheel, &a.node, START + 5000);
	wheel_set(&wheel, &b.node, START + 1000);
	assert_int_equal(wheel.count, 2);
	wheel_remove(&wheel, &b.node);
	wheel_remove(&wheel, &b.node);
	assert_int_equal(wheel.count, 1);
	advance(&run, START + 4000);
	assert_int_equal(a.runs + b.runs, 0);
	advance(&run, START + 5000 + WHEEL_TICK);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
}

/* A callback takes away the very node that would have been next. */
static void test_remove_neighbour(void **state)
{
	struct timer a = { 0 }, b = { 0 };
	struct wheel wheel;
	struct run run = { .wheel = &wheel, .also_remove = &b };

	(void)state;
	wheel_init(&wheel, START);
	wheel_set(&wheel, &a.node, START + 1000);
	wheel_set(&wheel, &b.node, START + 1000);
	advance(&run, START + 2000);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
	assert_int_equal(wheel.count, 0);
}

static void test_set_again(void **state)
{
	struct timer t = { 0 };
	struct wheel wheel;
	/* A whole turn later: the same slot. */
	struct run run = { .wheel = &wheel, .again = (uint64_t)WHEEL_SLOTS * WHEEL_TICK };

	(void)state;
	wheel_init(&wheel, START);
	wheel_set(&wheel, &t.node, START + 1000);
	advance(&run, START + 1000 + WHEEL_TICK);
	assert_int_equal(t.runs, 1);
	advance(&run, t.due - 1);
	assert_int_equal(t.runs, 1);
	advance(&run, t.due + WHEEL_TICK);
	assert_int_equal(t.runs, 2);
}

/* A process that was stopped for an hour. */
static void test_long_stop(void **state)
{
	struct timer a = { 0 }, b = { 0 };
	struct wheel wheel;
	struct run run = { .wheel = &wheel };

	(void)state;
	wheel_init(&wheel, START);
	wheel_set(&wheel, &a.node, START + 1000);
	wheel_set(&wheel, &b.node, START + 7200000);
	advance(&run, START + 3600000);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
	advance(&run, START + 7200000 + WHEEL_TICK);
	assert_int_equal(b.runs, 1);
}

static void test_empty(void **state)
{
	struct timer timers[50] = { 0 };
	struct wheel wheel;
	struct run run = { .wheel = &wheel };

	(void)state;
	wheel_init(&wheel, START);
	for (int i = 0; i < 50; i++)
		wheel_set(&wheel, &timers[i].node, START + (uint64_t)i * 100000);
	wheel_empty(&wheel, ran, &run);
	assert_int_equal(wheel.count, 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(timers[i].runs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_past_is_next_tick),
		cmocka_unit_test(test_move_and_remove),
		cmocka_unit_test(test_remove_neighbour),
		cmocka_unit_test(test_set_again),
		cmocka_unit_test(test_long_stop),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
