// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * classify-load rules KIND FAMILY N SET	rules of a case, as a rule file
 * classify-load set KIND FAMILY N SET		its set, a prefix a line
 * classify-load time KIND FAMILY N SET DEVICE ROUNDS	what the loaded program takes, as JSON
 * classify-load memory				what the rules in force take, as JSON
 *
 * KIND is destination, source, port or mixed, FAMILY 4 or 6, N the number of rules, SET that of
 * the set's prefixes (0: no set). `time` and `memory` are about the default instance here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"

static int usage(void)
{
	fprintf(stderr, "usage: classify-load rules|set|time KIND FAMILY N SET [DEVICE ROUNDS]\n"
			"       classify-load memory\n");
	return 2;
}

static int print_rules(const struct bench_case *c)
{
	for (size_t i = 0; i < c->rules.n; i++) {
		char *text = shunt_rule_format(&c->rules.v[i]);

		if (!text)
			return 1;
		puts(text);
		free(text);
	}
	return 0;
}

static int print_set(const struct bench_case *c)
{
	char buf[SHUNT_PREFIX_STR];

	for (size_t i = 0; c->sets.n && i < c->sets.v[0].n; i++)
		puts(shunt_prefix_str(buf, &c->sets.v[0].v[i]));
	return 0;
}

static int print_times(struct bench_case *c, const char *device, unsigned int rounds)
{
	struct timing t;
	int r = timing_open(&t, device);

	if (r)
		return 1;
	r = timing_run(&t, c, rounds);
	timing_close(&t);
	return r ? 1 : 0;
}

static int find_kind(const char *name)
{
	for (int i = 0; i < BENCH_KINDS; i++)
		if (!strcmp(bench_kind_names[i], name))
			return i;
	return -1;
}

int main(int argc, char **argv)
{
	struct bench_case c;
	int kind, r;

	if (argc == 2 && !strcmp(argv[1], "memory"))
		return timing_memory() ? 1 : 0;
	kind = argc > 5 ? find_kind(argv[2]) : -1;
	if (kind < 0)
		return usage();
	r = bench_case_make(&c, (enum bench_kind)kind, argv[3][0] == '6', strtoul(argv[4], NULL, 10),
			    strtoul(argv[5], NULL, 10));
	if (r) {
		fprintf(stderr, "classify-load: %s\n", strerror(-r));
		return 1;
	}
	if (!strcmp(argv[1], "rules"))
		r = print_rules(&c);
	else if (!strcmp(argv[1], "set"))
		r = print_set(&c);
	else if (!strcmp(argv[1], "time") && argc == 8)
		r = print_times(&c, argv[6], (unsigned int)strtoul(argv[7], NULL, 10));
	else
		r = usage();
	bench_case_clear(&c);
	return r;
}
