/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames byte by byte, right or wrong on purpose. A frame is built from the front: link header,
 * IP header, whatever follows; frame_close() then fills in the IP length. Nothing allocates.
 */
#ifndef TEST_BPF_FRAME_H
#define TEST_BPF_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_MAX = 2048, FRAME_ETH = 14 };

enum {
	TCP_F = 0x01,
	TCP_S = 0x02,
	TCP_R = 0x04,
	TCP_P = 0x08,
	TCP_A = 0x10,
};

struct frame {
	uint8_t b[FRAME_MAX];
	size_t len;
	size_t l4; /* where the header in front of the payload begins: 0 if none was put */
	bool v6;
	uint8_t *next; /* the field that names what is put next: protocol, next header */
};

/* The two ends of every frame, unless they are changed in place. */
#define FRAME_SRC4 "192.0.2.7"
#define FRAME_DST4 "198.51.100.9"
#define FRAME_SRC6 "2001:db8:1::7"
#define FRAME_DST6 "2001:db8:2::9"
enum { FRAME_SPORT = 40000 };

/* Where addresses stand. */
enum { FRAME_AT_SRC4 = 26, FRAME_AT_DST4 = 30, FRAME_AT_SRC6 = 22, FRAME_AT_DST6 = 38 };

void frame_eth(struct frame *f, const uint8_t mac[6], uint16_t ethertype);
/* IPv4 header with n bytes of options (a multiple of 4), or the IPv6 header. */
void frame_ip4(struct frame *f, const uint8_t mac[6], const uint8_t *options, size_t n);
void frame_ip6(struct frame *f, const uint8_t mac[6]);
void frame_ip(struct frame *f, const uint8_t mac[6], bool v6); /* without options */
void frame_put(struct frame *f, const void *bytes, size_t n);
void frame_zeros(struct frame *f, size_t n);
/* An IPv6 extension header: its first byte names what follows. */
void frame_ext(struct frame *f, uint8_t type, const uint8_t *bytes, size_t n);
void frame_tcp(struct frame *f, uint16_t dport, uint8_t flags);
void frame_udp(struct frame *f, uint16_t dport, size_t payload);
/* A TCP SYN or a datagram of 8 bytes. */
void frame_l4(struct frame *f, uint8_t ipproto, uint16_t dport);
/* Any other protocol, with n bytes of zeros. */
void frame_other(struct frame *f, uint8_t ipproto, size_t n);
/* Set the IP length to what the frame holds. */
void frame_close(struct frame *f);

void frame_set16(struct frame *f, size_t at, uint16_t value);
/* The address at its place; text is of the frame's family. */
void frame_set_src(struct frame *f, const char *text);
void frame_set_dst(struct frame *f, const char *text);

#endif
