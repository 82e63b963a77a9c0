// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>

#include "cleanup.h"
#include "rtnl.h"
#include "shunt/shunt.h"
#include "sysctl.h"

static const int families[] = { AF_INET, AF_INET6 };

static const char *family_name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

bool policy_has_ipv6(void)
{
	int off;

	return !sysctl_read("net/ipv6/conf/lo/disable_ipv6", &off) && !off;
}

bool policy_is_used(const struct shunt_instance *inst)
{
	return !(inst->flags & SHUNT_INST_LOOPBACK);
}

static bool family_is_on(int family)
{
	return family == AF_INET || policy_has_ipv6();
}

/* ---- the two objects ---------------------------------------------------------------- */

static struct rtnl_rule *build_rule(const struct shunt_instance *inst, const char *device,
				    int family)
{
	struct rtnl_rule *rule = rtnl_rule_alloc();

	if (!rule)
		return NULL;
	rtnl_rule_set_family(rule, family);
	rtnl_rule_set_prio(rule, inst->pref);
	rtnl_rule_set_iif(rule, device);
	rtnl_rule_set_mark(rule, inst->steer_mark);
	rtnl_rule_set_mask(rule, inst->steer_mark);
	rtnl_rule_set_table(rule, inst->table);
	rtnl_rule_set_action(rule, FR_ACT_TO_TBL);
	rtnl_rule_set_protocol(rule, RTPROT_KERNEL);
	return rule;
}

static struct rtnl_route *build_route(const struct shunt_instance *inst, int family)
{
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *any = nl_addr_build(family, NULL, 0);

	if (!route || !hop || !any) {
		rtnl_route_put(route);
		rtnl_route_nh_free(hop);
		nl_addr_put(any);
		return NULL;
	}
	rtnl_route_nh_set_ifindex(hop, 1); /* lo, in every network namespace */
	rtnl_route_set_family(route, family);
	rtnl_route_set_table(route, inst->table);
	rtnl_route_set_type(route, RTN_LOCAL);
	rtnl_route_set_scope(route, RT_SCOPE_HOST);
	rtnl_route_set_protocol(route, RTPROT_KERNEL);
	rtnl_route_set_dst(route, any);
	rtnl_route_add_nexthop(route, hop);
	nl_addr_put(any);
	return route;
}

static bool rule_is_ours(const struct shunt_instance *inst, struct rtnl_rule *rule)
{
	uint8_t proto = 0;

	rtnl_rule_get_protocol(rule, &proto);
	return rtnl_rule_get_table(rule) == inst->table && proto == RTPROT_KERNEL &&
	       rtnl_rule_get_mark(rule) == inst->steer_mark &&
	       rtnl_rule_get_mask(rule) == inst->steer_mark && rtnl_rule_get_iif(rule);
}

static bool route_is_ours(struct rtnl_route *route)
{
	return rtnl_route_get_type(route) == RTN_LOCAL &&
	       rtnl_route_get_protocol(route) == RTPROT_KERNEL &&
	       nl_addr_get_prefixlen(rtnl_route_get_dst(route)) == 0;
}

/* ---- check --------------------------------------------------------------------------- */

static int check_rules(struct nl_sock *sk, const struct shunt_instance *inst, int family,
		       bool force)
{
	uint32_t bits = inst->steer_mark | inst->own_mark;
	_cleanup_cache_ struct nl_cache *cache = NULL;
	int r = rtnl_rule_alloc_cache(sk, family, &cache);

	if (r)
		return shunt_err(rtnl_errno(r), "cannot list routing rules: %s", nl_geterror(r));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_rule *rule = (struct rtnl_rule *)o;
		uint32_t mask = rtnl_rule_get_mask(rule);

		if (policy_is_used(inst) && rtnl_rule_get_table(rule) == inst->table)
			return shunt_err(-EEXIST,
					 "%s rule %u of someone else uses routing table %u: choose "
					 "another with --table",
					 family_name(family), rtnl_rule_get_prio(rule),
					 inst->table);
		if (!(mask & bits) || force)
			continue;
		return shunt_err(-EEXIST,
				 "%s rule %u of someone else looks at mark bits 0x%x/0x%x, which overlap ours "
				 "(0x%x): %sgo on with --force",
				 family_name(family), rtnl_rule_get_prio(rule),
				 rtnl_rule_get_mark(rule), mask, bits,
				 mask == ~0U ? "" : "choose others with --mark, or ");
	}
	return 0;
}

static int check_table(struct nl_sock *sk, const struct shunt_instance *inst, int family)
{
	_cleanup_cache_ struct nl_cache *cache = NULL;
	int r = rtnl_route_alloc_cache(sk, family, 0, &cache);

	if (r)
		return shunt_err(rtnl_errno(r), "cannot list routes: %s", nl_geterror(r));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_route *route = (struct rtnl_route *)o;

		if (rtnl_route_get_table(route) == inst->table)
			return shunt_err(-EEXIST,
					 "%s routing table %u holds routes of someone else: choose "
					 "another with --table",
					 family_name(family), inst->table);
	}
	return 0;
}

int policy_check(const struct shunt_instance *inst, bool force)
{
	_cleanup_nl_ struct nl_sock *sk = NULL;
	int r = rtnl_open(&sk);

	for (size_t i = 0; i < 2 && !r; i++) {
		if (!family_is_on(families[i]))
			continue;
		r = policy_is_used(inst) ? check_table(sk, inst, families[i]) : 0;
		if (!r)
			r = check_rules(sk, inst, families[i], force);
	}
	return r;
}

/* ---- change ---------------------------------------------------------------------------- */

/* Deleting what is not there, or what a kernel without IPv6 cannot have. */
static bool is_gone(int nle)
{
	return nle == -NLE_OBJ_NOTFOUND || nle == -NLE_AF_NOSUPPORT || nle == -NLE_OPNOTSUPP;
}

static int change_route(struct nl_sock *sk, const struct shunt_instance *inst, int family,
			bool add)
{
	struct rtnl_route *route = build_route(inst, family);
	int r;

	if (!route)
		return shunt_err(-ENOMEM, "out of memory");
	r = add ? rtnl_route_add(sk, route, NLM_F_EXCL) : rtnl_route_delete(sk, route, 0);
	rtnl_route_put(route);
	if (!r || (add ? r == -NLE_EXIST : is_gone(r)))
		return 0;
	return shunt_err(rtnl_errno(r), "cannot %s the %s route of table %u: %s",
			 add ? "add" : "delete", family_name(family), inst->table,
			 nl_geterror(r));
}

static int change_rule(struct nl_sock *sk, const struct shunt_instance *inst, const char *device,
		       int family, bool add)
{
	struct rtnl_rule *rule = build_rule(inst, device, family);
	int r;

	if (!rule)
		return shunt_err(-ENOMEM, "out of memory");
	r = add ? rtnl_rule_add(sk, rule, NLM_F_EXCL) : rtnl_rule_delete(sk, rule, 0);
	rtnl_rule_put(rule);
	if (!r || (add ? r == -NLE_EXIST : is_gone(r)))
		return 0;
	return shunt_err(rtnl_errno(r), "cannot %s the %s rule for '%s': %s",
			 add ? "add" : "delete", family_name(family), device, nl_geterror(r));
}

/* On removal both families are tried: IPv6 may have been switched off since. */
static int change(const struct shunt_instance *inst, const char *device, bool add)
{
	_cleanup_nl_ struct nl_sock *sk = NULL;
	int r, first = 0;

	if (!policy_is_used(inst))
		return 0;
	r = rtnl_open(&sk);
	if (r)
		return r;
	for (size_t i = 0; i < 2; i++) {
		if (add && !family_is_on(families[i]))
			continue;
		r = device ? change_rule(sk, inst, device, families[i], add)
			   : change_route(sk, inst, families[i], add);
		if (r && add)
			return r;
		first = first ? first : r;
	}
	return first;
}

int policy_add_routes(const struct shunt_instance *inst)
{
	return change(inst, NULL, true);
}

int policy_del_routes(const struct shunt_instance *inst)
{
	return change(inst, NULL, false);
}

int policy_add_rules(const struct shunt_instance *inst, const char *device)
{
	return change(inst, device, true);
}

int policy_del_rules(const struct shunt_instance *inst, const char *device)
{
	return change(inst, device, false);
}

int policy_has_route(const struct shunt_instance *inst, int family)
{
	_cleanup_cache_ struct nl_cache *cache = NULL;
	_cleanup_nl_ struct nl_sock *sk = NULL;
	int r = rtnl_open(&sk);

	if (r)
		return r;
	r = rtnl_route_alloc_cache(sk, family, 0, &cache);
	if (r)
		return shunt_err(rtnl_errno(r), "cannot list routes: %s", nl_geterror(r));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_route *route = (struct rtnl_route *)o;

		if (rtnl_route_get_table(route) == inst->table && route_is_ours(route))
			return 1;
	}
	return 0;
}

/* ---- state -------------------------------------------------------------------------------- */

int policy_is_set(const struct shunt_instance *inst, const char *device, int family,
		  bool *overtaken)
{
	_cleanup_cache_ struct nl_cache *cache = NULL;
	_cleanup_nl_ struct nl_sock *sk = NULL;
	bool before = false;
	int r = rtnl_open(&sk);

	if (r)
		return r;
	r = rtnl_rule_alloc_cache(sk, family, &cache);
	if (r)
		return shunt_err(rtnl_errno(r), "cannot list routing rules: %s", nl_geterror(r));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_rule *rule = (struct rtnl_rule *)o;

		if (rule_is_ours(inst, rule)) {
			if (strcmp(rtnl_rule_get_iif(rule), device))
				continue;
			*overtaken = before;
			return 1;
		}
		if (rtnl_rule_get_prio(rule) > 0 || rtnl_rule_get_table(rule) != RT_TABLE_LOCAL)
			before = true;
	}
	*overtaken = false;
	return 0;
}
