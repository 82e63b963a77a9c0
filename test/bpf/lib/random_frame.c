// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "random_frame.h"

#include <arpa/inet.h>
#include <string.h>

enum { PAYLOAD_MAX = 64 };

/* xorshift64*: the same numbers on every machine */
uint32_t chance_below(struct chance *c, uint32_t n)
{
	c->state ^= c->state >> 12;
	c->state ^= c->state << 25;
	c->state ^= c->state >> 27;
	return (uint32_t)((c->state * 0x2545f4914f6cdd1dULL) >> 32) % n;
}

bool chance_one_in(struct chance *c, uint32_t n)
{
	return chance_below(c, n) == 0;
}

#define PICK(c, table) (table)[chance_below(c, sizeof(table) / sizeof((table)[0]))]

static void random_bytes(struct frame *f, struct chance *c, size_t n)
{
	while (n-- > 0) {
		uint8_t byte = (uint8_t)chance_below(c, 256);

		frame_put(f, &byte, 1);
	}
}

/* ---- addresses -------------------------------------------------------------------------- */

static void random_addresses(struct frame *f, struct chance *c)
{
	static const char *const v4[] = { "10.1.2.3", "10.9.8.7", "192.0.2.1", "172.16.0.1",
					  "8.8.8.8", "223.255.255.254" };
	static const char *const odd4[] = { "127.0.0.1", "0.0.0.0", "224.0.0.251", "0.1.2.3",
					    "255.255.255.255", "239.1.2.3", "240.0.0.1" };
	static const char *const v6[] = { "2001:db8::1", "2001:db8:9::7", "fd00::5",
					  "fe80::1", "64:ff9b::a01:203", "2002:a01:203::1" };
	static const char *const odd6[] = { "::", "::1", "ff02::1", "ff0e::101", "::ffff:10.1.2.3",
					    "::10.1.2.3", "::ffff:0:10.1.2.3", "::1:0:0:1" };

	frame_set_src(f, f->v6 ? PICK(c, v6) : PICK(c, v4));
	frame_set_dst(f, f->v6 ? PICK(c, v6) : PICK(c, v4));
	if (chance_one_in(c, 24))
		frame_set_src(f, f->v6 ? PICK(c, odd6) : PICK(c, odd4));
	if (chance_one_in(c, 24))
		frame_set_dst(f, f->v6 ? PICK(c, odd6) : PICK(c, odd4));
}

/* ---- headers ---------------------------------------------------------------------------- */

static void random_ip4(struct frame *f, struct chance *c, const uint8_t mac[6])
{
	uint8_t options[40];
	size_t n = chance_one_in(c, 3) ? chance_below(c, 11) * 4 : 0;

	for (size_t i = 0; i < n; i++)
		options[i] = (uint8_t)(chance_one_in(c, 3) ? chance_below(c, 256) : 1);
	frame_ip4(f, mac, options, n);
	if (chance_one_in(c, 10))
		frame_set16(f, FRAME_ETH + 6, (uint16_t)chance_below(c, 0x10000));
	else if (chance_one_in(c, 10))
		f->b[FRAME_ETH + 6] = 0x20; /* first fragment */
	else if (chance_one_in(c, 2))
		f->b[FRAME_ETH + 6] = 0x40; /* do not fragment */
}

static void random_ext(struct frame *f, struct chance *c)
{
	static const uint8_t types[] = { 0, 60, 60, 43, 44, 51, 60 };
	uint8_t type = PICK(c, types), bytes[32] = { 0 };
	size_t n = 8;

	for (size_t i = 2; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)chance_below(c, 256);
	if (type == 44) {
		bytes[1] = (uint8_t)chance_below(c, 256);
		if (!chance_one_in(c, 4)) /* first or atomic */
			bytes[2] = 0, bytes[3] &= 0x07;
	} else if (type == 51) {
		bytes[1] = (uint8_t)(1 + chance_below(c, 5));
		n = 4 * (bytes[1] + 2U);
	} else {
		bytes[1] = (uint8_t)chance_below(c, 3);
		n = 8 * (bytes[1] + 1U);
	}
	if (type == 43 && !chance_one_in(c, 4))
		bytes[3] = 0; /* no segments left */
	frame_ext(f, type, bytes, n);
}

static void random_ip6(struct frame *f, struct chance *c, const uint8_t mac[6])
{
	uint32_t n = chance_one_in(c, 2) ? chance_below(c, chance_one_in(c, 4) ? 12 : 4) : 0;

	frame_ip6(f, mac);
	while (n-- > 0)
		random_ext(f, c);
}

static uint16_t random_port(struct chance *c)
{
	static const uint16_t ports[] = { 80, 80, 81, 53, 443, 8000, 8080, 8081, 7999, 0, 65535 };

	return chance_one_in(c, 8) ? (uint16_t)chance_below(c, 0x10000) : PICK(c, ports);
}

static void random_tcp(struct frame *f, struct chance *c)
{
	uint8_t flags = chance_one_in(c, 2) ? TCP_S : (uint8_t)chance_below(c, 256);
	size_t options = chance_one_in(c, 2) ? chance_below(c, 11) * 4 : 0;

	frame_tcp(f, random_port(c), flags);
	frame_set16(f, f->l4, random_port(c));
	random_bytes(f, c, options);
	f->b[f->l4 + 12] = (uint8_t)((5 + options / 4) << 4 | chance_below(c, 16));
}

static void random_icmp(struct frame *f, struct chance *c)
{
	static const uint8_t types[] = { 0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 129, 133, 135 };

	frame_other(f, f->v6 != chance_one_in(c, 20) ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8);
	f->b[f->l4] = PICK(c, types);
	random_bytes(f, c, chance_below(c, PAYLOAD_MAX));
}

static void random_transport(struct frame *f, struct chance *c)
{
	static const uint8_t others[] = { 132, 136, 47, 33, 50, 59, 135, 4, 41, 2, 89, 255, 139 };
	uint32_t which = chance_below(c, 16);

	if (which < 8) {
		random_tcp(f, c);
	} else if (which < 13) {
		frame_udp(f, random_port(c), 0);
		frame_set16(f, f->l4, random_port(c));
	} else if (which < 15) {
		random_icmp(f, c);
		return;
	} else {
		frame_other(f, PICK(c, others), 8 + chance_below(c, 16));
		return;
	}
	if (chance_one_in(c, 2))
		random_bytes(f, c, chance_below(c, PAYLOAD_MAX));
	if (f->b[f->l4 + 4] == 0 && which >= 8)
		frame_set16(f, f->l4 + 4, (uint16_t)(f->len - f->l4));
}

/* Behind a tag; in a test run, which takes none off, that is no IP. */
static void random_tag(struct frame *f, struct chance *c)
{
	size_t n = f->len - 12;

	frame_zeros(f, 4);
	memmove(f->b + 16, f->b + 12, n);
	frame_set16(f, 12, chance_one_in(c, 4) ? 0x88a8 : 0x8100);
	frame_set16(f, 14, (uint16_t)(chance_below(c, 2) * chance_below(c, 0x1000) |
				      chance_below(c, 16) << 12));
}

/* ---- what is wrong with it -------------------------------------------------------------- */

/* A place a parser reads: most of the time one of the known fields, else anywhere. */
static size_t random_place(const struct frame *f, struct chance *c)
{
	static const uint8_t fields4[] = { 14, 16, 17, 20, 21, 23, 26, 30 };
	static const uint8_t fields6[] = { 14, 18, 19, 20, 22, 38, 54, 55, 56, 57 };
	size_t at;

	switch (chance_below(c, 4)) {
	case 0:
		return chance_below(c, (uint32_t)f->len);
	case 1: /* ports, lengths, offset, flags of the transport header */
		at = f->l4 + chance_below(c, 14);
		break;
	default:
		at = f->v6 ? PICK(c, fields6) : PICK(c, fields4);
	}
	return at < f->len ? at : f->len - 1;
}

static void spoil_once(struct frame *f, struct chance *c)
{
	static const uint8_t edges[] = { 0, 1, 2, 4, 5, 7, 8, 0x0f, 0x10, 0x40, 0x45, 0x50,
					 0x60, 0x7f, 0x80, 0xf0, 0xff };
	size_t at = random_place(f, c);

	switch (chance_below(c, 6)) {
	case 0:
		f->b[at] ^= (uint8_t)(1 << chance_below(c, 8));
		break;
	case 1:
		f->b[at] = (uint8_t)chance_below(c, 256);
		break;
	case 2:
		f->b[at] = PICK(c, edges);
		break;
	case 3:
		f->b[at] = (uint8_t)(f->b[at] + (chance_one_in(c, 2) ? 1 : -1));
		break;
	case 4: /* the frame ends early, its header does not know */
		f->len = FRAME_ETH + 1 + chance_below(c, (uint32_t)(f->len - FRAME_ETH));
		break;
	default: /* the header says another length */
		frame_set16(f, FRAME_ETH + (f->v6 ? 4 : 2),
			    (uint16_t)chance_below(c, (uint32_t)(f->len - FRAME_ETH) + 2));
	}
}

void random_frame(struct frame *f, struct chance *c, const uint8_t mac[6])
{
	if (chance_one_in(c, 2))
		random_ip6(f, c, mac);
	else
		random_ip4(f, c, mac);
	random_transport(f, c);
	random_addresses(f, c);
	frame_close(f);
	if (chance_one_in(c, 3))
		random_bytes(f, c, chance_below(c, PAYLOAD_MAX)); /* padding */
	if (chance_one_in(c, 2))
		for (uint32_t n = 1 + chance_below(c, 3); n > 0 && f->len > FRAME_ETH + 1; n--)
			spoil_once(f, c);
	if (chance_one_in(c, 40) && f->len > 16)
		random_tag(f, c);
}
