// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PKT-03: chains of IPv6 extension headers. Each chain stands in a table with what must come of
 * it, and is compared with the oracle too, whole and cut at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plane.h"

/* The bytes of the ports, 80 and 81, stand in them, to be misread by who loses the way. */
struct ext {
	const char *name;
	uint8_t type;
	size_t n;
	uint8_t bytes[24];
};

static const struct ext exts[] = {
	{ "hbh", 0, 8, { 0, 0, 5, 2, 0, 0, 1, 0 } }, /* router alert, padding */
	{ "hbh16", 0, 16, { 0, 1, 1, 12, 0, 80, 0, 80, 0, 80, 0, 80 } },
	{ "dst", 60, 8, { 0, 0, 1, 4, 0, 80, 0, 80 } },
	{ "dst24", 60, 24, { 0, 2, 1, 20, 0, 80, 0, 80, 0, 80, 0, 80, 0, 80 } },
	{ "rt0", 43, 8, { 0, 0, 0, 0, 0, 80, 0, 80 } }, /* routing, nothing left */
	{ "rt0-24", 43, 24, { 0, 2, 0, 0, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 80 } },
	{ "rt0-left", 43, 24, { 0, 2, 0, 1, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8 } },
	{ "rt2", 43, 24, { 0, 2, 2, 0, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 80 } },
	{ "rt2-left", 43, 24, { 0, 2, 2, 1, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8 } },
	{ "rt4", 43, 24, { 0, 2, 4, 0, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 80 } },
	{ "rt4-left", 43, 24, { 0, 2, 4, 255, 255, 0, 0, 0, 0x20, 1, 0x0d, 0xb8 } },
	{ "ah12", 51, 12, { 0, 1, 0, 0, 0, 0, 0, 80, 0, 80, 0, 80 } }, /* units of 4 bytes */
	{ "ah24", 51, 24, { 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 80, 0, 80, 0, 80, 0, 80 } },
	{ "atomic", 44, 8, { 0, 0, 0, 0, 0, 80, 0, 80 } },
	{ "reserved", 44, 8, { 0, 255, 0, 6, 0, 80, 0, 80 } }, /* atomic, reserved bits set */
	{ "first", 44, 8, { 0, 0, 0, 1, 0, 80, 0, 80 } },
	{ "later", 44, 8, { 0, 0, 0x05, 0xa9, 0, 80, 0, 80 } },
	{ "last", 44, 8, { 0, 0, 0x00, 0x08, 0, 80, 0, 80 } },
	{ "esp", 50, 16, { 0, 80, 0, 80, 0, 80, 0, 80 } },
	{ "mobility", 135, 8, { 59, 0, 1, 0, 0, 80, 0, 80 } },
	{ "hip", 139, 8, { 59, 0, 1, 0, 0, 80, 0, 80 } },
	{ "none", 59, 8, { 0, 80, 0, 80, 0, 80, 0, 80 } },
};

/* FOUND: the ports behind the chain are read. Else the exit, whatever the port. */
#define FOUND SHUNT_CTR_MAX

struct chain {
	const char *text;
	enum shunt_counter exit;
};

static const struct chain chains[] = {
	{ "", FOUND },
	{ "hbh", FOUND },
	{ "hbh16", FOUND },
	{ "dst", FOUND },
	{ "dst dst", FOUND },
	{ "dst dst dst", FOUND },
	{ "dst dst dst dst", FOUND },
	{ "dst dst dst dst dst", FOUND },
	{ "dst dst dst dst dst dst", FOUND },
	{ "dst dst dst dst dst dst dst", FOUND },
	{ "dst dst dst dst dst dst dst dst", FOUND },
	{ "dst dst dst dst dst dst dst dst dst", SHUNT_CTR_EXT_LIMIT },
	{ "dst dst dst dst dst dst dst dst dst dst", SHUNT_CTR_EXT_LIMIT },
	{ "hbh dst24 rt4 ah24 dst24 atomic dst dst", FOUND },
	{ "hbh dst24 rt4 ah24 dst24 atomic dst dst dst", SHUNT_CTR_EXT_LIMIT },
	{ "dst dst dst dst dst dst dst dst later", SHUNT_CTR_EXT_LIMIT },
	{ "dst dst dst dst dst dst dst dst rt0-left", SHUNT_CTR_EXT_LIMIT },
	{ "dst dst dst dst dst dst dst dst esp", SHUNT_CTR_OTHER_PROTO },
	{ "dst24", FOUND },
	{ "hbh16 dst24 dst", FOUND },
	{ "rt0", FOUND },
	{ "rt0-24", FOUND },
	{ "rt2", FOUND },
	{ "rt4", FOUND },
	{ "rt0-left", SHUNT_CTR_OTHER_PROTO },
	{ "rt2-left", SHUNT_CTR_OTHER_PROTO },
	{ "rt4-left", SHUNT_CTR_OTHER_PROTO },
	{ "rt0 rt4-left", SHUNT_CTR_OTHER_PROTO },
	{ "rt4-left later", SHUNT_CTR_OTHER_PROTO },
	{ "ah12", FOUND },
	{ "ah24", FOUND },
	{ "ah12 dst ah24", FOUND },
	{ "ah12 ah12 dst", FOUND },
	{ "atomic", FOUND },
	{ "reserved", FOUND },
	{ "first", FOUND },
	{ "first dst", FOUND },
	{ "first atomic", FOUND },
	{ "hbh rt4 first dst24", FOUND },
	{ "later", SHUNT_CTR_FRAG_OTHER },
	{ "last", SHUNT_CTR_FRAG_OTHER },
	{ "hbh16 dst later", SHUNT_CTR_FRAG_OTHER },
	{ "atomic later", SHUNT_CTR_FRAG_OTHER },
	{ "later dst dst", SHUNT_CTR_FRAG_OTHER },
	{ "esp", SHUNT_CTR_OTHER_PROTO },
	{ "dst esp", SHUNT_CTR_OTHER_PROTO },
	{ "mobility", SHUNT_CTR_OTHER_PROTO },
	{ "hip", SHUNT_CTR_OTHER_PROTO },
	{ "none", SHUNT_CTR_OTHER_PROTO },
	{ "hbh none", SHUNT_CTR_OTHER_PROTO },
	{ "first none", SHUNT_CTR_OTHER_PROTO },
};

enum { N_CHAINS = sizeof(chains) / sizeof(chains[0]) };

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static const struct ext *find_ext(const char *name)
{
	for (size_t i = 0; i < sizeof(exts) / sizeof(exts[0]); i++)
		if (!strcmp(exts[i].name, name))
			return &exts[i];
	fail_msg("no extension header '%s'", name);
	return NULL;
}

/* A word for each header; behind them the transport header. */
static void build(struct frame *f, const struct plane *p, const char *chain, uint8_t proto,
		  uint16_t port)
{
	char *words = strdup(chain), *rest = words;

	frame_ip6(f, p->mac);
	for (char *word; (word = strsep(&rest, " "));) {
		if (*word) {
			const struct ext *e = find_ext(word);

			frame_ext(f, e->type, e->bytes, e->n);
		}
	}
	frame_l4(f, proto, port);
	frame_close(f);
	free(words);
}

static const char *title(const struct chain *c, uint8_t proto, uint16_t port, size_t cut)
{
	static char text[160];

	snprintf(text, sizeof(text), "[%s] %s port %u, %zu bytes", c->text,
		 proto == IPPROTO_TCP ? "tcp" : "udp", port, cut);
	return text;
}

static void PKT_03_chains_by_the_table(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < N_CHAINS; i++)
		for (size_t l = 0; l < 2; l++)
			for (uint16_t port = 80; port <= 81; port++) {
				enum shunt_counter want = chains[i].exit, is;
				const char *what;

				build(&f, p, chains[i].text, protos[l], port);
				what = title(&chains[i], protos[l], port, f.len);
				is = plane_check(p, &f, what);
				if (want == FOUND)
					want = port == 80 ? SHUNT_CTR_RULE_DROP
							  : SHUNT_CTR_NO_MATCH;
				if (is != want)
					fail_msg("%s: %s, the table says %s", what,
						 shunt_counter_name(is), shunt_counter_name(want));
			}
}

/* Cut by whoever captured it: the header still says the whole length. */
static void PKT_03_chains_cut_at_every_byte(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < N_CHAINS; i++)
		for (size_t l = 0; l < 2; l++) {
			build(&f, p, chains[i].text, protos[l], 80);
			for (size_t whole = f.len; f.len > FRAME_ETH; f.len--) {
				enum shunt_counter is = plane_check(
					p, &f, title(&chains[i], protos[l], 80, f.len));

				if (f.len < whole)
					assert_int_equal(is, SHUNT_CTR_SHORT);
			}
		}
}

/* Cut by the sender: the header says the short length, behind it stand the bytes cut off. */
static void PKT_03_chains_cut_by_the_length(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < N_CHAINS; i++)
		for (size_t l = 0; l < 2; l++) {
			build(&f, p, chains[i].text, protos[l], 80);
			for (size_t n = 0; n <= f.len - FRAME_ETH - 40; n++) {
				frame_set16(&f, FRAME_ETH + 4, (uint16_t)n);
				plane_check(p, &f, title(&chains[i], protos[l], 80, n));
			}
		}
}

/* Each header's length byte, all its values. */
static void PKT_03_every_header_length(void **state)
{
	static const char *const names[] = { "hbh", "dst", "rt0", "ah12", "atomic" };
	struct plane *p = *state;
	char what[64];
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (unsigned int len = 0; len <= 255; len++) {
			build(&f, p, names[i], IPPROTO_TCP, 80);
			while (f.len < FRAME_ETH + 40 + 1200) /* read as TCP: a SYN of 20 bytes */
				f.b[f.len++] = 0x52;
			frame_close(&f);
			f.b[FRAME_ETH + 41] = (uint8_t)len;
			snprintf(what, sizeof(what), "%s of length %u", names[i], len);
			plane_check(p, &f, what);
		}
}

/* Any segment left: the destination is not the last one. */
static void PKT_03_every_count_of_segments_left(void **state)
{
	static const uint8_t types[] = { 0, 2, 3, 4, 253 };
	struct plane *p = *state;
	char what[64];
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < sizeof(types); i++)
		for (unsigned int left = 0; left <= 255; left++) {
			build(&f, p, "rt0-24", IPPROTO_TCP, 80);
			f.b[FRAME_ETH + 42] = types[i];
			f.b[FRAME_ETH + 43] = (uint8_t)left;
			snprintf(what, sizeof(what), "routing type %u, %u left", types[i], left);
			assert_int_equal(plane_check(p, &f, what),
					 left ? SHUNT_CTR_OTHER_PROTO : SHUNT_CTR_RULE_DROP);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_03_chains_by_the_table),
		cmocka_unit_test(PKT_03_chains_cut_at_every_byte),
		cmocka_unit_test(PKT_03_chains_cut_by_the_length),
		cmocka_unit_test(PKT_03_every_header_length),
		cmocka_unit_test(PKT_03_every_count_of_segments_left),
	};

	return cmocka_run_group_tests_name("bpf ipv6", tests, plane_up, plane_down);
}
