/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules as values: clear and compare. */
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

void shunt_rule_clear(struct shunt_rule *rule)
{
	free(rule->devices);
	free(rule->from.v);
	free(rule->to.v);
	free(rule->sport.v);
	free(rule->port.v);
	free(rule->cgroup);
	free(rule->comment);
	memset(rule, 0, sizeof(*rule));
}

void shunt_rules_clear(struct shunt_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		shunt_rule_clear(&rules->v[i]);
	free(rules->v);
	*rules = (struct shunt_rules){ 0 };
}

static bool addrs_equal(const struct shunt_addrs *a, const struct shunt_addrs *b)
{
	if (a->negated != b->negated || a->n != b->n || strcmp(a->set, b->set))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].len != b->v[i].len ||
		    !IN6_ARE_ADDR_EQUAL(&a->v[i].addr, &b->v[i].addr))
			return false;
	return true;
}

static bool ports_equal(const struct shunt_ports *a, const struct shunt_ports *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].lo != b->v[i].lo || a->v[i].hi != b->v[i].hi)
			return false;
	return true;
}

static bool devices_equal(const struct shunt_rule *a, const struct shunt_rule *b)
{
	if (a->n_devices != b->n_devices)
		return false;
	for (size_t i = 0; i < a->n_devices; i++)
		if (strcmp(a->devices[i], b->devices[i]))
			return false;
	return true;
}

static bool strings_equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool match_equal(const struct shunt_rule *a, const struct shunt_rule *b)
{
	if (a->has_uid != b->has_uid)
		return false;
	if (a->has_uid && (a->uid_lo != b->uid_lo || a->uid_hi != b->uid_hi))
		return false;
	return a->dirs == b->dirs && a->protos == b->protos && devices_equal(a, b) &&
	       addrs_equal(&a->from, &b->from) && addrs_equal(&a->to, &b->to) &&
	       ports_equal(&a->sport, &b->sport) && ports_equal(&a->port, &b->port) &&
	       strings_equal(a->cgroup, b->cgroup);
}

static bool action_equal(const struct shunt_rule *a, const struct shunt_rule *b)
{
	if (a->action != b->action)
		return false;
	if (a->action == SHUNT_ACT_PROXY)
		return a->fail == b->fail && !strcmp(a->target, b->target);
	if (a->action == SHUNT_ACT_ROUTE)
		return a->fail == b->fail && a->has_via == b->has_via &&
		       !strcmp(a->via_group, b->via_group) && !strcmp(a->route_dev, b->route_dev) &&
		       (!a->has_via || IN6_ARE_ADDR_EQUAL(&a->via, &b->via));
	return true;
}

uint32_t shunt_rule_burst(const struct shunt_rule *rule)
{
	uint32_t twentieth = rule->limit_rate / 20;

	if (rule->limit_burst)
		return rule->limit_burst;
	return twentieth ? twentieth : 1;
}

static bool options_equal(const struct shunt_rule *a, const struct shunt_rule *b)
{
	if (a->limit_per != b->limit_per)
		return false;
	if (a->limit_per != SHUNT_LIMIT_NONE &&
	    (a->limit_rate != b->limit_rate || shunt_rule_burst(a) != shunt_rule_burst(b)))
		return false;
	return a->log == b->log && a->audit == b->audit;
}

bool shunt_rule_same_effect(const struct shunt_rule *a, const struct shunt_rule *b)
{
	return action_equal(a, b) && options_equal(a, b);
}

uint8_t shunt_rule_dirs(const struct shunt_rule *r)
{
	uint8_t dirs = r->dirs;

	if (r->has_uid || r->cgroup)
		dirs &= SHUNT_DIR_OUT;
	if (r->action == SHUNT_ACT_ROUTE) /* only what comes in is forwarded */
		dirs &= SHUNT_DIR_IN;
	return dirs;
}

uint8_t shunt_rule_protos(const struct shunt_rule *r)
{
	if (r->action == SHUNT_ACT_PROXY) /* what carries UDP is not there yet */
		return r->protos & SHUNT_PROTO_TCP;
	return r->protos;
}

bool shunt_rule_equal(const struct shunt_rule *a, const struct shunt_rule *b)
{
	return a->priority == b->priority && match_equal(a, b) && action_equal(a, b) &&
	       options_equal(a, b) && strings_equal(a->comment, b->comment);
}
