// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PKT-04: packets that end too early, and lengths that do not fit. Never a read outside, never
 * a match by bytes that are not the packet's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "plane.h"

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static const char *title(bool v6, uint8_t proto, const char *which, size_t value)
{
	static char text[128];

	snprintf(text, sizeof(text), "IPv%d %s, %s %zu", v6 ? 6 : 4,
		 proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "icmp", which,
		 value);
	return text;
}

typedef void (*case_fn)(struct plane *p, bool v6, uint8_t proto);

static void for_all(struct plane *p, case_fn fn)
{
	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++)
			fn(p, v6, protos[i]);
}

static void build(struct frame *f, const struct plane *p, bool v6, uint8_t proto)
{
	frame_ip(f, p->mac, v6);
	frame_l4(f, proto, 80);
	frame_close(f);
}

static size_t length_at(bool v6)
{
	return FRAME_ETH + (v6 ? 4 : 2);
}

static void cut_frame(struct plane *p, bool v6, uint8_t proto)
{
	struct frame f;
	size_t whole;

	build(&f, p, v6, proto);
	for (whole = f.len; f.len > FRAME_ETH; f.len--)
		assert_int_equal(plane_check(p, &f, title(v6, proto, "bytes", f.len)),
				 f.len == whole ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_SHORT);
}

static void PKT_04_frame_cut_at_every_byte(void **state)
{
	for_all(*state, cut_frame);
}

/* The sender says less than it sends, down to nothing, and more, up to the limit. */
static void all_lengths(struct plane *p, bool v6, uint8_t proto)
{
	struct frame f;
	size_t whole;

	build(&f, p, v6, proto);
	whole = f.len - FRAME_ETH - (v6 ? 40 : 0);
	for (size_t n = 0; n <= 0xffff; n += n < 2 * whole ? 1 : 997) {
		enum shunt_counter is;

		frame_set16(&f, length_at(v6), (uint16_t)n);
		is = plane_check(p, &f, title(v6, proto, "IP length", n));
		if (n > whole)
			assert_int_equal(is, SHUNT_CTR_SHORT);
		else if (!v6 && n < 20)
			assert_int_equal(is, SHUNT_CTR_BAD_HEADER);
	}
}

static void PKT_04_every_ip_length(void **state)
{
	for_all(*state, all_lengths);
}

/* Short frames are padded on Ethernet: what follows the packet does not matter. */
static void padding(struct plane *p, bool v6, uint8_t proto)
{
	struct frame f;

	build(&f, p, v6, proto);
	for (int i = 0; i < 60; i++) {
		frame_put(&f, "\x50", 1);
		assert_int_equal(plane_check(p, &f, title(v6, proto, "padded to", f.len)),
				 SHUNT_CTR_RULE_DROP);
	}
}

static void PKT_04_padding_is_not_the_packet(void **state)
{
	for_all(*state, padding);
}

static void PKT_04_every_udp_length(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t n = 0; n <= 40; n++) {
			bool fits = (n >= 8 && n <= 16) || (v6 && n == 0);

			build(&f, p, v6, IPPROTO_UDP);
			frame_set16(&f, f.l4 + 4, (uint16_t)n);
			assert_int_equal(plane_check(p, &f, title(v6, IPPROTO_UDP, "length", n)),
					 fits ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_BAD_HEADER);
		}
}

/* Of a first fragment the length is that of the datagram it begins. */
static void PKT_04_udp_length_of_a_first_fragment(void **state)
{
	static const uint8_t first[8] = { 0, 0, 0, 1, 1, 2, 3, 4 };
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++) {
		frame_ip(&f, p->mac, v6);
		if (v6)
			frame_ext(&f, IPPROTO_FRAGMENT, first, sizeof(first));
		else
			f.b[FRAME_ETH + 6] = 0x20;
		frame_l4(&f, IPPROTO_UDP, 80);
		frame_close(&f);
		frame_set16(&f, f.l4 + 4, 8000);
		assert_int_equal(plane_check(p, &f, title(v6, IPPROTO_UDP, "of", 8000)),
				 SHUNT_CTR_RULE_DROP);
	}
}

static void PKT_04_every_tcp_data_offset(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t options = 0; options <= 40; options += 4)
			for (size_t doff = 0; doff <= 15; doff++) {
				bool fits = doff >= 5 && doff * 4 <= 20 + options;

				build(&f, p, v6, IPPROTO_TCP);
				frame_zeros(&f, options);
				frame_close(&f);
				f.b[f.l4 + 12] = (uint8_t)(doff << 4);
				assert_int_equal(
					plane_check(p, &f, title(v6, IPPROTO_TCP, "doff", doff)),
					fits ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_BAD_HEADER);
			}
}

/* More than 64 KiB in one sk_buff: the length field is 0 and the segments are known (BIG TCP). */
static void PKT_04_length_zero_only_of_merged_segments(void **state)
{
	struct plane *p = *state;
	struct plane_run run = { .prog = PROG_IN_ETH };
	struct plane_result result;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++) {
		build(&f, p, v6, IPPROTO_TCP);
		frame_zeros(&f, 1000);
		frame_set16(&f, length_at(v6), 0);
		run.gso_size = 500;
		plane_test_run(p, &run, &f, &result);
		assert_int_equal(plane_exit(p, NULL), SHUNT_CTR_RULE_DROP);
		run.gso_size = 0;
		plane_test_run(p, &run, &f, &result);
		assert_int_equal(plane_exit(p, NULL),
				 v6 ? SHUNT_CTR_SHORT : SHUNT_CTR_BAD_HEADER);
	}
}

static void PKT_04_icmp_cut(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++) {
		frame_ip(&f, p->mac, v6);
		frame_other(&f, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + 40 + 20);
		f.b[f.l4] = v6 ? 1 : 3;
		f.b[f.l4 + 8] = v6 ? 0x60 : 0x45;
		for (size_t n = 0; n <= 68; n++) {
			size_t all = n + (v6 ? 0 : 20);

			frame_set16(&f, length_at(v6), (uint16_t)all);
			assert_int_equal(plane_check(p, &f, title(v6, IPPROTO_ICMP, "bytes", n)),
					 n < 8 ? SHUNT_CTR_SHORT : SHUNT_CTR_ICMP_OTHER);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_04_frame_cut_at_every_byte),
		cmocka_unit_test(PKT_04_every_ip_length),
		cmocka_unit_test(PKT_04_padding_is_not_the_packet),
		cmocka_unit_test(PKT_04_every_udp_length),
		cmocka_unit_test(PKT_04_udp_length_of_a_first_fragment),
		cmocka_unit_test(PKT_04_every_tcp_data_offset),
		cmocka_unit_test(PKT_04_length_zero_only_of_merged_segments),
		cmocka_unit_test(PKT_04_icmp_cut),
	};

	return cmocka_run_group_tests_name("bpf truncation", tests, plane_up, plane_down);
}
