// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "generation.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "change.h"
#include "cleanup.h"
#include "linker.h"
#include "rollback.h"
#include "slots.h"

enum { READ_TRIES = 4 }; /* before a reader keeps those out that change rules */

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

/* ---- read ----------------------------------------------------------------------------------- */

static int read_stats(struct shunt *s, const struct arena *a, uint64_t generation,
		      struct shunt_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		uint32_t cell = change_rule_cell(a, (uint32_t)i);
		__u32 stat;

		if (!arena_holds(a, cell, 1))
			return -EAGAIN;
		stat = ((const struct shunt_rule2 *)arena_at(a, cell))->stat;
		if (!bpf_map_lookup_elem(s->map.rule_stats, &stat, &rules->v[i].stat))
			continue;
		if (!arena_is_current(a, generation))
			return -EAGAIN;
		return shunt_err(-errno, "cannot read the counters of a rule: %s",
				 strerror(errno));
	}
	return arena_is_current(a, generation) ? 0 : -EAGAIN;
}

/* -EAGAIN: it was changed meanwhile. */
static int read_parts(struct shunt *s, enum generation_part parts, struct shunt_config *out)
{
	struct shunt_config config = {};
	uint64_t generation;
	struct arena a;
	int r = generation_open(&a, s);

	if (r == -ENOENT) {
		*out = config;
		return 0;
	}
	if (r)
		return r;
	generation = arena_gen(&a)->generation;
	if (parts & GENERATION_RULES)
		r = decompile_rules(&a, &config.rules);
	if (!r && (parts & GENERATION_RULES))
		r = read_stats(s, &a, generation, &config.rules);
	if (!r && (parts & GENERATION_SETS))
		r = decompile_sets(&a, &config.sets);
	/* Each part is whole by itself; together they must be of one generation. */
	if (!r && !arena_is_current(&a, generation))
		r = -EAGAIN;
	arena_release(&a);
	if (r)
		shunt_config_clear(&config);
	else
		*out = config;
	return r;
}

int generation_read_locked(struct shunt *s, struct shunt_config *out)
{
	return read_parts(s, GENERATION_ALL, out);
}

int generation_read(struct shunt *s, enum generation_part parts, struct shunt_config *out)
{
	_cleanup_close_ int lock = -1;
	int r = -EAGAIN;

	for (int i = 0; i < READ_TRIES && r == -EAGAIN; i++)
		r = read_parts(s, parts, out);
	if (r != -EAGAIN)
		return r;
	lock = instance_lock(s);
	return lock < 0 ? lock : read_parts(s, parts, out);
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

int generation_check_rule(const struct shunt_rule *r)
{
	if (r->action == SHUNT_ACT_ROUTE && !shunt_rule_dirs(r))
		return shunt_err(-EOPNOTSUPP, "rule %u: route forwards flows that come in, not "
				 "those that start on this host", r->priority);
	if (r->action == SHUNT_ACT_PROXY && !shunt_rule_protos(r))
		return shunt_err(-EOPNOTSUPP, "rule %u: proxy carries tcp only in this version",
				 r->priority);
	return 0;
}

static int check_rule(const struct set_names *sets, const struct shunt_rule *r)
{
	int e = generation_check_rule(r);

	if (!e)
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
	struct names names;
	int r = linker_init(&l, &names);

	if (!r)
		r = compile(rules, sets, &names, old ? arena_gen(old)->generation + 1 : 1);
	linker_release(&l);
	return r;
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
	int r = trial ? rollback_arm(s, old->fd, trial) : 0;

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
