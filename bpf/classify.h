/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rule decides the first packet of a flow: first match by priority. */
#ifndef SHUNT_BPF_CLASSIFY_H
#define SHUNT_BPF_CLASSIFY_H

#include "account.h"
#include "timed.h"

#define OVERFLOW_UID 65534 /* what the kernel says of a packet without a socket */

struct query {
	__u8 dir;   /* enum shunt_dir */
	__u8 proto; /* enum shunt_proto */
	__u16 reserved;
	__u32 explain; /* a test run: who sends is as the question says */
	__u32 after;   /* rules below this priority number are not asked */
};

struct decision {
	__u8 action; /* enum shunt_action, NONE: no rule matched */
	__u8 flags;
	__u16 target;
	__u32 priority;
	__u32 stat;
	__u32 limit_rate, limit_burst;
	__u32 reserved;
	__u64 generation;
};

/*
 * State of a search, too large for the stack: [0] of packets, which are never interrupted by
 * others since programs run with bottom halves off; [1] of test runs of `explain`, which some
 * kernels do interrupt.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct classify);
	__uint(max_entries, 2);
} searches SEC(".maps");

static __always_inline __u64 two_words(const __be32 *at)
{
	return (__u64)bpf_ntohl(at[0]) << 32 | bpf_ntohl(at[1]);
}

static __always_inline __u16 device_slot(__u32 ifindex)
{
	__u32 *slot = bpf_map_lookup_elem(&device_slots, &ifindex);

	return slot ? *slot : 0;
}

static __always_inline void ask_packet(struct classify *c, const struct __sk_buff *skb,
				       const struct packet *p, const struct query *q)
{
	c->dst[0] = two_words(p->daddr);
	c->dst[1] = two_words(p->daddr + 2);
	c->src[0] = two_words(p->saddr);
	c->src[1] = two_words(p->saddr + 2);
	c->dport = bpf_ntohs(p->dport);
	c->sport = bpf_ntohs(p->sport);
	c->device = c->needs & SHUNT_NEED_DEVICE ? device_slot(skb->ifindex) : 0;
	c->bits = (q->dir == SHUNT_DIR_IN ? SHUNT_BIT_IN : SHUNT_BIT_OUT) |
		  (q->proto == SHUNT_PROTO_TCP ? SHUNT_BIT_TCP : SHUNT_BIT_UDP) |
		  (p->v6 ? SHUNT_BIT_V6 : SHUNT_BIT_V4);
}

/* Who sends, as far as rules ask for it: at egress the packet still has its socket. */
static __always_inline void ask_sender(struct classify *c, struct __sk_buff *skb,
				       const struct query *q)
{
	struct shunt_explain *ex;
	__u32 zero = 0;

	c->has_uid = 0;
	c->uid = 0;
	if (q->dir == SHUNT_DIR_OUT && c->needs & SHUNT_NEED_UID) {
		c->uid = q->explain ? skb->cb[2] : bpf_get_socket_uid(skb);
		c->has_uid = c->uid != OVERFLOW_UID;
	}
	if (!c->cgroup_levels)
		return;
	ex = q->explain ? bpf_map_lookup_elem(&explain, &zero) : NULL;
	for (int i = 0; i < SHUNT_CGROUP_LEVELS; i++) {
		c->cgroup[i] = 0;
		if (q->dir != SHUNT_DIR_OUT || !(c->cgroup_levels >> i & 1))
			continue;
		if (!q->explain)
			c->cgroup[i] = bpf_skb_ancestor_cgroup_id(skb, i);
		else if (ex)
			c->cgroup[i] = ex->cgroup[i];
	}
}

static __always_inline void set_decision(struct decision *d, const struct shunt_rule2 *rule)
{
	d->action = rule->action;
	d->flags = rule->flags;
	d->target = rule->target;
	d->priority = rule->priority;
	d->stat = rule->stat;
	d->limit_rate = rule->limit_rate;
	d->limit_burst = rule->limit_burst;
}

/*
 * 0 if no rules are loaded.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int classify(struct __sk_buff *skb, const struct packet *p, const struct query *q,
			struct decision *d)
{
	const struct shunt_rule2 *rule;
	struct search s = {};
	__u32 slot;

	if (!p || !q || !d)
		return 0; /* never; the verifier asks for it */
	__builtin_memset(d, 0, sizeof(*d));
	slot = !!q->explain;
	s.c = bpf_map_lookup_elem(&searches, &slot);
	if (!s.c || search_begin(&s, &ruleset))
		return 0;
	d->generation = s.c->generation;
	ask_packet(s.c, skb, p, q);
	ask_sender(s.c, skb, q);
	find_timed(&s);
	rule = search_run(&s, q->after);
	if (rule)
		set_decision(d, rule);
	return 1;
}

#endif
