// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl up, shuntctl down */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum { MAX_UP_DEVICES = 256 };

struct up_state {
	struct shunt_up_options options;
	const char *devices[MAX_UP_DEVICES], *peers[MAX_UP_DEVICES];
	const char *rules_file;
};

static const struct option_row up_options[] = {
	{ "interface", 'i', "IFACE", "steer what arrives on this interface; may be repeated" },
	{ "peer", 0, "IFACE", "as -i, for a veth: routed packets go straight into its peer" },
	{ "out", 0, NULL, "steer also flows of this host that leave by these interfaces" },
	{ "file", 'f', "FILE", "put this rule file in force ('-': standard input)" },
	{ "mark", 0, "BITS", "two bits of the packet mark: steer, ownership (default 0x1010)" },
	{ "table", 0, "N", "number of our routing table (default 3020)" },
	{ "pref", 0, "N", "priority of our routing rules (default 1000)" },
	{ "hook", 0, "KIND", "auto, tcx or clsact (default auto)" },
	{ "deliver", 0, "HOW", "how steered packets reach sockets here: rule (default) or loopback" },
	{ "force", 0, NULL, "go on although a rule of someone else looks at our mark bits" },
	{},
};

static int set_hook(struct shunt_up_options *o, const char *value)
{
	static const char *const names[] = {
		[SHUNT_HOOK_AUTO] = "auto",
		[SHUNT_HOOK_TCX] = "tcx",
		[SHUNT_HOOK_CLSACT] = "clsact",
	};

	for (int i = 0; i <= SHUNT_HOOK_CLSACT; i++) {
		if (!strcmp(value, names[i])) {
			o->hook = (enum shunt_hook)i;
			return 0;
		}
	}
	return usage_error("--hook '%s': one of auto, tcx, clsact", value);
}

static int set_delivery(struct shunt_up_options *o, const char *value)
{
	if (!strcmp(value, "rule"))
		o->delivery = SHUNT_DELIVER_RULE;
	else if (!strcmp(value, "loopback"))
		o->delivery = SHUNT_DELIVER_LOOPBACK;
	else
		return usage_error("--deliver '%s': one of rule, loopback", value);
	return 0;
}

static int set_number(const char *name, const char *value, uint32_t *out)
{
	if (parse_u32(value, out) && *out)
		return 0;
	return usage_error("--%s '%s': not a number from 1 to 4294967295", name, value);
}

static int add_device(struct up_state *s, const char *name)
{
	for (size_t i = 0; i < s->options.n_devices; i++)
		if (!strcmp(s->devices[i], name))
			return 0;
	if (s->options.n_devices == MAX_UP_DEVICES)
		return usage_error("more than %d interfaces", MAX_UP_DEVICES);
	s->devices[s->options.n_devices++] = name;
	return 0;
}

static int add_peer(struct up_state *s, const char *name)
{
	if (s->options.n_peers == MAX_UP_DEVICES)
		return usage_error("more than %d interfaces", MAX_UP_DEVICES);
	s->peers[s->options.n_peers++] = name;
	return add_device(s, name);
}

static int up_set(void *state, const char *name, const char *value)
{
	struct up_state *s = state;

	if (!strcmp(name, "interface")) {
		return add_device(s, value);
	} else if (!strcmp(name, "peer")) {
		return add_peer(s, value);
	} else if (!strcmp(name, "out")) {
		s->options.out = true;
	} else if (!strcmp(name, "file")) {
		s->rules_file = value;
	} else if (!strcmp(name, "mark")) {
		return set_number(name, value, &s->options.mark);
	} else if (!strcmp(name, "table")) {
		return set_number(name, value, &s->options.table);
	} else if (!strcmp(name, "pref")) {
		return set_number(name, value, &s->options.pref);
	} else if (!strcmp(name, "hook")) {
		return set_hook(&s->options, value);
	} else if (!strcmp(name, "deliver")) {
		return set_delivery(&s->options, value);
	} else {
		s->options.force = true;
	}
	return 0;
}

static int up_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct up_state *s = state;
	struct shunt_config config = {};
	int r = 0;

	(void)argc;
	(void)argv;
	s->options.devices = s->devices;
	s->options.peers = s->peers;
	if (!s->options.n_devices && !s->options.out && !s->rules_file)
		return usage_error("name an interface with -i; try 'shuntctl up --help'");
	if (s->rules_file) {
		r = read_rule_file(s->rules_file, &config);
		s->options.config = &config;
	}
	if (!r)
		r = shunt_up(&g->where, &s->options);
	shunt_config_clear(&config);
	return exit_of(r);
}

const struct command cmd_up = {
	.words = "up",
	.arguments = "",
	.summary = "make the instance, or add interfaces to it",
	.options = up_options,
	.set_option = up_set,
	.run = up_run,
	.state_size = sizeof(struct up_state),
};

static int down_run(const struct globals *g, void *state, int argc, char **argv)
{
	(void)state;
	(void)argc;
	(void)argv;
	return exit_of(shunt_down(&g->where));
}

const struct command cmd_down = {
	.words = "down",
	.arguments = "",
	.summary = "take away all that up made, and nothing else",
	.run = down_run,
};
