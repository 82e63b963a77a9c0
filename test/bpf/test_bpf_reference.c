// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loaded programs against the plain meaning of rules (lib/reference.c): ten million packets
 * at the borders of random, overlapping rules and sets, and no mismatch. And the check of the
 * check: were the classifier wrong about any part of a match, these packets would show it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "effort.h"
#include "generation.h"
#include "mutation.h"
#include "prepared.h"

enum {
	SETS = EFFORT(2000),
	PACKETS = 5120, /* of each */
	MUTATED_SETS = 100,
	MUTATED_PACKETS = 2048,
	MUTATED_RULES = 40,
	CROWDED_SETS = EFFORT(40),
	CROWDED_PACKETS = 4096,
	TIMED_SETS = 300,
	DELETED = 30, /* of each, in place */
};

/* Was the packet asked about the rules at all? */
static void assert_classified(const struct prepared *v, uint32_t i, const struct batch_answer *a)
{
	char text[256];

	if (a->counter == SHUNT_CTR_NO_MATCH || a->priority)
		return;
	fail_msg("seed %lu, %s: left as %s", v->seed,
		 question_text(text, sizeof(text), &v->packets[i]), shunt_counter_name(a->counter));
}

static void print_rule(const struct prepared *v, uint32_t priority)
{
	for (size_t i = 0; i < v->c.rules.n; i++) {
		char *text;

		if (v->c.rules.v[i].priority != priority)
			continue;
		text = shunt_rule_format(&v->c.rules.v[i]);
		print_message("# %s\n", text ? text : "");
		free(text);
	}
}

static void differs(const struct prepared *v, uint32_t i, const struct batch_answer *a)
{
	char text[256];

	print_rule(v, a->priority);
	print_rule(v, v->right[i]);
	fail_msg("seed %lu, %s: rule %u, should be %u", v->seed,
		 question_text(text, sizeof(text), &v->packets[i]), a->priority, v->right[i]);
}

static void compare(const struct prepared *v, const struct batch_answer *answers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		assert_classified(v, i, &answers[i]);
		if (answers[i].priority != v->right[i])
			differs(v, i, &answers[i]);
	}
}

/* What the program says, which is right. */
static const struct batch_answer *ask(struct questions *q, const struct prepared *v, uint32_t n)
{
	const struct batch_answer *answers;

	if (v->err)
		fail_msg("seed %lu: cannot be put in force: %s", v->seed, strerror(-v->err));
	answers = questions_ask(q, v->instance, v->packets, n, v->ends);
	compare(v, answers, n);
	return answers;
}

static uint32_t n_decided(const struct prepared *v, uint32_t n)
{
	uint32_t decided = 0;

	for (uint32_t i = 0; i < n; i++)
		decided += v->right[i] != 0;
	return decided;
}

/* Random rule sets, all that the language has in them. */
static void REFERENCE_ten_million_pairs(void **state)
{
	struct questions *q = *state;
	struct preparer p = { .questions = q, .n_packets = PACKETS, .first = 1, .last = SETS };
	unsigned long pairs = 0, decided = 0;

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);

		ask(q, v, PACKETS);
		pairs += PACKETS;
		decided += n_decided(v, PACKETS);
		preparer_give_back(&p, seed);
	}
	preparer_end(&p);
	print_message("# %d rule sets, %lu packets, %lu of them decided by a rule\n", SETS, pairs,
		      decided);
	assert_true(pairs >= EFFORT(10000000) && decided > pairs / 4 && decided < pairs - pairs / 20);
}

static bool has_port_tables(struct questions *q, int instance)
{
	struct arena a;
	bool found = false;

	assert_int_equal(generation_open(&a, &q->instances[instance]), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct shunt_table *t = arena_at(&a, arena_gen(&a)->tables_at[v6]);

		for (int i = 0; i < arena_gen(&a)->n_tables[v6]; i++)
			found |= t[i].flags & SHUNT_TABLE_PORTS;
	}
	arena_release(&a);
	return found;
}

/* Rules that are in pieces go in all their pieces. Answers are made anew. */
static void delete_some(struct questions *q, struct prepared *v)
{
	struct shunt *s = &q->instances[v->instance];
	const struct shunt_rule *rule;
	struct arena a;

	assert_int_equal(generation_open(&a, s), 0);
	for (int i = 0; i < DELETED; i++) {
		uint32_t at = random_below(&v->c, (uint32_t)v->c.rules.n);

		assert_int_equal(change_rule_del(&a, s->map.ruleset, v->c.rules.v[at].priority), 0);
		random_case_remove(&v->c, at);
	}
	arena_release(&a);
	for (uint32_t i = 0; i < CROWDED_PACKETS; i++) {
		rule = reference_decide(&v->c.rules, &v->c.sets, &v->packets[i]);
		v->right[i] = rule ? rule->priority : 0;
	}
}

/* Many rules of the same addresses: their ranges of ports get tables of their own. */
static void REFERENCE_crowded_rules(void **state)
{
	struct questions *q = *state;
	struct preparer p = { .questions = q, .options = { .crowded = true },
			      .n_packets = CROWDED_PACKETS, .first = 400001,
			      .last = 400000 + CROWDED_SETS };
	uint32_t with_tables = 0;

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);

		ask(q, v, CROWDED_PACKETS);
		with_tables += has_port_tables(q, v->instance);
		delete_some(q, v);
		ask(q, v, CROWDED_PACKETS);
		preparer_give_back(&p, seed);
	}
	preparer_end(&p);
	print_message("# %u of %d rule sets have tables of prefixes of ports\n", with_tables,
		      CROWDED_SETS);
	assert_true(with_tables * 2 > CROWDED_SETS);
}

/*
 * Sets that hold prefixes for a time, some of which is over; known to the generation from its
 * beginning, or later, in place.
 */
static void REFERENCE_timed_sets(void **state)
{
	struct questions *q = *state;
	struct preparer p = { .questions = q, .options = { .timed = true },
			      .n_packets = PACKETS, .first = 500001,
			      .last = 500000 + TIMED_SETS };
	uint32_t differ = 0;

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);
		const struct batch_answer *answers = ask(q, v, PACKETS);

		/* Without them the answers would be others. */
		for (size_t i = 0; i < v->c.sets.n; i++)
			v->c.sets.v[i].n_timed = 0;
		for (uint32_t i = 0; i < PACKETS; i++) {
			const struct shunt_rule *rule = reference_decide(&v->c.rules, &v->c.sets,
									 &v->packets[i]);

			differ += (rule ? rule->priority : 0) != answers[i].priority;
		}
		preparer_give_back(&p, seed);
	}
	preparer_end(&p);
	print_message("# %u of %u packets are decided by what is in sets for a time\n", differ,
		      TIMED_SETS * PACKETS);
	assert_true(differ > TIMED_SETS * PACKETS / 200);
}

/* Do the answers of the program differ from what these rules say? */
static bool is_noticed(const struct prepared *v, const struct random_case *mutated,
		       const struct batch_answer *answers)
{
	const struct shunt_rule *rule;

	for (uint32_t i = 0; i < MUTATED_PACKETS; i++) {
		rule = reference_decide(&mutated->rules, &mutated->sets, &v->packets[i]);
		if ((rule ? rule->priority : 0) != answers[i].priority)
			return true;
	}
	return false;
}

/* A rule changed in one place, behind the program's back, must show. */
static void REFERENCE_finds_every_kind_of_fault(void **state)
{
	struct questions *q = *state;
	struct random_options options = { .max_rules = MUTATED_RULES };
	struct preparer p = { .questions = q, .n_packets = MUTATED_PACKETS, .options = options,
			      .first = 100001, .last = 100000 + MUTATED_SETS };
	uint32_t made[MUTATIONS] = {}, noticed[MUTATIONS] = {};
	struct random_case c;

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);
		const struct batch_answer *answers = ask(q, v, MUTATED_PACKETS);

		for (int m = 0; m < MUTATIONS; m++) {
			assert_int_equal(random_case_make(&c, seed, &options), 0);
			if (mutation_make(&c, m)) {
				made[m]++;
				noticed[m] += is_noticed(v, &c, answers);
			}
			random_case_clear(&c);
		}
		preparer_give_back(&p, seed);
	}
	preparer_end(&p);
	for (int m = 0; m < MUTATIONS; m++) {
		print_message("# %s: noticed in %u of %u rule sets\n", mutation_names[m],
			      noticed[m], made[m]);
		/* Not in all: most of the parts of most of the rules are behind others. */
		assert_true(made[m] >= 8 && noticed[m] * 4 >= made[m]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(REFERENCE_finds_every_kind_of_fault),
		cmocka_unit_test(REFERENCE_crowded_rules),
		cmocka_unit_test(REFERENCE_timed_sets),
		cmocka_unit_test(REFERENCE_ten_million_pairs),
	};

	return cmocka_run_group_tests_name("bpf reference", tests, questions_up, questions_down);
}
