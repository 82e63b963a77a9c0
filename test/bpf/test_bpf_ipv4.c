// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* PKT-02: IPv4 headers with options. The ports are read where the header ends, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plane.h"

/* Options that are no options of a port: the bytes 0x0050 (80) stand wherever they can. */
enum { NOP = 1, END = 0, RR = 7, ROUTER_ALERT = 148, LSRR = 131, TIMESTAMP = 68 };

struct options {
	const char *name;
	uint8_t bytes[40];
	size_t n;
};

static const struct options valid[] = {
	{ "one word of no-operation", { NOP, NOP, NOP, NOP }, 4 },
	{ "end of options", { END, 0, 0x50, 0 }, 4 },
	{ "router alert", { ROUTER_ALERT, 4, 0, 0 }, 4 },
	{ "record route, empty", { RR, 7, 4, 0, 0, 80, 0, NOP }, 8 },
	{ "record route, full", { RR, 11, 12, 0, 80, 0, 80, 0, 80, 0, 80, END }, 12 },
	{ "router alert after no-operations", { NOP, NOP, NOP, NOP, ROUTER_ALERT, 4, 0, 0 }, 8 },
	{ "timestamp", { TIMESTAMP, 12, 5, 0, 0, 80, 0, 80, 0, 80, 0, 80 }, 12 },
	{ "record route of nine addresses", { RR, 39, 4, [39] = END }, 40 },
};

/* The stack refuses these (ip_rcv_options); who reads them must not lose the way. */
static const struct options wrong[] = {
	{ "length 0", { RR, 0, 4, 0 }, 4 },
	{ "length 1", { RR, 1, 4, 0 }, 4 },
	{ "length beyond the header", { RR, 40, 4, 0 }, 4 },
	{ "length 255", { RR, 255, 4, 0, 0, 80, 0, 80 }, 8 },
	{ "pointer beyond the option", { RR, 7, 99, 0, 0, 80, 0, NOP }, 8 },
	{ "option cut by the end", { NOP, NOP, NOP, RR }, 4 },
	{ "unknown option of length 0", { 0x9e, 0, 0, 80 }, 4 },
};

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "tcp" : "udp";
}

/* Port 80 is dropped by the rule; port 81 stands next to it and is no rule's. */
static void check_ports(struct plane *p, const uint8_t *options, size_t n, const char *name)
{
	struct frame f;
	char what[128];

	for (size_t i = 0; i < 2; i++)
		for (uint16_t port = 80; port <= 81; port++) {
			snprintf(what, sizeof(what), "%s, %s port %u", name,
				 proto_name(protos[i]), port);
			frame_ip4(&f, p->mac, options, n);
			frame_l4(&f, protos[i], port);
			frame_close(&f);
			assert_int_equal(plane_check(p, &f, what),
					 port == 80 ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_NO_MATCH);
		}
}

static void PKT_02_every_header_length(void **state)
{
	struct plane *p = *state;
	uint8_t options[40];
	char what[64];

	memset(options, NOP, sizeof(options));
	plane_rules(p, "10 in port 80 drop\n");
	for (size_t ihl = 5; ihl <= 15; ihl++) {
		snprintf(what, sizeof(what), "ihl %zu", ihl);
		check_ports(p, options, (ihl - 5) * 4, what);
	}
}

static void PKT_02_valid_options(void **state)
{
	plane_rules(*state, "10 in port 80 drop\n");
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		check_ports(*state, valid[i].bytes, valid[i].n, valid[i].name);
}

static void PKT_02_options_of_wrong_length(void **state)
{
	plane_rules(*state, "10 in port 80 drop\n");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_ports(*state, wrong[i].bytes, wrong[i].n, wrong[i].name);
}

/* Whatever the rule, such a header never matches. */
static void PKT_02_header_length_that_cannot_be(void **state)
{
	struct plane *p = *state;
	struct frame f;
	char what[64];

	plane_rules(p, "10 in drop\n");
	for (size_t i = 0; i < 2; i++)
		for (unsigned int ihl = 0; ihl <= 15; ihl++) {
			frame_ip4(&f, p->mac, NULL, 0);
			frame_l4(&f, protos[i], 80);
			frame_close(&f);
			f.b[FRAME_ETH] = (uint8_t)(0x40 | ihl);
			snprintf(what, sizeof(what), "%s, ihl %u in %zu bytes",
				 proto_name(protos[i]), ihl, f.len);
			if (ihl == 5)
				assert_int_equal(plane_check(p, &f, what), SHUNT_CTR_RULE_DROP);
			else if (ihl < 5 || ihl * 4 > f.len - FRAME_ETH)
				assert_int_equal(plane_check(p, &f, what), SHUNT_CTR_BAD_HEADER);
			else
				plane_check(p, &f, what); /* the header eats the ports: oracle */
		}
}

/* The length says enough, the frame ends before. */
static void PKT_02_header_beyond_the_frame(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in drop\n");
	for (size_t i = 0; i < 2; i++) {
		frame_ip4(&f, p->mac, NULL, 0);
		frame_l4(&f, protos[i], 80);
		frame_set16(&f, FRAME_ETH + 2, 60);
		f.b[FRAME_ETH] = 0x4f;
		assert_int_equal(plane_check(p, &f, "60 bytes of header"), SHUNT_CTR_SHORT);
	}
}

static void PKT_02_version_that_is_not_the_link_type(void **state)
{
	struct plane *p = *state;
	struct frame f;
	char what[64];

	plane_rules(p, "10 in drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int version = 0; version < 16; version++) {
			frame_ip(&f, p->mac, v6);
			frame_l4(&f, IPPROTO_TCP, 80);
			frame_close(&f);
			f.b[FRAME_ETH] = (uint8_t)(version << 4 | (f.b[FRAME_ETH] & 15));
			snprintf(what, sizeof(what), "version %u in IPv%d", version, v6 ? 6 : 4);
			assert_int_equal(plane_check(p, &f, what),
					 version == (v6 ? 6U : 4U) ? SHUNT_CTR_RULE_DROP
								   : SHUNT_CTR_BAD_HEADER);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_02_every_header_length),
		cmocka_unit_test(PKT_02_valid_options),
		cmocka_unit_test(PKT_02_options_of_wrong_length),
		cmocka_unit_test(PKT_02_header_length_that_cannot_be),
		cmocka_unit_test(PKT_02_header_beyond_the_frame),
		cmocka_unit_test(PKT_02_version_that_is_not_the_link_type),
	};

	return cmocka_run_group_tests_name("bpf ipv4", tests, plane_up, plane_down);
}
