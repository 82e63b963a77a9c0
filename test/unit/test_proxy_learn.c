/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The setting `learn`, and clean flows as they are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "learn.h"
#include "learn_spec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND 1000000000ULL

static void test_specs(void **state)
{
	static const struct {
		const char *text, *set;
		uint64_t seconds, bytes;
		uint32_t flows;
	} rows[] = {
		{ "heavy timeout 10m when bytes over 10M", "heavy", 600, 10 << 20, 0 },
		{ "  a  timeout\t1s when bytes over 1 ", "a", 1, 1, 0 },
		{ "a.b timeout 1h when bytes over 3K", "a.b", 3600, 3072, 0 },
		{ "a timeout 1h when bytes over 5G", "a", 3600, 5ULL << 30, 0 },
		{ "ok timeout 7d after 5 clean flows", "ok", 604800, 0, 5 },
		{ "ok timeout 7d after 10000 clean flows", "ok", 604800, 0, 10000 },
	};
	struct learn_spec spec;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(learn_spec_parse(&spec, rows[i].text, &why));
		assert_string_equal(spec.set, rows[i].set);
		assert_int_equal(spec.timeout, rows[i].seconds * SECOND);
		assert_int_equal(spec.bytes, rows[i].bytes);
		assert_int_equal(spec.flows, rows[i].flows);
	}
}

static void test_no_specs(void **state)
{
	static const char *const form = "not SET timeout TIME when bytes over N, or ... after N clean "
					"flows";
	static const char *const rows[][2] = {
		{ "", NULL },
		{ "heavy", NULL },
		{ "heavy timeout 5m", NULL },
		{ "heavy timeout 5m when bytes over", NULL },
		{ "heavy timeout 5m when bytes over 1 2", NULL },
		{ "heavy timeout 5m when flows over 1", NULL },
		{ "heavy timeout 5m after 1 good flows", NULL },
		{ "heavy time 5m after 1 clean flows", NULL },
		{ "a/b timeout 5m after 1 clean flows", "its first word is not the name of a set" },
		{ "a timeout 5 after 1 clean flows", "not a time as 30s, 5m, 1h30m or 7d" },
		{ "a timeout 5m after 0 clean flows", "its flows are not a number from 1 to 10000" },
		{ "a timeout 5m after 10001 clean flows",
		  "its flows are not a number from 1 to 10000" },
		{ "a timeout 5m when bytes over 0",
		  "its bytes are not a number, with K, M or G behind it or nothing" },
		{ "a timeout 5m when bytes over 1T",
		  "its bytes are not a number, with K, M or G behind it or nothing" },
		{ "a timeout 5m when bytes over 10MB",
		  "its bytes are not a number, with K, M or G behind it or nothing" },
		{ "a timeout 5m when bytes over 99999999999999999G",
		  "its bytes are not a number, with K, M or G behind it or nothing" },
	};
	struct learn_spec spec = { .flows = 77 };
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_false(learn_spec_parse(&spec, rows[i][0], &why));
		assert_string_equal(why, rows[i][1] ? rows[i][1] : form);
	}
	assert_int_equal(spec.flows, 77);
}

/* The n-th, and then n more; sets and addresses are told apart. */
static void test_counts(void **state)
{
	struct in6_addr a = { .s6_addr = { 0xfd, [15] = 1 } }, b = { .s6_addr = { 0xfd, [15] = 2 } };
	struct learn_counts *c;

	(void)state;
	assert_int_equal(learn_counts_new(&c), 0);
	for (int round = 0; round < 3; round++) {
		assert_false(learn_counts_add(c, "one", &a, 3));
		assert_false(learn_counts_add(c, "two", &a, 3));
		assert_false(learn_counts_add(c, "one", &b, 3));
		assert_false(learn_counts_add(c, "one", &a, 3));
		assert_true(learn_counts_add(c, "one", &a, 3));
		assert_false(learn_counts_add(c, "two", &a, 3));
		assert_true(learn_counts_add(c, "two", &a, 3));
		assert_false(learn_counts_add(c, "one", &b, 3));
		assert_true(learn_counts_add(c, "one", &b, 3));
	}
	assert_true(learn_counts_add(c, "one", &a, 1));
	for (int i = 1; i < 10000; i++)
		assert_false(learn_counts_add(c, "one", &a, 10000));
	assert_true(learn_counts_add(c, "one", &a, 10000));
	learn_counts_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specs),
		cmocka_unit_test(test_no_specs),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests_name("proxy learn", tests, NULL, NULL);
}
