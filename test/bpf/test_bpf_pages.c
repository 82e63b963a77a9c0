// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Generations that are larger than a page of their map: what belongs together stands on several
 * pages then, and on the border of two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "generation.h"
#include "prepared.h"

enum {
	CASES = 60,
	PACKETS = 4096, /* of each */
	PREFIXES = 600000,
	ASKED = 65536, /* at once */
	PRIORITY = 10,
};

/* Cells that are given out behind the first page: of buckets, and of all. */
static void count_far(struct questions *q, int instance, uint32_t *buckets, uint32_t *cells)
{
	struct arena a;

	assert_int_equal(generation_open(&a, &q->instances[instance]), 0);
	*cells = a.n_cells;
	for (int v6 = 0; v6 < 2; v6++) {
		const struct shunt_table *t = arena_at(&a, arena_gen(&a)->tables_at[v6]);

		for (int i = 0; i < arena_gen(&a)->n_tables[v6]; i++)
			*buckets += t[i].buckets_at >= SHUNT_PAGE_CELLS;
	}
	arena_release(&a);
}

static void PAGES_random_rules(void **state)
{
	struct questions *q = *state;
	struct preparer p = { .questions = q, .options = { .large = true }, .n_packets = PACKETS,
			      .first = 600001, .last = 600000 + CASES };
	uint32_t far = 0, cells, decided = 0;

	assert_int_equal(preparer_start(&p), 0);
	for (uint64_t seed = p.first; seed <= p.last; seed++) {
		struct prepared *v = preparer_get(&p, seed);
		const struct batch_answer *answers;

		assert_int_equal(v->err, 0);
		answers = questions_ask(q, v->instance, v->packets, PACKETS, v->ends);
		for (uint32_t i = 0; i < PACKETS; i++) {
			if (answers[i].priority != v->right[i])
				fail_msg("seed %lu, packet %u: rule %u, should be %u", seed, i,
					 answers[i].priority, v->right[i]);
			decided += v->right[i] > 1;
		}
		count_far(q, v->instance, &far, &cells);
		assert_true(cells > SHUNT_PAGE_CELLS);
		preparer_give_back(&p, seed);
	}
	preparer_end(&p);
	print_message("# %u tables behind the first page, %u packets decided\n", far, decided);
	assert_true(far > CASES && decided > CASES * PACKETS / 8);
}

/* ---- a large set ------------------------------------------------------------------------------ */

/* Every other address; IPv6: half of them differ in the first half, and half in the second. */
static struct in6_addr address(bool v6, uint32_t i)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 1 } };
	uint32_t x = 2 * i;

	if (v6)
		a = (struct in6_addr){ .s6_addr = { 0x20, 0x01, 0x0d, 0xb8 } };
	for (int k = 0; k < 3; k++) {
		a.s6_addr[15 - k] |= (uint8_t)(x >> 8 * k);
		if (v6 && i % 2)
			a.s6_addr[7 - k] |= (uint8_t)(x >> 8 * k);
	}
	return a;
}

static void make_case(struct random_case *c, bool v6)
{
	struct shunt_rule rule = { .priority = PRIORITY, .dirs = SHUNT_DIR_IN,
				   .protos = SHUNT_PROTO_TCP, .action = SHUNT_ACT_PASS,
				   .to = { .set = "large" } };

	memset(c, 0, sizeof(*c));
	c->sets.v = calloc(1, sizeof(*c->sets.v));
	assert_non_null(c->sets.v);
	c->sets.n = 1;
	strcpy(c->sets.v->name, "large");
	c->sets.v->v = calloc(PREFIXES, sizeof(*c->sets.v->v));
	assert_non_null(c->sets.v->v);
	for (; c->sets.v->n < PREFIXES; c->sets.v->n++)
		c->sets.v->v[c->sets.v->n] = (struct shunt_prefix){
			.addr = address(v6, (uint32_t)c->sets.v->n), .len = 128,
		};
	assert_int_equal(random_case_insert(c, &rule), 0);
}

/* Addresses first..first+n of the set, or those beside them: all get this answer. */
static void ask_range(struct questions *q, bool v6, uint32_t first, uint32_t n, bool beside)
{
	struct ref_packet *packets = calloc(n, sizeof(*packets));
	uint32_t ends[QUESTION_WAYS], right = beside ? 0 : PRIORITY;
	const struct batch_answer *answers;

	assert_non_null(packets);
	for (uint32_t i = 0; i < n; i++) {
		packets[i] = (struct ref_packet){
			.dst = address(v6, first + i), .src = address(v6, 0), .v6 = v6,
			.dir = SHUNT_DIR_IN, .proto = SHUNT_PROTO_TCP, .dport = 80,
			.sport = 1024, .device = "", .cgroup = "",
		};
		packets[i].dst.s6_addr[15] |= beside;
	}
	questions_sort(packets, n, ends);
	answers = questions_ask(q, 0, packets, n, ends);
	for (uint32_t i = 0; i < n; i++)
		if (answers[i].priority != right)
			fail_msg("IPv%d, near %u: rule %u, should be %u", v6 ? 6 : 4, first + i,
				 answers[i].priority, right);
	free(packets);
}

static void ask_all(struct questions *q, bool v6)
{
	uint32_t cells, buckets = 0, n;
	struct random_case c;

	make_case(&c, v6);
	assert_int_equal(questions_load(q, 0, &c), 0);
	count_far(q, 0, &buckets, &cells);
	assert_true(cells > 3 * SHUNT_PAGE_CELLS);
	for (uint32_t i = 0; i < PREFIXES; i += n) {
		n = PREFIXES - i < ASKED ? PREFIXES - i : ASKED;
		ask_range(q, v6, i, n, false);
		ask_range(q, v6, i, n, true);
	}
	random_case_clear(&c);
}

static void PAGES_every_prefix_of_a_large_set(void **state)
{
	ask_all(*state, false);
	ask_all(*state, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PAGES_random_rules),
		cmocka_unit_test(PAGES_every_prefix_of_a_large_set),
	};

	return cmocka_run_group_tests_name("bpf pages", tests, questions_up, questions_down);
}
