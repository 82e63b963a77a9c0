// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl proxy list|kill: the flows of a shuntd */
#include <errno.h>
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

/* An array that is printed only once it is whole; in a file, since there may be very many. */
struct array {
	FILE *file;
	bool any;
};

static void add_flow(void *arg, struct json_object *f)
{
	struct array *a = arg;

	fprintf(a->file, "%s%s", a->any ? ",\n" : "[\n",
		json_object_to_json_string_ext(f, JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	a->any = true;
}

static int print_array(struct array *a)
{
	char bytes[65536];
	size_t n;

	if (fflush(a->file) || fseek(a->file, 0, SEEK_SET))
		return shunt_err(-errno, "cannot keep the list: %s", strerror(errno));
	while ((n = fread(bytes, 1, sizeof(bytes), a->file)))
		fwrite(bytes, 1, n, stdout);
	puts(a->any ? "\n]" : "[]");
	return 0;
}

static int list_json(const struct globals *g, const char *target, const char *request)
{
	struct array a = { .file = tmpfile() };
	int r;

	if (!a.file)
		return shunt_err(-errno, "cannot make a temporary file: %s", strerror(errno));
	r = proxy_ask_all(g, target, request, add_flow, NULL, &a);
	if (!r)
		r = print_array(&a);
	fclose(a.file);
	return r;
}

static int run_list(const struct globals *g, void *state, int argc, char **argv)
{
	struct flows_options *o = state;
	const char *target = o->target ? o->target : "default";
	char request[256];
	int r = make_request(o, "list", request, sizeof(request));

	(void)argc;
	(void)argv;
	if (r)
		return r;
	return exit_of(g->json ? list_json(g, target, request)
			       : proxy_ask_all(g, target, request, print_flow, NULL, NULL));
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

static void add_killed(void *arg, struct json_object *end)
{
	*(uint64_t *)arg += json_number(end, "killed");
}

static void print_killed(const struct globals *g, uint64_t killed)
{
	struct json_object *o;

	if (!g->json) {
		printf("%" PRIu64 " %s killed\n", killed, shunt_plural(killed, "flow", "flows"));
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "end", json_object_new_string("ok"));
	json_object_object_add(o, "killed", json_object_new_uint64(killed));
	print_json(o);
}

static int run_kill(const struct globals *g, void *state, int argc, char **argv)
{
	struct flows_options *o = state;
	uint64_t killed = 0;
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
	r = proxy_ask_all(g, o->target ? o->target : "default", request, NULL, add_killed,
			  &killed);
	if (!r)
		print_killed(g, killed);
	return exit_of(r);
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
