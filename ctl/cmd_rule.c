// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl rule add|del|list|flush */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "command.h"

static int add_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_rule rule = {};
	char err[256], *text;
	struct shunt *s;
	int r;

	(void)state;
	if (!argc)
		return usage_error("no rule; try 'shuntctl rule add --help'");
	text = join_words(argc, argv);
	if (!text)
		return exit_of(shunt_err(-ENOMEM, "out of memory"));
	r = shunt_rule_parse(&rule, text, err, sizeof(err));
	free(text);
	if (r)
		return usage_error("%s", err);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_rules_add(s, &rule);
		shunt_close(s);
	}
	shunt_rule_clear(&rule);
	return exit_of(r);
}

const struct command cmd_rule_add = {
	.words = "rule add",
	.arguments = "RULE",
	.summary = "add a rule",
	.run = add_run,
};

static int del_run(const struct globals *g, void *state, int argc, char **argv)
{
	uint32_t priority;
	struct shunt *s;
	int r;

	(void)state;
	if (argc != 1)
		return usage_error("'rule del' needs one priority");
	if (!parse_u32(argv[0], &priority) || !priority)
		return usage_error("priority '%s': not a number", argv[0]);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_rules_del(s, priority);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_rule_del = {
	.words = "rule del",
	.arguments = "PRIORITY",
	.summary = "delete the rule of this priority",
	.run = del_run,
};

/* Time since then in words, for people; last_hit is CLOCK_MONOTONIC in ns. */
static void print_ago(uint64_t last_hit)
{
	struct timespec now;
	uint64_t seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (uint64_t)now.tv_sec - last_hit / 1000000000U;
	if (seconds < 120)
		printf(", last %" PRIu64 " s ago", seconds);
	else if (seconds < 7200)
		printf(", last %" PRIu64 " min ago", seconds / 60);
	else
		printf(", last %" PRIu64 " h ago", seconds / 3600);
}

static void print_rule(const struct shunt_rule *rule, const char *text, bool with_counters)
{
	fputs(text, stdout);
	if (with_counters) {
		printf("\n\t%" PRIu64 " flows, %" PRIu64 " packets, %" PRIu64 " bytes",
		       (uint64_t)rule->stat.flows, (uint64_t)rule->stat.packets,
		       (uint64_t)rule->stat.bytes);
		if (rule->stat.last_hit)
			print_ago(rule->stat.last_hit);
	}
	puts("");
}

static struct json_object *rule_json(const struct shunt_rule *rule, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "priority", json_object_new_int64(rule->priority));
	json_object_object_add(o, "text", json_object_new_string(text));
	json_object_object_add(o, "packets", json_object_new_uint64(rule->stat.packets));
	json_object_object_add(o, "bytes", json_object_new_uint64(rule->stat.bytes));
	json_object_object_add(o, "flows", json_object_new_uint64(rule->stat.flows));
	json_object_object_add(o, "last_hit", json_object_new_uint64(rule->stat.last_hit));
	return o;
}

struct list_state {
	bool counters;
};

static const struct option_row list_options[] = {
	{ "counters", 'c', NULL, "show what each rule decided; the output is no rule file then" },
	{},
};

static int list_set(void *state, const char *name, const char *value)
{
	struct list_state *l = state;

	(void)name;
	(void)value;
	l->counters = true;
	return 0;
}

static int list_run(const struct globals *g, void *state, int argc, char **argv)
{
	const struct list_state *l = state;
	struct json_object *array = g->json ? json_object_new_array() : NULL;
	struct shunt_rules rules = {};
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)argc;
	(void)argv;
	if (!r) {
		r = shunt_rules_read(s, &rules);
		shunt_close(s);
	}
	for (size_t i = 0; i < rules.n && !r; i++) {
		char *text = shunt_rule_format(&rules.v[i]);

		if (!text)
			r = shunt_err(-ENOMEM, "out of memory");
		else if (array)
			json_object_array_add(array, rule_json(&rules.v[i], text));
		else
			print_rule(&rules.v[i], text, l->counters);
		free(text);
	}
	shunt_rules_clear(&rules);
	if (array && !r)
		print_json(array);
	else
		json_object_put(array);
	return exit_of(r);
}

const struct command cmd_rule_list = {
	.words = "rule list",
	.arguments = "",
	.summary = "print the rules, as a rule file",
	.options = list_options,
	.set_option = list_set,
	.run = list_run,
	.state_size = sizeof(struct list_state),
};

static int flush_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_rules none = {};
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)state;
	(void)argc;
	(void)argv;
	if (!r) {
		r = shunt_rules_replace(s, &none);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_rule_flush = {
	.words = "rule flush",
	.arguments = "",
	.summary = "delete all rules",
	.run = flush_run,
};
