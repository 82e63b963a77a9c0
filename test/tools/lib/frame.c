/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "frame.h"
#include "args.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

static uint32_t sum_add(uint32_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (n)
		sum += (uint32_t)p[0] << 8;
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void *grow(struct frame *f, size_t n)
{
	void *at = f->data + f->len;

	if (f->len + n > sizeof(f->data))
		die("the frame is longer than %d bytes", FRAME_MAX);
	memset(at, 0, n);
	f->len += n;
	return at;
}

static void put16(struct frame *f, uint16_t v)
{
	v = htons(v);
	memcpy(grow(f, 2), &v, 2);
}

static void build_link(struct frame *f, const struct frame_spec *s)
{
	memcpy(grow(f, 6), s->dst_mac, 6);
	memcpy(grow(f, 6), s->src_mac, 6);
	for (size_t i = 0; i < s->n_tags; i++) {
		put16(f, s->tags[i].tpid);
		put16(f, s->tags[i].tci);
	}
	put16(f, s->ethertype ?: (s->src.ss_family == AF_INET ? 0x0800 : 0x86dd));
}

static void build_ipv4(struct frame *f, const struct frame_spec *s)
{
	size_t options = (s->n_options + 3) / 4 * 4;
	struct iphdr *ip = grow(f, sizeof(*ip) + options);

	ip->version = 4;
	ip->ihl = (unsigned int)(5 + options / 4) & 15;
	ip->id = htons(s->id);
	ip->ttl = s->ttl;
	ip->protocol = s->proto;
	ip->saddr = ((const struct sockaddr_in *)&s->src)->sin_addr.s_addr;
	ip->daddr = ((const struct sockaddr_in *)&s->dst)->sin_addr.s_addr;
	memcpy(ip + 1, s->options, s->n_options);
}

/* One extension header of the shortest valid form. */
static void build_ext(struct frame *f, uint8_t type, uint8_t next)
{
	uint8_t *at;

	if (type == IPPROTO_AH) {
		at = grow(f, 24);
		at[1] = 4; /* in units of 4 bytes, minus 2 */
	} else {
		at = grow(f, 8); /* length 0 is 8 bytes; of a fragment header: atomic */
		if (type == IPPROTO_HOPOPTS || type == IPPROTO_DSTOPTS) {
			at[2] = 1; /* PadN */
			at[3] = 4;
		}
	}
	at[0] = next;
}

static void build_ipv6(struct frame *f, const struct frame_spec *s)
{
	struct ip6_hdr *ip = grow(f, sizeof(*ip));

	ip->ip6_flow = htonl(6u << 28);
	ip->ip6_hlim = s->ttl;
	ip->ip6_nxt = s->n_exts ? s->exts[0] : s->proto;
	ip->ip6_src = ((const struct sockaddr_in6 *)&s->src)->sin6_addr;
	ip->ip6_dst = ((const struct sockaddr_in6 *)&s->dst)->sin6_addr;
	for (size_t i = 0; i < s->n_exts; i++)
		build_ext(f, s->exts[i], i + 1 < s->n_exts ? s->exts[i + 1] : s->proto);
}

/* Build the transport header; returns the offset of its checksum in it. */
static size_t build_transport(struct frame *f, const struct frame_spec *s)
{
	struct tcphdr *tcp;
	struct udphdr *udp;
	struct icmphdr *icmp;

	switch (s->proto) {
	case IPPROTO_TCP:
		tcp = grow(f, sizeof(*tcp));
		tcp->source = htons(sockaddr_port(&s->src));
		tcp->dest = htons(sockaddr_port(&s->dst));
		tcp->seq = htonl(s->seq);
		tcp->ack_seq = htonl(s->ack);
		tcp->doff = sizeof(*tcp) / 4;
		((uint8_t *)tcp)[13] = s->tcp_flags;
		tcp->window = htons(65535);
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		udp = grow(f, sizeof(*udp));
		udp->source = htons(sockaddr_port(&s->src));
		udp->dest = htons(sockaddr_port(&s->dst));
		udp->len = htons((uint16_t)(sizeof(*udp) + s->payload_len));
		return offsetof(struct udphdr, check);
	default:
		icmp = grow(f, sizeof(*icmp));
		icmp->type = s->icmp_type;
		icmp->code = s->icmp_code;
		return offsetof(struct icmphdr, checksum);
	}
}

static void finish_lengths(struct frame *f, const struct frame_spec *s)
{
	if (s->src.ss_family == AF_INET) {
		struct iphdr *ip = (struct iphdr *)(f->data + f->ip_at);

		ip->tot_len = htons((uint16_t)(f->len - f->ip_at));
		ip->check = 0;
		ip->check = sum_end(sum_add(0, ip, ip->ihl * 4u));
	} else {
		struct ip6_hdr *ip = (struct ip6_hdr *)(f->data + f->ip_at);

		ip->ip6_plen = htons((uint16_t)(f->len - f->ip_at - sizeof(*ip)));
	}
}

static void finish_checksum(struct frame *f, const struct frame_spec *s, size_t at)
{
	size_t n = f->len - f->body_at;
	uint32_t sum = 0;
	uint16_t check;

	if (s->proto != IPPROTO_ICMP) {
		if (s->src.ss_family == AF_INET)
			sum = sum_add(0, f->data + f->ip_at + offsetof(struct iphdr, saddr), 8);
		else
			sum = sum_add(0, f->data + f->ip_at + offsetof(struct ip6_hdr, ip6_src), 32);
		sum += s->proto + (uint32_t)n;
	}
	check = sum_end(sum_add(sum, f->data + f->body_at, n));
	if (s->proto == IPPROTO_UDP && !check)
		check = 0xffff;
	memcpy(f->data + f->body_at + at, &check, 2);
}

void frame_build(struct frame *out, const struct frame_spec *spec)
{
	size_t check_at;

	out->len = 0;
	build_link(out, spec);
	out->ip_at = out->len;
	if (spec->src.ss_family == AF_INET)
		build_ipv4(out, spec);
	else
		build_ipv6(out, spec);
	out->body_at = out->len;
	check_at = build_transport(out, spec);
	memcpy(grow(out, spec->payload_len), spec->payload, spec->payload_len);
	finish_lengths(out, spec);
	finish_checksum(out, spec, check_at);
}

int frame_fragment(struct frame *out, const struct frame *whole, size_t size, size_t i)
{
	size_t body = whole->len - whole->body_at, at = size * i, n;
	uint16_t more;

	if (at >= body)
		return -1;
	n = body - at < size ? body - at : size;
	more = at + n < body;
	out->len = 0;
	out->ip_at = whole->ip_at;
	memcpy(grow(out, whole->body_at), whole->data, whole->body_at);
	if (whole->data[whole->ip_at] >> 4 == 4) {
		struct iphdr *ip = (struct iphdr *)(out->data + out->ip_at);

		ip->frag_off = htons((uint16_t)(at / 8 | (more ? IP_MF : 0)));
		ip->tot_len = htons((uint16_t)(whole->body_at - whole->ip_at + n));
		ip->check = 0;
		ip->check = sum_end(sum_add(0, ip, ip->ihl * 4u));
	} else {
		struct ip6_hdr *ip = (struct ip6_hdr *)(out->data + out->ip_at);
		struct ip6_frag *frag = grow(out, sizeof(*frag));

		frag->ip6f_nxt = ip->ip6_nxt;
		ip->ip6_nxt = IPPROTO_FRAGMENT;
		frag->ip6f_offlg = htons((uint16_t)(at | more));
		frag->ip6f_ident = htonl(0x5eed);
		ip->ip6_plen = htons((uint16_t)(sizeof(*frag) + n));
	}
	out->body_at = out->len;
	memcpy(grow(out, n), whole->data + whole->body_at + at, n);
	return 0;
}
