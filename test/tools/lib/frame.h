/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Build one Ethernet frame from a description: link header with tags, IP header with options
 * or extension headers, TCP, UDP or ICMP. Checksums are right; what is wrong on purpose is
 * done to the finished frame by the caller.
 */
#ifndef TEST_TOOLS_FRAME_H
#define TEST_TOOLS_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { FRAME_MAX = 65536, FRAME_TAGS = 3, FRAME_EXTS = 16, FRAME_OPTIONS = 40 };

struct frame_tag {
	uint16_t tpid, tci;
};

struct frame_spec {
	uint8_t dst_mac[6], src_mac[6];
	struct frame_tag tags[FRAME_TAGS];
	size_t n_tags;
	uint16_t ethertype;		/* 0: of the address family */
	struct sockaddr_storage src, dst; /* of one family, with ports */
	uint8_t proto;			/* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP or _ICMPV6 */
	uint8_t tcp_flags;
	uint32_t seq, ack;
	uint8_t ttl;
	uint16_t id;
	uint8_t options[FRAME_OPTIONS];	/* IPv4 */
	size_t n_options;
	uint8_t exts[FRAME_EXTS];	/* IPv6: header types, in order */
	size_t n_exts;
	uint8_t icmp_type, icmp_code;
	const uint8_t *payload;
	size_t payload_len;
};

struct frame {
	/* So that the IP header, 14 bytes and some tags on, is aligned. */
	uint8_t skew[2] __attribute__((aligned(4)));
	uint8_t data[FRAME_MAX];
	size_t len;
	size_t ip_at;	/* of the IP header */
	size_t body_at; /* behind the IP header and its extensions: where fragments begin */
};

void frame_build(struct frame *out, const struct frame_spec *spec);
/*
 * Fragment number i (from 0) of a frame, with `size` bytes of body each (a multiple of 8).
 * Returns 0, or -1 when there is no such fragment. The frame has no extension headers.
 */
int frame_fragment(struct frame *out, const struct frame *whole, size_t size, size_t i);

#endif
