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

enum { CANDIDATES = 10 };

struct explain_state {
	uint32_t candidates;
	bool has_candidates;
};

static const struct option_row explain_options[] = {
	{ "candidates", 0, "N", "show the N earlier rules that come closest (default 10)" },
	{},
};

static int explain_set(void *state, const char *name, const char *value)
{
	struct explain_state *e = state;

	(void)name;
	if (!parse_u32(value, &e->candidates))
		return usage_error("--candidates '%s': not a number", value);
	e->has_candidates = true;
	return 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

static const char *address(char *buf, const struct in6_addr *addr)
{
	const struct shunt_prefix host = { .addr = *addr, .len = 128 };

	return shunt_prefix_str(buf, &host);
}

static void print_candidates(const struct shunt_answer *a)
{
	size_t more = a->n_before - a->n_candidates;

	for (size_t i = 0; i < a->n_candidates; i++) {
		const struct shunt_candidate *c = &a->candidates[i];

		printf("not %s\n", c->text);
		if (!c->n_why)
			puts("\taudit: it matches, and is counted; later rules decide");
		for (size_t k = 0; k < c->n_why; k++)
			printf("\t%s\n", c->why[k]);
	}
	if (more)
		printf("and not %zu more that %s asked before: those above miss least\n", more,
		       shunt_plural(more, "is", "are"));
}

static void print_target(const struct shunt_answer *a)
{
	const struct shunt_target_info *t = &a->target;

	printf("target: %s, %u IPv4 and %u IPv6 sockets live", t->target.name, t->live_v4,
	       t->live_v6);
	if (t->target.pid)
		printf(", process %u", t->target.pid);
	puts("");
	printf("fail: %s\n", a->rule.fail == SHUNT_FAIL_OPEN
				    ? "open: without a live socket the flow passes"
				    : "closed: without a live socket the flow is dropped");
}

static void print_options(const struct shunt_rule *rule)
{
	if (rule->limit_per != SHUNT_LIMIT_NONE)
		printf("limit: %u/s, %u at once, of %s; those above are dropped, which is not asked "
		       "here\n", rule->limit_rate, shunt_rule_burst(rule),
		       rule->limit_per == SHUNT_LIMIT_PER_SRC ? "each source address" : "the rule");
	if (rule->log)
		puts("log: 'shuntctl log' shows such flows");
}

static bool is_proxied(const struct shunt_explain *e)
{
	return e->counter == SHUNT_CTR_STEER_NEW || e->counter == SHUNT_CTR_STEER_TIMEWAIT ||
	       e->counter == SHUNT_CTR_REDIRECT;
}

static void print_route(const struct shunt_answer *a)
{
	const struct shunt_route *route = &a->route;
	char buf[SHUNT_PREFIX_STR];

	printf("route: %s", is_proxied(&a->e) ? "the proxy's connection " : "");
	if (route->error) {
		printf("there is none (%s)\n", strerror(route->error));
		return;
	}
	if (route->local)
		printf("is for this host");
	else
		printf("leaves by %s", route->device);
	if (route->has_via)
		printf(" to %s", address(buf, &route->via));
	puts("");
	if (is_proxied(&a->e) && route->has_source)
		printf("source: %s; the client's own if the proxy takes it\n",
		       address(buf, &route->source));
	else if (!is_proxied(&a->e))
		puts("source: that of the packet");
}

static void print_text(const struct shunt_answer *a)
{
	const struct shunt_explain *e = &a->e;
	char *text = a->rule.priority ? shunt_rule_format(&a->rule) : NULL;

	if (e->sk_state)
		printf("socket: there is one for this tuple, in TCP state %u\n", e->sk_state);
	print_candidates(a);
	if (text)
		printf("rule: %s\n", text);
	else
		printf("rule: %s\n", a->asked ? "none matches" : "none is asked");
	if (a->has_target)
		print_target(a);
	print_options(&a->rule);
	if (a->has_route)
		print_route(a);
	printf("outcome: %s (%s)\n", shunt_counter_name(e->counter), shunt_counter_help(e->counter));
	free(text);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

static struct json_object *candidates_json(const struct shunt_answer *a)
{
	struct json_object *array = json_object_new_array(), *o, *why;

	for (size_t i = 0; i < a->n_candidates; i++) {
		const struct shunt_candidate *c = &a->candidates[i];

		why = json_object_new_array();
		for (size_t k = 0; k < c->n_why; k++)
			json_object_array_add(why, json_object_new_string(c->why[k]));
		o = json_object_new_object();
		json_object_object_add(o, "priority", json_object_new_int64(c->priority));
		add_string(o, "text", c->text);
		json_object_object_add(o, "why", why);
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *target_json(const struct shunt_answer *a)
{
	struct json_object *o;

	if (!a->has_target)
		return NULL;
	o = json_object_new_object();
	add_string(o, "name", a->target.target.name);
	json_object_object_add(o, "live_v4", json_object_new_int64(a->target.live_v4));
	json_object_object_add(o, "live_v6", json_object_new_int64(a->target.live_v6));
	json_object_object_add(o, "pid", json_object_new_int64(a->target.target.pid));
	return o;
}

static struct json_object *limit_json(const struct shunt_rule *rule)
{
	struct json_object *o;

	if (rule->limit_per == SHUNT_LIMIT_NONE)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "rate", json_object_new_int64(rule->limit_rate));
	json_object_object_add(o, "burst", json_object_new_int64(shunt_rule_burst(rule)));
	add_string(o, "per", rule->limit_per == SHUNT_LIMIT_PER_SRC ? "src" : "rule");
	return o;
}

static struct json_object *route_json(const struct shunt_answer *a)
{
	const struct shunt_route *route = &a->route;
	char buf[SHUNT_PREFIX_STR];
	struct json_object *o;

	if (!a->has_route)
		return NULL;
	o = json_object_new_object();
	add_string(o, "of", is_proxied(&a->e) ? "proxy" : "flow");
	add_string(o, "error", route->error ? strerror(route->error) : NULL);
	add_string(o, "device", route->device[0] ? route->device : NULL);
	json_object_object_add(o, "local", json_object_new_boolean(route->local));
	add_string(o, "via", route->has_via ? address(buf, &route->via) : NULL);
	add_string(o, "source", is_proxied(&a->e) && route->has_source
					? address(buf, &route->source) : NULL);
	return o;
}

static void print_answer_json(const struct shunt_answer *a)
{
	struct json_object *o = json_object_new_object();
	bool decided = a->rule.priority, proxy = a->rule.action == SHUNT_ACT_PROXY;
	char *text = decided ? shunt_rule_format(&a->rule) : NULL;

	add_string(o, "outcome", shunt_counter_name(a->e.counter));
	add_string(o, "reason", shunt_counter_help(a->e.counter));
	add_string(o, "device", a->device);
	json_object_object_add(o, "asked", json_object_new_boolean(a->asked));
	add_string(o, "rule", text);
	json_object_object_add(o, "priority",
			       decided ? json_object_new_int64(a->rule.priority) : NULL);
	json_object_object_add(o, "candidates", candidates_json(a));
	json_object_object_add(o, "rules_before", json_object_new_int64((int64_t)a->n_before));
	json_object_object_add(o, "target", target_json(a));
	add_string(o, "fail", !proxy ? NULL : a->rule.fail == SHUNT_FAIL_OPEN ? "open" : "closed");
	json_object_object_add(o, "limit", limit_json(&a->rule));
	json_object_object_add(o, "log", json_object_new_boolean(a->rule.log));
	json_object_object_add(o, "route", route_json(a));
	json_object_object_add(o, "socket_state", json_object_new_int64(a->e.sk_state));
	json_object_object_add(o, "generation", json_object_new_uint64(a->e.generation));
	print_json(o);
	free(text);
}

static int explain_run(const struct globals *g, void *state, int argc, char **argv)
{
	const struct explain_state *e = state;
	struct shunt_question q = {};
	struct shunt_answer answer;
	struct shunt *s;
	int r;

	r = parse_question(&q, argc, argv);
	if (r)
		return r;
	r = shunt_open(&s, &g->where);
	if (r)
		return exit_of(r);
	r = shunt_answer(s, &q, e->has_candidates ? e->candidates : CANDIDATES, &answer);
	shunt_close(s);
	if (r)
		return exit_of(r);
	if (g->json)
		print_answer_json(&answer);
	else
		print_text(&answer);
	shunt_answer_clear(&answer);
	return EXIT_DONE;
}

const struct command cmd_explain = {
	.words = "explain",
	.arguments = "in IFACE|out tcp|udp SRC:PORT DST:PORT [uid N] [cgroup PATH]",
	.summary = "ask the loaded program what it does with such a flow, and why",
	.options = explain_options,
	.set_option = explain_set,
	.run = explain_run,
	.state_size = sizeof(struct explain_state),
};
