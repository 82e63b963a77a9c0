// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "linker.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "change.h"
#include "device.h"
#include "hops.h"
#include "target.h"
#include "timed.h"

/* compile() has its own messages for the other two. */
static int told(int r)
{
	return r == -ENOSPC || r == -ENOMEM ? -E2BIG : r;
}

static int link_device(void *ctx, const char *name)
{
	struct linker *l = ctx;

	return told(device_slot(l->s, name));
}

static int link_target(void *ctx, const char *name)
{
	struct linker *l = ctx;

	return told(target_get_locked(l->s, name));
}

static int link_hops(void *ctx, const struct shunt_rule *rule)
{
	struct linker *l = ctx;

	return told(hop_group_get_locked(l->s, rule));
}

static int link_timed(void *ctx, const char *set)
{
	struct linker *l = ctx;
	int r = l->timed_known ? 0 : timed_names_read(l->s);

	if (r)
		return r;
	l->timed_known = true;
	return timed_name_place(l->s, set);
}

static int link_cgroup(void *ctx, const char *path, uint64_t *id)
{
	uint64_t ids[SHUNT_CGROUP_LEVELS];
	int level = cgroup_find(path, ids);

	(void)ctx;
	if (level >= 0 && level < SHUNT_CGROUP_LEVELS)
		*id = ids[level];
	return level;
}

/* The index that the same rule has already, or -ENOENT. */
static int kept_stat(struct linker *l, const struct shunt_rule *rule)
{
	const struct shunt_rules *old = l->old_rules;

	while (l->old_rule < old->n && old->v[l->old_rule].priority < rule->priority)
		l->old_rule++;
	if (l->old_rule == old->n || !shunt_rule_equal(&old->v[l->old_rule], rule))
		return -ENOENT;
	return (int)change_rule_at(l->old, (uint32_t)l->old_rule)->stat;
}

static int link_stat(void *ctx, uint32_t priority)
{
	struct shunt_rule_stat none = {};
	struct linker *l = ctx;
	__u32 stat;
	int kept;

	while (l->rules->v[l->rule].priority != priority)
		l->rule++;
	kept = kept_stat(l, &l->rules->v[l->rule]);
	if (kept >= 0)
		return kept;
	while (l->next < SHUNT_MAX_RULES && l->used[l->next])
		l->next++;
	if (l->next == SHUNT_MAX_RULES)
		return shunt_err(-E2BIG, "no room for the counters of rule %u", priority);
	stat = (__u32)l->next++;
	if (bpf_map_update_elem(l->s->map.rule_stats, &stat, &none, BPF_ANY))
		return shunt_err(-errno, "cannot clear the counters of rule %u: %s", priority,
				 strerror(errno));
	return (int)stat;
}

int linker_init(struct linker *l, struct names *names)
{
	l->used = calloc(SHUNT_MAX_RULES, sizeof(*l->used));
	if (!l->used)
		return shunt_err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; l->old && i < arena_gen(l->old)->n_rules; i++)
		l->used[change_rule_at(l->old, i)->stat] = true;
	*names = (struct names){
		.ctx = l, .device = link_device, .target = link_target, .stat = link_stat,
		.cgroup = link_cgroup, .hops = link_hops, .timed = link_timed,
	};
	return 0;
}

void linker_release(struct linker *l)
{
	free(l->used);
	l->used = NULL;
}
