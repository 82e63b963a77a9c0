// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl explain */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "endpoint.h"

/* in IFACE|out tcp|udp SRC:PORT DST:PORT [uid N] [cgroup PATH] */
static int parse_question(struct shunt_question *q, int argc, char **argv)
{
	int at = 0;

	if (argc < 4)
		return usage_error("too few words; try 'shuntctl explain --help'");
	if (!strcmp(argv[at], "in")) {
		q->dir = SHUNT_DIR_IN;
		q->device = argv[1];
		at = 2;
	} else if (!strcmp(argv[at], "out")) {
		q->dir = SHUNT_DIR_OUT;
		at = 1;
	} else {
		return usage_error("'%s': 'in IFACE' or 'out'", argv[at]);
	}
	if (argc < at + 3)
		return usage_error("too few words; try 'shuntctl explain --help'");
	if (strcmp(argv[at], "tcp") && strcmp(argv[at], "udp"))
		return usage_error("'%s': tcp or udp", argv[at]);
	q->ipproto = argv[at++][0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
	if (!endpoint_parse(argv[at++], &q->src) || !endpoint_parse(argv[at++], &q->dst))
		return EXIT_USAGE;
	if (q->src.ss_family != q->dst.ss_family)
		return usage_error("source and destination are not of one family");
	for (; at < argc; at += 2) {
		if (at + 1 == argc)
			return usage_error("'%s' needs a value", argv[at]);
		if (!strcmp(argv[at], "uid") && parse_u32(argv[at + 1], &q->uid))
			q->has_uid = true;
		else if (!strcmp(argv[at], "cgroup"))
			q->cgroup = argv[at + 1];
		else
			return usage_error("'%s %s': 'uid N' or 'cgroup PATH'", argv[at],
					   argv[at + 1]);
	}
	return 0;
}

/* What the record refers to, looked up before anything is printed. */
struct answer {
	struct shunt_explain e;
	char *rule; /* text, NULL: none decided */
	struct shunt_target_info target;
};

static int look_up(struct shunt *s, struct answer *a)
{
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	struct shunt_rules rules = {};
	int n, r;

	if (a->e.action == SHUNT_ACT_NONE)
		return 0;
	r = shunt_rules_read(s, &rules);
	for (size_t i = 0; i < rules.n && !r; i++) {
		if (rules.v[i].priority != a->e.priority)
			continue;
		a->rule = shunt_rule_format(&rules.v[i]);
		if (!a->rule)
			r = shunt_err(-ENOMEM, "out of memory");
	}
	shunt_rules_clear(&rules);
	if (r)
		return r;
	n = shunt_targets_read(s, targets, SHUNT_MAX_TARGETS);
	for (int i = 0; i < n; i++)
		if (targets[i].index == (int)a->e.target)
			a->target = targets[i];
	return n < 0 ? n : 0;
}

static void print_text(const struct answer *a)
{
	const struct shunt_explain *e = &a->e;

	if (e->sk_state)
		printf("socket: there is one for this tuple, in TCP state %u\n", e->sk_state);
	if (a->rule)
		printf("rule: %s\n", a->rule);
	else
		puts("rule: none matches");
	if (e->action == SHUNT_ACT_PROXY)
		printf("target: %s, %u IPv4 and %u IPv6 sockets live\n", a->target.target.name,
		       a->target.live_v4, a->target.live_v6);
	printf("outcome: %s (%s)\n", shunt_counter_name(e->counter), shunt_counter_help(e->counter));
}

static void print_answer_json(const struct answer *a)
{
	struct json_object *o = json_object_new_object(), *t = NULL;
	const struct shunt_explain *e = &a->e;

	json_object_object_add(o, "outcome", json_object_new_string(shunt_counter_name(e->counter)));
	json_object_object_add(o, "reason", json_object_new_string(shunt_counter_help(e->counter)));
	json_object_object_add(o, "rule", a->rule ? json_object_new_string(a->rule) : NULL);
	json_object_object_add(o, "priority",
			       a->rule ? json_object_new_int64(e->priority) : NULL);
	if (e->action == SHUNT_ACT_PROXY) {
		t = json_object_new_object();
		json_object_object_add(t, "name", json_object_new_string(a->target.target.name));
		json_object_object_add(t, "live_v4", json_object_new_int64(a->target.live_v4));
		json_object_object_add(t, "live_v6", json_object_new_int64(a->target.live_v6));
	}
	json_object_object_add(o, "target", t);
	json_object_object_add(o, "socket_state", json_object_new_int64(e->sk_state));
	json_object_object_add(o, "generation", json_object_new_uint64(e->generation));
	print_json(o);
}

static int explain_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_question q = {};
	struct answer a = {};
	struct shunt *s;
	int r;

	(void)state;
	r = parse_question(&q, argc, argv);
	if (r)
		return r;
	r = shunt_open(&s, &g->where);
	if (r)
		return exit_of(r);
	r = shunt_explain(s, &q, &a.e);
	if (!r)
		r = look_up(s, &a);
	if (!r && g->json)
		print_answer_json(&a);
	else if (!r)
		print_text(&a);
	free(a.rule);
	shunt_close(s);
	return exit_of(r);
}

const struct command cmd_explain = {
	.words = "explain",
	.arguments = "in IFACE|out tcp|udp SRC:PORT DST:PORT [uid N] [cgroup PATH]",
	.summary = "ask the loaded program what it does with such a flow, and why",
	.run = explain_run,
};
