// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * PKT-07, PKT-08, PKT-09, IF-07, IF-08: what shares the link with the flows and is none. The
 * rules here drop everything; who is a bystander gets by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plane.h"

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static void build(struct frame *f, const struct plane *p, bool v6, uint8_t proto)
{
	frame_ip(f, p->mac, v6);
	frame_l4(f, proto, 80);
	frame_close(f);
}

typedef void (*case_fn)(struct plane *p, bool v6, uint8_t proto);

static void for_all(struct plane *p, case_fn fn)
{
	plane_rules(p, "10 in drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++)
			fn(p, v6, protos[i]);
}

static void expect(struct plane *p, const struct frame *f, const char *what,
		   enum shunt_counter want)
{
	enum shunt_counter is = plane_check(p, f, what);

	if (is != want)
		fail_msg("%s: %s, should be %s", what, shunt_counter_name(is),
			 shunt_counter_name(want));
}

/* ---- link ------------------------------------------------------------------------------- */

static void other_macs(struct plane *p, bool v6, uint8_t proto)
{
	static const struct {
		const char *name;
		uint8_t mac[6];
	} macs[] = {
		{ "another host", { 0x02, 0, 0, 0, 0, 0x55 } },
		{ "broadcast", { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ "IPv4 multicast", { 0x01, 0, 0x5e, 0, 0, 0xfb } },
		{ "IPv6 multicast", { 0x33, 0x33, 0, 0, 0, 1 } },
	};
	struct frame f;

	build(&f, p, v6, proto);
	expect(p, &f, "our address", SHUNT_CTR_RULE_DROP);
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		memcpy(f.b, macs[i].mac, 6);
		expect(p, &f, macs[i].name, SHUNT_CTR_NOT_HOST);
	}
	for (int bit = 0; bit < 48; bit++) {
		memcpy(f.b, p->mac, 6);
		f.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect(p, &f, "our address but for a bit", SHUNT_CTR_NOT_HOST);
	}
}

static void PKT_07_foreign_link_address(void **state)
{
	for_all(*state, other_macs);
}

static void ether_types(struct plane *p, bool v6, uint8_t proto)
{
	/* ARP, LLDP, EAPOL, PPPoE (IF-08), MPLS, WoL, loopback, 802.3 lengths, one bit off */
	static const uint16_t types[] = { 0x0806, 0x88cc, 0x888e, 0x8863, 0x8864, 0x8847, 0x0842,
					  0x9000, 0x0026, 0x05dc, 0x0801, 0x86dc };
	struct frame f;

	build(&f, p, v6, proto);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		frame_set16(&f, 12, types[i]);
		expect(p, &f, "link type", SHUNT_CTR_NOT_IP);
	}
	frame_zeros(&f, 40); /* enough for either header */
	frame_set16(&f, 12, v6 ? 0x0800 : 0x86dd);
	expect(p, &f, "the other family's link type", SHUNT_CTR_BAD_HEADER);
}

static void IF_08_other_link_types(void **state)
{
	for_all(*state, ether_types);
}

/* Insert a tag in front of the link type. */
static void tag(struct frame *f, uint16_t tpid, uint16_t tci)
{
	memmove(f->b + 16, f->b + 12, f->len - 12);
	f->len += 4;
	frame_set16(f, 12, tpid);
	frame_set16(f, 14, tci);
}

/* By the wire: a test run does not take tags off, nor lets them be given in the context. */
static void vlans(struct plane *p, bool v6, uint8_t proto)
{
	static const struct {
		const char *name;
		uint16_t inner, outer[2]; /* inner: tci of an 802.1Q tag, 0xffff none */
		enum shunt_counter exit;
	} tags[] = {
		{ "vid 10", 0xffff, { 0x8100, 10 }, SHUNT_CTR_VLAN },
		{ "vid 1", 0xffff, { 0x8100, 1 }, SHUNT_CTR_VLAN },
		{ "vid 4095", 0xffff, { 0x8100, 0x0fff }, SHUNT_CTR_VLAN },
		{ "priority 7, vid 2048", 0xffff, { 0x8100, 0xe800 }, SHUNT_CTR_VLAN },
		{ "priority 0 only", 0xffff, { 0x8100, 0 }, SHUNT_CTR_RULE_DROP },
		{ "priority 7 only", 0xffff, { 0x8100, 0xe000 }, SHUNT_CTR_RULE_DROP },
		{ "drop eligible only", 0xffff, { 0x8100, 0x1000 }, SHUNT_CTR_RULE_DROP },
		{ "802.1ad vid 10", 0xffff, { 0x88a8, 10 }, SHUNT_CTR_VLAN },
		{ "802.1ad vid 10, vid 20", 20, { 0x88a8, 10 }, SHUNT_CTR_VLAN },
		{ "vid 10, vid 20", 20, { 0x8100, 10 }, SHUNT_CTR_VLAN },
		{ "priority, vid 20", 20, { 0x8100, 0 }, SHUNT_CTR_NOT_IP },
		{ "priority twice", 0, { 0x8100, 0 }, SHUNT_CTR_NOT_IP },
	};
	struct frame f;

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		enum shunt_counter is;

		build(&f, p, v6, proto);
		if (tags[i].inner != 0xffff)
			tag(&f, 0x8100, tags[i].inner);
		tag(&f, tags[i].outer[0], tags[i].outer[1]);
		plane_send(p, &f);
		is = plane_exit(p, NULL);
		if (is != tags[i].exit)
			fail_msg("%s: %s, should be %s", tags[i].name, shunt_counter_name(is),
				 shunt_counter_name(tags[i].exit));
	}
	build(&f, p, v6, proto);
	plane_send(p, &f);
	assert_int_equal(plane_exit(p, NULL), SHUNT_CTR_RULE_DROP);
}

static void IF_07_tagged_frames(void **state)
{
	for_all(*state, vlans);
}

/* ---- addresses -------------------------------------------------------------------------- */

/* Sent to our link address, so only the IP addresses speak against it. */
static const struct {
	bool v6;
	bool steered; /* a host's address, next to one that is none */
	const char *text;
} addresses[] = {
	{ false, false, "0.0.0.0" },	     { false, false, "0.1.2.3" },
	{ false, true, "1.0.0.0" },	     { false, true, "126.255.255.255" },
	{ false, false, "127.0.0.1" },	     { false, false, "127.255.255.255" },
	{ false, true, "128.0.0.1" },	     { false, true, "223.255.255.255" },
	{ false, false, "224.0.0.1" },	     { false, false, "239.255.255.250" },
	{ false, false, "240.0.0.1" },	     { false, false, "255.255.255.255" },
	{ true, false, "::" },		     { true, false, "::1" },
	{ true, false, "::10.1.2.3" },	     { true, false, "::ffff:10.1.2.3" },
	{ true, false, "::ffff:127.0.0.1" }, { true, true, "::1:0:10.1.2.3" },
	{ true, true, "::fffe:10.1.2.3" },   { true, true, "::ffff:0:10.1.2.3" },
	{ true, true, "64:ff9b::10.1.2.3" }, { true, true, "2002:a01:203::1" },
	{ true, true, "fe80::1" },	     { true, true, "fd00::1" },
	{ true, true, "feff::1" },	     { true, false, "ff00::1" },
	{ true, false, "ff02::fb" },	     { true, false, "ffff::1" },
};

static void each_address(struct plane *p, bool v6, uint8_t proto)
{
	struct frame f;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		enum shunt_counter want = addresses[i].steered ? SHUNT_CTR_RULE_DROP
							       : SHUNT_CTR_NOT_UNICAST;

		if (addresses[i].v6 != v6)
			continue;
		build(&f, p, v6, proto);
		frame_set_dst(&f, addresses[i].text);
		expect(p, &f, addresses[i].text, want);
		build(&f, p, v6, proto);
		frame_set_src(&f, addresses[i].text);
		expect(p, &f, addresses[i].text, want);
	}
}

static void PKT_07_addresses_of_no_host(void **state)
{
	for_all(*state, each_address);
}

/* IPv4 written in IPv6 is not IPv4 to a rule, and the other way round. */
static void PKT_08_families_do_not_mix(void **state)
{
	static const char *const embedded[] = { "64:ff9b::10.1.2.3", "2002:a01:203::1",
						"::ffff:0:10.1.2.3" };
	struct plane *p = *state;
	struct frame f;

	for (size_t i = 0; i < 2; i++) {
		plane_rules(p, "10 in to 10.0.0.0/8 drop\n20 in to 0.0.0.0/0 drop\n");
		build(&f, p, false, protos[i]);
		frame_set_dst(&f, "10.1.2.3");
		expect(p, &f, "10.1.2.3", SHUNT_CTR_RULE_DROP);
		for (size_t e = 0; e < 3; e++) {
			build(&f, p, true, protos[i]);
			frame_set_dst(&f, embedded[e]);
			expect(p, &f, embedded[e], SHUNT_CTR_NO_MATCH);
		}
		frame_set_dst(&f, "::ffff:10.1.2.3");
		expect(p, &f, "v4-mapped", SHUNT_CTR_NOT_UNICAST);
		plane_rules(p, "10 in to ::/0 drop\n");
		frame_set_dst(&f, "fe80::9");
		expect(p, &f, "fe80::9", SHUNT_CTR_RULE_DROP);
		build(&f, p, false, protos[i]);
		expect(p, &f, "IPv4", SHUNT_CTR_NO_MATCH);
	}
}

/* ---- protocols -------------------------------------------------------------------------- */

/* The bytes of a SYN to port 80, under every protocol number. */
static void PKT_09_every_protocol_number(void **state)
{
	struct plane *p = *state;
	struct frame f;
	char what[64];

	plane_rules(p, "10 in drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int proto = 0; proto < 256; proto++) {
			enum shunt_counter is;

			build(&f, p, v6, IPPROTO_TCP);
			frame_zeros(&f, 20);
			frame_close(&f);
			frame_set16(&f, f.l4 + 4, (uint16_t)(f.len - f.l4)); /* as UDP */
			*f.next = (uint8_t)proto;
			snprintf(what, sizeof(what), "IPv%d protocol %u", v6 ? 6 : 4, proto);
			is = plane_check(p, &f, what);
			if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
				assert_int_equal(is, SHUNT_CTR_RULE_DROP);
			else if (is == SHUNT_CTR_RULE_DROP)
				fail_msg("%s matched a rule for TCP and UDP", what);
			else if (!v6)
				assert_int_equal(is, SHUNT_CTR_OTHER_PROTO);
		}
}

/* Pings, neighbours, groups: ICMP that is no error is not looked into. */
static void PKT_07_icmp_that_is_no_error(void **state)
{
	struct plane *p = *state;
	struct frame f;
	char what[64];

	plane_rules(p, "10 in drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int type = 0; type < 256; type++) {
			bool error = v6 ? type >= 1 && type <= 4
					: type == 3 || type == 11 || type == 12;

			frame_ip(&f, p->mac, v6);
			frame_other(&f, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + 40 + 20);
			f.b[f.l4] = (uint8_t)type;
			frame_close(&f);
			snprintf(what, sizeof(what), "IPv%d ICMP type %u", v6 ? 6 : 4, type);
			expect(p, &f, what,
			       error ? SHUNT_CTR_ICMP_OTHER : SHUNT_CTR_OTHER_PROTO);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(PKT_07_foreign_link_address),
		cmocka_unit_test(IF_08_other_link_types),
		cmocka_unit_test(IF_07_tagged_frames),
		cmocka_unit_test(PKT_07_addresses_of_no_host),
		cmocka_unit_test(PKT_08_families_do_not_mix),
		cmocka_unit_test(PKT_09_every_protocol_number),
		cmocka_unit_test(PKT_07_icmp_that_is_no_error),
	};

	return cmocka_run_group_tests_name("bpf bystanders", tests, plane_up, plane_down);
}
