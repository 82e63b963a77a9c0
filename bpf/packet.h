/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a packet: from the sk_buff to `struct packet`, one form for IPv4 and IPv6.
 *
 * Source: RFC 791, RFC 8200 (extension headers), RFC 9293, RFC 768. What an IP stack would
 * refuse is not judged further: the stack behind us refuses it.
 */
#ifndef SHUNT_BPF_PACKET_H
#define SHUNT_BPF_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shunt/abi.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff

enum frag_kind { FRAG_NONE, FRAG_FIRST, FRAG_LATER };

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

struct packet {
	__be32 saddr[4] __attribute__((aligned(8))); /* v4-mapped */
	__be32 daddr[4];
	__be16 sport, dport; /* 0 for a later fragment and for ICMP */
	__u8 proto;	     /* IPPROTO_*, after extension headers */
	__u8 zero[3];	     /* up to here as in struct shunt_tuple */
	__u8 v6;
	__u8 tcp_flags; /* bits of enum tcp_flag */
	__u8 frag;	/* enum frag_kind */
	__u8 pulled;	/* the headers were not linear */
	__u8 l4_len;	/* of the TCP or UDP header */
	__u8 reserved[3];
	__u32 frag_id;	/* network byte order */
	__u32 l3;	/* offset of the IP header */
	__u32 l4;	/* offset of the header of proto */
	__u32 end;	/* offset behind the IP packet */
};

/* What read_packet returns beside an enum shunt_counter that names why it gave up. */
enum { PACKET_OK = -1, PACKET_PULL = -2 };

static __always_inline int read_ipv4(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + p->l3;
	__u32 header, total;
	__u16 frag;

	if ((void *)(ip + 1) > data_end)
		return p->l3 + sizeof(*ip) > skb->len ? SHUNT_CTR_SHORT : PACKET_PULL;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (!total && skb->gso_size) /* BIG TCP, more than the field can say */
		total = skb->len - p->l3;
	if (ip->version != 4 || header < sizeof(*ip) || total < header)
		return SHUNT_CTR_BAD_HEADER;
	if (total > skb->len - p->l3)
		return SHUNT_CTR_SHORT;
	p->saddr[0] = p->saddr[1] = p->daddr[0] = p->daddr[1] = 0;
	p->saddr[2] = p->daddr[2] = bpf_htonl(0xffff);
	p->saddr[3] = ip->saddr;
	p->daddr[3] = ip->daddr;
	p->proto = ip->protocol;
	p->v6 = 0;
	p->l4 = p->l3 + header;
	p->end = p->l3 + total;
	frag = bpf_ntohs(ip->frag_off);
	if (frag & IP_FRAGMENT_OFFSET)
		p->frag = FRAG_LATER;
	else if (frag & IP_MORE_FRAGMENTS)
		p->frag = FRAG_FIRST;
	p->frag_id = ip->id;
	return PACKET_OK;
}

struct ipv6_ext {
	__u8 next;
	__u8 len;
	__be16 frag_off; /* fragment header only */
	__be32 frag_id;	 /* fragment header only */
};

/*
 * Walk the extension headers; p->proto and p->l4 are where the walk stands.
 *
 * Workaround: a global function, which the verifier checks once and by itself. Inlined, each
 * of the walk's ways out would be followed to the end of the program.
 */
__noinline int walk_ipv6_ext(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6_ext ext;
	__u32 len;

	if (!p)
		return SHUNT_CTR_SHORT; /* never; the verifier asks for it */
	for (int i = 0; i <= SHUNT_MAX_V6_EXT; i++) {
		switch (p->proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			return PACKET_OK;
		}
		if (i == SHUNT_MAX_V6_EXT)
			return SHUNT_CTR_EXT_LIMIT;
		if (p->l4 + sizeof(ext) > p->end ||
		    bpf_skb_load_bytes(skb, p->l4, &ext, sizeof(ext)))
			return SHUNT_CTR_SHORT;
		len = (ext.len + 1) * 8;
		if (p->proto == IPPROTO_AH) {
			len = (ext.len + 2) * 4; /* RFC 4302 section 2.2 */
		} else if (p->proto == IPPROTO_ROUTING) {
			/* Segments left: the address is not yet the final one. */
			if (ext.frag_off & bpf_htons(0x00ff))
				return SHUNT_CTR_OTHER_PROTO;
		} else if (p->proto == IPPROTO_FRAGMENT) {
			len = sizeof(ext);
			p->frag_id = ext.frag_id;
			if (ext.frag_off & bpf_htons(0xfff8))
				p->frag = FRAG_LATER;
			else if (ext.frag_off & bpf_htons(1))
				p->frag = FRAG_FIRST;
		}
		p->proto = ext.next;
		p->l4 += len;
		if (p->l4 > p->end)
			return SHUNT_CTR_SHORT;
		if (p->frag == FRAG_LATER)
			return PACKET_OK;
	}
	return SHUNT_CTR_EXT_LIMIT;
}

static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + p->l3;
	__u32 payload;

	if ((void *)(ip + 1) > data_end)
		return p->l3 + sizeof(*ip) > skb->len ? SHUNT_CTR_SHORT : PACKET_PULL;
	payload = bpf_ntohs(ip->payload_len);
	if (!payload && skb->gso_size)
		payload = skb->len - p->l3 - sizeof(*ip);
	if (ip->version != 6)
		return SHUNT_CTR_BAD_HEADER;
	if (payload > skb->len - p->l3 - sizeof(*ip))
		return SHUNT_CTR_SHORT;
	__builtin_memcpy(p->saddr, &ip->saddr, 16);
	__builtin_memcpy(p->daddr, &ip->daddr, 16);
	p->proto = ip->nexthdr;
	p->v6 = 1;
	p->l4 = p->l3 + sizeof(*ip);
	p->end = p->l4 + payload;
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
		return PACKET_OK;
	return walk_ipv6_ext(skb, p);
}

/* Copy `size` bytes at `off`, from the linear part if they are there. 0 or -EFAULT. */
static __always_inline int read_bytes(struct __sk_buff *skb, __u32 off, void *to, __u32 size)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (off < 0x800 && data + off + size <= data_end) {
		__builtin_memcpy(to, data + off, size);
		return 0;
	}
	return bpf_skb_load_bytes(skb, off, to, size);
}

/* The first bytes of a TCP header, up to and with its flags. */
struct tcp_head {
	__be16 source, dest;
	__be32 seq, ack;
	__u8 doff; /* upper four bits */
	__u8 flags;
};

static __always_inline int read_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_head tcp;
	__u32 len;

	if (p->l4 + sizeof(struct tcphdr) > p->end || read_bytes(skb, p->l4, &tcp, 14))
		return SHUNT_CTR_SHORT;
	len = (tcp.doff >> 4) * 4;
	if (len < sizeof(struct tcphdr) || p->l4 + len > p->end)
		return SHUNT_CTR_BAD_HEADER;
	p->sport = tcp.source;
	p->dport = tcp.dest;
	p->tcp_flags = tcp.flags;
	p->l4_len = len;
	return PACKET_OK;
}

static __always_inline int read_udp(struct __sk_buff *skb, struct packet *p)
{
	struct udphdr udp;
	__u32 len;

	if (p->l4 + sizeof(udp) > p->end || read_bytes(skb, p->l4, &udp, sizeof(udp)))
		return SHUNT_CTR_SHORT;
	len = bpf_ntohs(udp.len);
	if (p->v6 && !len) /* "to the end": RFC 2675, and any size in net/ipv6/udp.c */
		len = p->end - p->l4;
	if (p->frag == FRAG_NONE && !skb->gso_size &&
	    (len < sizeof(udp) || p->l4 + len > p->end))
		return SHUNT_CTR_BAD_HEADER;
	p->sport = udp.source;
	p->dport = udp.dest;
	p->l4_len = sizeof(udp);
	return PACKET_OK;
}

/* Neither address may be one that no single host owns. */
static __always_inline bool is_unicast(const struct packet *p)
{
	__u32 s, d;

	if (p->v6) {
		/* ff00::/8; ::/96 and ::ffff:0:0/96 hold ::, ::1 and forms of IPv4. */
		if ((p->daddr[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
		    (p->saddr[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000))
			return false;
		if (!p->daddr[0] && !p->daddr[1] &&
		    (!p->daddr[2] || p->daddr[2] == bpf_htonl(0xffff)))
			return false;
		return p->saddr[0] || p->saddr[1] ||
		       (p->saddr[2] && p->saddr[2] != bpf_htonl(0xffff));
	}
	s = bpf_ntohl(p->saddr[3]) >> 24;
	d = bpf_ntohl(p->daddr[3]) >> 24;
	return s && s != 127 && s < 224 && d && d != 127 && d < 224;
}

static __always_inline int read_once(struct __sk_buff *skb, __u32 l2, struct packet *p)
{
	int r;

	__builtin_memset(p, 0, sizeof(*p));
	p->l3 = l2;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		r = read_ipv4(skb, p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		r = read_ipv6(skb, p);
	else
		return SHUNT_CTR_NOT_IP;
	if (r != PACKET_OK)
		return r;
	if (!is_unicast(p))
		return SHUNT_CTR_NOT_UNICAST;
	if (p->frag == FRAG_LATER)
		return PACKET_OK;
	if (p->proto == IPPROTO_TCP)
		return read_tcp(skb, p);
	if (p->proto == IPPROTO_UDP)
		return read_udp(skb, p);
	if (p->proto == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return PACKET_OK;
	return SHUNT_CTR_OTHER_PROTO;
}

/*
 * Fill *p; l2 is the length of the link header. PACKET_OK or an enum shunt_counter. Headers
 * outside the linear part are pulled once, and p->pulled says so (kernel-facts H14: else a
 * sender that shapes its packets walks past). Invalidates packet pointers.
 *
 * Workaround: a global function, which the verifier checks once and by itself. Inlined, each way
 * through the parser would be followed to the end of the program.
 */
__noinline int read_packet(struct __sk_buff *skb, __u32 l2, struct packet *p)
{
	int r;

	if (!p || l2 > ETH_HLEN)
		return SHUNT_CTR_SHORT; /* never; the verifier asks for it */
	r = read_once(skb, l2, p);
	if (r != PACKET_PULL)
		return r;
	bpf_skb_pull_data(skb, skb->len < SHUNT_PULL_LEN ? skb->len : SHUNT_PULL_LEN);
	r = read_once(skb, l2, p);
	p->pulled = 1;
	return r == PACKET_PULL ? SHUNT_CTR_SHORT : r;
}

static __always_inline bool is_link_local_source(const struct packet *p)
{
	return p->v6 && (p->saddr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline bool is_syn(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* The packet's tuple where it stands, for a lookup without a copy. */
static __always_inline const struct shunt_tuple *packet_key(const struct packet *p)
{
	_Static_assert(offsetof(struct packet, daddr) == offsetof(struct shunt_tuple, daddr) &&
		       offsetof(struct packet, sport) == offsetof(struct shunt_tuple, sport) &&
		       offsetof(struct packet, dport) == offsetof(struct shunt_tuple, dport) &&
		       offsetof(struct packet, proto) == offsetof(struct shunt_tuple, proto) &&
		       offsetof(struct packet, v6) == sizeof(struct shunt_tuple), "same beginning");
	return (const struct shunt_tuple *)p;
}

static __always_inline void packet_tuple(const struct packet *p, struct shunt_tuple *t)
{
	__builtin_memset(t, 0, sizeof(*t));
	__builtin_memcpy(t->saddr, p->saddr, 16);
	__builtin_memcpy(t->daddr, p->daddr, 16);
	t->sport = p->sport;
	t->dport = p->dport;
	t->proto = p->proto;
}

static __always_inline void reverse_tuple(const struct shunt_tuple *t, struct shunt_tuple *back)
{
	__builtin_memset(back, 0, sizeof(*back));
	__builtin_memcpy(back->saddr, t->daddr, 16);
	__builtin_memcpy(back->daddr, t->saddr, 16);
	back->sport = t->dport;
	back->dport = t->sport;
	back->proto = t->proto;
}

#endif
