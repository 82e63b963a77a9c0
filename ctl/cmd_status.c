// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl status */
#include <inttypes.h>

#include "command.h"

enum { MAX_CONFLICTS = 64 };

/* All that is shown, collected before anything is printed. */
struct status {
	struct shunt_instance instance;
	const char *pin_dir;
	struct shunt_device_state devices[SHUNT_MAX_DEVICES];
	int n_devices;
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	int n_targets;
	size_t n_rules;
	struct shunt_memory memory;
	uint64_t counters[SHUNT_CTR_MAX];
	char conflicts[MAX_CONFLICTS][256];
	int n_conflicts;
};

static int collect(struct shunt *s, struct status *st)
{
	struct shunt_rules rules = {};
	int r = shunt_rules_read(s, &rules);

	if (r)
		return r;
	st->n_rules = rules.n;
	shunt_rules_clear(&rules);
	r = shunt_memory_read(s, &st->memory);
	if (r)
		return r;
	st->instance = *shunt_instance_info(s);
	st->pin_dir = shunt_pin_dir(s);
	st->n_devices = shunt_device_states(s, st->devices, SHUNT_MAX_DEVICES);
	if (st->n_devices < 0)
		return st->n_devices;
	st->n_targets = shunt_targets_read(s, st->targets, SHUNT_MAX_TARGETS);
	if (st->n_targets < 0)
		return st->n_targets;
	st->n_conflicts = shunt_conflicts(s, st->conflicts, MAX_CONFLICTS);
	if (st->n_conflicts < 0)
		return st->n_conflicts;
	return shunt_counters_read(s, st->counters);
}

static bool is_by_loopback(const struct status *st)
{
	return st->instance.flags & SHUNT_INST_LOOPBACK;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static struct json_object *devices_json(const struct status *st)
{
	struct json_object *array = json_object_new_array();

	for (int i = 0; i < st->n_devices; i++) {
		const struct shunt_device_state *d = &st->devices[i];
		struct json_object *o = json_object_new_object();
		uint32_t f = d->device.flags;

		json_object_object_add(o, "name", json_object_new_string(d->device.name));
		json_object_object_add(o, "ifindex", json_object_new_int64(d->device.ifindex));
		json_object_object_add(o, "in", json_object_new_boolean(!!(f & SHUNT_DEV_IN)));
		json_object_object_add(o, "out", json_object_new_boolean(!!(f & SHUNT_DEV_OUT)));
		json_object_object_add(
			o, "hook", json_object_new_string(f & SHUNT_DEV_TCX ? "tcx" : "clsact"));
		json_object_object_add(o, "peer", json_object_new_boolean(!!(f & SHUNT_DEV_PEER)));
		json_object_object_add(o, "attached", json_object_new_boolean(d->attached));
		json_object_object_add(o, "rules_v4", json_object_new_boolean(d->rule_v4));
		json_object_object_add(o, "rules_v6", json_object_new_boolean(d->rule_v6));
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *targets_json(const struct status *st)
{
	struct json_object *array = json_object_new_array();

	for (int i = 0; i < st->n_targets; i++) {
		const struct shunt_target_info *t = &st->targets[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(t->target.name));
		json_object_object_add(o, "live_v4", json_object_new_int64(t->live_v4));
		json_object_object_add(o, "live_v6", json_object_new_int64(t->live_v6));
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *memory_json(const struct shunt_memory *m)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "all", json_object_new_uint64(m->all));
	json_object_object_add(o, "rules", json_object_new_uint64(m->rules));
	json_object_object_add(o, "rules_used", json_object_new_uint64(m->rules_used));
	return o;
}

static void status_json(const struct globals *g, const struct status *st)
{
	struct json_object *o = json_object_new_object(), *counters = json_object_new_object(),
			   *conflicts = json_object_new_array();
	const char *name = g->where.instance ? g->where.instance : "default";

	for (int c = 0; c < SHUNT_CTR_MAX; c++)
		json_object_object_add(counters, shunt_counter_name(c),
				       json_object_new_uint64(st->counters[c]));
	for (int i = 0; i < st->n_conflicts; i++)
		json_object_array_add(conflicts, json_object_new_string(st->conflicts[i]));
	json_object_object_add(o, "instance", json_object_new_string(name));
	json_object_object_add(o, "pins", json_object_new_string(st->pin_dir));
	json_object_object_add(o, "steer_mark", json_object_new_int64(st->instance.steer_mark));
	json_object_object_add(o, "own_mark", json_object_new_int64(st->instance.own_mark));
	json_object_object_add(o, "table", json_object_new_int64(st->instance.table));
	json_object_object_add(o, "pref", json_object_new_int64(st->instance.pref));
	json_object_object_add(o, "delivery",
			       json_object_new_string(is_by_loopback(st) ? "loopback" : "rule"));
	json_object_object_add(o, "devices", devices_json(st));
	json_object_object_add(o, "rules", json_object_new_int64((int64_t)st->n_rules));
	json_object_object_add(o, "memory", memory_json(&st->memory));
	json_object_object_add(o, "targets", targets_json(st));
	json_object_object_add(o, "conflicts", conflicts);
	json_object_object_add(o, "counters", counters);
	print_json(o);
}

/* ---- text ------------------------------------------------------------------------------------- */

static void device_text(const struct status *st, const struct shunt_device_state *d)
{
	uint32_t f = d->device.flags;

	printf("  %s: %s%s%s by %s%s, %s", d->device.name, f & SHUNT_DEV_IN ? "ingress" : "",
	       f & SHUNT_DEV_IN && f & SHUNT_DEV_OUT ? " and " : "",
	       f & SHUNT_DEV_OUT ? "egress" : "", f & SHUNT_DEV_TCX ? "tcx" : "clsact",
	       f & SHUNT_DEV_PEER ? ", routed into its peer" : "",
	       d->attached ? "attached" : "NOT ATTACHED");
	if (is_by_loopback(st)) {
		putchar('\n');
		return;
	}
	printf(", routing rules: %s\n", d->rule_v4 && d->rule_v6 ? "IPv4 and IPv6"
					: d->rule_v4		 ? "IPv4"
					: d->rule_v6		 ? "IPv6"
								 : "NONE");
}

static double megabytes(uint64_t bytes)
{
	return (double)bytes / 1e6;
}

static void status_text(const struct globals *g, const struct status *st)
{
	printf("instance %s\n  pins: %s\n  marks: steer 0x%x, own 0x%x; ",
	       g->where.instance ? g->where.instance : "default", st->pin_dir,
	       st->instance.steer_mark, st->instance.own_mark);
	if (is_by_loopback(st))
		puts("delivery by lo");
	else
		printf("table %u, rules at %u\n", st->instance.table, st->instance.pref);
	puts("devices");
	for (int i = 0; i < st->n_devices; i++)
		device_text(st, &st->devices[i]);
	printf("rules\n  %zu\n", st->n_rules);
	printf("memory\n  %.1f MB, of which rules and sets %.1f MB (%.1f MB in use)\ntargets\n",
	       megabytes(st->memory.all), megabytes(st->memory.rules),
	       megabytes(st->memory.rules_used));
	for (int i = 0; i < st->n_targets; i++)
		printf("  %s: %u IPv4 and %u IPv6 sockets live\n", st->targets[i].target.name,
		       st->targets[i].live_v4, st->targets[i].live_v6);
	puts("counters");
	for (int c = 0; c < SHUNT_CTR_MAX; c++)
		if (st->counters[c])
			printf("  %-22s %12" PRIu64 "  %s\n", shunt_counter_name(c),
			       st->counters[c], shunt_counter_help(c));
	if (st->n_conflicts)
		puts("conflicts");
	for (int i = 0; i < st->n_conflicts; i++)
		printf("  %s\n", st->conflicts[i]);
}

static int status_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct status *st = state;
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)argc;
	(void)argv;
	if (r)
		return exit_of(r);
	r = collect(s, st);
	if (!r && g->json)
		status_json(g, st);
	else if (!r)
		status_text(g, st);
	shunt_close(s);
	return exit_of(r);
}

const struct command cmd_status = {
	.words = "status",
	.arguments = "",
	.summary = "what is attached where, rules, targets, counters, conflicts",
	.run = status_run,
	.state_size = sizeof(struct status),
};
