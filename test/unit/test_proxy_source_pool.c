/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of a pool: each in its turn, or the least used, and none twice for one connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "source_pool.h"

static void make(struct source_pool *p, const char *list, const char *pick)
{
	static const char *const names[] = { "source-pool", "source-pick", "source" };
	const char *const values[] = { list, pick, "pool" };
	struct target_settings *s;
	char err[256] = "";

	assert_int_equal(target_settings_new(&s, "t"), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(target_settings_set(s, settings_find(names[i]), values[i], err,
						     sizeof(err)), 0);
	assert_int_equal(source_pool_init(p, s), 0);
	target_settings_put(s);
}

/* The next address as text, "" none. */
static const char *next(struct source_pool *p, bool v4, struct source_tried *tried, uint16_t *at)
{
	static char text[ADDRESS_STR];
	struct address a = { .port = 1 };

	text[0] = '\0';
	if (source_pool_get(p, v4, tried, &a.ip, at))
		address_str(text, &a);
	return text;
}

static const char *first(struct source_pool *p, bool v4)
{
	struct source_tried tried = { .n = 0 };
	uint16_t at;

	return next(p, v4, &tried, &at);
}

static void test_turns(void **state)
{
	struct source_pool p;

	(void)state;
	make(&p, "192.0.2.254/31, 2001:db8::/127, 198.51.100.7", "roundrobin");
	for (int i = 0; i < 2; i++) {
		assert_string_equal(first(&p, true), "192.0.2.254:1");
		assert_string_equal(first(&p, true), "192.0.2.255:1");
		assert_string_equal(first(&p, true), "198.51.100.7:1");
		assert_string_equal(first(&p, false), "[2001:db8::]:1");
		assert_string_equal(first(&p, false), "[2001:db8::1]:1");
	}
	source_pool_release(&p);
	make(&p, "192.0.2.1", "roundrobin");
	assert_string_equal(first(&p, false), "");
	source_pool_release(&p);
}

static void test_large(void **state)
{
	struct source_pool p;

	(void)state;
	make(&p, "2001:db8::/64", "roundrobin");
	p.families[1].turn = (1ULL << 32) - 1;
	assert_string_equal(first(&p, false), "[2001:db8::ffff:ffff]:1");
	assert_string_equal(first(&p, false), "[2001:db8::]:1");
	source_pool_release(&p);
	make(&p, "0.0.0.0/0", "roundrobin");
	p.families[0].turn = 0xc0000201;
	assert_string_equal(first(&p, true), "192.0.2.1:1");
	source_pool_release(&p);
}

static void test_none_twice(void **state)
{
	static const char *const picks[] = { "roundrobin", "leastconn" };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct source_tried tried = { .n = 0 };
		struct source_pool p;
		uint16_t at;
		int n = 0;

		make(&p, "192.0.2.0/30", picks[k]);
		for (; next(&p, true, &tried, &at)[0]; n++)
			for (uint32_t i = 0; i < tried.n; i++)
				for (uint32_t j = 0; j < i; j++)
					assert_int_not_equal(tried.v[i], tried.v[j]);
		assert_int_equal(n, 4);
		source_pool_release(&p);
		make(&p, "192.0.2.0/24", picks[k]);
		for (n = 0, tried.n = 0; next(&p, true, &tried, &at)[0]; n++)
			;
		assert_int_equal(n, SOURCE_POOL_TRIES);
		source_pool_release(&p);
	}
}

static void test_least(void **state)
{
	struct source_tried tried;
	struct source_pool p;
	uint16_t at[4], again;

	(void)state;
	make(&p, "192.0.2.0/30", "leastconn");
	for (int i = 0; i < 4; i++) {
		tried.n = 0;
		next(&p, true, &tried, &at[i]);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(at[k], at[i]);
	}
	for (int i = 0; i < 3; i++) {
		source_pool_put(&p, true, at[2]);
		tried.n = 0;
		next(&p, true, &tried, &again);
		assert_int_equal(again, at[2]);
	}
	source_pool_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_none_twice),
		cmocka_unit_test(test_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
