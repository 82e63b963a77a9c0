// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs of one instance: ingress and egress of devices with and without a link header,
 * ingress of lo for local outbound, and the listener lookup of the network namespace.
 *
 *   packet.h    sk_buff -> struct packet
 *   classify.h  struct packet -> rule
 *   sockets.h   packet -> socket
 *   recent.h    what was left alone a moment ago
 *   route.h     forwarding without the stack
 *   way.h       routed flow -> interface, next hop, link addresses
 *   hops.h      flow -> next hop
 *   loopback.h  delivery by way of lo
 *   steer.h     what happens to a TCP packet at each hook
 *   udp_flows.h which datagrams begin a flow
 *   icmp.h      ICMP errors about our flows
 *   account.h   the one way out, counters
 *   maps.h      the maps
 */
#include "icmp.h"
#include "steer.h"
#include "udp_flows.h"

static __always_inline bool foreign_vlan(const struct __sk_buff *skb)
{
	/* The tag is taken off before tc sees the frame; VID 0 is the parent's own traffic. */
	return skb->vlan_present && (skb->vlan_tci & 0x0fff);
}

static __always_inline int judge(struct run *r, __u32 l2)
{
	struct __sk_buff *skb = r->skb;
	int e, known, routed, verdict;

	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return leave(r, SHUNT_CTR_NOT_HOST, NEXT);
	if (foreign_vlan(skb))
		return leave(r, SHUNT_CTR_VLAN, NEXT);
	e = read_packet(skb, l2, &r->p);
	if (r->p.pulled)
		count(r, SHUNT_CTR_PULLED);
	if (e != PACKET_OK)
		return leave(r, e, NEXT);
	if (r->p.frag == FRAG_LATER)
		return follow_frag(r);
	known = recall(r, SHUNT_DIR_IN);
	if (known >= 0)
		return leave(r, known, NEXT);
	routed = routes_in_use && !r->ex ? route_known(skb, &r->p) : NOT_ROUTED;
	if (routed == ROUTE_OLD)
		routed = route_old(skb, &r->p);
	if (routed >= 0)
		return leave_routed(r, routed);
	if (r->p.proto == IPPROTO_TCP)
		verdict = tcp_in(r);
	else if (r->p.proto == IPPROTO_UDP)
		verdict = udp(r, SHUNT_DIR_IN, true);
	else
		return icmp_in(r);
	if (r->alone)
		remember(&r->p, place_of(r, SHUNT_DIR_IN), r->beginnings, r->outcome);
	return verdict;
}

static __always_inline int ingress(struct __sk_buff *skb, __u32 l2)
{
	struct run r;
	int verdict;

	run_begin(&r, skb);
	verdict = judge(&r, l2);
	return r.turn && is_steered(r.outcome) && !r.ex ? carry_to_lo(&r) : verdict;
}

static __always_inline int egress(struct __sk_buff *skb, bool link_header)
{
	struct run r;
	int e, known, verdict;

	run_begin(&r, skb);
	if (skb->mark & own_mark)
		return leave(&r, SHUNT_CTR_OWN, NEXT);
	if (skb->ingress_ifindex && !r.ex)
		return leave(&r, SHUNT_CTR_FORWARDED, NEXT);
	if (foreign_vlan(skb))
		return leave(&r, SHUNT_CTR_VLAN, NEXT);
	e = read_packet(skb, link_header ? ETH_HLEN : 0, &r.p);
	if (r.p.pulled)
		count(&r, SHUNT_CTR_PULLED);
	if (e != PACKET_OK)
		return leave(&r, e, NEXT);
	if (r.p.frag == FRAG_LATER)
		return leave(&r, SHUNT_CTR_FRAG_OTHER, NEXT);
	known = recall(&r, SHUNT_DIR_OUT);
	if (known >= 0)
		return leave(&r, known, NEXT);
	if (r.p.proto == IPPROTO_TCP)
		verdict = tcp_out(&r, link_header);
	else if (r.p.proto == IPPROTO_UDP)
		verdict = udp(&r, SHUNT_DIR_OUT, link_header);
	else
		return leave(&r, SHUNT_CTR_OTHER_PROTO, NEXT);
	if (r.alone)
		remember(&r.p, place_of(&r, SHUNT_DIR_OUT), r.beginnings, r.outcome);
	return verdict;
}

SEC("tc")
int shunt_in_eth(struct __sk_buff *skb)
{
	return ingress(skb, ETH_HLEN);
}

SEC("tc")
int shunt_in_l3(struct __sk_buff *skb)
{
	return ingress(skb, 0);
}

SEC("tc")
int shunt_out_eth(struct __sk_buff *skb)
{
	return egress(skb, true);
}

SEC("tc")
int shunt_out_l3(struct __sk_buff *skb)
{
	return egress(skb, false);
}

SEC("tc")
int shunt_lo(struct __sk_buff *skb)
{
	struct run r;
	int e;

	run_begin(&r, skb);
	r.turn = 0;
	if (!(skb->mark & steer_mark))
		return leave(&r, SHUNT_CTR_LO_OTHER, NEXT);
	/* Of one that something in between has written over, the loopback address would get it. */
	if (by_loopback && (!is_turned(skb) || !turn_back(skb)))
		return leave(&r, SHUNT_CTR_LO_LOST, TC_ACT_SHOT);
	bpf_skb_change_type(skb, 0 /* PACKET_HOST */); /* it has the next hop's MAC address */
	e = read_packet(skb, ETH_HLEN, &r.p);
	if (e != PACKET_OK)
		return leave(&r, e, NEXT);
	if (r.p.frag == FRAG_LATER)
		return leave(&r, by_loopback ? SHUNT_CTR_STEER_FRAG : SHUNT_CTR_LO_OTHER, NEXT);
	if (r.p.proto != IPPROTO_TCP) /* steered: an ICMP error */
		return leave(&r, by_loopback ? SHUNT_CTR_STEER_ICMP : SHUNT_CTR_LO_OTHER, NEXT);
	return tcp_lo(&r);
}

/*
 * The two cases bpf_sk_assign cannot serve: a SYN on a TIME_WAIT socket and a packet after
 * reassembly. Only tuples that the tc programs noted a moment ago are answered, so services of
 * the host are never touched (kernel-facts H9).
 */
SEC("sk_lookup")
int shunt_backstop(struct bpf_sk_lookup *ctx)
{
	struct shunt_backstop *b;
	struct shunt_tuple t;
	struct bpf_sock *sk;
	struct run r = {};
	__u64 until;
	long e;

	until = *(volatile __u64 *)&backstop_until;
	if (!until || bpf_ktime_get_coarse_ns() > until)
		return SK_PASS;
	__builtin_memset(&t, 0, sizeof(t));
	if (ctx->family == 2 /* AF_INET */) {
		__be32 mapped = bpf_htonl(0xffff), remote = ctx->remote_ip4, local = ctx->local_ip4;

		__builtin_memcpy(t.saddr + 8, &mapped, 4);
		__builtin_memcpy(t.saddr + 12, &remote, 4);
		__builtin_memcpy(t.daddr + 8, &mapped, 4);
		__builtin_memcpy(t.daddr + 12, &local, 4);
	} else {
		for (int i = 0; i < 4; i++) {
			__be32 remote = ctx->remote_ip6[i], local = ctx->local_ip6[i];

			__builtin_memcpy(t.saddr + 4 * i, &remote, 4);
			__builtin_memcpy(t.daddr + 4 * i, &local, 4);
		}
	}
	t.sport = ctx->remote_port;
	t.dport = bpf_htons(ctx->local_port);
	t.proto = ctx->protocol;
	b = bpf_map_lookup_elem(&backstop, &t);
	if (!b || bpf_ktime_get_ns() > b->until)
		return SK_PASS;
	sk = registered(b->socket);
	if (!sk)
		return SK_PASS;
	e = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	count(&r, e ? SHUNT_CTR_ASSIGN_OTHER : SHUNT_CTR_BACKSTOP_HIT);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
