// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl proxy status|drain|reload: the daemon as a whole */
#include <inttypes.h>
#include <string.h>

#include "proxy_client.h"

struct proxy_options {
	const char *target, *timeout;
};

static int set_option(void *state, const char *name, const char *value)
{
	struct proxy_options *o = state;

	if (!strcmp(name, "timeout"))
		o->timeout = value;
	else
		o->target = value;
	return 0;
}

static const char *target_of(const struct proxy_options *o)
{
	return o->target ? o->target : "default";
}

/* ---- status ------------------------------------------------------------------------------- */

/*
 * The first line of each process, with the others, one for each thread, in its "threads"; that of
 * those that were taken over from in "draining" of the first.
 */
struct status {
	struct json_object *first, *last;
};

static void collect(void *arg, struct json_object *line)
{
	struct status *s = arg;
	struct json_object *list;

	if (!json_object_object_get_ex(line, "protocol", NULL)) {
		if (s->last && json_object_object_get_ex(s->last, "threads", &list))
			json_object_array_add(list, json_object_get(line));
		return;
	}
	s->last = line;
	json_object_object_add(line, "threads", json_object_new_array());
	if (!s->first) {
		s->first = json_object_get(line);
		json_object_object_add(line, "draining", json_object_new_array());
	} else if (json_object_object_get_ex(s->first, "draining", &list)) {
		json_object_object_del(line, "upstreams"); /* the first has those of all */
		json_object_array_add(list, json_object_get(line));
	}
}

static void collect_upstream(void *arg, struct json_object *line)
{
	json_object_array_add(arg, json_object_get(line));
}

/* One that knows none need not know the question either: it may be older than this program. */
static int add_upstreams(const struct globals *g, const char *target, struct json_object *all)
{
	bool some = json_number(all, "upstreams");
	struct json_object *list = json_object_new_array();

	json_object_object_add(all, "upstreams", list);
	return some ? proxy_ask_all(g, target, "upstreams", collect_upstream, NULL, list) : 0;
}

static void print_numbers(struct json_object *o)
{
	const char *separator = "";

	json_object_object_foreach(o, key, value) {
		if (!json_object_get_uint64(value))
			continue;
		printf("%s%s %" PRIu64, separator, key, json_object_get_uint64(value));
		separator = ", ";
	}
	puts(*separator ? "" : "nothing yet");
}

static void print_thread(struct json_object *thread)
{
	struct json_object *part;

	printf("worker %" PRIu64 " thread %" PRIu64 ": %s, %" PRIu64 " %s\n",
	       json_number(thread, "worker"), json_number(thread, "thread"),
	       json_text(thread, "state"), json_number(thread, "flows"),
	       shunt_plural(json_number(thread, "flows"), "flow", "flows"));
	if (json_object_object_get_ex(thread, "counters", &part)) {
		printf("  counted: ");
		print_numbers(part);
	}
	if (json_object_object_get_ex(thread, "ended", &part)) {
		printf("  ended:   ");
		print_numbers(part);
	}
}

static void print_seconds(const char *before, uint64_t ms)
{
	printf("%s%" PRIu64 ".%" PRIu64 " s", before, ms / 1000, ms / 100 % 10);
}

static void print_upstream(struct json_object *u)
{
	const char *why = json_text(u, "why"), *check = json_text(u, "check");

	printf("upstream %s of %s, worker %" PRIu64 ", weight %" PRIu64 ": %s",
	       json_text(u, "address"), json_text(u, "target"), json_number(u, "worker"),
	       json_number(u, "weight"), json_text(u, "state"));
	if (*why)
		printf(", %s", why);
	if (json_number(u, "back_ms"))
		print_seconds(", tried again in ", json_number(u, "back_ms"));
	printf(", %" PRIu64 " %s of %" PRIu64 ", %" PRIu64 " failed",
	       json_number(u, "connections"),
	       shunt_plural(json_number(u, "connections"), "connection", "connections"),
	       json_number(u, "total"), json_number(u, "failures"));
	if (*check) {
		print_seconds(", checked ", json_number(u, "checked_ms"));
		printf(" ago: %s", check);
	}
	puts("");
}

static void print_process(struct json_object *all)
{
	struct json_object *list;

	printf("shuntd %s, pid %" PRIu64 ", up %" PRIu64 " s, %s\n", json_text(all, "version"),
	       json_number(all, "pid"), json_number(all, "uptime"), json_text(all, "state"));
	printf("instance %s, targets", json_text(all, "instance"));
	if (json_object_object_get_ex(all, "targets", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			printf(" %s",
			       json_object_get_string(json_object_array_get_idx(list, i)));
	puts("");
	if (json_object_object_get_ex(all, "threads", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			print_thread(json_object_array_get_idx(list, i));
}

static void print_status(struct json_object *all)
{
	struct json_object *list;

	print_process(all);
	if (json_object_object_get_ex(all, "draining", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			print_process(json_object_array_get_idx(list, i));
	if (json_object_object_get_ex(all, "upstreams", &list))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			print_upstream(json_object_array_get_idx(list, i));
}

static int run_status(const struct globals *g, void *state, int argc, char **argv)
{
	struct status status = {};
	int r = proxy_ask_all(g, target_of(state), "status", collect, NULL, &status);

	(void)argc;
	(void)argv;
	if (!r && status.first)
		r = add_upstreams(g, target_of(state), status.first);
	if (!r && status.first && g->json) {
		print_json(status.first);
		return EXIT_DONE;
	}
	if (!r && status.first)
		print_status(status.first);
	json_object_put(status.first);
	return exit_of(r);
}

static const struct option_row target_options[] = {
	PROXY_TARGET_OPTION,
	{},
};

const struct command cmd_proxy_status = {
	.words = "proxy status",
	.arguments = "",
	.summary = "show a shuntd, its workers, what they counted, and its upstreams",
	.options = target_options,
	.set_option = set_option,
	.run = run_status,
	.state_size = sizeof(struct proxy_options),
};

/* ---- drain, reload ------------------------------------------------------------------------------------ */

/* Ask for something that is done when the answer comes. */
static int simple_request(const struct globals *g, const struct proxy_options *o,
			  const char *request)
{
	struct json_object *end = NULL;
	int r = proxy_ask(g, target_of(o), request, NULL, NULL, &end);

	if (!r && g->json)
		print_json(end);
	else
		json_object_put(end);
	return exit_of(r);
}

static int run_drain(const struct globals *g, void *state, int argc, char **argv)
{
	const struct proxy_options *o = state;
	char request[64] = "drain";
	uint32_t seconds;

	(void)argc;
	(void)argv;
	if (o->timeout && !parse_u32(o->timeout, &seconds))
		return usage_error("--timeout '%s': not a number of seconds", o->timeout);
	if (o->timeout)
		snprintf(request, sizeof(request), "drain timeout=%" PRIu32, seconds);
	return simple_request(g, o, request);
}

static int run_reload(const struct globals *g, void *state, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return simple_request(g, state, "reload");
}

static const struct option_row drain_options[] = {
	PROXY_TARGET_OPTION,
	{ "timeout", 0, "S", "reset what is open after S seconds (default: --drain-timeout)" },
	{},
};

const struct command cmd_proxy_drain = {
	.words = "proxy drain",
	.arguments = "",
	.summary = "end a shuntd when its open flows have finished",
	.options = drain_options,
	.set_option = set_option,
	.run = run_drain,
	.state_size = sizeof(struct proxy_options),
};

const struct command cmd_proxy_reload = {
	.words = "proxy reload",
	.arguments = "",
	.summary = "have a shuntd read its settings file again; flows go on",
	.options = target_options,
	.set_option = set_option,
	.run = run_reload,
	.state_size = sizeof(struct proxy_options),
};
