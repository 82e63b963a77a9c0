/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The choice of an upstream: shares, weights, what failures do, and that a hash is consistent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "balance.h"

enum { CLIENTS = 20000, NOW = 1000000 };

static struct target_settings *make_settings(const char *upstreams, const char *mode)
{
	struct target_settings *s;
	char err[256] = "";

	assert_int_equal(target_settings_new(&s, "t"), 0);
	assert_int_equal(target_settings_set(s, settings_find("upstreams"), upstreams, err,
					     sizeof(err)), 0);
	assert_int_equal(target_settings_set(s, settings_find("balance"), mode, err,
					     sizeof(err)), 0);
	s->health_interval = 1;
	return s;
}

static void make(struct balance *b, const char *upstreams, const char *mode,
		 const struct balance *before)
{
	struct target_settings *s = make_settings(upstreams, mode);

	assert_int_equal(balance_init(b, s, before), 0);
	target_settings_put(s);
}

static struct address client(uint32_t n)
{
	struct address a = { .port = (uint16_t)n };

	a.ip.s6_addr32[0] = htonl(0x20010db8);
	a.ip.s6_addr32[3] = htonl(n);
	return a;
}

static int pick(struct balance *b, uint32_t n, uint64_t tried)
{
	struct address c = client(n);

	return balance_pick(b, &c, AF_UNSPEC, tried, NOW);
}

static void test_turns_by_weight(void **state)
{
	char seen[15] = "";
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1 weight 50, 192.0.2.2:1 weight 10,192.0.2.3:1 weight 10",
	     "roundrobin", NULL);
	for (int i = 0; i < 14; i++)
		seen[i] = (char)('a' + pick(&b, 1, 0));
	assert_string_equal(seen, "aabacaaaabacaa");
	assert_int_equal(b.upstreams[0]->flows, 10);
	balance_leave(&b, 0);
	assert_int_equal(b.upstreams[0]->flows, 9);
	balance_release(&b);
}

static void test_least_by_weight(void **state)
{
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1 weight 3,192.0.2.2:1", "leastconn", NULL);
	for (int i = 0; i < 40; i++)
		assert_true(pick(&b, 1, 0) >= 0);
	assert_int_equal(b.upstreams[0]->flows, 30);
	assert_int_equal(b.upstreams[1]->flows, 10);
	for (int i = 0; i < 10; i++)
		balance_leave(&b, 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick(&b, 1, 0), 1);
	balance_release(&b);
}

/* Without one upstream its clients move, and no others. */
static void test_hash_is_consistent(void **state)
{
	struct balance four, three;
	uint32_t share[4] = { 0 };
	uint32_t wrong = 0;

	(void)state;
	make(&four, "192.0.2.1:1,192.0.2.2:1,[2001:db8::3]:1,192.0.2.4:1", "source", NULL);
	/* Another order, too: the place in the list must not count. */
	make(&three, "192.0.2.4:1,[2001:db8::3]:1,192.0.2.1:1", "source", NULL);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		int a = pick(&four, i, 0), b = pick(&three, i, 0);

		share[a]++;
		if (a != 1)
			wrong += !address_equal(&four.upstreams[a]->address,
						&three.upstreams[b]->address);
	}
	assert_int_equal(wrong, 0);
	for (int i = 0; i < 4; i++)
		assert_in_range(share[i], CLIENTS / 4 * 9 / 10, CLIENTS / 4 * 11 / 10);
	/* The port of the client is not part of it. */
	for (uint32_t i = 0; i < 100; i++) {
		struct address c = client(7);

		c.port = (uint16_t)i;
		assert_int_equal(balance_pick(&four, &c, AF_UNSPEC, 0, NOW), pick(&four, 7, 0));
	}
	balance_release(&four);
	balance_release(&three);
}

/* An upstream that is out gives its clients to the others, and gets the same ones back. */
static void test_hash_while_out(void **state)
{
	static uint8_t before[CLIENTS];
	struct balance b;
	uint32_t moved = 0;

	(void)state;
	make(&b, "192.0.2.1:1,192.0.2.2:1,192.0.2.3:1", "source", NULL);
	for (uint32_t i = 0; i < CLIENTS; i++)
		before[i] = (uint8_t)pick(&b, i, 0);
	b.upstreams[2]->unhealthy = true;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		int now = pick(&b, i, 0);

		assert_int_not_equal(now, 2);
		moved += now != before[i];
		assert_true(now == before[i] || before[i] == 2);
	}
	assert_in_range(moved, CLIENTS / 4, CLIENTS / 2);
	b.upstreams[2]->unhealthy = false;
	for (uint32_t i = 0; i < CLIENTS; i++)
		assert_int_equal(pick(&b, i, 0), before[i]);
	balance_release(&b);
}

static void test_hash_by_weight(void **state)
{
	uint32_t share[3] = { 0 };
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1 weight 2,192.0.2.2:1,192.0.2.3:1 weight 5", "source", NULL);
	for (uint32_t i = 0; i < CLIENTS; i++)
		share[pick(&b, i, 0)]++;
	assert_in_range(share[0], CLIENTS * 2 / 8 * 9 / 10, CLIENTS * 2 / 8 * 11 / 10);
	assert_in_range(share[1], CLIENTS * 1 / 8 * 9 / 10, CLIENTS * 1 / 8 * 11 / 10);
	assert_in_range(share[2], CLIENTS * 5 / 8 * 9 / 10, CLIENTS * 5 / 8 * 11 / 10);
	balance_release(&b);
}

static void test_failures_take_out(void **state)
{
	struct address c = client(1);
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1,192.0.2.2:1", "roundrobin", NULL);
	assert_false(balance_failed(&b, 0, NOW));
	assert_false(balance_failed(&b, 0, NOW));
	balance_worked(&b, 0);
	assert_false(balance_failed(&b, 0, NOW));
	assert_false(balance_failed(&b, 0, NOW));
	assert_true(balance_is_in(&b, 0, NOW));
	assert_true(balance_failed(&b, 0, NOW));
	assert_false(balance_failed(&b, 0, NOW)); /* it is out already */
	assert_false(balance_is_in(&b, 0, NOW));
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick(&b, 1, 0), 1);
	/* After the hold it is tried again; one failure suffices then. */
	assert_true(balance_is_in(&b, 0, NOW + 10000));
	assert_true(balance_failed(&b, 0, NOW + 10000));
	assert_false(balance_is_in(&b, 0, NOW + 19999));
	balance_worked(&b, 0);
	assert_int_equal(balance_pick(&b, &c, AF_UNSPEC, 2, NOW + 20000), 0);
	balance_release(&b);
}

static void test_all_out(void **state)
{
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1,192.0.2.2:1", "leastconn", NULL);
	b.upstreams[0]->unhealthy = b.upstreams[1]->unhealthy = true;
	assert_true(pick(&b, 1, 0) >= 0);
	assert_int_equal(pick(&b, 1, 1), 1);
	assert_int_equal(pick(&b, 1, 3), -1);
	balance_release(&b);
}

static void test_family(void **state)
{
	struct address c = client(1);
	struct balance b;

	(void)state;
	make(&b, "192.0.2.1:1,[2001:db8::1]:1", "roundrobin", NULL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(balance_pick(&b, &c, AF_INET, 0, NOW), 0);
		assert_int_equal(balance_pick(&b, &c, AF_INET6, 0, NOW), 1);
	}
	balance_release(&b);
}

/* New settings: what is named again keeps its flows and its health. */
static void test_new_settings(void **state)
{
	struct balance old, new;

	(void)state;
	make(&old, "192.0.2.1:1,192.0.2.2:1", "leastconn", NULL);
	assert_int_equal(pick(&old, 1, 2), 0);
	old.upstreams[1]->unhealthy = true;
	make(&new, "192.0.2.3:1,192.0.2.2:1,192.0.2.1:1", "leastconn", &old);
	assert_ptr_equal(new.upstreams[2], old.upstreams[0]);
	assert_int_equal(new.upstreams[2]->flows, 1);
	assert_true(new.upstreams[1]->unhealthy);
	assert_int_equal(new.upstreams[0]->flows, 0);
	balance_leave(&old, 0);
	assert_int_equal(new.upstreams[2]->flows, 0);
	balance_release(&old);
	assert_true(new.upstreams[1]->unhealthy);
	balance_release(&new);
}

/* New settings without checks, or without a count of failures: no verdict of the old ones stays. */
static void test_no_more_verdicts(void **state)
{
	struct target_settings *s = make_settings("192.0.2.1:1,192.0.2.2:1", "roundrobin");
	struct balance old, new;

	(void)state;
	make(&old, "192.0.2.1:1,192.0.2.2:1", "roundrobin", NULL);
	old.upstreams[0]->unhealthy = true;
	for (int i = 0; i < 3; i++)
		balance_failed(&old, 1, NOW);
	assert_false(balance_is_in(&old, 0, NOW));
	assert_false(balance_is_in(&old, 1, NOW));
	s->health_interval = 0;
	assert_int_equal(balance_init(&new, s, &old), 0);
	assert_true(balance_is_in(&new, 0, NOW));
	assert_false(balance_is_in(&new, 1, NOW));
	balance_release(&new);
	s->fail_limit = 0;
	assert_int_equal(balance_init(&new, s, &old), 0);
	assert_true(balance_is_in(&new, 1, NOW));
	balance_release(&new);
	balance_release(&old);
	target_settings_put(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns_by_weight),
		cmocka_unit_test(test_least_by_weight),
		cmocka_unit_test(test_hash_is_consistent),
		cmocka_unit_test(test_hash_while_out),
		cmocka_unit_test(test_hash_by_weight),
		cmocka_unit_test(test_failures_take_out),
		cmocka_unit_test(test_all_out),
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_new_settings),
		cmocka_unit_test(test_no_more_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
