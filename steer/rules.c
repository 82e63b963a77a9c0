// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The rules of an instance. One rule is changed inside the generation in force where that can be
 * done; else, and for all of them, a new generation is made aside and put in force by one write.
 * Changes are made under the lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "generation.h"
#include "pin.h"

int shunt_rules_read(struct shunt *s, struct shunt_rules *out)
{
	struct shunt_config config;
	int r = generation_read(s, GENERATION_RULES, &config);

	if (!r)
		*out = config.rules;
	return r;
}

/* Other rules, the sets stay. */
static int publish(struct shunt *s, const struct shunt_rules *rules)
{
	struct shunt_config config, with;
	int r = generation_read_locked(s, &config);

	if (r)
		return r;
	with = (struct shunt_config){ *rules, config.sets };
	r = generation_replace(s, &with, NULL);
	shunt_config_clear(&config);
	return r;
}

int shunt_rules_replace(struct shunt *s, const struct shunt_rules *rules)
{
	_cleanup_close_ int lock = instance_lock(s);

	return lock < 0 ? lock : publish(s, rules);
}

/* The first rule with at least this priority. */
static size_t position(const struct shunt_rules *rules, uint32_t priority)
{
	size_t i = 0;

	while (i < rules->n && rules->v[i].priority < priority)
		i++;
	return i;
}

/* By a new generation. */
static int add_anew(struct shunt *s, const struct shunt_rule *rule)
{
	_cleanup_free_ struct shunt_rule *grown = NULL;
	struct shunt_config config = {};
	struct shunt_rules *rules = &config.rules, with;
	size_t at;
	int r = generation_read_locked(s, &config);

	if (r)
		return r;
	at = position(rules, rule->priority);
	if (at < rules->n && rules->v[at].priority == rule->priority) {
		r = shunt_err(-EEXIST, "rule %u exists: delete it first, or choose another priority",
			      rule->priority);
		goto out;
	}
	grown = calloc(rules->n + 1, sizeof(*grown));
	if (!grown) {
		r = shunt_err(-ENOMEM, "out of memory");
		goto out;
	}
	/* A view of both: what the rules own stays with `config` and the caller. */
	if (rules->n) {
		memcpy(grown, rules->v, at * sizeof(*grown));
		memcpy(grown + at + 1, rules->v + at, (rules->n - at) * sizeof(*grown));
	}
	grown[at] = *rule;
	with = (struct shunt_rules){ grown, rules->n + 1 };
	r = generation_replace(s, &(struct shunt_config){ with, config.sets }, NULL);
out:
	shunt_config_clear(&config);
	return r;
}

int shunt_rules_add(struct shunt *s, const struct shunt_rule *rule)
{
	_cleanup_close_ int lock = instance_lock(s);
	int r;

	if (lock < 0)
		return lock;
	r = generation_add_rule(s, rule);
	return r == -ENOSPC ? add_anew(s, rule) : r;
}

static int del_anew(struct shunt *s, uint32_t priority)
{
	struct shunt_config config = {};
	struct shunt_rules *rules = &config.rules;
	size_t at;
	int r = generation_read_locked(s, &config);

	if (r)
		return r;
	at = position(rules, priority);
	if (at == rules->n || rules->v[at].priority != priority) {
		r = shunt_err(-ENOENT, "there is no rule %u", priority);
	} else {
		shunt_rule_clear(&rules->v[at]);
		memmove(&rules->v[at], &rules->v[at + 1],
			(rules->n - at - 1) * sizeof(*rules->v));
		rules->n--;
		r = generation_replace(s, &config, NULL);
	}
	shunt_config_clear(&config);
	return r;
}

int shunt_rules_del(struct shunt *s, uint32_t priority)
{
	_cleanup_close_ int lock = instance_lock(s);
	int r;

	if (lock < 0)
		return lock;
	r = generation_del_rule(s, priority);
	return r == -ENOSPC ? del_anew(s, priority) : r;
}
