// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl target add|list|del */
#include <string.h>

#include "command.h"
#include "endpoint.h"

static int add_adopt(const struct globals *g, const char *name, const char *pid, const char *port)
{
	uint32_t pid_value, port_value;
	struct shunt *s;
	int r;

	if (!parse_u32(pid, &pid_value) || !pid_value || pid_value > INT32_MAX)
		return usage_error("pid '%s': not a process number", pid);
	if (!parse_u32(port, &port_value) || !port_value || port_value > 65535)
		return usage_error("port '%s': not a port from 1 to 65535", port);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_target_adopt(s, name, (pid_t)pid_value, NULL, (uint16_t)port_value);
		shunt_close(s);
	}
	return exit_of(r);
}

static int add_listen(const struct globals *g, const char *name, const char *where)
{
	struct sockaddr_storage addr;
	struct shunt *s;
	int r;

	if (!endpoint_parse(where, &addr))
		return EXIT_USAGE;
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_target_adopt(s, name, 0, &addr, endpoint_port(&addr));
		shunt_close(s);
	}
	return exit_of(r);
}

static int add_run(const struct globals *g, void *state, int argc, char **argv)
{
	(void)state;
	if (argc == 4 && !strcmp(argv[1], "adopt"))
		return add_adopt(g, argv[0], argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "listen"))
		return add_listen(g, argv[0], argv[2]);
	return usage_error("'NAME adopt PID PORT' or 'NAME listen ADDRESS:PORT'");
}

const struct command cmd_target_add = {
	.words = "target add",
	.arguments = "NAME adopt PID PORT | NAME listen ADDRESS:PORT",
	.summary = "make the listening sockets of a running server a target",
	.run = add_run,
};

static const char *kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[SHUNT_TARGET_FREE] = "empty",
		[SHUNT_TARGET_PLAIN] = "registered",
		[SHUNT_TARGET_ADOPTED] = "adopted",
		[SHUNT_TARGET_LISTEN] = "listen",
	};

	return kind <= SHUNT_TARGET_LISTEN ? names[kind] : "unknown";
}

static struct json_object *target_json(const struct shunt_target_info *t)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(t->target.name));
	json_object_object_add(o, "kind", json_object_new_string(kind_name(t->target.kind)));
	json_object_object_add(o, "pid", json_object_new_int64(t->target.pid));
	json_object_object_add(o, "live_v4", json_object_new_int64(t->live_v4));
	json_object_object_add(o, "live_v6", json_object_new_int64(t->live_v6));
	return o;
}

static void print_target(const struct shunt_target_info *t)
{
	printf("%s: %s, ", t->target.name, kind_name(t->target.kind));
	if (t->target.pid)
		printf("pid %u, ", t->target.pid);
	printf("%u IPv4 and %u IPv6 sockets live\n", t->live_v4, t->live_v6);
}

static int list_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	struct json_object *array;
	struct shunt *s;
	int n = shunt_open(&s, &g->where);

	(void)state;
	(void)argc;
	(void)argv;
	if (n)
		return exit_of(n);
	n = shunt_targets_read(s, targets, SHUNT_MAX_TARGETS);
	shunt_close(s);
	if (n < 0)
		return exit_of(n);
	array = json_object_new_array();
	for (int i = 0; i < n; i++) {
		const struct shunt_target_info *t = &targets[i];

		json_object_array_add(array, target_json(t));
		if (!g->json)
			print_target(t);
	}
	if (g->json)
		print_json(array);
	else
		json_object_put(array);
	return EXIT_DONE;
}

const struct command cmd_target_list = {
	.words = "target list",
	.arguments = "",
	.summary = "print the targets and how many of their sockets live",
	.run = list_run,
};

static int del_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt *s;
	int r;

	(void)state;
	if (argc != 1)
		return usage_error("'target del' needs one name");
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_target_del(s, argv[0]);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_target_del = {
	.words = "target del",
	.arguments = "NAME",
	.summary = "delete a target that no rule uses",
	.run = del_run,
};
