/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times as people write them; prefixes with a timeout in files of prefixes and rule files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND 1000000000ULL

static void test_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
		const char *printed;
	} rows[] = {
		{ "1s", 1, "1s" }, { "90s", 90, "1m30s" }, { "5m", 300, "5m" },
		{ "1h30m", 5400, "1h30m" }, { "7d", 604800, "7d" },
		{ "1d2h3m4s", 93784, "1d2h3m4s" }, { "0h5m", 300, "5m" },
		{ "3650d", 315360000, "3650d" }, { "24h", 86400, "1d" },
	};
	char buf[SHUNT_TIME_STR];
	const char *why;
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(shunt_time_parse(&ns, rows[i].text, &why), 0);
		assert_int_equal(ns, rows[i].seconds * SECOND);
		assert_string_equal(shunt_time_str(buf, ns), rows[i].printed);
	}
	/* What is left is never shown as nothing. */
	assert_string_equal(shunt_time_str(buf, 1), "1s");
	assert_string_equal(shunt_time_str(buf, SECOND + 1), "2s");
	assert_string_equal(shunt_time_str(buf, 0), "0s");
	assert_true(strlen(shunt_time_str(buf, UINT64_MAX)) < sizeof(buf));
}

static void test_no_times(void **state)
{
	static const char *const form[] = { "5", "m", "5x", "5m5", "5m1h", "5m5m", "-5m", "5 m",
					    "1.5h", "5M", "1000000000s", " 5m", "5m " };
	static const char *const range[] = { "", "0s", "0d0s", "3651d", "3650d1s", "999999999d" };
	uint64_t ns = 7;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(form); i++) {
		assert_int_equal(shunt_time_parse(&ns, form[i], &why), -EINVAL);
		assert_string_equal(why, "not a time as 30s, 5m, 1h30m or 7d");
	}
	for (size_t i = 0; i < COUNT(range); i++) {
		assert_int_equal(shunt_time_parse(&ns, range[i], &why), -EINVAL);
		assert_string_equal(why, "not from 1s to 3650d");
	}
	assert_int_equal(ns, 7);
}

static FILE *file_of(const char *text)
{
	FILE *in = tmpfile();

	assert_non_null(in);
	assert_int_equal(fwrite(text, 1, strlen(text), in), strlen(text));
	rewind(in);
	return in;
}

static void assert_timed(const struct shunt_set *set, size_t i, const char *prefix, uint64_t s)
{
	char text[SHUNT_PREFIX_STR];

	assert_true(i < set->n_timed);
	assert_string_equal(shunt_prefix_str(text, &set->timed[i].prefix), prefix);
	assert_int_equal(set->timed[i].left, s * SECOND);
}

static void test_set_file(void **state)
{
	struct shunt_set set = {};
	char err[256];
	FILE *in = file_of("10.0.0.1\n10.0.0.2 timeout 5m # why\n  fd00::/8\ttimeout  1h\n10.0.0.3");

	(void)state;
	assert_int_equal(shunt_set_parse(&set, in, "f", err, sizeof(err)), 0);
	fclose(in);
	assert_int_equal(set.n, 2);
	assert_int_equal(set.n_timed, 2);
	assert_timed(&set, 0, "10.0.0.2", 300);
	assert_timed(&set, 1, "fd00::/8", 3600);
	shunt_set_clear(&set);
	assert_null(set.timed);
}

static void test_set_file_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "1.2.3.4 timeout\n", "f:1: 'timeout' needs a time" },
		{ "1.2.3.4 timeout 5\n", "f:1: timeout '5': not a time as 30s, 5m, 1h30m or 7d" },
		{ "1.2.3.4 timeout 0s\n", "f:1: timeout '0s': not from 1s to 3650d" },
		{ "1.2.3.4 timeout 5m 6\n", "f:1: prefix '1.2.3.4': one prefix a line" },
		{ "1.2.3.4 timeouts 5m\n", "f:1: prefix '1.2.3.4': one prefix a line" },
		{ "timeout 5m\n", "f:1: prefix 'timeout': one prefix a line" },
		{ "1.2.3.4 timeout 00000000000000000000000000000000000005m\n",
		  "f:1: timeout '00000000000000000000000000000000000005m': not a time as 30s, 5m, "
		  "1h30m or 7d" },
	};
	struct shunt_set set = {};
	char err[256];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		FILE *in = file_of(rows[i][0]);

		assert_int_equal(shunt_set_parse(&set, in, "f", err, sizeof(err)), -EINVAL);
		fclose(in);
		assert_string_equal(err, rows[i][1]);
		assert_int_equal(set.n + set.n_timed, 0);
	}
}

static void test_rule_file(void **state)
{
	struct shunt_config config, again;
	char err[256], *text = NULL;
	size_t size;
	FILE *out, *in = file_of("set a 1.2.3.4,5.6.7.0/24 timeout 5m\nset a 9.9.9.9\n"
				 "set b fd00::1 timeout 1d # x\n10 to @a pass\n");

	(void)state;
	assert_int_equal(shunt_config_parse(&config, in, "f", NULL, err, sizeof(err)), 0);
	fclose(in);
	assert_int_equal(config.sets.n, 2);
	assert_int_equal(config.sets.v[0].n, 1);
	assert_timed(&config.sets.v[0], 0, "1.2.3.4", 300);
	assert_timed(&config.sets.v[0], 1, "5.6.7.0/24", 300);
	assert_int_equal(config.sets.v[1].n, 0);
	assert_timed(&config.sets.v[1], 0, "fd00::1", 86400);
	/* As printed, it reads the same. */
	out = open_memstream(&text, &size);
	for (size_t i = 0; i < config.sets.n; i++)
		shunt_set_print(out, &config.sets.v[i]);
	fclose(out);
	in = file_of(text);
	assert_int_equal(shunt_config_parse(&again, in, "f", NULL, err, sizeof(err)), 0);
	fclose(in);
	assert_int_equal(again.sets.v[0].n, 1);
	assert_timed(&again.sets.v[0], 1, "5.6.7.0/24", 300);
	assert_timed(&again.sets.v[1], 0, "fd00::1", 86400);
	free(text);
	shunt_config_clear(&again);
	shunt_config_clear(&config);
}

static void test_rule_file_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "set a 1.2.3.4 timeout\n", "f:1: 'timeout' needs a time" },
		{ "set a 1.2.3.4 timeout soon\n",
		  "f:1: timeout 'soon': not a time as 30s, 5m, 1h30m or 7d" },
		{ "set a 1.2.3.4 timeout 5m x\n", "f:1: a word too many: 'x'; prefixes are a list "
						  "with commas, without blanks" },
		{ "set a timeout 5m\n", "f:1: prefix 'timeout': not an address" },
	};
	struct shunt_config config;
	char err[256];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		FILE *in = file_of(rows[i][0]);

		assert_int_equal(shunt_config_parse(&config, in, "f", NULL, err, sizeof(err)),
				 -EINVAL);
		fclose(in);
		assert_string_equal(err, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),	 cmocka_unit_test(test_no_times),
		cmocka_unit_test(test_set_file), cmocka_unit_test(test_set_file_refused),
		cmocka_unit_test(test_rule_file), cmocka_unit_test(test_rule_file_refused),
	};

	return cmocka_run_group_tests_name("set timed", tests, NULL, NULL);
}
