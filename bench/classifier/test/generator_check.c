// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The generator and the reference by themselves: each random rule is one that the language can
 * say (its text parses back to it), and each part of a match decides about enough packets.
 *
 *	generator_check [CASES [SEED]]
 */
#include <stdlib.h>
#include <string.h>

#include "random_rules.h"

enum { PACKETS = 2000, PARTS = 12 };

static const char *const part_names[PARTS] = { "from",	 "to",	 "sport", "port", "device", "tcp/udp",
					       "in/out", "uid", "cgroup", "set",  "not",    "any" };

/* Bits of the parts that the rule has. */
static unsigned int parts_of(const struct shunt_rule *rule)
{
	bool set = rule->from.set[0] || rule->to.set[0];

	return (rule->from.n > 0) << 0 | (rule->to.n > 0) << 1 | (rule->sport.n > 0) << 2 |
	       (rule->port.n > 0) << 3 | (rule->n_devices > 0) << 4 | (rule->protos != 3) << 5 |
	       (rule->dirs != 3) << 6 | rule->has_uid << 7 | (rule->cgroup != NULL) << 8 |
	       set << 9 | (rule->from.negated || rule->to.negated) << 10 | 1U << 11;
}

static int check_text(const struct shunt_rules *rules)
{
	char *text, err[256];
	struct shunt_rule back;

	for (size_t i = 0; i < rules->n; i++) {
		text = shunt_rule_format(&rules->v[i]);
		if (!text || shunt_rule_parse(&back, text, err, sizeof(err))) {
			printf("'%s' is no rule: %s\n", text ? text : "", text ? err : "no memory");
			return 1;
		}
		if (!shunt_rule_equal(&back, &rules->v[i])) {
			printf("'%s' parses to another rule\n", text);
			return 1;
		}
		shunt_rule_clear(&back);
		free(text);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 500;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t hits[PARTS] = { 0 }, missed = 0, n_rules = 0;
	struct random_options options = { 0 };
	struct random_case c;
	struct ref_packet p;
	int failed = 0;

	for (uint64_t i = 0; i < cases && !failed; i++) {
		if (random_case_make(&c, seed + i, &options))
			return 2;
		failed = check_text(&c.rules);
		n_rules += c.rules.n;
		for (int n = 0; n < PACKETS; n++) {
			const struct shunt_rule *rule;

			random_packet(&c, &p);
			rule = reference_find(&c.rules, &c.sets, &p, 0);
			missed += rule == NULL;
			for (int part = 0; rule && part < PARTS; part++)
				hits[part] += parts_of(rule) >> part & 1;
		}
		random_case_clear(&c);
	}
	printf("%llu rules, %llu packets, %llu without a rule; decided by rules with:\n",
	       (unsigned long long)n_rules, (unsigned long long)(cases * PACKETS),
	       (unsigned long long)missed);
	for (int part = 0; part < PARTS; part++) {
		printf("  %-8s %llu\n", part_names[part], (unsigned long long)hits[part]);
		failed |= hits[part] * 200 < cases * PACKETS; /* half a percent */
	}
	return failed;
}
