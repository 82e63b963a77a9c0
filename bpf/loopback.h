/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Delivery by way of lo. A packet that goes to a socket here has an address that is none of this
 * host's, so the routing table would send it on. A routing rule by mark says otherwise, but the
 * first rule of a network namespace makes the kernel ask rules and two tables, twice, for each
 * packet that it forwards: that is most of what bystanders would pay.
 *
 * With `up --deliver loopback` there is no rule. The packet gets the loopback address as its
 * destination and leaves by lo, which gives it a route to this host as all packets on lo have one;
 * where it comes in again it gets its own destination back. The route stays with it, so the
 * routing table is not asked.
 */
#ifndef SHUNT_BPF_LOOPBACK_H
#define SHUNT_BPF_LOOPBACK_H

#include "account.h"

#define LO_IFINDEX 1 /* in every network namespace, net/core/dev.c */

#define TURNED 0x54524e44U /* in cb[0]; its destination stands in cb[1..4] */

enum {
	DADDR4_AT = ETH_HLEN + offsetof(struct iphdr, daddr),
	DADDR6_AT = ETH_HLEN + offsetof(struct ipv6hdr, daddr),
};

/* lo's frames have a link header. False if there is no room for one. */
static __always_inline bool add_link_header(struct __sk_buff *skb)
{
	struct ethhdr eth = { .h_proto = skb->protocol };

	return !bpf_skb_change_head(skb, sizeof(eth), 0) &&
	       !bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

/*
 * Checksums are left alone, as the address comes back before anybody looks at them. The verdict;
 * below 0 if it cannot be.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int turn_to_lo(struct __sk_buff *skb, const struct packet *p)
{
	__be32 home[4] = { 0, 0, 0, bpf_htonl(1) }; /* ::1 */
	long e;

	if (!p || (!p->l3 && !add_link_header(skb)))
		return -1;
	skb->cb[0] = TURNED;
	skb->cb[1] = p->daddr[0];
	skb->cb[2] = p->daddr[1];
	skb->cb[3] = p->daddr[2];
	skb->cb[4] = p->daddr[3];
	if (p->v6) {
		e = bpf_skb_store_bytes(skb, DADDR6_AT, home, sizeof(home), 0);
	} else {
		home[3] = bpf_htonl(0x7f000001); /* 127.0.0.1 */
		e = bpf_skb_store_bytes(skb, DADDR4_AT, &home[3], sizeof(home[3]), 0);
	}
	return e ? -1 : bpf_redirect_neigh(LO_IFINDEX, NULL, 0, 0);
}

static __always_inline bool is_turned(const struct __sk_buff *skb)
{
	return skb->cb[0] == TURNED;
}

/* At lo: give a packet that is_turned() its destination back. */
static __always_inline bool turn_back(struct __sk_buff *skb)
{
	__be32 daddr[4] = { skb->cb[1], skb->cb[2], skb->cb[3], skb->cb[4] };

	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return !bpf_skb_store_bytes(skb, DADDR6_AT, daddr, sizeof(daddr), 0);
	return !bpf_skb_store_bytes(skb, DADDR4_AT, &daddr[3], sizeof(daddr[3]), 0);
}

#endif
