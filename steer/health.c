// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looking after an instance: is what `up` made in place, and what on this host gets in its way? */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "attach.h"
#include "device.h"
#include "hook.h"
#include "peer.h"
#include "policy.h"

static int device_state(struct shunt *s, int slot, const struct shunt_device *dev,
			struct shunt_device_state *out)
{
	bool overtaken_v4 = false, overtaken_v6 = false, used = policy_is_used(&s->info);
	int v4 = 0, v6 = 0;

	if (used)
		v4 = policy_is_set(&s->info, dev->name, AF_INET, &overtaken_v4);
	if (used && v4 >= 0 && policy_has_ipv6())
		v6 = policy_is_set(&s->info, dev->name, AF_INET6, &overtaken_v6);
	if (v4 < 0 || v6 < 0)
		return v4 < 0 ? v4 : v6;
	*out = (struct shunt_device_state){
		.device = *dev,
		.attached = if_nametoindex(dev->name) == dev->ifindex &&
			    hook_is_set(s, slot, dev),
		.rule_v4 = v4,
		.rule_v6 = v6,
		.overtaken = overtaken_v4 || overtaken_v6,
	};
	return 0;
}

int shunt_device_states(struct shunt *s, struct shunt_device_state *out, size_t max)
{
	struct shunt_device dev;
	size_t n = 0;

	for (int slot = 1; slot < SHUNT_MAX_DEVICES && n < max; slot++) {
		int r = device_read(s, slot, &dev);

		if (!r && !dev.name[0])
			break;
		if (!r && dev.flags & SHUNT_DEV_USED)
			r = device_state(s, slot, &dev, &out[n++]);
		if (r)
			return r;
	}
	return (int)n;
}

struct sentences {
	char (*v)[256];
	int n, max;
};

static void say(struct sentences *to, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct sentences *to, const char *fmt, ...)
{
	va_list ap;

	if (to->n == to->max)
		return;
	va_start(ap, fmt);
	vsnprintf(to->v[to->n++], sizeof(to->v[0]), fmt, ap);
	va_end(ap);
}

static void peer_conflicts(const char *name, struct sentences *to)
{
	char what[64];

	if (peer_place(name) == PEER_HERE)
		say(to,
		    "'%s': its peer is in this network namespace now, what is routed to it is lost: "
		    "run 'shuntctl up -i %s'",
		    name, name);
	else if (peer_passed_by(name, what, sizeof(what)) > 0)
		say(to, "'%s': its %s does not see what is routed straight into the peer", name,
		    what);
}

/* On the way through lo a packet keeps its destination where many qdiscs keep words of theirs. */
static void lo_conflicts(struct sentences *to)
{
	char what[64];

	if (peer_passed_by("lo", what, sizeof(what)) > 0)
		say(to,
		    "'lo': its %s may make steered packets forget whereto, which drops them: run "
		    "'tc qdisc del dev lo root'",
		    what);
}

static void device_conflicts(struct shunt *s, const struct shunt_device_state *d,
			     struct sentences *to)
{
	const char *name = d->device.name;
	bool l3 = d->device.flags & SHUNT_DEV_L3;
	int before;

	if (!d->attached)
		say(to, "'%s': our program is not attached any more: run 'shuntctl up' again", name);
	if (policy_is_used(&s->info) && (!d->rule_v4 || (policy_has_ipv6() && !d->rule_v6)))
		say(to, "'%s': a routing rule of ours is gone: run 'shuntctl up' again", name);
	if (d->overtaken)
		say(to,
		    "'%s': a routing rule of someone else stands in front of ours ('ip rule'): if it "
		    "matches, steered packets are lost",
		    name);
	if (d->device.flags & SHUNT_DEV_PEER && d->attached)
		peer_conflicts(name, to);
	if (d->device.flags & SHUNT_DEV_LO && !policy_is_used(&s->info))
		lo_conflicts(to);
	if (!(d->device.flags & SHUNT_DEV_TCX) || d->device.flags & SHUNT_DEV_LO)
		return;
	before = attach_count_foreign_tcx(d->device.ifindex, ATTACH_IN,
					  s->prog[l3 ? PROG_IN_L3 : PROG_IN_ETH]);
	if (before)
		say(to, "'%s': %d tcx program(s) of others run before ours ('bpftool net')", name,
		    before);
}

static int route_conflicts(struct shunt *s, struct sentences *to)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		int r = families[i] == AF_INET6 && !policy_has_ipv6()
				? 1
				: policy_has_route(&s->info, families[i]);

		if (r < 0)
			return r;
		if (!r)
			say(to,
			    "the %s route of table %u is gone, steered packets are lost: run "
			    "'shuntctl up' again",
			    families[i] == AF_INET ? "IPv4" : "IPv6", s->info.table);
	}
	return 0;
}

int shunt_conflicts(struct shunt *s, char (*out)[256], int max)
{
	struct sentences to = { out, 0, max };
	struct shunt_device_state d;
	struct shunt_device dev;
	int first = policy_is_used(&s->info) ? route_conflicts(s, &to) : 0;

	if (first)
		return first;

	for (int slot = 1; slot < SHUNT_MAX_DEVICES; slot++) {
		int r = device_read(s, slot, &dev);

		if (!r && !dev.name[0])
			break;
		if (!r && dev.flags & SHUNT_DEV_USED) {
			r = device_state(s, slot, &dev, &d);
			if (!r)
				device_conflicts(s, &d, &to);
		}
		if (r)
			return r;
	}
	return to.n;
}
