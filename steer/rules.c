// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The rules of an instance, read and changed as a whole: each change is a new generation, made
 * aside under the lock and put in force by one write.
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
	int r = generation_read(s, &config);

	if (r)
		return r;
	*out = config.rules;
	shunt_sets_clear(&config.sets);
	return 0;
}

/* Other rules, the sets stay. */
static int publish(struct shunt *s, const struct shunt_rules *rules)
{
	struct shunt_config config, with;
	int r = generation_read(s, &config);

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

int shunt_rules_add(struct shunt *s, const struct shunt_rule *rule)
{
	_cleanup_close_ int lock = instance_lock(s);
	_cleanup_free_ struct shunt_rule *grown = NULL;
	struct shunt_rules rules = {}, with;
	size_t at;
	int r = lock < 0 ? lock : shunt_rules_read(s, &rules);

	if (r)
		return r;
	at = position(&rules, rule->priority);
	if (at < rules.n && rules.v[at].priority == rule->priority) {
		r = shunt_err(-EEXIST, "rule %u exists: delete it first, or choose another priority",
			      rule->priority);
		goto out;
	}
	grown = calloc(rules.n + 1, sizeof(*grown));
	if (!grown) {
		r = shunt_err(-ENOMEM, "out of memory");
		goto out;
	}
	/* A view of both: what the rules own stays with `rules` and the caller. */
	if (rules.n) {
		memcpy(grown, rules.v, at * sizeof(*grown));
		memcpy(grown + at + 1, rules.v + at, (rules.n - at) * sizeof(*grown));
	}
	grown[at] = *rule;
	with = (struct shunt_rules){ grown, rules.n + 1 };
	r = publish(s, &with);
out:
	shunt_rules_clear(&rules);
	return r;
}

int shunt_rules_del(struct shunt *s, uint32_t priority)
{
	_cleanup_close_ int lock = instance_lock(s);
	struct shunt_rules rules = {};
	size_t at;
	int r = lock < 0 ? lock : shunt_rules_read(s, &rules);

	if (r)
		return r;
	at = position(&rules, priority);
	if (at == rules.n || rules.v[at].priority != priority) {
		r = shunt_err(-ENOENT, "there is no rule %u", priority);
	} else {
		shunt_rule_clear(&rules.v[at]);
		memmove(&rules.v[at], &rules.v[at + 1], (rules.n - at - 1) * sizeof(*rules.v));
		rules.n--;
		r = publish(s, &rules);
	}
	shunt_rules_clear(&rules);
	return r;
}
