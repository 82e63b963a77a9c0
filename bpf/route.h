/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Forwarding without the stack: a flow that a rule routes is noted in `routed` with the way it
 * takes (interface, link addresses, MTU), and so is its way back. Its packets are sent on from
 * here: time to live, link header, redirect.
 *
 * The way is asked for anew every ROUTE_FRESH; that packet goes through the kernel's neighbour
 * code, so that a neighbour ages, is asked again and fails as it would without us.
 *
 * A veth may be marked to be passed by (`up --peer`): its packets are put into its peer at once,
 * without a queue between. One that goes by the neighbour code is overtaken there by those behind
 * it, so only SYNs do, which have none, and a packet every ROUTE_ASK.
 *
 * What can only be done by the kernel (an ICMP answer, fragments, options) is left to it, each
 * with a counter of its own. It then goes by the routing table, or is dropped if the rule says
 * fail closed and names another way.
 */
#ifndef SHUNT_BPF_ROUTE_H
#define SHUNT_BPF_ROUTE_H

#include <linux/pkt_cls.h>

#include "classify.h"
#include "recent.h"
#include "way.h"

#define ROUTE_FRESH 10000000ULL /* ns that the answer of the routing table holds */
#define ROUTE_SECOND 1000000000LL
#define ROUTE_ASK 4 /* s, about: how long a neighbour that packets pass by is not asked */
#define ROUTE_UDP_IDLE (SHUNT_UDP_IDLE * ROUTE_SECOND)

enum {
	NOT_ROUTED = -3, /* the packet belongs to no routed flow */
	ROUTE_OLD = -4,	 /* the flow's way must be asked for */
};

static __always_inline bool is_too_big(const struct __sk_buff *skb, const struct packet *p,
				       __u32 mtu)
{
	if (p->end - p->l3 <= mtu)
		return false;
	return !skb->gso_size || p->l4 - p->l3 + p->l4_len + skb->gso_size > mtu;
}

/* The time to live, one less, and for IPv4 what that does to the checksum (RFC 1624). */
static __always_inline void age(__u8 *head, __u8 v6)
{
	__u32 sum = head[10] << 8 | head[11];

	if (v6) {
		head[7]--;
		return;
	}
	head[8]--;
	sum += 0x100; /* the field is the upper half of its word */
	sum += sum >> 16;
	head[10] = sum >> 8;
	head[11] = sum;
}

enum {
	HEAD_LEN = 20,	/* of an IPv4 header without options; of an IPv6 header more than we need */
	HEAD_AGED = 12, /* bytes of it that hold all that changes */
};

/* A router does not send on what has got damaged (RFC 1812 section 5.2.2). */
static __always_inline bool checksum_is_right(const __u8 *head)
{
	const __u32 *w = (const __u32 *)head;
	__u64 sum = (__u64)w[0] + w[1] + w[2] + w[3] + w[4];

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* What keeps a packet from being sent on from here, whatever its way: 0 nothing. */
static __always_inline int cannot_forward(const struct packet *p, const __u8 *head)
{
	if (!p->l3) /* bpf_redirect and bpf_redirect_neigh want a link header to replace */
		return SHUNT_CTR_ROUTE_OTHER;
	if (p->frag != FRAG_NONE)
		return SHUNT_CTR_ROUTE_FRAGMENT;
	if (p->l4 - p->l3 != (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)))
		return SHUNT_CTR_ROUTE_OPTIONS;
	if (!p->v6 && !checksum_is_right(head))
		return SHUNT_CTR_BAD_HEADER;
	return (p->v6 ? head[7] : head[8]) <= 1 ? SHUNT_CTR_ROUTE_TTL : 0;
}

/*
 * Out of the interface; or into its peer, as what came through the pair: without the mark, which
 * means nothing in another network namespace (net/core/skbuff.c, skb_scrub_packet()).
 */
static __always_inline void redirect_out(struct __sk_buff *skb, const struct shunt_routed *flow)
{
	if (!(flow->flags & SHUNT_ROUTED_PEER)) {
		bpf_redirect(flow->oif, 0);
		return;
	}
	skb->mark = 0;
	bpf_redirect_peer(flow->oif, 0);
}

/* VLAN 0 is no VLAN: such a tag is of the link that the frame came by (802.1p), and ends there. */
static __always_inline void untag(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		bpf_skb_vlan_pop(skb);
}

/* Link header and start of the IP header in one write: each is a call and a check for sharing. */
static __always_inline int send_direct(struct __sk_buff *skb, const struct packet *p, __u8 *head,
				       const struct shunt_routed *flow)
{
	__u8 frame[ETH_HLEN + HEAD_AGED];
	__be16 type = skb->protocol;

	untag(skb);
	age(head, p->v6);
	__builtin_memcpy(frame, flow->dmac, 6);
	__builtin_memcpy(frame + 6, flow->smac, 6);
	__builtin_memcpy(frame + 12, &type, 2);
	__builtin_memcpy(frame + ETH_HLEN, head, HEAD_AGED);
	if (bpf_skb_store_bytes(skb, 0, frame, sizeof(frame), 0))
		return SHUNT_CTR_REDIRECT_FAILED;
	redirect_out(skb, flow);
	return SHUNT_CTR_ROUTED;
}

/* Workaround: not inlined, for the stack. */
__noinline int send_passing(struct __sk_buff *skb, const struct packet *p,
			    const struct shunt_routed *flow)
{
	__u8 head[HEAD_LEN] __attribute__((aligned(4)));

	if (!p || !flow)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	if (read_bytes(skb, p->l3, head, HEAD_LEN))
		return SHUNT_CTR_SHORT;
	return send_direct(skb, p, head, flow);
}

/*
 * By the neighbour code, which writes the link header and asks for what it lacks.
 *
 * Workaround: not inlined, for the stack.
 */
__noinline int send_neigh(struct __sk_buff *skb, const struct packet *p, const struct way *way)
{
	struct bpf_redir_neigh nh = {};
	__u8 head[HEAD_LEN] __attribute__((aligned(4)));

	if (!p || !way)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	if (way->explain)
		return SHUNT_CTR_ROUTED;
	if (read_bytes(skb, p->l3, head, HEAD_LEN))
		return SHUNT_CTR_SHORT;
	nh.nh_family = way->family;
	if (way->family == FAMILY_INET6)
		__builtin_memcpy(nh.ipv6_nh, way->via, 16);
	else
		nh.ipv4_nh = way->via[0];
	untag(skb);
	age(head, p->v6);
	if (bpf_skb_store_bytes(skb, p->l3, head, HEAD_AGED, 0))
		return SHUNT_CTR_REDIRECT_FAILED;
	bpf_redirect_neigh(way->oif, &nh, sizeof(nh), 0);
	return SHUNT_CTR_ROUTED;
}

static __always_inline void keep_way(struct shunt_routed *flow, const struct way *way, __u64 now)
{
	flow->oif = way->oif;
	flow->mtu = way->mtu;
	flow->hop = way->hop;
	flow->flags = (flow->flags & ~SHUNT_ROUTED_PEER) | way->peer;
	__builtin_memcpy(flow->dmac, way->dmac, 6);
	__builtin_memcpy(flow->smac, way->smac, 6);
	flow->checked = now | 1; /* not 0: that it does not stay here is known */
}

/* Is this a veth that is passed by? */
static __always_inline __u32 passes_by(__u32 oif)
{
	__u32 *slot = bpf_map_lookup_elem(&device_slots, &oif);
	const struct shunt_device *dev = slot ? bpf_map_lookup_elem(&devices, slot) : NULL;

	return dev && dev->flags & SHUNT_DEV_PEER ? SHUNT_ROUTED_PEER : 0;
}

/*
 * Must the packet, of a way that is known, go by the neighbour code? See above. Wrong once in a
 * while where two CPUs ask at once, which does no harm.
 */
static __always_inline bool asks_neighbour(const struct packet *p, struct shunt_routed *flow)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> 30;

	if (flow->flags & SHUNT_ROUTED_PEER && !is_syn(p) && now - flow->asked < ROUTE_ASK)
		return false;
	flow->asked = now;
	return true;
}

/* Can it be sent on from here? 0, or the exit. */
static __always_inline int check_packet(struct __sk_buff *skb, const struct packet *p, __u8 *head)
{
	if (read_bytes(skb, p->l3, head, HEAD_LEN))
		return SHUNT_CTR_SHORT;
	return cannot_forward(p, head);
}

/*
 * Send a packet on whose flow's way is not known or old, and keep the way; the exit.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int send_anew(struct __sk_buff *skb, const struct packet *p, struct shunt_routed *flow,
			 __u32 explain)
{
	struct way *way;
	int e;

	explain = !!explain;
	way = bpf_map_lookup_elem(&ways, &explain);
	if (!p || !flow || !way)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	way->explain = explain;
	way->hop = 0;
	way->oif = 0;
	e = ask_way(skb, p, flow, way);
	if (e >= 0)
		return e == SHUNT_CTR_ROUTE_NO_HOP && flow->flags & SHUNT_ROUTED_FAIL_CLOSED
			       ? SHUNT_CTR_FAIL_CLOSED
			       : e;
	way->peer = e == WAY_READY ? passes_by(way->oif) : 0;
	/* Without link addresses it stays with the neighbour code. */
	keep_way(flow, way, e == WAY_READY ? bpf_ktime_get_coarse_ns() : 0);
	if (is_too_big(skb, p, way->mtu))
		return SHUNT_CTR_ROUTE_TOO_BIG;
	return asks_neighbour(p, flow) || explain ? send_neigh(skb, p, way)
						  : send_passing(skb, p, flow);
}

/*
 * Note a flow and its way back, which goes by the routing table.
 *
 * Workaround: not inlined, for the stack.
 */
__noinline int note_route(const struct packet *p, struct shunt_routed *flow)
{
	struct shunt_tuple t, back;
	long lost;

	if (!p || !flow)
		return 0; /* never; the verifier asks for it */
	packet_tuple(p, &t);
	reverse_tuple(&t, &back);
	if (!routes_in_use)
		routes_in_use = 1;
	lost = bpf_map_update_elem(&routed, &t, flow, BPF_ANY);
	flow->group = 0;
	flow->hop = 0;
	flow->checked = 0;
	flow->asked = 0;
	flow->flags = SHUNT_ROUTED_REPLY;
	if (bpf_map_update_elem(&routed, &back, flow, BPF_ANY) || lost)
		count_up(SHUNT_CTR_NOTE_LOST);
	note_beginning(p);
	return 1;
}

/*
 * The first packet of a flow, and the rule says route: the exit. Noted only if it goes somewhere:
 * what is meant for this host, or has no way, is the kernel's.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int route_new(struct __sk_buff *skb, const struct packet *p, const struct decision *d,
			 __u32 explain)
{
	__u32 slot = !!explain, group;
	struct way *way = bpf_map_lookup_elem(&ways, &slot);
	struct shunt_hop_group *g;
	int exit;

	if (!p || !d || !way)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	group = d->target;
	g = bpf_map_lookup_elem(&hops, &group);
	__builtin_memset(&way->flow, 0, sizeof(way->flow));
	way->flow.since = way->flow.seen = bpf_ktime_get_coarse_ns();
	way->flow.rule = d->priority;
	way->flow.group = d->target;
	way->flow.flags = d->flags & SHUNT_RULE_FAIL_CLOSED ? SHUNT_ROUTED_FAIL_CLOSED : 0;
	way->flow.serial = g ? g->serial : 0;
	exit = check_packet(skb, p, way->head);
	if (!exit)
		exit = send_anew(skb, p, &way->flow, explain);
	if (!explain && exit != SHUNT_CTR_ROUTE_LOCAL && exit != SHUNT_CTR_ROUTE_NO_ROUTE)
		note_route(p, &way->flow);
	return exit;
}

/* Workaround: not inlined, for the stack. */
__noinline int forget_route(const struct packet *p)
{
	struct shunt_tuple t, back;

	if (!p)
		return 0; /* never; the verifier asks for it */
	packet_tuple(p, &t);
	reverse_tuple(&t, &back);
	bpf_map_delete_elem(&routed, &t);
	bpf_map_delete_elem(&routed, &back);
	return 1;
}

/*
 * A packet of a routed flow is sent on: the exit, or NOT_ROUTED, or ROUTE_OLD: its way must be
 * asked for. A flow ends when another one begins on its tuple: by a SYN, or for UDP after some
 * time of silence.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int route_known(struct __sk_buff *skb, const struct packet *p)
{
	__u8 head[HEAD_LEN] __attribute__((aligned(4)));
	struct shunt_routed *flow;
	__u64 now;
	__s64 idle;
	int exit;

	if (!p)
		return NOT_ROUTED; /* never; the verifier asks for it */
	flow = bpf_map_lookup_elem(&routed, packet_key(p));
	if (!flow)
		return NOT_ROUTED;
	now = bpf_ktime_get_coarse_ns();
	idle = now - flow->seen; /* below 0 if another CPU was faster */
	if (is_syn(p) || (p->proto == IPPROTO_UDP && idle > ROUTE_UDP_IDLE)) {
		forget_route(p);
		return NOT_ROUTED;
	}
	exit = check_packet(skb, p, head);
	if (exit)
		return exit;
	if (p->proto == IPPROTO_UDP && idle > ROUTE_SECOND)
		flow->seen = now;
	if (now - flow->checked > ROUTE_FRESH)
		return ROUTE_OLD;
	return is_too_big(skb, p, flow->mtu) ? SHUNT_CTR_ROUTE_TOO_BIG
					     : send_direct(skb, p, head, flow);
}

/* What route_known() has left because the way was old; the exit. Not inlined, for the stack. */
__noinline int route_old(struct __sk_buff *skb, const struct packet *p)
{
	struct shunt_routed *flow;
	__u32 slot = 0;
	struct way *way = bpf_map_lookup_elem(&ways, &slot);

	if (!p || !way)
		return SHUNT_CTR_ROUTE_OTHER; /* never; the verifier asks for it */
	flow = bpf_map_lookup_elem(&routed, packet_key(p));
	return flow ? send_anew(skb, p, flow, 0) : SHUNT_CTR_ROUTE_OTHER;
}

/* The packet was sent on, or dropped, or is left to the kernel, which knows what to answer. */
static __always_inline int leave_routed(struct run *r, int exit)
{
	if (exit == SHUNT_CTR_ROUTED)
		return leave(r, exit, TC_ACT_REDIRECT);
	if (exit == SHUNT_CTR_FAIL_CLOSED || exit == SHUNT_CTR_REDIRECT_FAILED)
		return leave(r, exit, TC_ACT_SHOT);
	return leave(r, exit, NEXT);
}

static __always_inline void explain_way(struct run *r)
{
	__be32 mapped = bpf_htonl(0xffff);
	struct way *way;
	__u32 one = 1;

	way = bpf_map_lookup_elem(&ways, &one);
	if (!way || !way->oif)
		return;
	r->ex->oif = way->oif;
	if (way->family == FAMILY_INET6) {
		__builtin_memcpy(r->ex->via, way->via, 16);
	} else {
		__builtin_memcpy(r->ex->via + 8, &mapped, 4);
		__builtin_memcpy(r->ex->via + 12, &way->via[0], 4);
	}
}

/* A rule says route. */
static __always_inline int route(struct run *r, const struct decision *d)
{
	int exit = route_new(r->skb, &r->p, d, !!r->ex);

	if (r->ex && exit == SHUNT_CTR_ROUTED)
		explain_way(r);
	return leave_routed(r, exit);
}

#endif
