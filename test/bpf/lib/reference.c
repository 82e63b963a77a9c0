// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "reference.h"

#include <string.h>

/* 0.0.0.0/0 is all of IPv4 and ::/0 all of IPv6: a prefix is of one family. */
static bool prefix_has(const struct shunt_prefix *p, bool v6, const struct in6_addr *a)
{
	unsigned int whole = p->len / 8, rest = p->len % 8;

	if (shunt_prefix_is_v4(p) == v6 || memcmp(p->addr.s6_addr, a->s6_addr, whole) != 0)
		return false;
	return rest == 0 || (p->addr.s6_addr[whole] ^ a->s6_addr[whole]) >> (8 - rest) == 0;
}

static bool list_has(const struct shunt_prefix *v, size_t n, bool v6, const struct in6_addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_has(&v[i], v6, a))
			return true;
	return false;
}

const struct shunt_set *reference_set(const struct shunt_sets *sets, const char *name)
{
	for (size_t i = 0; i < sets->n; i++)
		if (!strcmp(sets->v[i].name, name))
			return &sets->v[i];
	return NULL;
}

/* For good, or for a time that is not over. */
static bool set_has(const struct shunt_set *set, bool v6, const struct in6_addr *a)
{
	for (size_t i = 0; i < set->n_timed; i++)
		if (set->timed[i].left && prefix_has(&set->timed[i].prefix, v6, a))
			return true;
	return list_has(set->v, set->n, v6, a);
}

static bool addrs_have(const struct shunt_addrs *list, const struct shunt_sets *sets, bool v6,
		       const struct in6_addr *a)
{
	const struct shunt_set *set;

	if (!list->n && !list->set[0])
		return true;
	if (!list->set[0])
		return list_has(list->v, list->n, v6, a) != list->negated;
	set = reference_set(sets, list->set);
	return (set && set_has(set, v6, a)) != list->negated;
}

static bool ports_have(const struct shunt_ports *list, uint16_t port)
{
	for (size_t i = 0; i < list->n; i++)
		if (port >= list->v[i].lo && port <= list->v[i].hi)
			return true;
	return list->n == 0;
}

static bool devices_have(const struct shunt_rule *rule, const char *device)
{
	for (size_t i = 0; i < rule->n_devices; i++)
		if (!strcmp(rule->devices[i], device))
			return true;
	return rule->n_devices == 0;
}

/* The cgroup itself or one below it. */
static bool cgroup_has(const char *path, const char *sender)
{
	size_t len = strlen(path);

	return !strncmp(path, sender, len) && (sender[len] == '\0' || sender[len] == '/');
}

static bool sender_matches(const struct shunt_rule *rule, const struct ref_packet *p)
{
	if (rule->has_uid && (!p->has_uid || p->uid < rule->uid_lo || p->uid > rule->uid_hi))
		return false;
	return !rule->cgroup || cgroup_has(rule->cgroup, p->cgroup);
}

static bool rule_matches(const struct shunt_rule *rule, const struct shunt_sets *sets,
			 const struct ref_packet *p)
{
	return (rule->dirs & p->dir) && (rule->protos & p->proto) &&
	       ports_have(&rule->port, p->dport) && ports_have(&rule->sport, p->sport) &&
	       devices_have(rule, p->device) && sender_matches(rule, p) &&
	       addrs_have(&rule->to, sets, p->v6, &p->dst) &&
	       addrs_have(&rule->from, sets, p->v6, &p->src);
}

const struct shunt_rule *reference_find(const struct shunt_rules *rules,
					const struct shunt_sets *sets, const struct ref_packet *p,
					uint32_t after)
{
	const struct shunt_rule *best = NULL;

	for (size_t i = 0; i < rules->n; i++) {
		const struct shunt_rule *rule = &rules->v[i];

		if (rule->priority < after || (best && best->priority < rule->priority))
			continue;
		if (rule_matches(rule, sets, p))
			best = rule;
	}
	return best;
}

const struct shunt_rule *reference_decide(const struct shunt_rules *rules,
					  const struct shunt_sets *sets,
					  const struct ref_packet *p)
{
	const struct shunt_rule *rule = reference_find(rules, sets, p, 0);

	while (rule && rule->audit)
		rule = reference_find(rules, sets, p, rule->priority + 1);
	return rule;
}
