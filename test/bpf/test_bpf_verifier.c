// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The verifier's budget: how many instructions it goes through for each program, by its own
 * log. Growth towards its limit (a million) is seen here, long before a load fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shunt.skel.h"

enum {
	BUDGET = 100000,
	LOG_STATS = 4, /* BPF_LOG_STATS */
	LOG_SIZE = 4096,
	MAX_PROGRAMS = 16,
};

static unsigned int processed(const char *log)
{
	const char *at = strstr(log, "processed ");
	char *end;
	unsigned long n;

	if (!at)
		fail_msg("no count in the verifier's log: %s", log);
	n = strtoul(at + strlen("processed "), &end, 10);
	assert_memory_equal(end, " insns", 6);
	return (unsigned int)n;
}

static void check_program(const struct bpf_program *prog, const char *log)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	unsigned int n = processed(log);

	assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len), 0);
	assert_int_equal(info.verified_insns, n);
	print_message("# %-16s %6u insns processed, %5u bytes jited\n", bpf_program__name(prog), n,
		      info.jited_prog_len);
	assert_in_range(n, 1, BUDGET);
}

static void KRN_01_programs_are_within_the_budget(void **state)
{
	static char logs[MAX_PROGRAMS][LOG_SIZE];
	struct shunt_bpf *skel;
	struct bpf_program *prog;
	int n = 0;

	(void)state;
	if (geteuid())
		fail_msg("must be root: loads BPF programs");
	skel = shunt_bpf__open();
	assert_non_null(skel);
	skel->rodata->steer_mark = 0x1000;
	skel->rodata->own_mark = 0x10;
	skel->rodata->recent_jiffies = 2;
	bpf_object__for_each_program(prog, skel->obj) {
		assert_true(n < MAX_PROGRAMS);
		assert_int_equal(bpf_program__set_log_level(prog, LOG_STATS), 0);
		assert_int_equal(bpf_program__set_log_buf(prog, logs[n++], LOG_SIZE), 0);
	}
	assert_int_equal(shunt_bpf__load(skel), 0);
	n = 0;
	bpf_object__for_each_program(prog, skel->obj)
		check_program(prog, logs[n++]);
	assert_true(n >= 6);
	shunt_bpf__destroy(skel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(KRN_01_programs_are_within_the_budget),
	};

	return cmocka_run_group_tests_name("bpf verifier", tests, NULL, NULL);
}
