/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Random rules: what is printed parses to an equal rule, in whatever order its clauses stand.
 * SHUNT_TEST_SEED chooses other rules; a failure names its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"
#include "rule_grammar.h"

enum { RULES = 200000, LIST_MAX = 40 };

static uint64_t random_state;

/* xorshift64*: the same numbers on every machine */
static uint32_t below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dULL) >> 32) % n;
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

static void random_name(char *out, size_t max, const char *letters)
{
	size_t len = 1 + below((uint32_t)max - 1), n = strlen(letters);

	memset(out, 0, max);
	for (size_t i = 0; i < len; i++)
		out[i] = letters[below((uint32_t)n)];
}

static size_t random_count(void)
{
	return one_in(20) ? 1 + below(LIST_MAX) : 1 + below(3);
}

static void random_prefix(struct shunt_prefix *p, bool v4)
{
	memset(p, 0, sizeof(*p));
	for (int i = 0; i < 16; i++)
		p->addr.s6_addr[i] = one_in(2) ? (uint8_t)below(256) : 0;
	if (v4) {
		memset(p->addr.s6_addr, 0, 10);
		memset(p->addr.s6_addr + 10, 0xff, 2);
		p->len = (uint8_t)(97 + below(32));
	} else {
		if (IN6_IS_ADDR_V4MAPPED(&p->addr))
			p->addr.s6_addr[0] = 0x20;
		p->len = (uint8_t)(1 + below(128));
	}
	if (one_in(3))
		p->len = 128;
	shunt_prefix_mask(p);
}

/* At least the first prefix is of the family, so that from and to have one in common. */
static void random_addrs(struct shunt_addrs *a, bool v4)
{
	size_t want = random_count();

	a->negated = one_in(3);
	if (one_in(4)) {
		random_name(a->set, SHUNT_NAME_LEN, "abzAZ059_");
		return;
	}
	a->v = calloc(want, sizeof(*a->v));
	for (size_t i = 0; i < want; i++) {
		struct shunt_prefix *p = &a->v[a->n];
		size_t j = 0;

		random_prefix(p, i == 0 ? v4 : one_in(2));
		while (j < a->n && (a->v[j].len != p->len ||
				    !IN6_ARE_ADDR_EQUAL(&a->v[j].addr, &p->addr)))
			j++;
		a->n += j == a->n;
	}
}

static void random_ports(struct shunt_ports *ports)
{
	size_t n = random_count();

	ports->v = calloc(n, sizeof(*ports->v));
	for (size_t i = 0; i < n; i++) {
		/* Distinct, because each begins where no other does. */
		uint16_t lo = (uint16_t)(1 + i * 1600 + below(1600));

		ports->v[i].lo = lo;
		ports->v[i].hi = (uint16_t)(one_in(2) ? lo : lo + below(65536U - lo));
	}
	ports->n = n;
}

static void random_devices(struct shunt_rule *r)
{
	size_t n = random_count();

	r->devices = calloc(n, IF_NAMESIZE);
	for (size_t i = 0; i < n; i++) {
		random_name(r->devices[i], IF_NAMESIZE - 2, "ab-_.9@#'+");
		memmove(r->devices[i] + 2, r->devices[i], IF_NAMESIZE - 2);
		r->devices[i][0] = 'e';
		r->devices[i][1] = (char)('A' + i); /* distinct */
	}
	r->n_devices = n;
}

static void random_match(struct shunt_rule *r, bool v4)
{
	r->priority = one_in(9) ? RULE_PRIORITY_MAX : 1 + below(RULE_PRIORITY_MAX);
	r->dirs = (uint8_t)(1 + below(3));
	r->protos = (uint8_t)(1 + below(3));
	if (one_in(3))
		random_devices(r);
	if (one_in(2))
		random_addrs(&r->from, v4);
	if (one_in(2))
		random_addrs(&r->to, v4);
	if (one_in(3))
		random_ports(&r->sport);
	if (one_in(2))
		random_ports(&r->port);
	if (r->dirs != SHUNT_DIR_IN && one_in(3)) {
		r->has_uid = true;
		r->uid_lo = below(UINT32_MAX);
		r->uid_hi = one_in(2) ? r->uid_lo : r->uid_lo + below(UINT32_MAX - r->uid_lo);
	}
	if (r->dirs != SHUNT_DIR_IN && one_in(4)) {
		char part[20];

		random_name(part, sizeof(part), "abc#@:,-_x");
		assert_true(asprintf(&r->cgroup, "/%s/x.%s", part, part) > 0);
	}
}

static void random_action(struct shunt_rule *r, bool v4)
{
	struct shunt_prefix via;

	r->action = (enum shunt_action)(1 + below(5));
	if (r->action == SHUNT_ACT_PROXY) {
		strcpy(r->target, RULE_TARGET_DEFAULT);
		do
			if (one_in(2))
				random_name(r->target, SHUNT_NAME_LEN, "abzAZ059_");
		while (rule_word_find(r->target, strlen(r->target)));
		r->fail = one_in(2) ? SHUNT_FAIL_OPEN : SHUNT_FAIL_CLOSED;
	}
	if (r->action == SHUNT_ACT_ROUTE && one_in(2)) {
		random_prefix(&via, v4); /* of the family that from and to have in common */
		if (shunt_prefix_is_v4(&via))
			via.addr.s6_addr[12] = (uint8_t)(1 + below(126));
		else
			via.addr.s6_addr[0] = 0x20;
		r->has_via = true;
		r->via = via.addr;
	} else if (r->action == SHUNT_ACT_ROUTE && one_in(2)) {
		random_name(r->via_group, SHUNT_NAME_LEN, "abzAZ059_");
	}
	if (r->action == SHUNT_ACT_ROUTE && !r->via_group[0] && one_in(2))
		random_name(r->route_dev, IF_NAMESIZE, "abc09_-@");
	if (r->has_via || r->via_group[0] || r->route_dev[0])
		r->fail = one_in(2) ? SHUNT_FAIL_OPEN : SHUNT_FAIL_CLOSED;
}

static void random_options(struct shunt_rule *r)
{
	static const char *const comments[] = { "x", "a # b", "pass", "caf\xc3\xa9\tau lait" };

	if (r->action != SHUNT_ACT_DROP && one_in(3)) {
		r->limit_per = one_in(2) ? SHUNT_LIMIT_PER_RULE : SHUNT_LIMIT_PER_SRC;
		r->limit_rate = 1 + below(RULE_RATE_MAX);
		r->limit_burst = one_in(2) ? 0 : 1 + below(RULE_RATE_MAX);
	}
	r->log = one_in(4);
	r->audit = one_in(4);
	if (one_in(4))
		r->comment = strdup(comments[below(4)]);
}

static void random_rule(struct shunt_rule *r)
{
	bool v4 = one_in(2);

	memset(r, 0, sizeof(*r));
	random_match(r, v4);
	random_action(r, v4);
	random_options(r);
}

static void check_parses_to(const struct shunt_rule *rule, const char *text)
{
	struct shunt_rule back;
	char err[256], *again;

	if (shunt_rule_parse(&back, text, err, sizeof(err)))
		fail_msg("\"%s\": %s", text, err);
	if (!shunt_rule_equal(rule, &back)) {
		again = shunt_rule_format(&back);
		fail_msg("\"%s\" becomes \"%s\"", text, again);
	}
	shunt_rule_clear(&back);
}

/*
 * Cut the words of a printed rule into its clauses: match clauses may go anywhere after the
 * priority, the action and its options keep their order among themselves.
 */
static char *shuffle(const char *text)
{
	char *copy = strdup(text), *out = calloc(1, strlen(text) + 2);
	char *comment = strstr(copy, " # "), *save = NULL, *word;
	char *clauses[64] = { NULL };
	size_t n = 0, at_first = 0, at_second, n_match = 0;
	size_t order[64];

	if (comment)
		*comment = '\0';
	word = strtok_r(copy, " ", &save);
	strcpy(out, word);
	/* A word that is a value ("to" of "on to") never is here: names avoid the grammar. */
	while ((word = strtok_r(NULL, " ", &save))) {
		const struct rule_word *w = rule_word_find(word, strlen(word));
		bool begins = w && w->place != RULE_VALUE && w->place != RULE_PART;

		if (!begins) { /* go on with the clause before: put the blank back */
			word[-1] = ' ';
			continue;
		}
		n_match += w->place == RULE_MATCH;
		clauses[n++] = word;
	}
	/* Match clauses in random order, merged at random with the others in theirs. */
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n_match; i > 1; i--) {
		size_t j = below((uint32_t)i), swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
	at_second = n_match;
	while (at_first < n_match || at_second < n) {
		bool first = at_second == n || (at_first < n_match && one_in(2));

		strcat(out, " ");
		strcat(out, clauses[first ? order[at_first++] : order[at_second++]]);
	}
	if (comment) {
		*comment = ' ';
		strcat(out, text + (comment - copy));
	}
	free(copy);
	return out;
}

static void test_round_trip(void **state)
{
	const char *seed = getenv("SHUNT_TEST_SEED");

	(void)state;
	random_state = seed ? strtoull(seed, NULL, 0) | 1 : 20240229;
	print_message("seed %llu\n", (unsigned long long)random_state);
	for (int i = 0; i < RULES; i++) {
		struct shunt_rule rule;
		char *text, *shuffled;

		random_rule(&rule);
		text = shunt_rule_format(&rule);
		check_parses_to(&rule, text);
		shuffled = shuffle(text);
		assert_int_equal(strlen(shuffled), strlen(text));
		check_parses_to(&rule, shuffled);
		free(shuffled);
		free(text);
		shunt_rule_clear(&rule);
	}
}

/* A rule with one byte changed is refused with a message, or is a rule that prints again. */
static void test_mutated(void **state)
{
	(void)state;
	random_state = 77;
	for (int i = 0; i < RULES / 4; i++) {
		struct shunt_rule rule, back;
		char err[256] = "", *text;

		random_rule(&rule);
		text = shunt_rule_format(&rule);
		shunt_rule_clear(&rule);
		text[below((uint32_t)strlen(text))] = (char)(1 + below(255));
		if (shunt_rule_parse(&back, text, err, sizeof(err)) == 0) {
			free(text);
			text = shunt_rule_format(&back);
			check_parses_to(&back, text);
			shunt_rule_clear(&back);
		} else {
			assert_true(err[0] != '\0' && strlen(err) < 255);
			for (const char *c = err; *c; c++)
				assert_in_range(*c, 0x20, 0x7e);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_mutated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
