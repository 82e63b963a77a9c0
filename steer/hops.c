// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hops.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "name.h"
#include "rollback.h"

static int read_group(struct shunt *s, int index, struct shunt_hop_group *out)
{
	__u32 key = (__u32)index;

	if (bpf_map_lookup_elem(s->map.hops, &key, out))
		return shunt_err(-errno, "cannot read the map 'hops': %s", strerror(errno));
	return 0;
}

static int write_group(struct shunt *s, int index, const struct shunt_hop_group *g)
{
	__u32 key = (__u32)index;

	if (bpf_map_update_elem(s->map.hops, &key, g, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'hops': %s", strerror(errno));
	return 0;
}

/* The list that does not hold yet is written, then made the one that holds: none sees half. */
static int write_list(struct shunt *s, int index, struct shunt_hop_group *g)
{
	int r = write_group(s, index, g);

	if (r)
		return r;
	g->live ^= 1;
	return write_group(s, index, g);
}

/* ---- next hops ------------------------------------------------------------------------------ */

/* FNV-1a of address and device: the same hop gets the same flows, in each group, at each time. */
static uint32_t hop_id(const struct shunt_hop *hop)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < sizeof(hop->addr); i++)
		h = (h ^ hop->addr[i]) * 16777619U;
	for (size_t i = 0; i < sizeof(hop->dev); i++)
		h = (h ^ (uint8_t)hop->dev[i]) * 16777619U;
	return h ? h : 1;
}

static int make_hop(struct shunt_hop *out, const struct shunt_hop_spec *spec)
{
	struct shunt_hop hop = { .weight = spec->weight };

	if (!spec->addr && !spec->dev)
		return shunt_err(-EINVAL, "a next hop needs an address or a device");
	if (spec->addr && IN6_IS_ADDR_LINKLOCAL(spec->addr) && !spec->dev)
		return shunt_err(-EINVAL, "a link-local next hop needs a device");
	if (!hop.weight || hop.weight > 255)
		return shunt_err(-EINVAL, "weight %u: not from 1 to 255", hop.weight);
	if (spec->addr)
		memcpy(hop.addr, spec->addr, sizeof(hop.addr));
	if (spec->dev) {
		snprintf(hop.dev, sizeof(hop.dev), "%s", spec->dev);
		hop.ifindex = if_nametoindex(spec->dev);
		if (!hop.ifindex)
			return shunt_err(-ENODEV, "there is no interface '%s'", spec->dev);
	}
	hop.id = hop_id(&hop);
	*out = hop;
	return 0;
}

static struct shunt_hop *find_hop(struct shunt_hop_group *g, int list, uint32_t id)
{
	for (uint32_t i = 0; i < g->list[list].n && i < SHUNT_GROUP_HOPS; i++)
		if (g->list[list].hop[i].id == id)
			return &g->list[list].hop[i];
	return NULL;
}

/* ---- groups --------------------------------------------------------------------------------- */

/* The index of the group that `is` accepts, or -ENOENT and in *unused a free one (0: none). */
static int search(struct shunt *s, bool (*is)(const struct shunt_hop_group *g, const void *arg),
		  const void *arg, struct shunt_hop_group *out, int *unused)
{
	*unused = 0;
	for (int i = 1; i < SHUNT_MAX_GROUPS; i++) {
		int r = read_group(s, i, out);

		if (r)
			return r;
		if (out->used && is(out, arg))
			return i;
		if (!out->used && !*unused)
			*unused = i;
	}
	return -ENOENT;
}

static bool has_name(const struct shunt_hop_group *g, const void *name)
{
	return !strcmp(g->name, name);
}

static bool is_unnamed_of(const struct shunt_hop_group *g, const void *arg)
{
	const struct shunt_hop *hop = arg;

	return !g->name[0] && g->list[g->live & 1].n == 1 &&
	       g->list[g->live & 1].hop[0].id == hop->id;
}

/* A new group at a free place. Flows of what was there before have another serial number. */
static int make_group(struct shunt *s, int index, const char *name, struct shunt_hop_group *g)
{
	struct shunt_hop_group old;
	int r;

	if (!index)
		return shunt_err(-ENOSPC, "no room for another group of next hops: there are %d",
				 SHUNT_MAX_GROUPS - 1);
	r = read_group(s, index, &old);
	if (r)
		return r;
	*g = (struct shunt_hop_group){ .used = 1, .serial = (uint16_t)(old.serial + 1) };
	snprintf(g->name, sizeof(g->name), "%s", name);
	return 0;
}

static int free_group(struct shunt *s, int index, struct shunt_hop_group *g)
{
	g->used = 0;
	g->name[0] = '\0';
	g->serial++; /* flows that still have it find that it is gone */
	return write_group(s, index, g);
}

static bool names_hop(const struct shunt_rule *rule, const struct shunt_hop_group *g)
{
	const struct shunt_hop *hop = &g->list[g->live & 1].hop[0];
	struct shunt_hop made = {};

	if (rule->action != SHUNT_ACT_ROUTE || rule->via_group[0])
		return false;
	if (rule->has_via)
		memcpy(made.addr, &rule->via, sizeof(made.addr));
	memcpy(made.dev, rule->route_dev, sizeof(made.dev));
	return hop_id(&made) == hop->id;
}

/* Free the groups without a name that no rule names any more. */
static int collect(struct shunt *s)
{
	struct shunt_rules rules = {};
	struct shunt_hop_group g;
	int r = shunt_rules_read(s, &rules);

	for (int i = 1; i < SHUNT_MAX_GROUPS && !r; i++) {
		bool used = s->hops_named[i];

		r = read_group(s, i, &g);
		if (r || !g.used || g.name[0])
			continue;
		for (size_t k = 0; k < rules.n && !used; k++)
			used = names_hop(&rules.v[k], &g);
		if (!used)
			r = free_group(s, i, &g);
	}
	shunt_rules_clear(&rules);
	return r;
}

static int make_unnamed(struct shunt *s, int unused, const struct shunt_hop *hop)
{
	struct shunt_hop_group g;
	int r = make_group(s, unused, "", &g);

	if (r)
		return r;
	g.list[0].n = 1;
	g.list[0].hop[0] = *hop;
	r = write_group(s, unused, &g);
	return r ? r : unused;
}

int hop_group_get_locked(struct shunt *s, const struct shunt_rule *rule)
{
	struct shunt_hop_spec spec = { .weight = 1 };
	struct shunt_hop_group g;
	struct shunt_hop hop;
	int unused = 0, r;

	if (rule->via_group[0]) {
		r = search(s, has_name, rule->via_group, &g, &unused);
		return r != -ENOENT
			       ? r
			       : shunt_err(r, "rule %u: there is no group of next hops '%s': make "
					      "it with 'shuntctl hop add'",
					   rule->priority, rule->via_group);
	}
	spec.addr = rule->has_via ? &rule->via : NULL;
	spec.dev = rule->route_dev[0] ? rule->route_dev : NULL;
	r = make_hop(&hop, &spec);
	if (!r)
		r = search(s, is_unnamed_of, &hop, &g, &unused);
	if (r == -ENOENT && !unused) {
		r = collect(s);
		if (!r)
			r = search(s, is_unnamed_of, &hop, &g, &unused);
	}
	if (r == -ENOENT)
		r = make_unnamed(s, unused, &hop);
	if (r > 0)
		s->hops_named[r] = true;
	return r;
}

/* ---- groups with a name ---------------------------------------------------------------------- */

static int open_group(struct shunt *s, const char *name, struct shunt_hop_group *g, bool make)
{
	int unused, r;

	if (!name_is_valid(name))
		return shunt_err(-EINVAL, "group '%s': " NAME_RULE, name);
	r = search(s, has_name, name, g, &unused);
	if (r != -ENOENT)
		return r;
	if (!make)
		return shunt_err(r, "there is no group of next hops '%s'", name);
	r = make_group(s, unused, name, g);
	return r ? r : unused;
}

int shunt_hop_add(struct shunt *s, const char *group, const struct shunt_hop_spec *spec)
{
	_cleanup_close_ int lock = instance_lock(s);
	struct shunt_hop_group g;
	struct shunt_hop hop, *at;
	int index, next, r = lock < 0 ? lock : make_hop(&hop, spec);

	if (r)
		return r;
	index = open_group(s, group, &g, true);
	if (index < 0)
		return index;
	next = !(g.live & 1);
	g.list[next] = g.list[g.live & 1];
	at = find_hop(&g, next, hop.id);
	if (!at && g.list[next].n == SHUNT_GROUP_HOPS)
		return shunt_err(-ENOSPC, "group '%s' has %d next hops: there is no room for more",
				 group, SHUNT_GROUP_HOPS);
	if (!at)
		at = &g.list[next].hop[g.list[next].n++];
	*at = hop;
	return write_list(s, index, &g);
}

int shunt_hop_del(struct shunt *s, const char *group, const struct shunt_hop_spec *spec)
{
	_cleanup_close_ int lock = instance_lock(s);
	struct shunt_hop want = {}, *at, *last;
	struct shunt_hop_group g;
	int index, next;

	if (lock < 0)
		return lock;
	index = open_group(s, group, &g, false);
	if (index < 0)
		return index;
	if (spec->addr)
		memcpy(want.addr, spec->addr, sizeof(want.addr));
	if (spec->dev)
		snprintf(want.dev, sizeof(want.dev), "%s", spec->dev);
	next = !(g.live & 1);
	g.list[next] = g.list[g.live & 1];
	at = find_hop(&g, next, hop_id(&want));
	if (!at)
		return shunt_err(-ENOENT, "group '%s' has no such next hop", group);
	last = &g.list[next].hop[--g.list[next].n];
	*at = *last;
	memset(last, 0, sizeof(*last));
	return write_list(s, index, &g);
}

int shunt_hop_group_del(struct shunt *s, const char *group)
{
	_cleanup_close_ int lock = instance_lock(s);
	struct shunt_rules rules = {};
	struct shunt_hop_group g;
	int index, r;

	if (lock < 0)
		return lock;
	index = open_group(s, group, &g, false);
	if (index < 0)
		return index;
	/* Rules that may come back name it by its place. */
	r = rollback_check_none(s);
	if (!r)
		r = shunt_rules_read(s, &rules);
	for (size_t i = 0; i < rules.n && !r; i++)
		if (rules.v[i].action == SHUNT_ACT_ROUTE && !strcmp(rules.v[i].via_group, group))
			r = shunt_err(-EBUSY, "group '%s' is used by rule %u", group,
				      rules.v[i].priority);
	shunt_rules_clear(&rules);
	return r ? r : free_group(s, index, &g);
}

/* ---- read ------------------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fill_info(struct shunt *s, struct shunt_hop_info *out, const struct shunt_hop_group *g)
{
	struct shunt_hop_state state;
	uint64_t now = now_ns();

	memset(out, 0, sizeof(*out));
	memcpy(out->group, g->name, sizeof(out->group));
	out->n = g->list[g->live & 1].n;
	memcpy(out->hop, g->list[g->live & 1].hop, sizeof(out->hop));
	for (size_t i = 0; i < out->n; i++)
		if (!bpf_map_lookup_elem(s->map.hop_states, &out->hop[i].id, &state) &&
		    state.bad_since && state.bad_since < now)
			out->dead_for[i] = now - state.bad_since;
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp(((const struct shunt_hop_info *)a)->group,
		      ((const struct shunt_hop_info *)b)->group);
}

int shunt_hops_read(struct shunt *s, struct shunt_hop_info *out, size_t max)
{
	struct shunt_hop_group g;
	size_t n = 0;

	for (int i = 1; i < SHUNT_MAX_GROUPS && n < max; i++) {
		int r = read_group(s, i, &g);

		if (r)
			return r;
		if (g.used && g.name[0])
			fill_info(s, &out[n++], &g);
	}
	qsort(out, n, sizeof(*out), compare_groups);
	return (int)n;
}

/* ---- devices that come back ----------------------------------------------------------------- */

static bool refresh_list(struct shunt_hop_group *g, int list)
{
	bool changed = false;

	for (uint32_t i = 0; i < g->list[list].n && i < SHUNT_GROUP_HOPS; i++) {
		struct shunt_hop *hop = &g->list[list].hop[i];
		unsigned int ifindex = hop->dev[0] ? if_nametoindex(hop->dev) : 0;

		changed |= hop->ifindex != ifindex;
		hop->ifindex = ifindex;
	}
	return changed;
}

int hops_refresh_locked(struct shunt *s)
{
	struct shunt_hop_group g;

	for (int i = 1; i < SHUNT_MAX_GROUPS; i++) {
		int r = read_group(s, i, &g);

		if (r)
			return r;
		g.list[!(g.live & 1)] = g.list[g.live & 1];
		if (g.used && refresh_list(&g, !(g.live & 1)))
			r = write_list(s, i, &g);
		if (r)
			return r;
	}
	return 0;
}
