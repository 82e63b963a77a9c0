// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl hop add|del|list: groups of next hops for rules with `route via @GROUP`. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* A next hop as it is typed: [ADDRESS] [dev IFACE] [weight N]. */
struct typed {
	struct in6_addr addr;
	struct shunt_hop_spec spec;
};

static int read_address(struct typed *t, const char *text)
{
	struct shunt_prefix p;
	const char *why;

	if (shunt_prefix_parse(&p, text, &why))
		return usage_error("next hop '%s': %s", text, why);
	if (strchr(text, '/'))
		return usage_error("next hop '%s': an address, without a length", text);
	t->addr = p.addr;
	t->spec.addr = &t->addr;
	return 0;
}

/* What stands behind the name of the group. */
static int read_hop(struct typed *t, char **argv, bool may_weigh)
{
	*t = (struct typed){ .spec.weight = 1 };
	for (; *argv; argv++) {
		if (!strcmp(*argv, "dev") && argv[1] && !t->spec.dev) {
			t->spec.dev = *++argv;
			if (strlen(t->spec.dev) >= SHUNT_IFNAME_LEN)
				return usage_error("dev '%s': longer than %d characters", *argv,
						   SHUNT_IFNAME_LEN - 1);
		} else if (may_weigh && !strcmp(*argv, "weight") && argv[1]) {
			if (!parse_u32(*++argv, &t->spec.weight) || !t->spec.weight ||
			    t->spec.weight > 255)
				return usage_error("weight '%s': not from 1 to 255", *argv);
		} else if (!t->spec.addr) {
			if (read_address(t, *argv))
				return EXIT_USAGE;
		} else {
			return usage_error("'%s': 'ADDRESS [dev IFACE]%s' is wanted", *argv,
					   may_weigh ? " [weight N]" : "");
		}
	}
	return 0;
}

static int add_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct typed t;
	struct shunt *s;
	int r;

	(void)state;
	if (argc < 2)
		return usage_error("'hop add' needs a group and a next hop");
	if (read_hop(&t, argv + 1, true))
		return EXIT_USAGE;
	if (!t.spec.addr && !t.spec.dev)
		return usage_error("'hop add' needs an address or 'dev IFACE'");
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_hop_add(s, argv[0], &t.spec);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_hop_add = {
	.words = "hop add",
	.arguments = "GROUP [ADDRESS] [dev IFACE] [weight N]",
	.summary = "add a next hop to a group, or change its weight",
	.run = add_run,
};

static int del_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct typed t;
	struct shunt *s;
	int r;

	(void)state;
	if (argc < 1)
		return usage_error("'hop del' needs a group");
	if (read_hop(&t, argv + 1, false))
		return EXIT_USAGE;
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = argc > 1 ? shunt_hop_del(s, argv[0], &t.spec)
			     : shunt_hop_group_del(s, argv[0]);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_hop_del = {
	.words = "hop del",
	.arguments = "GROUP [ADDRESS] [dev IFACE]",
	.summary = "delete a next hop of a group, or a group that no rule uses",
	.run = del_run,
};

/* ---- list ----------------------------------------------------------------------------------- */

static const char *address_text(char *buf, const struct shunt_hop *hop)
{
	struct in6_addr a;

	memcpy(&a, hop->addr, sizeof(a));
	if (IN6_IS_ADDR_UNSPECIFIED(&a))
		return NULL;
	if (IN6_IS_ADDR_V4MAPPED(&a))
		return inet_ntop(AF_INET, hop->addr + 12, buf, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, hop->addr, buf, INET6_ADDRSTRLEN);
}

static const char *state_of(const struct shunt_hop_info *info, size_t i)
{
	if (info->hop[i].dev[0] && !info->hop[i].ifindex)
		return "absent";
	return info->dead_for[i] ? "dead" : "alive";
}

static void print_hop(const struct shunt_hop_info *info, size_t i)
{
	const struct shunt_hop *hop = &info->hop[i];
	char buf[INET6_ADDRSTRLEN];
	const char *addr = address_text(buf, hop);

	printf("%s: %s%s%s weight %u, %s\n", info->group, addr ? addr : "",
	       hop->dev[0] ? (addr ? " dev " : "dev ") : "", hop->dev, hop->weight,
	       state_of(info, i));
}

static struct json_object *hop_json(const struct shunt_hop_info *info, size_t i)
{
	struct json_object *o = json_object_new_object();
	const struct shunt_hop *hop = &info->hop[i];
	char buf[INET6_ADDRSTRLEN];
	const char *addr = address_text(buf, hop);

	json_object_object_add(o, "group", json_object_new_string(info->group));
	json_object_object_add(o, "address", addr ? json_object_new_string(addr) : NULL);
	json_object_object_add(o, "device",
			       hop->dev[0] ? json_object_new_string(hop->dev) : NULL);
	json_object_object_add(o, "weight", json_object_new_int64(hop->weight));
	json_object_object_add(o, "state", json_object_new_string(state_of(info, i)));
	return o;
}

static int list_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_hop_info *infos = calloc(SHUNT_MAX_GROUPS, sizeof(*infos));
	struct json_object *array;
	struct shunt *s;
	bool found = false;
	int n;

	(void)state;
	if (argc > 1 || !infos) {
		free(infos);
		return argc > 1 ? usage_error("'hop list' takes one group at most")
				: exit_of(shunt_err(-ENOMEM, "out of memory"));
	}
	n = shunt_open(&s, &g->where);
	if (!n) {
		n = shunt_hops_read(s, infos, SHUNT_MAX_GROUPS);
		shunt_close(s);
	}
	array = json_object_new_array();
	for (int k = 0; k < n; k++) {
		if (argc && strcmp(infos[k].group, argv[0]))
			continue;
		found = true;
		for (size_t i = 0; i < infos[k].n; i++) {
			json_object_array_add(array, hop_json(&infos[k], i));
			if (!g->json)
				print_hop(&infos[k], i);
		}
	}
	free(infos);
	if (n >= 0 && argc && !found)
		n = shunt_err(-ENOENT, "there is no group of next hops '%s'", argv[0]);
	if (n >= 0 && g->json)
		print_json(array);
	else
		json_object_put(array);
	return exit_of(n);
}

const struct command cmd_hop_list = {
	.words = "hop list",
	.arguments = "[GROUP]",
	.summary = "print the groups of next hops, and which of them are alive",
	.run = list_run,
};
