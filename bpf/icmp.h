/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about our flows. They are addressed to the client or server whose address our
 * socket wears; with the steer bit they are delivered here, so that path MTU discovery and
 * refusals work on both legs (kernel-facts H16).
 */
#ifndef SHUNT_BPF_ICMP_H
#define SHUNT_BPF_ICMP_H

#include "sockets.h"

enum {
	ICMP4_UNREACHABLE = 3, /* RFC 792 */
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_ERROR_MIN = 1, /* RFC 4443 section 2.1: unreachable, too big, time, parameter */
	ICMP6_ERROR_MAX = 4,
	ICMP_HEADER_LEN = 8,
};

/* Bytes of the error itself, not of what may stand behind it in the frame. */
static __always_inline bool read_error(const struct run *r, __u32 off, void *to, __u32 size)
{
	return off + size <= r->p.end && !bpf_skb_load_bytes(r->skb, off, to, size);
}

/* Read the packet inside the error: protocol, addresses and ports, as it was sent. */
static __always_inline bool read_inner(struct run *r, struct packet *in)
{
	__u32 off = r->p.l4 + ICMP_HEADER_LEN;
	__be16 ports[2];
	struct ipv6hdr ip6;
	struct iphdr ip4;

	__builtin_memset(in, 0, sizeof(*in));
	in->v6 = r->p.v6;
	if (in->v6) {
		if (!read_error(r, off, &ip6, sizeof(ip6)) || ip6.version != 6)
			return false;
		__builtin_memcpy(in->saddr, &ip6.saddr, 16);
		__builtin_memcpy(in->daddr, &ip6.daddr, 16);
		in->proto = ip6.nexthdr;
		off += sizeof(ip6);
	} else {
		if (!read_error(r, off, &ip4, sizeof(ip4)) || ip4.version != 4 || ip4.ihl < 5 ||
		    (ip4.frag_off & bpf_htons(IP_FRAGMENT_OFFSET)))
			return false;
		in->saddr[3] = ip4.saddr;
		in->daddr[3] = ip4.daddr;
		in->proto = ip4.protocol;
		off += ip4.ihl * 4;
	}
	if (in->proto != IPPROTO_TCP || !read_error(r, off, ports, sizeof(ports)))
		return false;
	in->sport = ports[0];
	in->dport = ports[1];
	return true;
}

static __always_inline int icmp_in(struct run *r)
{
	struct packet in;
	struct endpoints e;
	struct bpf_sock *sk;
	bool ours;
	__u8 type;

	if (r->p.l4 + ICMP_HEADER_LEN > r->p.end ||
	    bpf_skb_load_bytes(r->skb, r->p.l4, &type, sizeof(type)))
		return leave(r, SHUNT_CTR_SHORT, NEXT);
	if (r->p.v6 ? type < ICMP6_ERROR_MIN || type > ICMP6_ERROR_MAX
		    : type != ICMP4_UNREACHABLE && type != ICMP4_TIME_EXCEEDED &&
			      type != ICMP4_PARAMETER)
		return leave(r, SHUNT_CTR_OTHER_PROTO, NEXT);
	if (!read_inner(r, &in))
		return leave(r, SHUNT_CTR_ICMP_OTHER, NEXT);
	/* Our socket sent the inner packet: to it, a packet comes from the inner destination. */
	e = (struct endpoints){ in.daddr, in.saddr, in.dport, in.sport, in.v6 };
	sk = find_tcp(r->skb, &e);
	if (!sk)
		return leave(r, SHUNT_CTR_ICMP_OTHER, NEXT);
	ours = is_ours(sk);
	bpf_sk_release(sk);
	if (!ours)
		return leave(r, SHUNT_CTR_ICMP_OTHER, NEXT);
	r->skb->mark |= steer_mark;
	return leave(r, SHUNT_CTR_STEER_ICMP, NEXT);
}

#endif
