/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which way a routed packet takes: interface, next hop, link addresses, MTU; by the routing table,
 * or by a next hop of the rule's group. Why there is none has a counter.
 */
#ifndef SHUNT_BPF_WAY_H
#define SHUNT_BPF_WAY_H

#include "hops.h"

enum {
	FAMILY_INET = 2, /* AF_INET, AF_INET6 */
	FAMILY_INET6 = 10,
	WAY_READY = -1, /* beside an enum shunt_counter: all is known */
	WAY_NEIGH = -2, /* the link addresses must come from the neighbour code */
};

static __always_inline void set_fib_address(struct bpf_fib_lookup *fib, const __be32 *addr,
					    bool v6)
{
	if (v6)
		__builtin_memcpy(fib->ipv6_dst, addr, 16);
	else
		fib->ipv4_dst = addr[3];
}

static __always_inline void fill_fib(struct bpf_fib_lookup *fib, const struct __sk_buff *skb,
				     const struct packet *p)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = skb->ifindex;
	fib->family = p->v6 ? FAMILY_INET6 : FAMILY_INET;
	fib->l4_protocol = p->proto;
	fib->sport = p->sport;
	fib->dport = p->dport;
	fib->tot_len = 1; /* not 0: the answer then has the MTU of the way */
	if (p->v6)
		__builtin_memcpy(fib->ipv6_src, p->saddr, 16);
	else
		fib->ipv4_src = p->saddr[3];
	set_fib_address(fib, p->daddr, p->v6);
}

static __always_inline int fib_reason(long e)
{
	switch (e) {
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return SHUNT_CTR_ROUTE_LOCAL;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return SHUNT_CTR_ROUTE_NO_ROUTE;
	default:
		return SHUNT_CTR_ROUTE_OTHER;
	}
}

/* Devices without link addresses have none to write. */
static __always_inline int fill_way(struct __sk_buff *skb, struct way *way, long e)
{
	const struct bpf_fib_lookup *fib = &way->fib;
	const __u16 *mac = (const __u16 *)fib->smac;

	way->oif = fib->ifindex;
	way->mtu = fib->tot_len;
	if (e == BPF_FIB_LKUP_RET_NO_NEIGH) { /* the answer lacks it */
		way->mtu = 0;
		bpf_check_mtu(skb, way->oif, &way->mtu, 0, 0);
	}
	way->family = fib->family;
	if (fib->family == FAMILY_INET6)
		__builtin_memcpy(way->via, fib->ipv6_dst, 16);
	else
		way->via[0] = fib->ipv4_dst;
	if (e == BPF_FIB_LKUP_RET_NO_NEIGH || !(mac[0] | mac[1] | mac[2]))
		return WAY_NEIGH;
	__builtin_memcpy(way->dmac, fib->dmac, 6);
	__builtin_memcpy(way->smac, fib->smac, 6);
	return WAY_READY;
}

/* By the routing table. */
static __always_inline int find_way(struct __sk_buff *skb, const struct packet *p,
				    struct way *way)
{
	long e;

	fill_fib(&way->fib, skb, p);
	e = bpf_fib_lookup(skb, &way->fib, sizeof(way->fib), 0);
	if (e == BPF_FIB_LKUP_RET_NO_NEIGH)
		return SHUNT_CTR_ROUTE_NO_NEIGH;
	return e == BPF_FIB_LKUP_RET_SUCCESS ? fill_way(skb, way, e) : fib_reason(e);
}

/* The table has no way to link-local addresses: the neighbour code must do it all. */
static __always_inline int link_local_way(struct __sk_buff *skb, const struct shunt_hop *hop,
					  struct way *way)
{
	way->mtu = 0;
	if (!hop->ifindex || bpf_check_mtu(skb, hop->ifindex, &way->mtu, 0, 0) < 0)
		return SHUNT_CTR_ROUTE_NO_HOP;
	way->oif = hop->ifindex;
	way->family = FAMILY_INET6;
	__builtin_memcpy(way->via, hop->addr, 16);
	return WAY_NEIGH;
}

static __always_inline bool is_link_local(const struct shunt_hop *hop)
{
	return hop->addr[0] == 0xfe && (hop->addr[1] & 0xc0) == 0x80;
}

/* Is what the table says the next hop itself, on a link, and not a router on the way to it? */
static __always_inline bool is_on_link(const struct bpf_fib_lookup *fib,
				       const struct shunt_hop *hop)
{
	const __u32 *addr = (const __u32 *)hop->addr;

	if (fib->family == FAMILY_INET)
		return fib->ipv4_dst == addr[3];
	return fib->ipv6_dst[0] == addr[0] && fib->ipv6_dst[1] == addr[1] &&
	       fib->ipv6_dst[2] == addr[2] && fib->ipv6_dst[3] == addr[3];
}

/* By a next hop of the rule. */
static __always_inline int find_hop_way(struct __sk_buff *skb, const struct packet *p,
					const struct shunt_hop *hop, struct way *way)
{
	struct bpf_fib_lookup *fib = &way->fib;
	__u32 flags = 0;
	long e;

	if (hop->dev[0] && !hop->ifindex)
		return SHUNT_CTR_ROUTE_NO_HOP;
	if (is_link_local(hop))
		return link_local_way(skb, hop, way);
	fill_fib(fib, skb, p);
	if (has_address(hop))
		set_fib_address(fib, (const __be32 *)hop->addr, p->v6);
	if (hop->ifindex) {
		fib->ifindex = hop->ifindex;
		flags = BPF_FIB_LOOKUP_OUTPUT;
	}
	e = bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
	if (e == BPF_FIB_LKUP_RET_FWD_DISABLED || e == BPF_FIB_LKUP_RET_UNSUPP_LWT)
		return SHUNT_CTR_ROUTE_OTHER;
	if ((e != BPF_FIB_LKUP_RET_SUCCESS && e != BPF_FIB_LKUP_RET_NO_NEIGH) ||
	    (has_address(hop) && !is_on_link(fib, hop)) ||
	    (hop->ifindex && fib->ifindex != hop->ifindex))
		return SHUNT_CTR_ROUTE_NO_HOP;
	return fill_way(skb, way, e);
}

/* Is the address this host's, or one that is never forwarded to? */
static __always_inline bool stays_here(struct __sk_buff *skb, const struct packet *p,
				       const __be32 *addr, struct bpf_fib_lookup *fib)
{
	fill_fib(fib, skb, p);
	set_fib_address(fib, addr, p->v6);
	return bpf_fib_lookup(skb, fib, sizeof(*fib), BPF_FIB_LOOKUP_SKIP_NEIGH) ==
	       BPF_FIB_LKUP_RET_NOT_FWDED;
}

static __always_inline int find_group_way(struct __sk_buff *skb, const struct packet *p,
					  const struct shunt_routed *flow, struct way *way)
{
	__u32 group = flow->group, slot;
	struct hop_search s = { .way = way };
	const struct shunt_hop *hop;
	int found;

	s.group = bpf_map_lookup_elem(&hops, &group);
	if (!s.group || !s.group->used || s.group->serial != flow->serial)
		return SHUNT_CTR_ROUTE_NO_HOP;
	s.list = *(const volatile __u8 *)&s.group->live & 1;
	way->now = bpf_ktime_get_ns();
	way->v6 = p->v6;
	way->hash = flow_hash(p);
	slot = keep_hop(&s, flow->hop);
	if (slot >= SHUNT_GROUP_HOPS)
		slot = pick_hop(&s);
	if (slot >= SHUNT_GROUP_HOPS)
		return SHUNT_CTR_ROUTE_NO_HOP;
	hop = &s.group->list[s.list & 1].hop[slot];
	way->hop = hop->id;
	found = find_hop_way(skb, p, hop, way);
	if (!way->explain && found != SHUNT_CTR_ROUTE_OTHER && !is_link_local(hop))
		note_hop(way->hop, found == WAY_READY, way->now);
	return found;
}

/* Nothing of these leaves its link (RFC 4291, section 2.5.6). */
static __always_inline bool has_link_local(const struct packet *p)
{
	const __be32 mask = bpf_htonl(0xffc00000), link = bpf_htonl(0xfe800000);

	return p->v6 && ((p->saddr[0] & mask) == link || (p->daddr[0] & mask) == link);
}

/*
 * Find the way of a packet of this flow: WAY_READY or WAY_NEIGH with *way filled in, or why it
 * must be left to the kernel.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int ask_way(struct __sk_buff *skb, const struct packet *p,
		       const struct shunt_routed *flow, struct way *way)
{
	if (!p || !flow || !way)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	if (has_link_local(p))
		return SHUNT_CTR_ROUTE_OTHER;
	/* Once for a flow: nobody sends with this host's address but this host. */
	if (!flow->checked && (stays_here(skb, p, p->saddr, &way->fib) ||
			       (flow->group && stays_here(skb, p, p->daddr, &way->fib))))
		return SHUNT_CTR_ROUTE_LOCAL;
	if (flow->group)
		return find_group_way(skb, p, flow, way);
	return find_way(skb, p, way);
}

#endif
