// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loaded programs and the plain reference against nftables, as somebody who knows neither:
 * some thousand random rule sets, and real packets that nftables' own rules mark.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutation.h"
#include "nft_lab.h"
#include "prepared.h"

enum {
	SETS = 2000,
	SETS_AT_ONCE = 20, /* in one script: what nft takes grows with its square */
	PACKETS = 256,	   /* of each */
	MAX_RULES = 40,
	MUTATED_SETS = 60,
};

static const struct random_options options = { .no_sender = true, .max_rules = MAX_RULES };

/* What is asked of nftables for one rule set. */
struct question {
	uint64_t seed;
	struct ref_packet packets[PACKETS];
	uint32_t right[PACKETS];
};

struct lab {
	struct nft_lab nft;
	struct nft_script script;
	struct question v[SETS_AT_ONCE];
	uint32_t n;
	unsigned long packets, decided;
};

static uint32_t ask_nft(struct lab *lab, uint32_t i, uint32_t *found)
{
	const struct question *q = &lab->v[i];
	uint32_t marks[PACKETS], differ = 0;

	assert_int_equal(nft_lab_ask(&lab->nft, i + 1, q->packets, PACKETS, marks), 0);
	for (uint32_t k = 0; k < PACKETS; k++) {
		found[k] = marks[k] & NFT_DECIDED ? marks[k] & ~NFT_DECIDED : 0;
		differ += found[k] != q->right[k];
	}
	return differ;
}

/* Load what was gathered; how many of the rule sets nftables sees differently. */
static uint32_t ask_nft_all(struct lab *lab, bool may_differ)
{
	uint32_t found[PACKETS], sets = 0;
	char text[256];

	assert_int_equal(nft_lab_load(&lab->script), 0);
	for (uint32_t i = 0; i < lab->n; i++) {
		const struct question *q = &lab->v[i];

		if (!ask_nft(lab, i, found))
			continue;
		sets++;
		for (uint32_t k = 0; k < PACKETS && !may_differ; k++)
			if (found[k] != q->right[k])
				fail_msg("seed %lu, %s: rule %u of nftables, should be %u",
					 q->seed,
					 question_text(text, sizeof(text), &q->packets[k]),
					 found[k], q->right[k]);
	}
	lab->n = 0;
	return sets;
}

static void gather(struct lab *lab, const struct prepared *v, const struct random_case *c)
{
	struct question *q = &lab->v[lab->n];

	if (!lab->n)
		assert_int_equal(nft_script_begin(&lab->script), 0);
	q->seed = v->seed;
	memcpy(q->packets, v->packets, sizeof(q->packets));
	memcpy(q->right, v->right, sizeof(q->right));
	for (uint32_t i = 0; i < PACKETS; i++)
		lab->decided += q->right[i] != 0;
	lab->packets += PACKETS;
	assert_int_equal(nft_script_add(&lab->script, c, ++lab->n), 0);
}

static void check_program(struct questions *q, const struct prepared *v)
{
	const struct batch_answer *answers;
	char text[256];

	assert_int_equal(v->err, 0);
	answers = questions_ask(q, v->instance, v->packets, PACKETS, v->ends);
	for (uint32_t i = 0; i < PACKETS; i++)
		if (answers[i].priority != v->right[i])
			fail_msg("seed %lu, %s: rule %u of shunt, should be %u", v->seed,
				 question_text(text, sizeof(text), &v->packets[i]),
				 answers[i].priority, v->right[i]);
}

static struct lab *open_lab(void)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	assert_int_equal(nft_lab_open(&lab->nft), 0);
	return lab;
}

static void NFTABLES_agrees(void **state)
{
	struct questions *q = *state;
	struct preparer p = { .questions = q, .options = options, .n_packets = PACKETS,
			      .first = 200001, .last = 200000 + SETS };
	struct lab *lab = open_lab();

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);

		check_program(q, v);
		gather(lab, v, &v->c);
		preparer_give_back(&p, seed);
		if (lab->n == SETS_AT_ONCE || seed == p.last)
			ask_nft_all(lab, false);
	}
	preparer_end(&p);
	print_message("# %d rule sets, %lu packets, %lu of them decided by a rule\n", SETS,
		      lab->packets, lab->decided);
	assert_true(lab->decided > lab->packets / 4 && lab->decided < lab->packets * 19 / 20);
	nft_lab_close(&lab->nft);
	free(lab);
}

/* nftables is given the rules in another order, or without their `not`: that must show. */
static void NFTABLES_finds_faults(void **state)
{
	static const enum mutation faults[] = { MUTATION_ORDER, MUTATION_NOT, MUTATION_PORT_END };
	struct preparer p = { .questions = *state, .options = options, .n_packets = PACKETS };
	struct lab *lab = open_lab();
	struct random_case c;

	for (size_t m = 0; m < sizeof(faults) / sizeof(faults[0]); m++) {
		uint32_t made = 0, found = 0;

		p.first = 300001;
		p.last = 300000 + MUTATED_SETS;
		assert_int_equal(preparer_start(&p), 0);
		for (uint64_t seed = p.first; seed <= p.last; seed++) {
			struct prepared *v = preparer_get(&p, seed);

			assert_int_equal(random_case_make(&c, seed, &options), 0);
			if (mutation_make(&c, faults[m]))
				gather(lab, v, &c);
			random_case_clear(&c);
			preparer_give_back(&p, seed);
			if (lab->n == SETS_AT_ONCE || (seed == p.last && lab->n)) {
				made += lab->n;
				found += ask_nft_all(lab, true);
			}
		}
		preparer_end(&p);
		print_message("# %s: noticed in %u of %u rule sets\n", mutation_names[faults[m]],
			      found, made);
		assert_true(made >= 8 && found * 4 >= made);
	}
	nft_lab_close(&lab->nft);
	free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(NFTABLES_agrees),
		cmocka_unit_test(NFTABLES_finds_faults),
	};

	return cmocka_run_group_tests_name("bpf nftables", tests, questions_up, questions_down);
}
