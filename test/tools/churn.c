/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * churn: change rules and sets back and forth through libshunt, as fast as it goes, and write
 * down when. What shuntctl does, without a process for each change.
 */
#include "lib/args.h"
#include "shunt/shunt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
	"usage: churn swap COUNT FILE FILE\n"
	"       churn rule COUNT RULE\n"
	"       churn set COUNT NAME PREFIX ...\n"
	"\n"
	"swap: all rules and sets, those of the second rule file and those of the first, in turn.\n"
	"rule: add it, delete it. set: add prefixes, take them. COUNT changes in all. Each prints a\n"
	"line 'BEGIN END STATE', in nanoseconds of CLOCK_MONOTONIC; the state is 1 for the second\n"
	"file and what is added, 0 after the way back.\n";

struct change {
	struct shunt *s;
	struct shunt_config config[2]; /* swap */
	struct shunt_rule rule;
	struct shunt_set set;
};

static void add_prefix(struct shunt_set *set, const char *text)
{
	const char *why;

	set->v = reallocarray(set->v, set->n + 1, sizeof(*set->v));
	if (!set->v)
		die("out of memory");
	if (shunt_prefix_parse(&set->v[set->n++], text, &why))
		die("'%s': %s", text, why);
}

static void name_set(struct shunt_set *set, const char *name)
{
	*set = (struct shunt_set){};
	if (snprintf(set->name, sizeof(set->name), "%s", name) >= (int)sizeof(set->name))
		die_usage("set '%s': the name is too long", name);
}

static void read_config(struct shunt_config *out, const char *path)
{
	FILE *in = fopen(path, "re");
	char err[512];

	if (!in)
		die("cannot open '%s': %s", path, strerror(errno));
	if (shunt_config_parse(out, in, path, NULL, err, sizeof(err)))
		die("%s", err);
	fclose(in);
}

static int do_swap(struct change *c, int state)
{
	return shunt_config_apply(c->s, &c->config[state]);
}

static int do_rule(struct change *c, int state)
{
	return state ? shunt_rules_add(c->s, &c->rule) : shunt_rules_del(c->s, c->rule.priority);
}

static int do_set(struct change *c, int state)
{
	return state ? shunt_set_add(c->s, &c->set) : shunt_set_take(c->s, &c->set);
}

static int run(struct change *c, uint64_t count, int (*how)(struct change *c, int state))
{
	int state = 0, r = shunt_open(&c->s, &(struct shunt_where){});

	for (uint64_t i = 0; i < count && !r; i++) {
		uint64_t begin = now_ns();

		state = !state;
		r = how(c, state);
		if (!r)
			printf("%" PRIu64 " %" PRIu64 " %d\n", begin, now_ns(), state);
	}
	if (c->s)
		shunt_close(c->s);
	shunt_config_clear(&c->config[0]);
	shunt_config_clear(&c->config[1]);
	shunt_rule_clear(&c->rule);
	shunt_set_clear(&c->set);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct change c = {};
	char err[512];
	uint64_t count;

	if (argc < 4) {
		fputs(usage_text, stderr);
		return 2;
	}
	count = arg_u64("count", argv[2], 1000000000);
	if (!strcmp(argv[1], "swap") && argc == 5) {
		read_config(&c.config[0], argv[3]);
		read_config(&c.config[1], argv[4]);
		return run(&c, count, do_swap);
	}
	if (!strcmp(argv[1], "rule") && argc == 4) {
		if (shunt_rule_parse(&c.rule, argv[3], err, sizeof(err)))
			die("%s", err);
		return run(&c, count, do_rule);
	}
	if (!strcmp(argv[1], "set") && argc > 4) {
		name_set(&c.set, argv[3]);
		for (int i = 4; i < argc; i++)
			add_prefix(&c.set, argv[i]);
		return run(&c, count, do_set);
	}
	fputs(usage_text, stderr);
	return 2;
}
