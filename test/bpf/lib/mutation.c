// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mutation.h"

#include <stdlib.h>
#include <string.h>

const char *const mutation_names[MUTATIONS] = {
	[MUTATION_ORDER] = "order of two rules",
	[MUTATION_TO_SHORTER] = "last bit of a destination prefix",
	[MUTATION_FROM_SHORTER] = "last bit of a source prefix",
	[MUTATION_TO_LOST] = "one of several destinations",
	[MUTATION_FROM_LOST] = "one of several sources",
	[MUTATION_SET_THIN] = "every other prefix of the sets",
	[MUTATION_NOT] = "not",
	[MUTATION_PORT_END] = "end of a range of ports",
	[MUTATION_SPORT_END] = "end of a range of source ports",
	[MUTATION_UID_END] = "end of a range of uids",
	[MUTATION_CGROUP] = "cgroup",
	[MUTATION_PROTO] = "tcp or udp",
	[MUTATION_DIR] = "in or out",
	[MUTATION_DEVICE] = "device",
};

static bool shorten(struct shunt_addrs *a)
{
	struct shunt_prefix *p = a->n ? &a->v[0] : NULL;

	if (!p || p->len <= 97)
		return false;
	p->len--;
	p->addr.s6_addr[p->len / 8] &= (uint8_t)~(0x80 >> p->len % 8);
	return true;
}

static bool lose_one(struct shunt_addrs *a)
{
	if (a->n < 2)
		return false;
	a->n--;
	return true;
}

static bool widen(struct shunt_ports *p)
{
	if (!p->n || p->v[0].hi == 65535)
		return false;
	p->v[0].hi++;
	return true;
}

static bool negate(struct shunt_rule *r)
{
	bool any = r->from.negated || r->to.negated;

	r->from.negated = r->to.negated = false;
	return any;
}

static bool forget_cgroup(struct shunt_rule *r)
{
	bool any = r->cgroup;

	free(r->cgroup);
	r->cgroup = NULL;
	return any;
}

static bool widen_uid(struct shunt_rule *r)
{
	if (!r->has_uid || r->uid_hi == ~0U)
		return false;
	r->uid_hi++;
	return true;
}

static bool forget_bits(uint8_t *bits)
{
	bool any = *bits != 3;

	*bits = 3;
	return any;
}

static bool forget_devices(struct shunt_rule *r)
{
	bool any = r->n_devices;

	r->n_devices = 0;
	return any;
}

static bool mutate_rule(struct shunt_rule *r, enum mutation m)
{
	switch (m) {
	case MUTATION_TO_SHORTER: return shorten(&r->to);
	case MUTATION_FROM_SHORTER: return shorten(&r->from);
	case MUTATION_TO_LOST: return lose_one(&r->to);
	case MUTATION_FROM_LOST: return lose_one(&r->from);
	case MUTATION_NOT: return negate(r);
	case MUTATION_PORT_END: return widen(&r->port);
	case MUTATION_SPORT_END: return widen(&r->sport);
	case MUTATION_UID_END: return widen_uid(r);
	case MUTATION_CGROUP: return forget_cgroup(r);
	case MUTATION_PROTO: return forget_bits(&r->protos);
	case MUTATION_DIR: return forget_bits(&r->dirs);
	case MUTATION_DEVICE: return forget_devices(r);
	default: return false;
	}
}

static bool swap_some(struct shunt_rules *rules)
{
	struct shunt_rule other;
	uint32_t priority;

	for (size_t i = 1; i < rules->n; i += 2) {
		other = rules->v[i];
		priority = rules->v[i - 1].priority;
		rules->v[i] = rules->v[i - 1];
		rules->v[i].priority = other.priority;
		other.priority = priority;
		rules->v[i - 1] = other;
	}
	return rules->n > 1;
}

static bool thin_sets(struct shunt_sets *sets)
{
	bool any = false;

	for (size_t i = 0; i < sets->n; i++) {
		struct shunt_set *set = &sets->v[i];

		any |= set->n > 0;
		set->n /= 2;
		for (size_t k = 0; k < set->n; k++)
			set->v[k] = set->v[2 * k];
	}
	return any;
}

bool mutation_make(struct random_case *c, enum mutation m)
{
	bool any = false;

	if (m == MUTATION_ORDER)
		return swap_some(&c->rules);
	if (m == MUTATION_SET_THIN)
		return thin_sets(&c->sets);
	for (size_t i = 0; i < c->rules.n; i++)
		any |= mutate_rule(&c->rules.v[i], m);
	return any;
}
