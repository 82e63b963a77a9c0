// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl proxy list|kill: the flows of a shuntd */
#include <inttypes.h>
#include <string.h>

#include "proxy_client.h"

struct flows_options {
	const char *target, *client, *destination, *id;
	bool all;
};

static int set_option(void *state, const char *name, const char *value)
{
	struct flows_options *o = state;

	if (!strcmp(name, "client"))
		o->client = value;
	else if (!strcmp(name, "destination"))
		o->destination = value;
	else if (!strcmp(name, "id"))
		o->id = value;
	else if (!strcmp(name, "all"))
		o->all = true;
	else
		o->target = value;
	return 0;
}

/* Prefixes are read here too, so that a wrong one is wrong usage. */
static int check_prefix(const char *name, const char *text)
{
	struct shunt_prefix prefix;
	const char *why;

	if (!text || shunt_prefix_parse(&prefix, text, &why) == 0)
		return 0;
	return usage_error("--%s '%s': %s", name, text, why);
}

static void add_word(char *request, size_t size, const char *name, const char *value)
{
	size_t len = strlen(request);

	if (value)
		snprintf(request + len, size - len, " %s=%s", name, value);
}

/* 0 or an exit status. */
static int make_request(const struct flows_options *o, const char *verb, char *request, size_t size)
{
	if (check_prefix("client", o->client) || check_prefix("destination", o->destination))
		return EXIT_USAGE;
	if (o->id && (strlen(o->id) > 32 || strspn(o->id, "0123456789.") != strlen(o->id)))
		return usage_error("--id '%s': not an id of 'proxy list'", o->id);
	snprintf(request, size, "%s%s", verb, o->all ? " all" : "");
	add_word(request, size, "client", o->client);
	add_word(request, size, "destination", o->destination);
	add_word(request, size, "id", o->id);
	return 0;
}

/* ---- list --------------------------------------------------------------------------------- */

static void print_flow(void *arg, struct json_object *f)
{
	struct json_object *rule;
	const char *source = json_text(f, "source"), *server = json_text(f, "server");

	(void)arg;
	printf("%s %s %s -> %s%s%s from %s %s age %" PRIu64 ".%01" PRIu64 " s up %" PRIu64
	       " down %" PRIu64, json_text(f, "id"), json_text(f, "target"),
	       json_text(f, "client"), json_text(f, "destination"),
	       *server ? " at " : "", server, *source ? source : "-",
	       json_text(f, "state"), json_number(f, "age_ms") / 1000,
	       json_number(f, "age_ms") / 100 % 10, json_number(f, "up"), json_number(f, "down"));
	if (json_object_object_get_ex(f, "rule", &rule) && rule)
		printf(" rule %" PRIu64, json_number(f, "rule"));
	puts("");
}

/* An array, written as it comes: there may be very many. */
static void print_flow_json(void *arg, struct json_object *f)
{
	bool *first = arg;

	printf("%s%s", *first ? "[\n" : ",\n",
	       json_object_to_json_string_ext(f, JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
	*first = false;
}

static int run_list(const struct globals *g, void *state, int argc, char **argv)
{
	struct flows_options *o = state;
	char request[256];
	bool first = true;
	int r = make_request(o, "list", request, sizeof(request));

	(void)argc;
	(void)argv;
	if (r)
		return r;
	r = proxy_ask(g, o->target ? o->target : "default", request,
		      g->json ? print_flow_json : print_flow, &first, NULL);
	if (g->json && !r)
		puts(first ? "[]" : "\n]");
	return exit_of(r);
}

#define FILTER_OPTIONS                                                                          \
	PROXY_TARGET_OPTION,                                                                    \
	{ "client", 0, "PREFIX", "flows of clients in this prefix" },                           \
	{ "destination", 0, "PREFIX", "flows to addresses in this prefix" },                    \
	{ "id", 0, "ID", "the flow of this id, as 'proxy list' shows it" }

static const struct option_row list_options[] = { FILTER_OPTIONS, {} };

const struct command cmd_proxy_list = {
	.words = "proxy list",
	.arguments = "",
	.summary = "list the flows of a shuntd",
	.options = list_options,
	.set_option = set_option,
	.run = run_list,
	.state_size = sizeof(struct flows_options),
};

/* ---- kill --------------------------------------------------------------------------------- */

static int run_kill(const struct globals *g, void *state, int argc, char **argv)
{
	struct flows_options *o = state;
	struct json_object *end = NULL;
	char request[256];
	int r;

	(void)argc;
	(void)argv;
	if (o->all == (o->client || o->destination || o->id))
		return usage_error("'proxy kill' needs either --client, --destination or --id, "
				   "or --all");
	r = make_request(o, "kill", request, sizeof(request));
	if (r)
		return r;
	r = proxy_ask(g, o->target ? o->target : "default", request, NULL, NULL, &end);
	if (r)
		return exit_of(r);
	if (g->json) {
		print_json(end);
		return EXIT_DONE;
	}
	printf("%" PRIu64 " flows killed\n", json_number(end, "killed"));
	json_object_put(end);
	return EXIT_DONE;
}

static const struct option_row kill_options[] = {
	FILTER_OPTIONS,
	{ "all", 0, NULL, "all flows" },
	{},
};

const struct command cmd_proxy_kill = {
	.words = "proxy kill",
	.arguments = "",
	.summary = "reset flows of a shuntd, on both sides",
	.options = kill_options,
	.set_option = set_option,
	.run = run_kill,
	.state_size = sizeof(struct flows_options),
};
