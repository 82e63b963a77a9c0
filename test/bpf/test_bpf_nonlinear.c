// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PKT-05, PKT-01: frames of which only the link header is linear, and fragments. Both by the
 * wire, as a test run can make neither: its sk_buffs are linear and no socket can be assigned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "plane.h"

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static void build(struct frame *f, const struct plane *p, bool v6, uint8_t proto, uint16_t port)
{
	frame_ip(f, p->mac, v6);
	frame_l4(f, proto, port);
	frame_close(f);
}

static bool was_pulled(uint64_t events)
{
	return events >> SHUNT_CTR_PULLED & 1;
}

static void PKT_05_headers_are_pulled(void **state)
{
	struct plane *p = *state;
	uint64_t events;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++)
			for (uint16_t port = 80; port <= 81; port++) {
				enum shunt_counter want = port == 80 ? SHUNT_CTR_RULE_DROP
								     : SHUNT_CTR_NO_MATCH;

				build(&f, p, v6, protos[i], port);
				plane_send(p, &f);
				assert_int_equal(plane_exit(p, &events), want);
				assert_false(was_pulled(events));
				plane_send_nonlinear(p, &f);
				assert_int_equal(plane_exit(p, &events), want);
				assert_true(was_pulled(events));
			}
}

/* Headers that go on behind what is pulled. */
static void PKT_05_headers_behind_the_pulled_bytes(void **state)
{
	static const uint8_t dst[24] = { 0, 2, 1, 20 };
	struct plane *p = *state;
	uint64_t events;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (size_t i = 0; i < 2; i++)
		for (uint16_t port = 80; port <= 81; port++) {
			frame_ip6(&f, p->mac);
			for (int n = 0; n < SHUNT_MAX_V6_EXT; n++)
				frame_ext(&f, IPPROTO_DSTOPTS, dst, sizeof(dst));
			assert_true(f.len > SHUNT_PULL_LEN);
			frame_l4(&f, protos[i], port);
			frame_close(&f);
			plane_send_nonlinear(p, &f);
			assert_int_equal(plane_exit(p, &events), port == 80 ? SHUNT_CTR_RULE_DROP
									    : SHUNT_CTR_NO_MATCH);
			assert_true(was_pulled(events));
		}
}

static void PKT_05_cut_at_every_byte(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++) {
			size_t whole;

			build(&f, p, v6, protos[i], 80);
			for (whole = f.len; f.len > FRAME_ETH; f.len--) {
				plane_send_nonlinear(p, &f);
				assert_int_equal(plane_exit(p, NULL), f.len == whole
									      ? SHUNT_CTR_RULE_DROP
									      : SHUNT_CTR_SHORT);
			}
		}
}

/* A fragment of a TCP segment: offset in units of 8 bytes. */
static void build_fragment(struct frame *f, const struct plane *p, bool v6, uint8_t id,
			   uint16_t offset, bool more)
{
	uint8_t header[8] = { [3] = more, [7] = id };

	frame_ip(f, p->mac, v6);
	header[2] = (uint8_t)(offset * 8 >> 8);
	header[3] |= (uint8_t)(offset * 8);
	if (v6) {
		frame_ext(f, IPPROTO_FRAGMENT, header, sizeof(header));
	} else {
		frame_set16(f, FRAME_ETH + 4, id);
		frame_set16(f, FRAME_ETH + 6, (uint16_t)((more ? 0x2000 : 0) | offset));
	}
	frame_l4(f, IPPROTO_TCP, 80);
	frame_set16(f, f->l4, (uint16_t)(FRAME_SPORT + id));
	frame_zeros(f, 4);
	frame_close(f);
}

static enum shunt_counter sent(struct plane *p, const struct frame *f)
{
	plane_send(p, f);
	return plane_exit(p, NULL);
}

static void PKT_01_tail_follows_its_head(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in tcp port 80 proxy\n");
	for (int v6 = 0; v6 < 2; v6++) {
		build_fragment(&f, p, v6, 1, 3, false); /* tail before its head */
		assert_int_equal(sent(p, &f), SHUNT_CTR_FRAG_OTHER);
		build_fragment(&f, p, v6, 1, 0, true);
		assert_int_equal(sent(p, &f), SHUNT_CTR_STEER_NEW);
		build_fragment(&f, p, v6, 1, 3, true);
		assert_int_equal(sent(p, &f), SHUNT_CTR_STEER_FRAG);
		build_fragment(&f, p, v6, 1, 6, false);
		assert_int_equal(sent(p, &f), SHUNT_CTR_STEER_FRAG);
		build_fragment(&f, p, v6, 2, 3, false); /* of another packet */
		assert_int_equal(sent(p, &f), SHUNT_CTR_FRAG_OTHER);
		build_fragment(&f, p, v6, 1, 3, false); /* of another host */
		frame_set_src(&f, v6 ? "2001:db8:1::8" : "192.0.2.8");
		assert_int_equal(sent(p, &f), SHUNT_CTR_FRAG_OTHER);
		build_fragment(&f, p, v6, 1, 3, false); /* to another host */
		frame_set_dst(&f, v6 ? "2001:db8:2::8" : "198.51.100.8");
		assert_int_equal(sent(p, &f), SHUNT_CTR_FRAG_OTHER);
	}
}

/* A head that no rule selects leaves its tail alone. */
static void PKT_01_tail_of_an_unselected_head(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in tcp port 81 proxy\n");
	for (int v6 = 0; v6 < 2; v6++) {
		build_fragment(&f, p, v6, 9, 0, true);
		assert_int_equal(sent(p, &f), SHUNT_CTR_NO_MATCH);
		build_fragment(&f, p, v6, 9, 3, false);
		assert_int_equal(sent(p, &f), SHUNT_CTR_FRAG_OTHER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_05_headers_are_pulled),
		cmocka_unit_test(PKT_05_headers_behind_the_pulled_bytes),
		cmocka_unit_test(PKT_05_cut_at_every_byte),
		cmocka_unit_test(PKT_01_tail_follows_its_head),
		cmocka_unit_test(PKT_01_tail_of_an_unselected_head),
	};

	return cmocka_run_group_tests_name("bpf nonlinear", tests, plane_up, plane_down);
}
