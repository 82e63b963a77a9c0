// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Changes inside the generation in force. */
#include <errno.h>

#include "change.h"
#include "generation.h"
#include "linker.h"
#include "rollback.h"
#include "slots.h"

/* -ENOSPC if there is nothing that could be changed. */
static int open_to_change(struct arena *out, struct shunt *s)
{
	int r = rollback_check_none(s);

	if (r)
		return r;
	r = generation_open(out, s);
	return r == -ENOENT ? -ENOSPC : r;
}

static int done(struct arena *a, int r)
{
	arena_release(a);
	return r == -ENOMEM ? shunt_err(r, "out of memory") : r;
}

static bool fits(const struct arena *a, const struct shunt_rule *rule)
{
	uint32_t n = arena_gen(a)->n_rules, audits = 0;

	for (uint32_t i = 0; rule->audit && i < n; i++)
		audits += !!(change_rule_at(a, i)->flags & SHUNT_RULE_AUDIT);
	return n < SHUNT_MAX_RULES / 2 && audits < SHUNT_MAX_AUDITS;
}

int generation_add_rule(struct shunt *s, const struct shunt_rule *rule)
{
	struct shunt_rule copy = *rule; /* what it owns stays the caller's */
	const struct shunt_rules one = { &copy, 1 }, none = {};
	struct linker l = { .s = s, .rules = &one, .old_rules = &none };
	struct slots_mark mark;
	struct names names;
	struct arena a;
	int r = generation_check_rule(rule);

	if (!r)
		r = slots_mark(s, &mark);
	if (!r)
		r = open_to_change(&a, s);
	if (r)
		return r;
	l.old = &a;
	r = fits(&a, rule) ? linker_init(&l, &names) : -ENOSPC;
	if (!r)
		r = change_rule_add(&a, s->map.ruleset, rule, &names);
	if (r)
		slots_restore(s, &mark);
	linker_release(&l);
	return done(&a, r);
}

int generation_del_rule(struct shunt *s, uint32_t priority)
{
	struct arena a;
	int r = open_to_change(&a, s);

	return r ? r : done(&a, change_rule_del(&a, s->map.ruleset, priority));
}

/* ---- sets ---------------------------------------------------------------------------------------- */

int generation_add_prefixes(struct shunt *s, const struct shunt_set *set)
{
	struct arena a;
	int r = open_to_change(&a, s);

	return r ? r : done(&a, change_set_add(&a, s->map.ruleset, set));
}

int generation_take_prefixes(struct shunt *s, const struct shunt_set *set)
{
	struct arena a;
	int r = open_to_change(&a, s);

	return r ? r : done(&a, change_set_take(&a, s->map.ruleset, set));
}

int generation_time_set(struct shunt *s, const char *name, int place)
{
	struct arena a;
	int r = generation_open(&a, s);

	if (r)
		return r == -ENOENT ? -ENOSPC : r;
	if (!change_set_is_timed(&a, name, place))
		r = rollback_check_none(s);
	return done(&a, r ? r : change_set_timed(&a, s->map.ruleset, name, place));
}

int generation_del_set(struct shunt *s, const struct shunt_set *named)
{
	struct arena a;
	int r = open_to_change(&a, s);

	return r ? r : done(&a, change_set_del(&a, s->map.ruleset, named->name));
}
