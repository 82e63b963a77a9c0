/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generations of a target: who keeps what alive. A leak or an early end is ASan's to report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_target.h"

static struct target *make(struct target_settings **settings, const char *name)
{
	struct target *t;

	assert_int_equal(target_settings_new(settings, name), 0);
	assert_int_equal(target_new(&t, *settings, NULL), 0);
	return t;
}

static void test_flow_keeps_its_settings(void **state)
{
	struct target_settings *old, *new;
	struct target *t = make(&old, "old"), *next;
	struct target_loop *a = target_enter(t), *b;

	(void)state;
	target_add_flow(a);
	target_add_flow(a);
	/* New settings: the file's generation and the target are gone, the flows are not. */
	target_settings_put(old);
	next = make(&new, "new");
	b = target_enter(next);
	target_leave(a);
	target_put(t);
	assert_string_equal(a->settings->name, "old");
	assert_string_equal(b->settings->name, "new");
	target_forget_flow(a);
	assert_string_equal(a->settings->name, "old");
	assert_int_equal(old->users, 1);
	target_settings_get(old);
	target_forget_flow(a);
	assert_int_equal(old->users, 1); /* ours: the last flow let go of its own */
	target_settings_put(old);
	target_leave(b);
	target_put(next);
	assert_int_equal(new->users, 1);
	target_settings_put(new);
}

static void test_loops_share(void **state)
{
	struct target_settings *settings;
	struct target *t = make(&settings, "t");
	struct target_loop *a = target_enter(t), *b = target_enter(t);

	(void)state;
	target_put(t);
	target_add_flow(b);
	target_leave(a);
	target_leave(b);
	assert_int_equal(settings->users, 2);
	target_forget_flow(b);
	assert_int_equal(settings->users, 1);
	target_settings_put(settings);
}

/* A flow ends, and more may come. */
static void test_current_stays(void **state)
{
	struct target_settings *settings;
	struct target *t = make(&settings, "t");
	struct target_loop *a = target_enter(t);

	(void)state;
	target_add_flow(a);
	target_forget_flow(a);
	target_add_flow(a);
	assert_int_equal(a->flows, 1);
	target_forget_flow(a);
	target_leave(a);
	target_put(t);
	target_settings_put(settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_keeps_its_settings),
		cmocka_unit_test(test_loops_share),
		cmocka_unit_test(test_current_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
