// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PKT-10: random frames, program against oracle: counter, verdict, steer bit, deciding rule.
 * PKT_FUZZ_COUNT and PKT_FUZZ_SEED in the environment choose other ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "plane.h"
#include "random_frame.h"

enum {
	COUNT = 1000000,
	WIRE_PART = 20, /* of so many frames one goes by the wire, its headers not linear */
	BATCH = 256,	/* counters are compared after so many */
};

static const char rules[] = "10 pass from 10.9.0.0/16 to any port 80\n"
			    "20 in tcp port 80 proxy\n"
			    "30 in udp port 53 drop\n"
			    "35 in tcp to 10.0.0.0/8,2001:db8:9::/48 port 81 proxy fail closed\n"
			    "40 drop to 2001:db8::/32 port 443,8000-8080\n"
			    "50 out drop\n"
			    "60 drop to not 8.0.0.0/8 sport 65535\n"
			    "70 drop port 8081\n";

static const struct asked asked = { .dir = SHUNT_DIR_IN, .device = PLANE_DEVICE };

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Not 0, from which xorshift never leaves. */
static uint64_t choose_seed(void)
{
	uint64_t seed = number("PKT_FUZZ_SEED", 0);

	if (seed)
		return seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		fail_msg("no random seed");
	return seed | 1;
}

static void show(const struct frame *f)
{
	for (size_t i = 0; i < f->len; i++)
		print_error("%02x%s", f->b[i], i % 16 == 15 || i + 1 == f->len ? "\n" : " ");
}

/* The explain run: every part of the decision. */
static void check_explained(struct plane *p, const struct frame *f, const struct reading *r)
{
	struct plane_run run = { .prog = PROG_IN_ETH, .explain = true, .iif = p->ifindex };
	const struct shunt_rule *rule = NULL;
	struct plane_result is;
	struct expected want;

	oracle_decide(&want, r, &p->rules, &asked, true);
	if (r->kind == READING_FLOW && r->opens)
		rule = oracle_rule(&p->rules, r, &asked);
	plane_test_run(p, &run, f, &is);
	if (is.ex.counter != want.exit || is.verdict != want.verdict ||
	    is.ex.priority != (rule ? rule->priority : 0) ||
	    is.mark != (PLANE_OTHER_MARK | (want.steered ? p->s->info.steer_mark : 0))) {
		show(f);
		fail_msg("%s, verdict %d, mark 0x%x, rule %u; should be %s, %d, rule %u",
			 shunt_counter_name(is.ex.counter), is.verdict, is.mark, is.ex.priority,
			 shunt_counter_name(want.exit), want.verdict, rule ? rule->priority : 0);
	}
}

/* The plain run: its verdict at once, its counter with those of the batch. */
static void check_plain(struct plane *p, const struct frame *f, const struct reading *r,
			uint64_t *counts)
{
	struct plane_run run = { .prog = PROG_IN_ETH, .iif = p->ifindex };
	struct plane_result is;
	struct expected want;

	oracle_decide(&want, r, &p->rules, &asked, false);
	plane_test_run(p, &run, f, &is);
	counts[want.exit]++;
	if (is.verdict != want.verdict || is.mark != PLANE_OTHER_MARK) {
		show(f);
		fail_msg("plain run: verdict %d, mark 0x%x, should be %d, 0x%x", is.verdict,
			 is.mark, want.verdict, PLANE_OTHER_MARK);
	}
}

static void check_batch(struct plane *p, uint64_t *counts)
{
	uint64_t before[SHUNT_CTR_MAX];

	for (int c = 0; c < SHUNT_CTR_MAX; c++)
		before[c] = p->counters[c];
	plane_sync(p);
	for (int c = 0; c < SHUNT_CTR_PULLED; c++) {
		if (p->counters[c] - before[c] != counts[c])
			fail_msg("%s counted %lu times in a batch, should be %lu",
				 shunt_counter_name(c), (unsigned long)(p->counters[c] - before[c]),
				 (unsigned long)counts[c]);
		counts[c] = 0;
	}
}

static void print_totals(const uint64_t *totals)
{
	for (int c = 0; c < SHUNT_CTR_PULLED; c++)
		if (totals[c])
			print_message("# %-12s %8lu\n", shunt_counter_name(c),
				      (unsigned long)totals[c]);
}

/* A fuzzer that does not get there finds nothing. */
static void check_reach(const uint64_t *totals)
{
	static const enum shunt_counter exits[] = {
		SHUNT_CTR_NOT_HOST,  SHUNT_CTR_NOT_IP,	    SHUNT_CTR_SHORT,
		SHUNT_CTR_BAD_HEADER, SHUNT_CTR_EXT_LIMIT,  SHUNT_CTR_OTHER_PROTO,
		SHUNT_CTR_NOT_UNICAST, SHUNT_CTR_FRAG_OTHER, SHUNT_CTR_ICMP_OTHER,
		SHUNT_CTR_MID_FLOW,  SHUNT_CTR_NO_MATCH,    SHUNT_CTR_RULE_PASS,
		SHUNT_CTR_STEER_NEW, SHUNT_CTR_RULE_DROP,
	};

	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		if (totals[exits[i]] < 50)
			fail_msg("only %lu frames for '%s': the generator is no good",
				 (unsigned long)totals[exits[i]], shunt_counter_name(exits[i]));
}

static void PKT_10_random_frames(void **state)
{
	struct plane *p = *state;
	uint64_t count = number("PKT_FUZZ_COUNT", COUNT), counts[SHUNT_CTR_MAX] = { 0 },
		 totals[SHUNT_CTR_MAX] = { 0 };
	struct chance chance = { choose_seed() };
	struct expected want;
	struct reading r;
	struct frame f;

	print_message("# PKT_FUZZ_SEED=0x%lx PKT_FUZZ_COUNT=%lu\n", (unsigned long)chance.state,
		      (unsigned long)count);
	plane_rules(p, rules);
	for (uint64_t i = 0; i < count;) {
		random_frame(&f, &chance, p->mac);
		if (plane_needs_wire(&f))
			continue; /* too short for a test run: the next case has them */
		oracle_read(&r, f.b, f.len, p->mac);
		oracle_decide(&want, &r, &p->rules, &asked, true);
		totals[want.exit]++;
		check_explained(p, &f, &r);
		check_plain(p, &f, &r, counts);
		if (++i % BATCH == 0)
			check_batch(p, counts);
	}
	check_batch(p, counts);
	print_totals(totals);
	if (count >= COUNT)
		check_reach(totals);
}

/* The same by the wire: what is read is not in the linear part (PKT-05). */
static void PKT_10_random_frames_not_linear(void **state)
{
	struct plane *p = *state;
	uint64_t count = number("PKT_FUZZ_COUNT", COUNT) / WIRE_PART, pulled = 0;
	struct chance chance = { choose_seed() };
	struct expected want;
	uint64_t events;
	struct reading r;
	struct frame f;

	print_message("# PKT_FUZZ_SEED=0x%lx\n", (unsigned long)chance.state);
	/* No proxy: steered for real, a second SYN of the same addresses is another's. */
	plane_rules(p, "10 pass from 10.9.0.0/16 to any port 80\n20 in tcp port 80 drop\n"
		       "30 in udp port 53 drop\n40 drop to 2001:db8::/32 port 443,8000-8080\n");
	for (uint64_t i = 0; i < count;) {
		enum shunt_counter is;

		random_frame(&f, &chance, p->mac);
		if (oracle_tag_is_cut(f.b, f.len))
			continue;
		oracle_read_wire(&r, f.b, f.len, p->mac);
		oracle_decide(&want, &r, &p->rules, &asked, true);
		plane_send_nonlinear(p, &f);
		is = plane_exit(p, &events);
		pulled += events >> SHUNT_CTR_PULLED & 1;
		if (is != want.exit) {
			show(&f);
			fail_msg("%s, should be %s", shunt_counter_name(is),
				 shunt_counter_name(want.exit));
		}
		i++;
	}
	print_message("# %lu frames, %lu pulled\n", (unsigned long)count, (unsigned long)pulled);
	assert_true(pulled > count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_10_random_frames),
		cmocka_unit_test(PKT_10_random_frames_not_linear),
	};

	return cmocka_run_group_tests_name("bpf fuzz", tests, plane_up, plane_down);
}
