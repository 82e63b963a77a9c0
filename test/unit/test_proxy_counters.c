/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters that are read while their thread counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"

enum { ROUNDS = 100000 };

static struct counters counters;
static _Atomic bool enough;

/* Connections that come and go, one at a time. */
static void *count(void *arg)
{
	while (!atomic_load_explicit(&enough, memory_order_relaxed)) {
		count_add(&counters.v[COUNT_ACCEPTED], 1);
		count_add(&counters.ended[FLOW_END_ERROR], 1);
	}
	return arg;
}

static uint64_t number_behind(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

/* Never more have ended than were accepted: active would be a very large number. */
static void test_while_it_counts(void **state)
{
	const struct counters *all[] = { &counters };
	pthread_t thread;
	char line[2048];

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, count, NULL), 0);
	while (!atomic_load(&counters.ended[FLOW_END_ERROR]))
		;
	for (int i = 0; i < ROUNDS; i++) {
		counters_format(line, sizeof(line), all, 1);
		assert_true(number_behind(line, "active=") < 1ULL << 63);
	}
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	counters_format(line, sizeof(line), all, 1);
	assert_int_equal(number_behind(line, "active="), 0);
	assert_int_equal(number_behind(line, " accepted="), number_behind(line, " ended_error="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
