// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "generation.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "cleanup.h"
#include "compile.h"
#include "device.h"
#include "rollback.h"
#include "slots.h"
#include "target.h"

/* What names stand for while a generation is compiled. */
struct linker {
	struct shunt *s;
	const struct shunt_rules *rules, *old_rules;
	const struct arena *old; /* NULL: none */
	bool *used;		 /* owned: indexes in rule_stats */
	size_t rule, old_rule;	 /* both lists are gone through by priority */
	size_t next;		 /* no free index before it */
};

int generation_open(struct arena *out, const struct shunt *s)
{
	return arena_open(out, s->map.ruleset);
}

int generation_publish(struct shunt *s, int fd)
{
	__u32 zero = 0;

	if (bpf_map_update_elem(s->map.ruleset, &zero, &fd, BPF_ANY))
		return shunt_err(-errno, "cannot publish the rules: %s", strerror(errno));
	return 0;
}

static const struct shunt_rule2 *record_of(const struct arena *a, size_t i)
{
	const uint32_t *index = arena_at(a, arena_head(a)->index_at[arena_gen(a)->side]);

	return arena_at(a, index[i]);
}

/* ---- read ----------------------------------------------------------------------------------- */

static int read_stats(struct shunt *s, const struct arena *a, struct shunt_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (bpf_map_lookup_elem(s->map.rule_stats, &record_of(a, i)->stat,
					&rules->v[i].stat))
			return shunt_err(-errno, "cannot read the counters of a rule: %s",
					 strerror(errno));
	return 0;
}

int generation_read(struct shunt *s, struct shunt_config *out)
{
	struct shunt_config config = {};
	struct arena a;
	int r = generation_open(&a, s);

	if (r == -ENOENT) {
		*out = config;
		return 0;
	}
	if (r)
		return r;
	r = decompile_rules(&a, &config.rules);
	if (!r)
		r = read_stats(s, &a, &config.rules);
	if (!r)
		r = decompile_sets(&a, &config.sets);
	arena_release(&a);
	if (r)
		shunt_config_clear(&config);
	else
		*out = config;
	return r;
}

/* ---- what names stand for -------------------------------------------------------------------- */

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
	return (int)record_of(l->old, l->old_rule)->stat;
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

/* ---- compile ---------------------------------------------------------------------------------- */

/* Names of all sets, in order. */
struct set_names {
	const char **v; /* owned; the names are not */
	size_t n;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_names(struct set_names *out, const struct shunt_sets *sets)
{
	out->v = calloc(sets->n + 1, sizeof(*out->v));
	if (!out->v)
		return shunt_err(-ENOMEM, "out of memory");
	out->n = sets->n;
	for (size_t i = 0; i < sets->n; i++)
		out->v[i] = sets->v[i].name;
	qsort(out->v, out->n, sizeof(*out->v), compare_names);
	return 0;
}

static int check_set(const struct set_names *sets, const struct shunt_rule *r, const char *name)
{
	if (!name[0] || bsearch(&name, sets->v, sets->n, sizeof(*sets->v), compare_names))
		return 0;
	return shunt_err(-ENOENT, "rule %u: there is no set '%s': make it with 'shuntctl set add'",
			 r->priority, name);
}

static int check_rule(const struct set_names *sets, const struct shunt_rule *r)
{
	int e;

	if (r->action == SHUNT_ACT_ROUTE)
		return shunt_err(-EOPNOTSUPP, "rule %u: route is not supported by this version",
				 r->priority);
	if (r->action == SHUNT_ACT_PROXY && !(r->protos & SHUNT_PROTO_TCP))
		return shunt_err(-EOPNOTSUPP, "rule %u: proxy carries tcp only in this version",
				 r->priority);
	e = check_set(sets, r, r->from.set);
	return e ? e : check_set(sets, r, r->to.set);
}

static int check_rules(const struct shunt_config *config)
{
	const struct shunt_rules *rules = &config->rules;
	struct set_names sets = {};
	size_t audits = 0;
	int r;

	if (rules->n > SHUNT_MAX_RULES / 2)
		return shunt_err(-E2BIG, "%zu rules are too many: at most %d", rules->n,
				 SHUNT_MAX_RULES / 2);
	for (size_t i = 0; i < rules->n; i++)
		audits += rules->v[i].audit;
	/* The program looks at so many; behind one more nothing would be in force. */
	if (audits > SHUNT_MAX_AUDITS)
		return shunt_err(-E2BIG, "%zu rules with audit are too many: at most %d", audits,
				 SHUNT_MAX_AUDITS);
	r = list_names(&sets, &config->sets);
	for (size_t i = 0; i < rules->n && !r; i++)
		r = check_rule(&sets, &rules->v[i]);
	free(sets.v);
	return r;
}

static int link_and_compile(struct shunt *s, const struct shunt_rules *rules,
			    const struct shunt_sets *sets, const struct shunt_rules *old_rules,
			    const struct arena *old)
{
	struct linker l = { .s = s, .rules = rules, .old_rules = old_rules, .old = old };
	const struct names names = {
		.ctx = &l, .device = link_device, .target = link_target, .stat = link_stat,
		.cgroup = link_cgroup,
	};
	int fd;

	l.used = calloc(SHUNT_MAX_RULES, sizeof(*l.used));
	if (!l.used)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < old_rules->n; i++)
		l.used[record_of(old, i)->stat] = true;
	fd = compile(rules, sets, &names, old ? arena_gen(old)->generation + 1 : 1);
	free(l.used);
	return fd;
}

/* The fd of a new generation that follows `old` (NULL: none). */
static int make_generation(struct shunt *s, const struct shunt_config *config,
			   const struct arena *old)
{
	struct shunt_rules old_rules = {};
	int r = check_rules(config);

	if (!r && old)
		r = decompile_rules(old, &old_rules);
	if (r)
		return r;
	r = link_and_compile(s, &config->rules, &config->sets, &old_rules, old);
	shunt_rules_clear(&old_rules);
	return r;
}

/* The way back first: whoever is locked out by the change cannot make it any more. */
static int put_in_force(struct shunt *s, int fd, const struct arena *old,
			const struct generation_trial *trial)
{
	int r = trial ? rollback_arm(s, old->fd, trial->seconds, trial->lock) : 0;

	if (r)
		return r;
	r = generation_publish(s, fd);
	if (r && trial)
		rollback_disarm(s);
	return r;
}

/* publish: else it is only made. */
static int replace(struct shunt *s, const struct shunt_config *config, bool publish,
		   const struct generation_trial *trial)
{
	_cleanup_close_ int fd = -1;
	struct arena old;
	bool has_old;
	int r;

	r = generation_open(&old, s);
	has_old = !r;
	if (r && r != -ENOENT)
		return r;
	fd = make_generation(s, config, has_old ? &old : NULL);
	r = fd < 0 ? fd : 0;
	if (!r && publish)
		r = put_in_force(s, fd, &old, has_old ? trial : NULL);
	if (has_old)
		arena_release(&old);
	return r;
}

int generation_replace(struct shunt *s, const struct shunt_config *config,
		       const struct generation_trial *trial)
{
	struct slots_mark mark;
	int r = rollback_check_none(s);

	if (!r)
		r = slots_mark(s, &mark);
	if (r)
		return r;
	r = replace(s, config, true, trial);
	if (r)
		slots_restore(s, &mark);
	return r;
}

int generation_check(struct shunt *s, const struct shunt_config *config)
{
	struct slots_mark mark;
	int r = slots_mark(s, &mark);

	if (r)
		return r;
	r = replace(s, config, false, NULL);
	slots_restore(s, &mark);
	return r;
}
