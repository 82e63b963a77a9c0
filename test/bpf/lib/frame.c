// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum { ETHERTYPE_4 = 0x0800, ETHERTYPE_6 = 0x86dd };

void frame_put(struct frame *f, const void *bytes, size_t n)
{
	assert(f->len + n <= FRAME_MAX);
	memcpy(f->b + f->len, bytes, n);
	f->len += n;
}

void frame_zeros(struct frame *f, size_t n)
{
	assert(f->len + n <= FRAME_MAX);
	memset(f->b + f->len, 0, n);
	f->len += n;
}

void frame_set16(struct frame *f, size_t at, uint16_t value)
{
	f->b[at] = (uint8_t)(value >> 8);
	f->b[at + 1] = (uint8_t)value;
}

void frame_eth(struct frame *f, const uint8_t mac[6], uint16_t ethertype)
{
	static const uint8_t from[6] = { 0x02, 0, 0, 0, 0, 0x77 };

	memset(f, 0, sizeof(*f));
	frame_put(f, mac, 6);
	frame_put(f, from, 6);
	frame_zeros(f, 2);
	frame_set16(f, 12, ethertype);
}

void frame_set_src(struct frame *f, const char *text)
{
	int ok = f->v6 ? inet_pton(AF_INET6, text, f->b + FRAME_AT_SRC6)
		       : inet_pton(AF_INET, text, f->b + FRAME_AT_SRC4);

	assert(ok == 1);
	(void)ok;
}

void frame_set_dst(struct frame *f, const char *text)
{
	int ok = f->v6 ? inet_pton(AF_INET6, text, f->b + FRAME_AT_DST6)
		       : inet_pton(AF_INET, text, f->b + FRAME_AT_DST4);

	assert(ok == 1);
	(void)ok;
}

void frame_ip4(struct frame *f, const uint8_t mac[6], const uint8_t *options, size_t n)
{
	frame_eth(f, mac, ETHERTYPE_4);
	frame_zeros(f, 20);
	f->b[FRAME_ETH] = (uint8_t)(0x40 | (5 + n / 4));
	f->b[FRAME_ETH + 8] = 64; /* time to live */
	f->next = &f->b[FRAME_ETH + 9];
	frame_set_src(f, FRAME_SRC4);
	frame_set_dst(f, FRAME_DST4);
	if (n)
		frame_put(f, options, n);
}

void frame_ip6(struct frame *f, const uint8_t mac[6])
{
	frame_eth(f, mac, ETHERTYPE_6);
	f->v6 = true;
	frame_zeros(f, 40);
	f->b[FRAME_ETH] = 0x60;
	f->b[FRAME_ETH + 7] = 64; /* hop limit */
	f->next = &f->b[FRAME_ETH + 6];
	frame_set_src(f, FRAME_SRC6);
	frame_set_dst(f, FRAME_DST6);
}

void frame_ip(struct frame *f, const uint8_t mac[6], bool v6)
{
	if (v6)
		frame_ip6(f, mac);
	else
		frame_ip4(f, mac, NULL, 0);
}

void frame_ext(struct frame *f, uint8_t type, const uint8_t *bytes, size_t n)
{
	*f->next = type;
	f->next = f->b + f->len;
	frame_put(f, bytes, n);
}

void frame_tcp(struct frame *f, uint16_t dport, uint8_t flags)
{
	*f->next = IPPROTO_TCP;
	f->l4 = f->len;
	frame_zeros(f, 20);
	frame_set16(f, f->l4, FRAME_SPORT);
	frame_set16(f, f->l4 + 2, dport);
	f->b[f->l4 + 12] = 5 << 4;
	f->b[f->l4 + 13] = flags;
	frame_set16(f, f->l4 + 14, 0xffff);
}

void frame_udp(struct frame *f, uint16_t dport, size_t payload)
{
	*f->next = IPPROTO_UDP;
	f->l4 = f->len;
	frame_zeros(f, 8 + payload);
	frame_set16(f, f->l4, FRAME_SPORT);
	frame_set16(f, f->l4 + 2, dport);
	frame_set16(f, f->l4 + 4, (uint16_t)(8 + payload));
}

void frame_l4(struct frame *f, uint8_t ipproto, uint16_t dport)
{
	if (ipproto == IPPROTO_TCP)
		frame_tcp(f, dport, TCP_S);
	else
		frame_udp(f, dport, 8);
}

void frame_other(struct frame *f, uint8_t ipproto, size_t n)
{
	*f->next = ipproto;
	f->l4 = f->len;
	frame_zeros(f, n);
}

void frame_close(struct frame *f)
{
	if (f->v6)
		frame_set16(f, FRAME_ETH + 4, (uint16_t)(f->len - FRAME_ETH - 40));
	else
		frame_set16(f, FRAME_ETH + 2, (uint16_t)(f->len - FRAME_ETH));
}
