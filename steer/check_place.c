// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sets and their rules; and rules as they stand in an instance: interfaces, targets, counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "change.h"
#include "check.h"
#include "cleanup.h"
#include "generation.h"

/* ---- sets --------------------------------------------------------------------------------------- */

struct set_use {
	const struct shunt_set *set;
	size_t rules;	    /* that name it */
	size_t first, last; /* of them */
};

static int by_name(const void *a, const void *b)
{
	const struct set_use *x = a, *y = b;

	return strcmp(x->set->name, y->set->name);
}

static int use_set(struct check *c, struct set_use *uses, size_t rule, const struct shunt_addrs *a)
{
	struct shunt_set named = {};
	struct set_use key = { .set = &named }, *use;

	if (!a->set[0])
		return 0;
	memcpy(named.name, a->set, sizeof(named.name));
	use = bsearch(&key, uses, c->config->sets.n, sizeof(*uses), by_name);
	if (!use)
		return check_add(c, SHUNT_FIND_SET_UNKNOWN, rule, NULL,
				 "there is no set '%s': define it in the file or with 'shuntctl set "
				 "add %s'", a->set, a->set);
	if (use->rules && use->last == rule)
		return 0; /* in 'from' and in 'to' */
	if (!use->rules++)
		use->first = rule;
	use->last = rule;
	return 0;
}

static int tell_sets(struct check *c, const struct set_use *uses)
{
	const char *name;
	int r = 0;

	for (size_t i = 0; i < c->config->sets.n && !r; i++) {
		name = uses[i].set->name;
		if (!uses[i].rules)
			r = check_add(c, SHUNT_FIND_SET_UNUSED, 0, name,
				      "no rule names it: delete it with 'shuntctl set del %s'", name);
		else if (!uses[i].set->n && !uses[i].set->n_timed && !uses[i].set->expires)
			r = check_add(c, SHUNT_FIND_SET_EMPTY, 0, name,
				      "it has no prefixes, and %zu rule%s it, %u the first: add some, "
				      "unless a program fills it", uses[i].rules,
				      uses[i].rules == 1 ? " names" : "s name",
				      c->config->rules.v[uses[i].first].priority);
	}
	return r;
}

/* Does it leave no address over? */
static bool is_empty(const struct match *m, enum dim dim)
{
	return !m->dim[0][dim]->n && !m->dim[1][dim]->n;
}

/* Rules whose addresses leave nothing over. */
static int tell_empty(struct check *c, size_t rule)
{
	const struct match *m = &c->matches.v[rule];
	bool to = is_empty(m, DIM_TO);
	const struct shunt_addrs *addrs = to ? &m->rule->to : &m->rule->from;

	if (m->fams || m->unknown)
		return 0;
	c->dead[rule] = true;
	if (!to && !is_empty(m, DIM_FROM))
		return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
				 "'from' and 'to' have no address family in common: change one of "
				 "them, or delete the rule");
	return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
			 "set '%s' %s, which leaves no address for '%s': change the set, or delete "
			 "the rule", addrs->set, addrs->negated ? "holds all addresses" : "is empty",
			 to ? "to" : "from");
}

int check_sets(struct check *c)
{
	const struct shunt_config *config = c->config;
	_cleanup_free_ struct set_use *uses = calloc(config->sets.n + 1, sizeof(*uses));
	int r = 0;

	if (!uses)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < config->sets.n; i++)
		uses[i].set = &config->sets.v[i];
	qsort(uses, config->sets.n, sizeof(*uses), by_name);
	for (size_t i = 0; i < config->rules.n && !r; i++) {
		r = use_set(c, uses, i, &config->rules.v[i].from);
		if (!r)
			r = use_set(c, uses, i, &config->rules.v[i].to);
		if (!r)
			r = tell_empty(c, i);
	}
	return r ? r : tell_sets(c, uses);
}

/* ---- interfaces ---------------------------------------------------------------------------------- */

struct place {
	struct shunt_device *devices; /* owned */
	int n_devices;
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	int n_targets;
	bool told[SHUNT_MAX_TARGETS]; /* that it has no socket */
	uint64_t *cgroups; /* owned; by rule: the id that was loaded, 0 none or not known */
};

/* Which directions come by an interface of that name; NULL: by any. */
static uint8_t dirs_of(const struct place *p, const char *name)
{
	uint8_t dirs = 0;

	for (int i = 0; i < p->n_devices; i++) {
		const struct shunt_device *dev = &p->devices[i];

		if (dev->flags & SHUNT_DEV_LO || (name && strcmp(dev->name, name)))
			continue;
		dirs |= dev->flags & SHUNT_DEV_IN ? SHUNT_DIR_IN : 0;
		dirs |= dev->flags & SHUNT_DEV_OUT ? SHUNT_DIR_OUT : 0;
	}
	return dirs;
}

static int check_interfaces(struct check *c, const struct place *p, size_t rule)
{
	const struct match *m = &c->matches.v[rule];
	uint8_t dirs = 0;

	for (size_t i = 0; i < m->rule->n_devices; i++)
		dirs |= dirs_of(p, m->rule->devices[i]);
	if (!m->rule->n_devices)
		dirs = dirs_of(p, NULL);
	if (dirs & m->dirs)
		return 0;
	c->dead[rule] = true;
	if (dirs)
		return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
				 "it is about flows that start on this host, which is nowhere looked "
				 "at: run 'shuntctl up -i IFACE --out'");
	if (!m->rule->n_devices)
		return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
				 "the instance has no interface: run 'shuntctl up -i IFACE'");
	return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
			 "no interface that it names is attached: run 'shuntctl up -i %s'",
			 m->rule->devices[0]);
}

/* The kernel compares ids: a cgroup that was made again is another one. */
static int check_cgroup(struct check *c, const struct place *p, size_t rule)
{
	const char *path = c->config->rules.v[rule].cgroup;
	uint64_t ids[SHUNT_CGROUP_LEVELS];
	int level;

	if (!path)
		return 0;
	if (!cgroup_exists(path)) {
		c->dead[rule] = true;
		return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
				 "there is no cgroup '%s' any more: make it and load the rule again, "
				 "or delete the rule", path);
	}
	level = p->cgroups[rule] ? cgroup_find(path, ids) : 0;
	if (level <= 0 || level >= SHUNT_CGROUP_LEVELS || ids[level] == p->cgroups[rule])
		return 0;
	c->dead[rule] = true;
	return check_add(c, SHUNT_FIND_NEVER_MATCH, rule, NULL,
			 "cgroup '%s' was made anew since the rule was loaded, and is another one: "
			 "delete the rule and add it again", path);
}

/* Ids of cgroups that rules were loaded with; both lists are ordered by priority. */
static void take_cgroups(const struct check *c, struct place *p, const struct arena *a)
{
	const struct shunt_rules *rules = &c->config->rules;
	const struct shunt_rule2 *loaded;
	size_t at = 0;

	for (uint32_t i = 0; i < arena_gen(a)->n_rules; i++) {
		loaded = arena_at(a, change_rule_cell(a, i));
		while (at < rules->n && rules->v[at].priority < loaded->priority)
			at++;
		if (at < rules->n && rules->v[at].priority == loaded->priority &&
		    loaded->flags & SHUNT_RULE_CGROUP)
			p->cgroups[at] = loaded->cgroup;
	}
}

static int read_cgroups(const struct check *c, struct place *p)
{
	_cleanup_close_ int lock = instance_lock(c->s);
	struct arena a;
	int r;

	if (lock < 0)
		return lock;
	p->cgroups = calloc(c->config->rules.n + 1, sizeof(*p->cgroups));
	if (!p->cgroups)
		return shunt_err(-ENOMEM, "out of memory");
	r = generation_open(&a, c->s);
	if (r)
		return r == -ENOENT ? 0 : r;
	take_cgroups(c, p, &a);
	arena_release(&a);
	return 0;
}

/* ---- targets ------------------------------------------------------------------------------------- */

static int tell_target(struct check *c, size_t rule, const char *what)
{
	const struct shunt_rule *r = &c->config->rules.v[rule];

	return check_add(c, SHUNT_FIND_NO_SOCKET, rule, NULL,
			 "target '%s' has no live %ssocket: flows %s; start the server, or add its "
			 "sockets with 'shuntctl target add'", r->target, what,
			 r->fail == SHUNT_FAIL_OPEN ? "pass (fail open)" : "are dropped (fail closed)");
}

/* Told once for each target, at its first rule. */
static int check_target(struct check *c, struct place *p, size_t rule)
{
	const struct match *m = &c->matches.v[rule];
	bool lacks4, lacks6;

	if (m->rule->action != SHUNT_ACT_PROXY)
		return 0;
	for (int i = 0; i < p->n_targets; i++) {
		const struct shunt_target_info *t = &p->targets[i];

		if (strcmp(t->target.name, m->rule->target))
			continue;
		lacks4 = m->fams & SHUNT_FAM_V4 && !t->live_v4;
		lacks6 = m->fams & SHUNT_FAM_V6 && !t->live_v6;
		if (p->told[i] || (!lacks4 && !lacks6))
			return 0;
		p->told[i] = true;
		return tell_target(c, rule, lacks4 && lacks6 ? "" : lacks4 ? "IPv4 " : "IPv6 ");
	}
	return tell_target(c, rule, "");
}

/* ---- all ----------------------------------------------------------------------------------------- */

static int check_hits(struct check *c, size_t rule)
{
	if (c->dead[rule] || c->config->rules.v[rule].stat.last_hit)
		return 0;
	return check_add(c, SHUNT_FIND_NEVER_HIT, rule, NULL,
			 "it has decided no flow since it was loaded: delete it if it has been there "
			 "for long, or ask 'shuntctl explain' for a flow that it is meant for");
}

static int read_place(struct check *c, struct place *p)
{
	p->devices = calloc(SHUNT_MAX_DEVICES, sizeof(*p->devices));
	if (!p->devices)
		return shunt_err(-ENOMEM, "out of memory");
	p->n_devices = shunt_devices_read(c->s, p->devices, SHUNT_MAX_DEVICES);
	if (p->n_devices < 0)
		return p->n_devices;
	p->n_targets = shunt_targets_read(c->s, p->targets, SHUNT_MAX_TARGETS);
	return p->n_targets < 0 ? p->n_targets : read_cgroups(c, p);
}

int check_place(struct check *c)
{
	struct place p = {};
	int r = read_place(c, &p);

	for (size_t i = 0; i < c->matches.n && !r; i++) {
		if (!c->dead[i])
			r = check_interfaces(c, &p, i);
		if (!r && !c->dead[i])
			r = check_cgroup(c, &p, i);
		if (!r)
			r = check_target(c, &p, i);
	}
	free(p.devices);
	free(p.cgroups);
	return r;
}

int check_counters(struct check *c)
{
	int r = 0;

	for (size_t i = 0; i < c->matches.n && !r; i++)
		r = check_hits(c, i);
	return r;
}
