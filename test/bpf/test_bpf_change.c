// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Changes inside the live generation: random ones, after each of which the rules read back are
 * those of the model and the program decides as the oracle; and what happens when there is no
 * room. First with the compiler alone, where thousands can be made, then through the library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench_arena.h"
#include "effort.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	WORLDS = EFFORT(40),
	CHANGES = 60,
	MANY_CHANGES = EFFORT(10000),
	SMALL = 30, /* prefixes of a set */
	RACE_QUESTIONS = 64,
	RACE_WORLDS = 4,
	RACE_ROUNDS = 250,
	RACE_CHANGES = 6, /* in each world at least */
	READS = 2000,
};

static void random_changes(struct bench_arena *b, uint64_t seed)
{
	bench_arena_make(b, seed, seed % 4 * 30, SMALL);
	for (int i = 0; i < CHANGES; i++) {
		bench_arena_step(b);
		bench_arena_check_read_back(b);
		world_check(&b->w, 20);
	}
}

static void CHANGE_decisions(void **state)
{
	struct bench_arena b = { .p = *state };

	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		random_changes(&b, seed);
		bench_arena_release(&b);
	}
	bench_arena_tell(&b);
	for (int kind = 0; kind < WORLD_KINDS; kind++)
		assert_true(b.inside[kind] > b.anew[kind]);
}

/* Sets of which the index has nodes above nodes, in both halves of addresses. */
static void CHANGE_large_sets(void **state)
{
	struct bench_arena b = { .p = *state };

	bench_arena_make(&b, 1, 3, 1500);
	for (int i = 0; i < 300; i++) {
		bench_arena_step(&b);
		world_check(&b.w, 3);
	}
	bench_arena_check_index(&b);
	bench_arena_release(&b);
	bench_arena_make(&b, 2, 3, 40000);
	for (int i = 0; i < 1000; i++) {
		bench_arena_step(&b);
		if (i % 200 == 0)
			bench_arena_check_index(&b);
	}
	bench_arena_check_index(&b);
	bench_arena_check_read_back(&b);
	bench_arena_tell(&b);
	bench_arena_release(&b);
}

/* What grew by changes decides as what was made at once. */
static void CHANGE_same_as_compiled(void **state)
{
	static struct world_question q[1000];
	struct bench_arena b = { .p = *state };

	random_changes(&b, 4711);
	for (int i = 0; i < 1000; i++) {
		world_ask(&b.w, &q[i]);
		assert_int_equal(world_answer(&b.w, &q[i], NULL), q[i].rule);
	}
	bench_arena_build(&b);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(world_answer(&b.w, &q[i], NULL), q[i].rule);
	bench_arena_release(&b);
}

static void CHANGE_does_not_grow(void **state)
{
	struct bench_arena b = { .p = *state };
	uint32_t most = 0;

	bench_arena_make(&b, 99, 100, SMALL);
	for (int i = 0; i < MANY_CHANGES; i++) {
		bench_arena_step(&b);
		most = b.a.n_cells > most ? b.a.n_cells : most;
		if (i % 500 == 0)
			bench_arena_check_read_back(&b);
	}
	world_check(&b.w, 1000);
	bench_arena_tell(&b);
	bench_arena_build(&b);
	print_message("# %d changes: at most %u cells, compiled anew %u\n", MANY_CHANGES, most,
		      b.a.n_cells);
	assert_true(most <= 2 * b.a.n_cells);
	bench_arena_release(&b);
}

/* The index of the rules is full before the arena is. */
static void CHANGE_without_room(void **state)
{
	struct bench_arena b = { .p = *state };
	struct world_change change;
	uint32_t room;

	bench_arena_make(&b, 7, 10, SMALL);
	room = arena_head(&b.a)->index_max - arena_gen(&b.a)->n_rules;
	for (uint32_t i = 0; i <= room; i++) {
		do {
			world_think(&b.w, &change);
			if (change.kind != WORLD_RULE_ADD)
				world_forget(&change);
		} while (change.kind != WORLD_RULE_ADD);
		bench_arena_do(&b, &change);
	}
	assert_true(b.anew[WORLD_RULE_ADD] >= 1);
	bench_arena_check_read_back(&b);
	world_check(&b.w, 300);
	bench_arena_release(&b);
}

/* ---- through the library ------------------------------------------------------------------------ */

static uint32_t map_in_force(const struct plane *p)
{
	uint32_t zero = 0, id = 0;

	assert_int_equal(bpf_map_lookup_elem(p->s->map.ruleset, &zero, &id), 0);
	return id;
}

static int ask_library(struct shunt *s, const struct world_change *change)
{
	switch (change->kind) {
	case WORLD_RULE_ADD:
		return shunt_rules_add(s, &change->rule);
	case WORLD_RULE_DEL:
		return shunt_rules_del(s, change->priority);
	case WORLD_SET_ADD:
		return shunt_set_add(s, &change->set);
	case WORLD_SET_TAKE:
		return shunt_set_take(s, &change->set);
	default:
		return shunt_set_del(s, change->set.name);
	}
}

static void CHANGE_by_the_library(void **state)
{
	struct plane *p = *state;
	struct world_change change;
	struct shunt_config is = {};
	unsigned int inside = 0;
	struct world w;

	world_make(&w, p, 3, 40, SMALL);
	assert_int_equal(shunt_config_apply(p->s, &w.config), 0);
	for (int i = 0; i < 80; i++) {
		uint32_t id = map_in_force(p);

		world_think(&w, &change);
		assert_int_equal(ask_library(p->s, &change), 0);
		inside += map_in_force(p) == id;
		world_do(&w, &change);
		assert_int_equal(shunt_config_read(p->s, &is), 0);
		assert_true(world_same(&w.config, &is));
		shunt_config_clear(&is);
		world_check(&w, 20);
	}
	print_message("# %u of 80 changes made inside\n", inside);
	assert_true(inside > 60);
	world_release(&w);
}

static struct shunt_rule rule_of(const char *text)
{
	struct shunt_rule rule;
	char err[128];

	if (shunt_rule_parse(&rule, text, err, sizeof(err)))
		fail_msg("%s", err);
	return rule;
}

static int add_rule(struct plane *p, const char *text)
{
	struct shunt_rule rule = rule_of(text);
	int r = shunt_rules_add(p->s, &rule);

	shunt_rule_clear(&rule);
	return r;
}

/* Rules keep what they have counted while others come and go; one that comes again begins at 0. */
static void CHANGE_counters_stay(void **state)
{
	struct plane *p = *state;
	struct shunt_rules rules = {};
	struct frame f;

	plane_rules(p, "10 in port 80 pass\n20 in port 81 pass\n");
	frame_ip(&f, p->mac, false);
	frame_l4(&f, IPPROTO_UDP, 80);
	frame_close(&f);
	for (int i = 0; i < 3; i++)
		plane_ingress(p, &f, NULL);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(add_rule(p, "5 in port 79 pass"), 0);
		assert_int_equal(add_rule(p, "15 in port 80 drop"), 0);
		assert_int_equal(shunt_rules_del(p->s, 5), 0);
		assert_int_equal(shunt_rules_del(p->s, 15), 0);
	}
	assert_int_equal(shunt_rules_read(p->s, &rules), 0);
	assert_int_equal(rules.n, 2);
	assert_int_equal(rules.v[0].stat.packets, 3);
	assert_int_equal(rules.v[1].stat.packets, 0);
	shunt_rules_clear(&rules);
	assert_int_equal(shunt_rules_del(p->s, 10), 0);
	assert_int_equal(add_rule(p, "10 in port 80 pass"), 0);
	assert_int_equal(shunt_rules_read(p->s, &rules), 0);
	assert_int_equal(rules.v[0].stat.packets, 0);
	shunt_rules_clear(&rules);
}

static void CHANGE_errors_change_nothing(void **state)
{
	struct plane *p = *state;
	struct shunt_rules rules = {};

	plane_rules(p, "10 in port 80 pass\n");
	assert_int_equal(add_rule(p, "10 in port 81 pass"), -EEXIST);
	assert_int_equal(shunt_rules_del(p->s, 11), -ENOENT);
	assert_int_equal(add_rule(p, "12 to @nowhere drop"), -ENOENT);
	assert_int_equal(add_rule(p, "12 udp proxy"), -EOPNOTSUPP);
	for (uint32_t i = 0; i < SHUNT_MAX_AUDITS; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%u in port 80 drop audit", 20 + i);
		assert_int_equal(add_rule(p, text), 0);
	}
	assert_int_equal(add_rule(p, "90 in drop audit"), -E2BIG);
	assert_int_equal(shunt_rules_read(p->s, &rules), 0);
	assert_int_equal(rules.n, 1 + SHUNT_MAX_AUDITS);
	shunt_rules_clear(&rules);
}

/* ---- while packets are classified --------------------------------------------------------------- */

/* State 0 is the world as it was made, state 1 with one change; a thread goes to and fro. */
struct race {
	struct plane *p;
	struct world w[2];
	struct world_change there, back;
	struct world_question q[2][RACE_QUESTIONS]; /* the same, answered for each state */
	uint64_t first;				    /* generation of state 0 */
	unsigned int changes;
	bool stop;
	int failed;
};

static void *change_to_and_fro(void *arg)
{
	struct race *r = arg;

	while (!r->failed && !__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
		r->failed = ask_library(r->p->s,
					__atomic_fetch_add(&r->changes, 1, __ATOMIC_RELAXED) % 2
						? &r->back
						: &r->there);
	return NULL;
}

/* A rule that is new, or prefixes that are, and how they go again. */
static bool think_of_two(struct race *r, bool sets)
{
	world_think(&r->w[1], &r->there);
	r->back = (struct world_change){};
	if (r->there.kind == WORLD_RULE_ADD && !sets) {
		r->back.kind = WORLD_RULE_DEL;
		r->back.priority = r->there.rule.priority;
		return true;
	}
	if (r->there.kind == WORLD_SET_TAKE && sets) {
		r->back.kind = WORLD_SET_ADD;
		r->back.set = r->there.set;
		return true;
	}
	world_forget(&r->there);
	return false;
}

static void race_make(struct race *r, uint64_t seed)
{
	world_make(&r->w[0], r->p, seed, 60, SMALL);
	world_make(&r->w[1], r->p, seed, 60, SMALL);
	while (!think_of_two(r, seed % 2))
		;
	assert_int_equal(shunt_config_apply(r->p->s, &r->w[0].config), 0);
	for (int i = 0; i < RACE_QUESTIONS; i++) {
		world_ask(&r->w[0], &r->q[0][i]);
		world_answer(&r->w[0], &r->q[0][i], &r->first);
	}
	assert_int_equal(ask_library(r->p->s, &r->there), 0);
	for (int i = 0; i < RACE_QUESTIONS; i++) {
		r->q[1][i] = r->q[0][i];
		r->q[1][i].rule = world_answer(&r->w[0], &r->q[0][i], NULL);
	}
	assert_int_equal(ask_library(r->p->s, &r->back), 0);
}

/* Changes wait for the kernel, answers do not: some of each, on a quick machine, too. */
static bool race_goes_on(const struct race *r, int round)
{
	return round < RACE_ROUNDS ||
	       (__atomic_load_n(&r->changes, __ATOMIC_RELAXED) < RACE_CHANGES &&
		round < 100 * RACE_ROUNDS);
}

static unsigned int race_run(struct race *r)
{
	unsigned int answers[2] = {};
	uint64_t generation;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, change_to_and_fro, r), 0);
	for (int round = 0; race_goes_on(r, round); round++)
		for (int i = 0; i < RACE_QUESTIONS; i++) {
			uint32_t is = world_answer(&r->w[0], &r->q[0][i], &generation);
			int state = (generation - r->first) % 2;

			answers[state]++;
			if (is != r->q[state][i].rule) {
				__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
				pthread_join(thread, NULL);
				fail_msg("generation %llu: rule %u decides, should be %u",
					 (unsigned long long)generation, is, r->q[state][i].rule);
			}
		}
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(r->failed, 0);
	return answers[0] && answers[1];
}

/* Each answer is of the generation that it names, before the change or after it. */
static void CHANGE_while_packets_are_classified(void **state)
{
	struct race *r = calloc(1, sizeof(*r));
	unsigned int both = 0, changes = 0;

	assert_non_null(r);
	for (uint64_t seed = 1; seed <= RACE_WORLDS; seed++) {
		*r = (struct race){ .p = *state };
		race_make(r, seed);
		both += race_run(r);
		changes += r->changes;
		world_forget(&r->there);
		world_release(&r->w[0]);
		world_release(&r->w[1]);
	}
	print_message("# %u answers, %u changes meanwhile\n",
		      RACE_WORLDS * RACE_ROUNDS * RACE_QUESTIONS, changes);
	assert_true(both > 0 && changes >= RACE_WORLDS * RACE_CHANGES);
	free(r);
}

/* ---- while rules are read back ------------------------------------------------------------------ */

struct rereading {
	struct bench_arena b;
	struct world_change there, back;
	unsigned int changes;
	bool stop;
	int failed;
};

/* As the library does, but for the waiting: readers in user space are not waited for anyway. */
static void *change_fast(void *arg)
{
	struct rereading *r = arg;

	while (!r->failed && !__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		int lock = instance_lock(r->b.p->s);

		r->failed = bench_arena_change(&r->b, r->changes++ % 2 ? &r->back : &r->there);
		close(lock);
	}
	return NULL;
}

static bool same_but(const struct shunt_config *config, struct shunt_config *is, bool with)
{
	struct shunt_rules all = config->rules;
	struct shunt_config part = *config;

	/* The rule that comes and goes is the last one. */
	part.rules = (struct shunt_rules){ all.v, all.n - !with };
	return world_same(&part, is);
}

static void CHANGE_while_rules_are_read(void **state)
{
	struct rereading r = { .b.p = *state };
	struct world_change in_the_end = {};
	unsigned int seen[2] = {};
	struct shunt_config is;
	pthread_t thread;

	bench_arena_make(&r.b, 11, 100, 200);
	r.there.rule = rule_of("200000 to @one tcp port 7 drop");
	r.back.kind = WORLD_RULE_DEL;
	r.back.priority = 200000;
	in_the_end.rule = rule_of("200000 to @one tcp port 7 drop");
	world_do(&r.b.w, &in_the_end);
	assert_int_equal(pthread_create(&thread, NULL, change_fast, &r), 0);
	for (int i = 0; i < READS; i++) {
		bool with;

		if (shunt_config_read(r.b.p->s, &is))
			break;
		with = is.rules.n == r.b.w.config.rules.n;
		seen[with] += same_but(&r.b.w.config, &is, with);
		shunt_config_clear(&is);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("# %u reads (%u and %u of the two states), %u changes meanwhile\n", READS,
		      seen[0], seen[1], r.changes);
	assert_int_equal(r.failed, 0);
	assert_int_equal(seen[0] + seen[1], READS);
	assert_true(seen[0] && seen[1] && r.changes > 100);
	shunt_rule_clear(&r.there.rule);
	bench_arena_release(&r.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(CHANGE_decisions),
		cmocka_unit_test(CHANGE_large_sets),
		cmocka_unit_test(CHANGE_same_as_compiled),
		cmocka_unit_test(CHANGE_does_not_grow),
		cmocka_unit_test(CHANGE_without_room),
		cmocka_unit_test(CHANGE_by_the_library),
		cmocka_unit_test(CHANGE_counters_stay),
		cmocka_unit_test(CHANGE_errors_change_nothing),
		cmocka_unit_test(CHANGE_while_packets_are_classified),
		cmocka_unit_test(CHANGE_while_rules_are_read),
	};

	return cmocka_run_group_tests_name("changes inside a generation", tests, plane_up,
					   plane_down);
}
