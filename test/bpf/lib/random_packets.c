// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Packets at the borders of the rules of a case. */
#include <string.h>

#include "random_rules.h"

/* ---- addresses --------------------------------------------------------------------------- */

/* Adds a and a number; wraps within 128 bits. */
static void add_to(struct in6_addr *a, int by)
{
	int carry = by;

	for (int i = 15; i >= 0 && carry; i--) {
		int sum = a->s6_addr[i] + carry;

		a->s6_addr[i] = (uint8_t)sum;
		carry = sum < 0 ? -1 : sum > 255;
	}
}

/* Others are no flow's: the program does not look at its rules for them. */
static void make_unicast(struct in6_addr *a, bool v6)
{
	uint8_t *first = &a->s6_addr[v6 ? 0 : 12];

	if (!v6)
		random_map_v4(a);
	if (!v6 && (*first == 0 || *first == 127 || *first >= 224))
		*first = (uint8_t)(*first % 63 + 1);
	if (v6 && (*first == 0 || *first == 0xff))
		*first = 0x20;
}

/* An address in the prefix, at its borders, or just outside. */
static struct in6_addr near_prefix(struct random_case *c, const struct shunt_prefix *p)
{
	bool v4 = shunt_prefix_is_v4(p);
	struct in6_addr a = p->addr;
	uint32_t how = random_below(c, 8);

	if (how == 1 || how == 3) /* the last one */
		for (unsigned int i = p->len; i < 128; i++)
			random_flip(&a, i);
	else if (how > 3)
		random_fill(c, &a, p->len);
	if (how == 2)
		add_to(&a, -1);
	if (how == 3)
		add_to(&a, 1);
	if (how == 7 && p->len > (v4 ? 96 : 0))
		random_flip(&a, (v4 ? 96 : 0) + random_below(c, p->len - (v4 ? 96U : 0U)));
	make_unicast(&a, !v4);
	return a;
}

/* ---- packets ----------------------------------------------------------------------------- */

/* A prefix of the family that the rule is about, else any one of the case. */
static struct shunt_prefix prefix_of(struct random_case *c, const struct shunt_addrs *list, bool v6)
{
	const struct shunt_set *set =
		list && list->set[0] ? reference_set(&c->sets, list->set) : NULL;
	const struct shunt_prefix *v = set ? set->v : list ? list->v : NULL;
	size_t n = set ? set->n : list ? list->n : 0;

	if (set && set->n_timed && random_percent(c, 60)) {
		const struct shunt_timed *t = &set->timed[random_below(c, (uint32_t)set->n_timed)];

		if (shunt_prefix_is_v4(&t->prefix) != v6)
			return t->prefix;
	}
	if (n && !random_percent(c, 15))
		for (int tries = 0; tries < 4; tries++) {
			const struct shunt_prefix *p = &v[random_below(c, (uint32_t)n)];

			if (shunt_prefix_is_v4(p) != v6)
				return *p;
		}
	return c->pool[v6][random_below(c, RANDOM_POOL)];
}

static uint16_t near_port(struct random_case *c, const struct shunt_ports *list)
{
	const struct shunt_port_range *r;
	uint32_t how = random_below(c, 8);

	if (!list || !list->n || random_percent(c, 15)) {
		if (random_percent(c, 30))
			return (uint16_t)random_next(c);
		return (uint16_t)(c->ports[random_below(c, RANDOM_PORTS)] + random_below(c, 3) - 1);
	}
	r = &list->v[random_below(c, (uint32_t)list->n)];
	if (how == 0)
		return (uint16_t)(r->lo - 1);
	if (how == 1)
		return (uint16_t)(r->hi + 1);
	if (how == 2)
		return r->hi;
	if (how < 5)
		return r->lo;
	return (uint16_t)(r->lo + random_below(c, r->hi - r->lo + 1U));
}

static void make_packet_sender(struct random_case *c, struct ref_packet *p,
			       const struct shunt_rule *rule)
{
	p->cgroup = "";
	if (p->dir != SHUNT_DIR_OUT || c->options.no_sender)
		return;
	p->has_uid = !random_percent(c, 10);
	if (p->has_uid && rule && rule->has_uid && random_percent(c, 80))
		p->uid = (random_percent(c, 50) ? rule->uid_lo : rule->uid_hi) +
			 random_below(c, 3) - 1;
	else if (p->has_uid)
		p->uid = c->uids[random_below(c, RANDOM_PORTS)];
	if (p->uid == RANDOM_NO_UID)
		p->has_uid = false;
	p->cgroup = rule && rule->cgroup && random_percent(c, 60)
			    ? random_cgroups[RANDOM_CGROUPS - 1]
			    : random_cgroups[random_below(c, RANDOM_CGROUPS)];
	if (rule && rule->cgroup)
		for (int i = 1; i < RANDOM_CGROUPS; i++)
			if (!strcmp(rule->cgroup, random_cgroups[i]) && random_percent(c, 50))
				p->cgroup = random_cgroups[i];
}

/* Mostly what the rule asks for. */
static void make_packet_way(struct random_case *c, struct ref_packet *p,
			    const struct shunt_rule *rule)
{
	p->dir = random_percent(c, 50) ? SHUNT_DIR_IN : SHUNT_DIR_OUT;
	p->proto = random_percent(c, 50) ? SHUNT_PROTO_TCP : SHUNT_PROTO_UDP;
	p->device = random_devices[random_below(c, RANDOM_DEVICES)];
	if (!rule)
		return;
	if (!(rule->dirs & p->dir) && !random_percent(c, 10))
		p->dir = rule->dirs;
	if (!(rule->protos & p->proto) && !random_percent(c, 10))
		p->proto = rule->protos;
	if (!rule->n_devices || random_percent(c, 20))
		return;
	for (int i = 1; i < RANDOM_DEVICES; i++)
		if (!strcmp(random_devices[i],
			    rule->devices[random_below(c, (uint32_t)rule->n_devices)]))
			p->device = random_devices[i];
}

void random_packet(struct random_case *c, struct ref_packet *out)
{
	const struct shunt_rule *rule = NULL;
	struct shunt_prefix dst, src;

	memset(out, 0, sizeof(*out));
	if (c->rules.n && !random_percent(c, 5))
		rule = &c->rules.v[random_below(c, (uint32_t)c->rules.n)];
	out->v6 = random_percent(c, c->odds.v6);
	if (rule && !random_percent(c, 10) &&
	    !(random_families(&rule->to) & random_families(&rule->from) & (out->v6 ? 2 : 1)))
		out->v6 = !out->v6;
	dst = prefix_of(c, rule ? &rule->to : NULL, out->v6);
	src = prefix_of(c, rule ? &rule->from : NULL, out->v6);
	out->dst = near_prefix(c, &dst);
	out->src = near_prefix(c, &src);
	out->dport = near_port(c, rule ? &rule->port : NULL);
	out->sport = near_port(c, rule ? &rule->sport : NULL);
	make_packet_way(c, out, rule);
	make_packet_sender(c, out, rule);
}
