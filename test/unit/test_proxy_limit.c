/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Limits: what they let pass over time, and that sources are counted by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "limit.h"

static struct in6_addr source(uint32_t n)
{
	struct in6_addr ip = { .s6_addr = { 0x20, 0x01, 0x0d, 0xb8 } };

	memcpy(&ip.s6_addr[12], &n, sizeof(n));
	return ip;
}

static struct limit_state *make(const struct target_settings *s)
{
	struct limit_state *l;

	assert_int_equal(limit_init(&l, s, NULL), 0);
	return l;
}

static enum flow_reason enter(struct limit_state *l, const struct target_settings *s, uint32_t n,
			      uint64_t now, struct limit_pass *pass)
{
	struct in6_addr ip = source(n);
	bool full;
	enum flow_reason r;

	memset(pass, 0, sizeof(*pass));
	r = limit_enter(l, s, &ip, now, pass, &full);
	assert_false(full);
	return r;
}

static void test_connections(void **state)
{
	struct target_settings s = { .limit_connections = 3 };
	struct limit_state *l = make(&s);
	struct limit_pass pass[4];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(enter(l, &s, i, 1, &pass[i]), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 3, 1, &pass[3]), FLOW_END_CONNECTIONS);
	limit_leave(l, &pass[3]); /* it was not counted */
	assert_int_equal(enter(l, &s, 3, 1, &pass[3]), FLOW_END_CONNECTIONS);
	limit_leave(l, &pass[0]);
	limit_leave(l, &pass[0]);
	assert_int_equal(enter(l, &s, 3, 1, &pass[3]), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 4, 1, &pass[0]), FLOW_END_CONNECTIONS);
	limit_put(l);
}

/* A second's worth at once, then one for each that the time brings. */
static void test_rate(void **state)
{
	struct target_settings s = { .limit_rate = 10 };
	struct limit_state *l = make(&s);
	struct limit_pass pass;
	int n = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		n += enter(l, &s, 1, 1000000, &pass) == FLOW_END_FIN;
	assert_int_equal(n, 10);
	assert_int_equal(enter(l, &s, 1, 1000099, &pass), FLOW_END_RATE);
	assert_int_equal(enter(l, &s, 1, 1000100, &pass), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 1, 1000100, &pass), FLOW_END_RATE);
	for (n = 0, s.limit_rate = 10; s.limit_rate; s.limit_rate = 0)
		for (uint64_t now = 1001100; now < 1011100; now += 5)
			n += enter(l, &s, 1, now, &pass) == FLOW_END_FIN;
	assert_in_range(n, 99, 110);
	limit_put(l);
}

static void test_sources(void **state)
{
	struct target_settings s = { .limit_source_connections = 2, .limit_source_rate = 5,
				     .limit_rate = 1000 };
	struct limit_state *l = make(&s);
	struct limit_pass pass[8];

	(void)state;
	assert_int_equal(enter(l, &s, 1, 5000, &pass[0]), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 1, 5000, &pass[1]), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 1, 5000, &pass[2]), FLOW_END_SOURCE_CONNECTIONS);
	assert_int_equal(enter(l, &s, 2, 5000, &pass[2]), FLOW_END_FIN);
	limit_leave(l, &pass[0]);
	assert_int_equal(enter(l, &s, 1, 5000, &pass[0]), FLOW_END_FIN);
	/* Its rate outlives its connections. */
	for (int i = 0; i < 2; i++) {
		limit_leave(l, &pass[0]);
		assert_int_equal(enter(l, &s, 1, 5000, &pass[0]), FLOW_END_FIN);
	}
	limit_leave(l, &pass[0]);
	limit_leave(l, &pass[1]);
	assert_int_equal(enter(l, &s, 1, 5000, &pass[0]), FLOW_END_SOURCE_RATE);
	assert_int_equal(enter(l, &s, 1, 5199, &pass[0]), FLOW_END_SOURCE_RATE);
	assert_int_equal(enter(l, &s, 1, 5200, &pass[0]), FLOW_END_FIN);
	assert_int_equal(l->connections, 2);
	limit_put(l);
}

/* More sources than there are places come and go. */
static void test_many_sources(void **state)
{
	struct target_settings s = { .limit_source_connections = 1, .limit_source_rate = 1000 };
	struct limit_state *l = make(&s);
	struct limit_pass pass;

	(void)state;
	for (uint32_t i = 0; i < 5 * LIMIT_SLOTS; i++) {
		assert_int_equal(enter(l, &s, i, 10 * i, &pass), FLOW_END_FIN);
		limit_leave(l, &pass);
	}
	/* No room is no reason to refuse anybody. */
	for (uint32_t i = 0, full = 0; !full; i++) {
		struct in6_addr ip = source(i);
		bool is_full;

		memset(&pass, 0, sizeof(pass));
		assert_int_equal(limit_enter(l, &s, &ip, 1ULL << 40, &pass, &is_full),
				 FLOW_END_FIN);
		full += is_full;
		assert_int_equal(is_full, !pass.source);
		assert_true(i < 2 * LIMIT_SLOTS);
	}
	limit_put(l);
}

static void test_bytes(void **state)
{
	struct target_settings s = { .limit_bytes = 1000000, .limit_source_bytes = 100000 };
	struct limit_state *l = make(&s);
	struct limit_pass one, two;
	uint64_t now = 50000, sum = 0;
	uint32_t ms;

	(void)state;
	assert_int_equal(enter(l, &s, 1, now, &one), FLOW_END_FIN);
	assert_int_equal(enter(l, &s, 2, now, &two), FLOW_END_FIN);
	/* An eighth of a second's worth is free. */
	assert_int_equal(limit_bytes(l, &s, &one, 0, 12500, now), 0);
	assert_int_equal(limit_bytes(l, &s, &one, 0, 10000, now), 100);
	/* The other direction, and the other source, have their own. */
	assert_int_equal(limit_bytes(l, &s, &one, 1, 12500, now), 0);
	assert_int_equal(limit_bytes(l, &s, &two, 0, 12500, now), 0);
	/* Whoever waits as long as told gets just the rate. */
	for (uint64_t end = now + 100000; now < end; now += ms) {
		ms = limit_bytes(l, &s, &two, 0, 3125, now);
		sum += 3125;
	}
	assert_in_range(sum, 9900000, 10100000);
	/* All together have the target's. */
	assert_true(limit_bytes(l, &s, &one, 0, 100000000, now) >= 100000 - 125);
	assert_true(limit_bytes(l, &s, &two, 0, 1, now) >= 99000);
	limit_put(l);
}

static void test_quantum(void **state)
{
	struct target_settings s = { .limit_bytes = 1 };

	(void)state;
	assert_int_equal(limit_quantum(&s), 1);
	s.limit_bytes = 3200000;
	assert_int_equal(limit_quantum(&s), 65536);
	s.limit_source_bytes = 64000;
	assert_int_equal(limit_quantum(&s), 2000);
	s.limit_bytes = 0;
	assert_int_equal(limit_quantum(&s), 2000);
}

/* New settings count on. */
static void test_new_settings(void **state)
{
	struct target_settings old = { .limit_connections = 2 };
	struct target_settings new = { .limit_connections = 2, .limit_source_connections = 1 };
	struct limit_state *l = make(&old), *again;
	struct limit_pass a, b, c;

	(void)state;
	assert_int_equal(enter(l, &old, 1, 1, &a), FLOW_END_FIN);
	assert_int_equal(limit_init(&again, &new, l), 0);
	assert_ptr_equal(again, l);
	assert_int_equal(enter(again, &new, 1, 1, &b), FLOW_END_FIN);
	assert_int_equal(enter(again, &new, 2, 1, &c), FLOW_END_CONNECTIONS);
	limit_leave(l, &a);
	limit_put(l);
	assert_int_equal(enter(again, &new, 1, 1, &c), FLOW_END_SOURCE_CONNECTIONS);
	assert_int_equal(enter(again, &new, 2, 1, &c), FLOW_END_FIN);
	limit_put(again);
}

/* ---- threads ---- */

static struct target_settings shared_settings = { .limit_connections = 50,
						  .limit_source_connections = 20 };
static _Atomic uint32_t over;

static void *come_and_go(void *arg)
{
	struct limit_state *l = arg;

	for (uint32_t i = 0; i < 100000; i++) {
		struct limit_pass pass = { 0 };
		struct in6_addr ip = source(i % 4);
		bool full;

		if (limit_enter(l, &shared_settings, &ip, 1, &pass, &full) != FLOW_END_FIN)
			continue;
		if (l->connections > 50 + 4) /* those that are just being refused count, too */
			over++;
		limit_leave(l, &pass);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct limit_state *l = make(&shared_settings);
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, l), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(over, 0);
	assert_int_equal(l->connections, 0);
	for (uint32_t i = 0; i < LIMIT_SLOTS; i++)
		assert_int_equal(l->sources[i].word & 0xfffff, 0);
	limit_put(l);
}

enum { MEETINGS = 20000 };

static struct target_settings one_each = { .limit_source_connections = 1 };
static pthread_barrier_t meeting;
static _Atomic uint32_t met[MEETINGS];

static void *meet(void *arg)
{
	struct limit_state *l = arg;

	for (uint32_t i = 0; i < MEETINGS; i++) {
		struct limit_pass pass = { 0 };
		struct in6_addr ip = source(i);
		bool full;

		pthread_barrier_wait(&meeting);
		met[i] += limit_enter(l, &one_each, &ip, 1, &pass, &full) == FLOW_END_FIN;
		pthread_barrier_wait(&meeting);
		limit_leave(l, &pass);
	}
	return NULL;
}

/* The first connections of a source, in two threads at once: it has one place, not two. */
static void test_first_at_once(void **state)
{
	struct limit_state *l = make(&one_each);
	pthread_t threads[2];

	(void)state;
	pthread_barrier_init(&meeting, NULL, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, meet, l), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < MEETINGS; i++)
		assert_int_equal(met[i], 1);
	pthread_barrier_destroy(&meeting);
	limit_put(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_many_sources),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_quantum),
		cmocka_unit_test(test_new_settings),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_first_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
