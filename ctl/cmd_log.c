// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl log */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "command.h"

struct log_state {
	uint32_t count; /* 0: without end */
	uint32_t seen;
	bool json;
};

static const struct option_row log_options[] = {
	{ "count", 'n', "N", "end after N events" },
	{},
};

/* Set by the handler of SIGINT and SIGTERM. */
static volatile sig_atomic_t want_end;

static void on_signal(int sig)
{
	(void)sig;
	want_end = 1;
}

static int log_set(void *state, const char *name, const char *value)
{
	struct log_state *l = state;

	(void)name;
	if (!parse_u32(value, &l->count) || !l->count)
		return usage_error("--count '%s': not a number from 1", value);
	return 0;
}

static const char *action_name(uint8_t action)
{
	static const char *const names[] = {
		[SHUNT_ACT_NONE] = "none",   [SHUNT_ACT_PASS] = "pass",
		[SHUNT_ACT_DROP] = "drop",   [SHUNT_ACT_REJECT] = "reject",
		[SHUNT_ACT_PROXY] = "proxy", [SHUNT_ACT_ROUTE] = "route",
	};

	return action <= SHUNT_ACT_ROUTE ? names[action] : "unknown";
}

/* "10.0.0.1:80" or "[2001:db8::1]:80" */
static void format_end(char *buf, size_t size, const uint8_t *addr, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char host[INET6_ADDRSTRLEN];
	bool v4 = !memcmp(addr, mapped, sizeof(mapped));

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, host, sizeof(host));
	snprintf(buf, size, v4 ? "%s:%u" : "[%s]:%u", host, ntohs(port));
}

/* What is printed of an event. */
struct shown {
	uint64_t time; /* us */
	const char *dir, *device, *proto, *source, *destination, *action, *outcome;
	uint32_t rule;
};

static void print_line(const struct shown *e)
{
	printf("time=%" PRIu64 " dir=%s device=%s proto=%s source=%s destination=%s rule=%u "
	       "action=%s outcome=%s\n", e->time, e->dir, e->device, e->proto, e->source,
	       e->destination, e->rule, e->action, e->outcome);
}

/* One line, so that a program can read them as they come. */
static void print_line_json(const struct shown *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "time", json_object_new_uint64(e->time));
	json_object_object_add(o, "dir", json_object_new_string(e->dir));
	json_object_object_add(o, "device", json_object_new_string(e->device));
	json_object_object_add(o, "proto", json_object_new_string(e->proto));
	json_object_object_add(o, "source", json_object_new_string(e->source));
	json_object_object_add(o, "destination", json_object_new_string(e->destination));
	json_object_object_add(o, "rule", json_object_new_int64(e->rule));
	json_object_object_add(o, "action", json_object_new_string(e->action));
	json_object_object_add(o, "outcome", json_object_new_string(e->outcome));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void print_event(void *arg, const struct shunt_event *e)
{
	char src[64], dst[64], device[IF_NAMESIZE] = "";
	struct log_state *l = arg;
	const struct shown shown = {
		.time = (uint64_t)e->time / 1000,
		.dir = e->dir == SHUNT_DIR_OUT ? "out" : "in",
		.device = device,
		.proto = e->tuple.proto == IPPROTO_UDP ? "udp" : "tcp",
		.source = src,
		.destination = dst,
		.rule = e->rule,
		.action = action_name(e->action),
		.outcome = shunt_counter_name(e->outcome),
	};

	if (l->count && l->seen == l->count)
		return;
	l->seen++;
	format_end(src, sizeof(src), e->tuple.saddr, e->tuple.sport);
	format_end(dst, sizeof(dst), e->tuple.daddr, e->tuple.dport);
	if (!if_indextoname(e->ifindex, device))
		snprintf(device, sizeof(device), "%u", e->ifindex);
	if (l->json)
		print_line_json(&shown);
	else
		print_line(&shown);
	fflush(stdout);
}

/* A stopped reader that goes on is interrupted, too, and has not been asked to end. */
static int poll_events(struct shunt *s, struct log_state *l)
{
	int r = shunt_events_poll(s, 1000, print_event, l);

	return r == -EINTR ? 0 : r;
}

static int log_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct log_state *l = state;
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)argc;
	(void)argv;
	if (r)
		return exit_of(r);
	l->json = g->json;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	while (r >= 0 && !want_end && (!l->count || l->seen < l->count) && !ferror(stdout)) {
		r = poll_events(s, l);
		if (!r && !want_end && !shunt_is_current(s))
			r = shunt_err(-ENOENT, "the instance was taken down: there are no more events");
	}
	shunt_close(s);
	return exit_of(r);
}

const struct command cmd_log = {
	.words = "log",
	.arguments = "",
	.summary = "print flows as rules with log or audit decide them, a line each",
	.options = log_options,
	.set_option = log_set,
	.run = log_run,
	.state_size = sizeof(struct log_state),
};
