/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules and sets that do not fit: the message says which limit it is. None gets as far as a map,
 * so this needs no privileges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compile.h"

static char message[512];
static size_t messages;
static size_t cells_left = SIZE_MAX; /* of the arena */

uint32_t __real_arena_alloc(struct arena *a, uint32_t n);
uint32_t __wrap_arena_alloc(struct arena *a, uint32_t n);
uint32_t __real_arena_alloc_block(struct arena *a);
uint32_t __wrap_arena_alloc_block(struct arena *a);

static bool take_cells(size_t n)
{
	if (n > cells_left)
		return false;
	cells_left -= cells_left == SIZE_MAX ? 0 : n;
	return true;
}

uint32_t __wrap_arena_alloc(struct arena *a, uint32_t n)
{
	return take_cells(n) ? __real_arena_alloc(a, n) : 0;
}

uint32_t __wrap_arena_alloc_block(struct arena *a)
{
	return take_cells(SHUNT_BLOCK_CELLS) ? __real_arena_alloc_block(a) : 0;
}

static void sink(void *arg, enum shunt_level level, const char *text)
{
	(void)arg;
	assert_int_equal(level, SHUNT_LOG_ERROR);
	snprintf(message, sizeof(message), "%s", text);
	messages++;
}

static int name_is_first(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 1;
}

static int first_stat(void *ctx, uint32_t priority)
{
	(void)ctx;
	(void)priority;
	return 1;
}

static const struct names names = {
	.device = name_is_first, .target = name_is_first, .stat = first_stat,
};

static int try_compile(struct shunt_rule *rule, const struct shunt_sets *sets)
{
	struct shunt_rules rules = { rule, rule ? 1 : 0 };
	int r;

	messages = 0;
	shunt_set_sink(sink, NULL);
	r = compile(&rules, sets, &names, 1);
	shunt_set_sink(NULL, NULL);
	assert_int_equal(messages, r < 0);
	return r;
}

static void compile_fails(struct shunt_rule *rule, const struct shunt_sets *sets, int error)
{
	assert_int_equal(try_compile(rule, sets), error);
}

static void parse(struct shunt_rule *rule, const char *text)
{
	char err[512] = "";

	if (shunt_rule_parse(rule, text, err, sizeof(err)))
		fail_msg("%.60s: %s", text, err);
}

/* n sets that hold the prefix. */
static struct shunt_sets make_sets(size_t n, struct shunt_prefix *prefix)
{
	struct shunt_sets sets = { calloc(n, sizeof(*sets.v)), n };
	const char *why;

	assert_non_null(sets.v);
	assert_int_equal(shunt_prefix_parse(prefix, "192.0.2.1", &why), 0);
	for (size_t i = 0; i < n; i++) {
		snprintf(sets.v[i].name, sizeof(sets.v[i].name), "s%zu", i);
		sets.v[i].v = prefix;
		sets.v[i].n = 1;
	}
	return sets;
}

static void test_too_many_lists(void **state)
{
	struct shunt_prefix prefix;
	struct shunt_sets sets = make_sets(SHUNT_MAX_SETS, &prefix);
	struct shunt_rule rule;

	(void)state;
	parse(&rule, "10 in tcp to not 192.0.2.1,192.0.2.7 pass");
	compile_fails(&rule, &sets, -E2BIG);
	assert_string_equal(message, "no room for the list of addresses of rule 10: at most 65535 "
			    "sets and such lists are possible: delete sets, or let rules share one "
			    "instead of lists");
	shunt_rule_clear(&rule);
	free(sets.v);
}

static void test_too_many_sets(void **state)
{
	struct shunt_prefix prefix;
	struct shunt_sets sets = make_sets(SHUNT_MAX_SETS + 1, &prefix);

	(void)state;
	compile_fails(NULL, &sets, -E2BIG);
	assert_string_equal(message, "65536 sets are too many: at most 65535");
	free(sets.v);
}

static void test_address_in_too_many_sets(void **state)
{
	struct shunt_prefix prefix;
	struct shunt_sets sets = make_sets(9000, &prefix);

	(void)state;
	compile_fails(NULL, &sets, -E2BIG);
	assert_string_equal(message, "an address is in 9000 sets and lists of rules: there is room "
			    "for 8191 at best: let them overlap less");
	free(sets.v);
}

/* 3000 ports on either side: 9 million pairs. */
static void test_too_many_combinations(void **state)
{
	static char text[65536];
	size_t len = (size_t)sprintf(text, "10 in tcp");
	struct shunt_rule rule;

	(void)state;
	for (int side = 0; side < 2; side++) {
		len += (size_t)sprintf(text + len, side ? " port " : " sport ");
		for (int i = 0; i < 3000; i++)
			len += (size_t)sprintf(text + len, "%s%d", i ? "," : "", 2 * i + 1);
	}
	sprintf(text + len, " pass");
	parse(&rule, text);
	compile_fails(&rule, &(struct shunt_sets){}, -E2BIG);
	assert_string_equal(message, "rule 10 has 9000000 combinations of addresses, ports and "
			    "interfaces: at most 4194303 are possible: make several rules of it");
	shunt_rule_clear(&rule);
}

/* Wherever it is that the room ends. */
static void test_full_arena(void **state)
{
	struct shunt_prefix prefix;
	struct shunt_sets sets = make_sets(40, &prefix);
	size_t cells = 0;
	struct shunt_rule rule;
	int r;

	(void)state;
	parse(&rule, "10 in tcp to not 192.0.2.1,192.0.2.7 port 80,443 pass");
	for (;; cells += 61) {
		cells_left = cells;
		r = try_compile(&rule, &sets);
		if (r != -ENOSPC)
			break;
		assert_string_equal(message, "the rules and sets are too large: they need more "
				    "than 4096 MB");
	}
	cells_left = SIZE_MAX;
	/* It fits: what comes next needs privileges. The filters alone have so many cells. */
	assert_true(r >= 0 || r == -EPERM);
	assert_true(cells > 4 * SHUNT_FILTER_CELLS);
	if (r >= 0)
		close(r);
	shunt_rule_clear(&rule);
	free(sets.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_lists),
		cmocka_unit_test(test_too_many_sets),
		cmocka_unit_test(test_address_in_too_many_sets),
		cmocka_unit_test(test_too_many_combinations),
		cmocka_unit_test(test_full_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
