// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl rule add|del|list|flush */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "unserved.h"

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
		if (!r)
			warn_unserved(s, &rule, 1);
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
		return usage_error("priority '%s': no number that a rule can have", argv[0]);
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
	bool counters, sets;
};

static const struct option_row list_options[] = {
	{ "counters", 'c', NULL, "show what each rule decided; the output is no rule file then" },
	{ "sets", 's', NULL, "print the sets, too: all that 'apply' needs to make the same again" },
	{},
};

static int list_set(void *state, const char *name, const char *value)
{
	struct list_state *l = state;

	(void)value;
	if (!strcmp(name, "sets"))
		l->sets = true;
	else
		l->counters = true;
	return 0;
}

static struct json_object *sets_json(const struct shunt_sets *sets)
{
	struct json_object *array = json_object_new_array(), *o, *prefixes, *timed;
	char text[SHUNT_PREFIX_STR];

	for (size_t i = 0; i < sets->n; i++) {
		prefixes = json_object_new_array();
		for (size_t k = 0; k < sets->v[i].n; k++) {
			shunt_prefix_str(text, &sets->v[i].v[k]);
			json_object_array_add(prefixes, json_object_new_string(text));
		}
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(sets->v[i].name));
		timed = json_object_new_array();
		for (size_t k = 0; k < sets->v[i].n_timed; k++)
			json_object_array_add(timed, timed_json(&sets->v[i].timed[k]));
		json_object_object_add(o, "prefixes", prefixes);
		json_object_object_add(o, "timed", timed);
		json_object_array_add(array, o);
	}
	return array;
}

/* Into the array, or printed if that is NULL. */
static int list_rules(const struct shunt_rules *rules, const struct list_state *l,
		      struct json_object *array)
{
	for (size_t i = 0; i < rules->n; i++) {
		char *text = shunt_rule_format(&rules->v[i]);

		if (!text)
			return shunt_err(-ENOMEM, "out of memory");
		if (array)
			json_object_array_add(array, rule_json(&rules->v[i], text));
		else
			print_rule(&rules->v[i], text, l->counters);
		free(text);
	}
	return 0;
}

static int list_json(const struct shunt_config *config, const struct list_state *l)
{
	struct json_object *array = json_object_new_array(), *o;
	int r = list_rules(&config->rules, l, array);

	if (r) {
		json_object_put(array);
		return r;
	}
	if (!l->sets) {
		print_json(array);
		return 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "sets", sets_json(&config->sets));
	json_object_object_add(o, "rules", array);
	print_json(o);
	return 0;
}

static int list_run(const struct globals *g, void *state, int argc, char **argv)
{
	const struct list_state *l = state;
	struct shunt_config config = {};
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)argc;
	(void)argv;
	if (!r) {
		r = l->sets ? shunt_config_read(s, &config)
			    : shunt_rules_read(s, &config.rules);
		shunt_close(s);
	}
	if (!r && g->json) {
		r = list_json(&config, l);
	} else if (!r) {
		for (size_t i = 0; l->sets && i < config.sets.n; i++)
			shunt_set_print(stdout, &config.sets.v[i]);
		r = list_rules(&config.rules, l, NULL);
	}
	shunt_config_clear(&config);
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
