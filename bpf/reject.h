/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Refusing a flow with an answer: TCP RST, for UDP an ICMP port unreachable. The packet itself
 * is turned into the answer and sent back where it came from.
 *
 * Source: RFC 9293 section 3.10.7.1 (RST to a SYN), RFC 792, RFC 4443 section 3.1.
 *
 * Checksums: the packet may be CHECKSUM_PARTIAL (a local sender that leaves the sum to the
 * device). bpf_l4_csum_replace on a field of 0 is right for both kinds: without PARTIAL it sums
 * up header and pseudo-header, with PARTIAL it keeps the pseudo-header's part only.
 */
#ifndef SHUNT_BPF_REJECT_H
#define SHUNT_BPF_REJECT_H

#include "account.h"

enum {
	ANSWER_TTL = 64,   /* IPDEFTTL */
	INNER_MAX = 128,   /* of the refused packet that an ICMP error quotes */
	ICMP_HEAD_LEN = 8,
};

static __always_inline __u16 fold(__s64 sum)
{
	__u32 s = (__u32)sum;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (__u16)~s;
}

static __always_inline void swap_macs(struct run *r)
{
	__u8 macs[12], swapped[12];

	if (r->p.l3 != ETH_HLEN || bpf_skb_load_bytes(r->skb, 0, macs, sizeof(macs)))
		return;
	__builtin_memcpy(swapped, macs + 6, 6);
	__builtin_memcpy(swapped + 6, macs, 6);
	bpf_skb_store_bytes(r->skb, 0, swapped, sizeof(swapped), 0);
}

/* The sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1). */
static __always_inline __s64 pseudo_sum(const struct packet *p, __u32 l4_len, __u8 proto)
{
	__be32 words[10] = {};

	words[3] = p->saddr[3];
	words[7] = p->daddr[3];
	if (p->v6) { /* the ffff of a v4-mapped address must not count */
		__builtin_memcpy(words, p->saddr, 12);
		__builtin_memcpy(words + 4, p->daddr, 12);
	}
	words[8] = bpf_htonl(l4_len);
	words[9] = bpf_htonl(proto);
	return bpf_csum_diff(NULL, 0, words, sizeof(words), 0);
}

static __always_inline void turn_ipv6(struct __sk_buff *skb, const struct packet *p, __u32 l4_len)
{
	__be16 length = bpf_htons((__u16)(p->l4 - p->l3 - sizeof(struct ipv6hdr) + l4_len));
	__u32 l3 = p->l3;
	__u8 hops = ANSWER_TTL;

	bpf_skb_store_bytes(skb, l3 + offsetof(struct ipv6hdr, payload_len), &length, 2, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct ipv6hdr, hop_limit), &hops, 1, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct ipv6hdr, saddr), p->daddr, 16, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct ipv6hdr, daddr), p->saddr, 16, 0);
}

/* Its own checksum does not change by the exchange of the addresses. */
static __always_inline void turn_ipv4(struct __sk_buff *skb, const struct packet *p, __u32 l4_len)
{
	__u32 l3 = p->l3, check = l3 + offsetof(struct iphdr, check);
	__be16 length = bpf_htons((__u16)(p->l4 - p->l3 + l4_len)), old_length;
	__be16 ttl = bpf_htons(ANSWER_TTL << 8 | IPPROTO_TCP), old_ttl;

	if (bpf_skb_load_bytes(skb, l3 + offsetof(struct iphdr, tot_len), &old_length, 2) ||
	    bpf_skb_load_bytes(skb, l3 + offsetof(struct iphdr, ttl), &old_ttl, 2))
		return;
	bpf_l3_csum_replace(skb, check, old_length, length, 2);
	bpf_l3_csum_replace(skb, check, old_ttl, ttl, 2);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct iphdr, tot_len), &length, 2, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct iphdr, ttl), &ttl, 2, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct iphdr, saddr), &p->daddr[3], 4, 0);
	bpf_skb_store_bytes(skb, l3 + offsetof(struct iphdr, daddr), &p->saddr[3], 4, 0);
}

/*
 * Turn a SYN into the RST that refuses it; IP options and extension headers stay. 1 if it is made.
 *
 * Workaround: this and make_unreachable are global functions, which the verifier checks once and by
 * themselves; inlined, they would be followed for each way that leads to them.
 */
__noinline int make_rst(struct __sk_buff *skb, const struct packet *p)
{
	const __u32 len = sizeof(struct tcphdr);
	struct tcphdr old, rst = {};
	__u32 l4, check;

	if (!p)
		return 0; /* never; the verifier asks for it */
	l4 = p->l4;
	check = l4 + offsetof(struct tcphdr, check);
	if (bpf_skb_load_bytes(skb, l4, &old, sizeof(old)) ||
	    bpf_skb_change_tail(skb, l4 + len, 0))
		return 0;
	rst.source = old.dest;
	rst.dest = old.source;
	rst.ack_seq = bpf_htonl(bpf_ntohl(old.seq) + 1);
	rst.doff = 5;
	rst.rst = 1;
	rst.ack = 1;
	if (bpf_skb_store_bytes(skb, l4, &rst, sizeof(rst), 0))
		return 0;
	bpf_l4_csum_replace(skb, check, 0,
			    bpf_csum_diff(NULL, 0, (__be32 *)&rst, sizeof(rst), 0), 0);
	bpf_l4_csum_replace(skb, check, 0, pseudo_sum(p, len, IPPROTO_TCP),
			    BPF_F_PSEUDO_HDR);
	if (p->v6)
		turn_ipv6(skb, p, len);
	else
		turn_ipv4(skb, p, len);
	return 1;
}

struct icmp_head {
	__u8 type, code;
	__be16 check;
	__be32 unused;
};

static __always_inline bool put_icmp4(struct __sk_buff *skb, const struct packet *p,
				      const struct icmp_head *icmp, __u32 inner)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons((__u16)(sizeof(ip) + sizeof(*icmp) + inner)),
		.ttl = ANSWER_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = p->daddr[3],
		.daddr = p->saddr[3],
	};

	ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	return !bpf_skb_store_bytes(skb, p->l3, &ip, sizeof(ip), 0) &&
	       !bpf_skb_store_bytes(skb, p->l3 + sizeof(ip), icmp, sizeof(*icmp), 0);
}

static __always_inline bool put_icmp6(struct __sk_buff *skb, const struct packet *p,
				      const struct icmp_head *icmp, __u32 inner)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons((__u16)(sizeof(*icmp) + inner)),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = ANSWER_TTL,
	};

	__builtin_memcpy(&ip.saddr, p->daddr, 16);
	__builtin_memcpy(&ip.daddr, p->saddr, 16);
	return !bpf_skb_store_bytes(skb, p->l3, &ip, sizeof(ip), 0) &&
	       !bpf_skb_store_bytes(skb, p->l3 + sizeof(ip), icmp, sizeof(*icmp), 0);
}

/* Turn a datagram into the ICMP error that refuses it: its own start, quoted. 1 if it is made. */
__noinline int make_unreachable(struct __sk_buff *skb, const struct packet *p)
{
	struct icmp_head icmp = {};
	__u8 quote[INNER_MAX] = {};
	__s64 sum = 0;
	__u32 inner;
	__s32 room;

	if (!p)
		return 0; /* never; the verifier asks for it */
	icmp.type = p->v6 ? 1 : 3;
	icmp.code = p->v6 ? 4 : 3;
	inner = p->l4 - p->l3 + sizeof(struct udphdr);
	if (inner > INNER_MAX)
		inner = INNER_MAX;
	if (inner < sizeof(struct udphdr) || bpf_skb_load_bytes(skb, p->l3, quote, inner) ||
	    bpf_skb_change_tail(skb, p->l3 + inner, 0))
		return 0;
	room = (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + ICMP_HEAD_LEN;
	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return 0;
	if (p->v6)
		sum = pseudo_sum(p, ICMP_HEAD_LEN + inner, IPPROTO_ICMPV6);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&icmp, sizeof(icmp), (__wsum)sum);
	/* What is behind the quote is zero and adds nothing. */
	icmp.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)quote, sizeof(quote), (__wsum)sum));
	return p->v6 ? put_icmp6(skb, p, &icmp, inner) : put_icmp4(skb, p, &icmp, inner);
}

/* Answer and drop; a fragment, or a packet without room for an answer, is only dropped. */
static __always_inline int reject(struct run *r, __u8 dir)
{
	int made = 0;

	if (!r->ex && r->p.frag == FRAG_NONE)
		made = r->p.proto == IPPROTO_TCP ? make_rst(r->skb, &r->p)
						 : make_unreachable(r->skb, &r->p);
	if (!made)
		return leave(r, SHUNT_CTR_RULE_REJECT, TC_ACT_SHOT);
	swap_macs(r);
	r->skb->mark |= own_mark; /* our egress program must not judge the answer */
	return leave(r, SHUNT_CTR_RULE_REJECT,
		     (int)bpf_redirect(r->skb->ifindex, dir == SHUNT_DIR_IN ? 0 : BPF_F_INGRESS));
}

#endif
