// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unserved.h"

#include <string.h>

static bool is_live(const struct shunt_target_info *t)
{
	return t->live_v4 || t->live_v6;
}

/* The first of the rules that hands flows to this target, NULL if none does. */
static const struct shunt_rule *find_rule(const struct shunt_rule *rules, size_t n,
					  const char *target)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].action == SHUNT_ACT_PROXY && !strcmp(rules[i].target, target))
			return &rules[i];
	return NULL;
}

/* "; 'web', 'mail' have some", as far as there is room; "" if none has. */
static const char *name_live(char *buf, size_t size, const struct shunt_target_info *t, int n)
{
	int live = 0;
	size_t at = 0;

	buf[0] = '\0';
	for (int i = 0; i < n && size - at > SHUNT_NAME_LEN + 16; i++)
		if (is_live(&t[i]))
			at += (size_t)snprintf(buf + at, size - at, "%s'%s'", live++ ? ", " : "; ",
					       t[i].target.name);
	if (live)
		snprintf(buf + at, size - at, live > 1 ? " have some" : " has some");
	return buf;
}

void warn_unserved(struct shunt *s, const struct shunt_rule *rules, size_t n)
{
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	char others[256];
	int n_targets = shunt_targets_read(s, targets, SHUNT_MAX_TARGETS);

	for (int i = 0; i < n_targets; i++) {
		const struct shunt_rule *rule =
			is_live(&targets[i]) ? NULL : find_rule(rules, n, targets[i].target.name);

		if (!rule)
			continue;
		shunt_warn("target '%s' has no live socket, so flows of rule %u %s%s",
			   targets[i].target.name, rule->priority,
			   rule->fail == SHUNT_FAIL_CLOSED ? "are dropped (fail closed)"
							   : "pass (fail open)",
			   name_live(others, sizeof(others), targets, n_targets));
	}
}
