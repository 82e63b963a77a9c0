// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Routed packets: which are sent on from the program, with what in their headers, and which are
 * left to the kernel, by reason. Each case as the first packet of a flow and as a later one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "plane.h"

enum { NEXT = -1, PORT = 9, WAY_MTU = 600, UDP_HEAD = 8 };

/* The next hop's link address. */
static const uint8_t hop_mac[6] = { 0x02, 0, 0, 0, 0, 0x99 };

/*
 * Without a default route a lookup says the same of an address that has no route and of one of this
 * host's (net/core/filter.c, bpf_ipv4_fib_lookup()).
 */
static const char network[] =
	"ip route add unreachable default metric 4278198272\n"
	"ip -6 route add unreachable default metric 4278198272\n"
	"ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:99 dev near nud permanent\n"
	"ip neigh add fd77::2 lladdr 02:00:00:00:00:99 dev near nud permanent\n"
	"ip route add 198.51.100.0/24 via 10.77.0.2\n"
	"ip route add 2001:db8:2::/64 via fd77::2\n"
	"ip route add blackhole 203.0.113.1\n"
	"ip route add blackhole 2001:db8:3::1\n"
	"ip route add prohibit 203.0.113.2\n"
	"ip route add prohibit 2001:db8:3::2\n"
	"ip route add unreachable 203.0.113.3\n"
	"ip route add unreachable 2001:db8:3::3\n"
	"ip route add 203.0.113.4 via 10.77.0.3\n"
	"ip route add 2001:db8:3::4 via fd77::3\n"
	"ip route add 203.0.113.5 via 10.77.0.2 mtu lock 600\n"
	"ip link add wide type veth peer name wider\n"
	"ip link set wide mtu 1280 up && ip link set wider up\n"
	"ip addr add 10.78.0.1/24 dev wide\n"
	"ip addr add fd78::1/64 dev wide nodad\n"
	"ip neigh add 10.78.0.9 lladdr 02:00:00:00:00:99 dev wide nud permanent\n"
	"ip neigh add fd78::9 lladdr 02:00:00:00:00:99 dev wide nud permanent\n"
	"ip route add 203.0.113.7 via 10.78.0.9\n"
	"ip route add 2001:db8:3::7 via fd78::9\n";

enum special {
	OPTIONS = 1,	/* IP options, or an extension header */
	FIRST_FRAGMENT = 2,
	LATER_FRAGMENT = 4,
	DONT_FRAGMENT = 8,
	WRONG_SUM = 16, /* of the IPv4 header */
};

struct route_case {
	const char *name;
	enum shunt_counter exit;
	unsigned int special;
	const char *dst4, *dst6; /* NULL: a router away */
	const char *src4, *src6;
	int ttl; /* 0: 64; -1: 0 */
	size_t len; /* of the IP packet, 0: short */
	uint32_t gso;
	bool only[2]; /* this family, if one is set */
	bool no_flow; /* nothing is noted */
};

#define V4 .only = { true, false }
#define V6 .only = { false, true }

static const struct route_case cases[] = {
	{ "a datagram", SHUNT_CTR_ROUTED, .ttl = 64 },
	{ "do not fragment", SHUNT_CTR_ROUTED, DONT_FRAGMENT, V4 },
	{ "time to live 2", SHUNT_CTR_ROUTED, .ttl = 2 },
	{ "time to live 255", SHUNT_CTR_ROUTED, .ttl = 255 },
	{ "time to live 1", SHUNT_CTR_ROUTE_TTL, .ttl = 1 },
	{ "time to live 0", SHUNT_CTR_ROUTE_TTL, .ttl = -1 },
	{ "options", SHUNT_CTR_ROUTE_OPTIONS, .special = OPTIONS },
	{ "a first fragment", SHUNT_CTR_ROUTE_FRAGMENT, .special = FIRST_FRAGMENT },
	{ "a later fragment", SHUNT_CTR_FRAG_OTHER, LATER_FRAGMENT, .no_flow = true },
	{ "a wrong checksum", SHUNT_CTR_BAD_HEADER, WRONG_SUM, V4 },
	{ "no route", SHUNT_CTR_ROUTE_NO_ROUTE, .dst4 = "203.0.113.99", .dst6 = "2001:db8:4::1",
	  .no_flow = true },
	{ "a blackhole", SHUNT_CTR_ROUTE_NO_ROUTE, .dst4 = "203.0.113.1", .dst6 = "2001:db8:3::1",
	  .no_flow = true },
	{ "prohibited", SHUNT_CTR_ROUTE_NO_ROUTE, .dst4 = "203.0.113.2", .dst6 = "2001:db8:3::2",
	  .no_flow = true },
	{ "unreachable", SHUNT_CTR_ROUTE_NO_ROUTE, .dst4 = "203.0.113.3", .dst6 = "2001:db8:3::3",
	  .no_flow = true },
	{ "a neighbour that is not known", SHUNT_CTR_ROUTE_NO_NEIGH, .dst4 = "203.0.113.4",
	  .dst6 = "2001:db8:3::4" },
	{ "as large as the route's MTU", SHUNT_CTR_ROUTED, .dst4 = "203.0.113.5", V4,
	  .len = WAY_MTU },
	{ "larger than the route's MTU", SHUNT_CTR_ROUTE_TOO_BIG, .dst4 = "203.0.113.5", V4,
	  .len = WAY_MTU + 1 },
	{ "larger, do not fragment", SHUNT_CTR_ROUTE_TOO_BIG, DONT_FRAGMENT, V4,
	  .dst4 = "203.0.113.5", .len = WAY_MTU + 1 },
	{ "as large as the link's MTU", SHUNT_CTR_ROUTED, .dst4 = "203.0.113.7",
	  .dst6 = "2001:db8:3::7", .len = 1280 },
	{ "larger than the link's MTU", SHUNT_CTR_ROUTE_TOO_BIG, .dst4 = "203.0.113.7",
	  .dst6 = "2001:db8:3::7", .len = 1281 },
	{ "segments that fit the MTU", SHUNT_CTR_ROUTED, .dst4 = "203.0.113.5", V4, .len = 1100,
	  .gso = WAY_MTU - 28 },
	{ "segments larger than the MTU", SHUNT_CTR_ROUTE_TOO_BIG, .dst4 = "203.0.113.5", V4,
	  .len = 1100, .gso = WAY_MTU - 27 },
	{ "to this host", SHUNT_CTR_ROUTE_LOCAL, .dst4 = PLANE_ADDR4, .dst6 = PLANE_ADDR6,
	  .no_flow = true },
	{ "from this host's address", SHUNT_CTR_ROUTE_LOCAL, .src4 = PLANE_ADDR4,
	  .src6 = PLANE_ADDR6, .no_flow = true },
	{ "to the network's broadcast address", SHUNT_CTR_ROUTE_LOCAL, V4, .dst4 = "10.77.0.255",
	  .no_flow = true },
	{ "to all", SHUNT_CTR_NOT_UNICAST, .dst4 = "255.255.255.255", .dst6 = "ff02::1",
	  .no_flow = true },
	{ "to a group", SHUNT_CTR_NOT_UNICAST, .dst4 = "239.1.2.3", .dst6 = "ff0e::101",
	  .no_flow = true },
	{ "from a group", SHUNT_CTR_NOT_UNICAST, .src4 = "239.1.2.3", .src6 = "ff0e::101",
	  .no_flow = true },
	{ "to the loopback network", SHUNT_CTR_NOT_UNICAST, .dst4 = "127.0.0.9", .dst6 = "::1",
	  .no_flow = true },
	{ "from a link-local address", SHUNT_CTR_ROUTE_OTHER, V6, .src6 = "fe80::7" },
	{ "to a link-local address", SHUNT_CTR_ROUTE_OTHER, V6, .dst6 = "fe80::9" },
};

/* ---- frames --------------------------------------------------------------------------------- */

static uint16_t ones_sum(const uint8_t *b, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void finish_ip4(struct frame *f, const struct route_case *c)
{
	size_t n = (f->b[FRAME_ETH] & 0xf) * 4U;

	if (c->special & DONT_FRAGMENT)
		f->b[FRAME_ETH + 6] = 0x40;
	if (c->special & FIRST_FRAGMENT)
		f->b[FRAME_ETH + 6] = 0x20;
	if (c->special & LATER_FRAGMENT)
		f->b[FRAME_ETH + 7] = 2;
	frame_set16(f, FRAME_ETH + 10, (uint16_t)~ones_sum(f->b + FRAME_ETH, n));
	if (c->special & WRONG_SUM)
		f->b[FRAME_ETH + 11] ^= 4;
}

/* The headers up to the transport's. */
static void begin_frame(struct frame *f, const struct plane *p, const struct route_case *c, bool v6)
{
	static const uint8_t options[4] = { 1, 1, 1, 1 }, padding[8] = { 0, 0, 1, 4 };
	uint8_t fragment[8] = { 0, 0, 0, c->special & FIRST_FRAGMENT ? 1 : 16, 0, 0, 0, 1 };

	if (!v6 && c->special & OPTIONS)
		frame_ip4(f, p->mac, options, sizeof(options));
	else
		frame_ip(f, p->mac, v6);
	if (v6 && c->special & OPTIONS)
		frame_ext(f, IPPROTO_DSTOPTS, padding, sizeof(padding));
	if (v6 && c->special & (FIRST_FRAGMENT | LATER_FRAGMENT))
		frame_ext(f, IPPROTO_FRAGMENT, fragment, sizeof(fragment));
	if (v6 ? c->dst6 : c->dst4)
		frame_set_dst(f, v6 ? c->dst6 : c->dst4);
	if (v6 ? c->src6 : c->src4)
		frame_set_src(f, v6 ? c->src6 : c->src4);
	if (c->ttl)
		f->b[FRAME_ETH + (v6 ? 7 : 8)] = (uint8_t)(c->ttl > 0 ? c->ttl : 0);
}

static void make_datagram(struct frame *f, const struct plane *p, const struct route_case *c,
			  bool v6)
{
	size_t payload;

	begin_frame(f, p, c, v6);
	payload = c->len ? c->len - (f->len - FRAME_ETH) - UDP_HEAD : 18;
	frame_udp(f, PORT, payload);
	frame_close(f);
	if (!v6)
		finish_ip4(f, c);
}

/* ---- runs ----------------------------------------------------------------------------------- */

struct sent {
	int verdict;
	uint32_t mark;
	struct frame f;
};

static enum shunt_counter run(struct plane *p, const struct frame *f, uint32_t gso, struct sent *out)
{
	struct __sk_buff skb = { .ifindex = p->ifindex, .ingress_ifindex = p->ifindex,
				 .mark = PLANE_OTHER_MARK, .gso_size = gso,
				 .gso_segs = gso ? 2 : 0 };

	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b,
			    .data_size_in = (__u32)f->len, .data_out = out->f.b,
			    .data_size_out = FRAME_MAX, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .ctx_out = &skb,
			    .ctx_size_out = sizeof(skb), .repeat = 1);
	plane_sync(p);
	if (bpf_prog_test_run_opts(p->s->prog[PROG_IN_ETH], &opts))
		fail_msg("test run: %s", strerror(errno));
	out->verdict = (int)opts.retval;
	out->mark = skb.mark;
	out->f.len = opts.data_size_out;
	return plane_exit(p, NULL);
}

static void forget_all(struct plane *p)
{
	struct shunt_udp_key datagrams;
	struct shunt_tuple t;

	while (!bpf_map_get_next_key(p->s->map.routed, NULL, &t))
		bpf_map_delete_elem(p->s->map.routed, &t);
	while (!bpf_map_get_next_key(p->s->map.udp_flows, NULL, &datagrams))
		bpf_map_delete_elem(p->s->map.udp_flows, &datagrams);
}

static bool is_known(struct plane *p)
{
	struct shunt_tuple t;

	return !bpf_map_get_next_key(p->s->map.routed, NULL, &t);
}

/*
 * What was sent on is what came, but for a time to live one less, a checksum that fits, and link
 * addresses, which the first packet of a flow gets from the neighbour code later.
 */
static void check_sent(const struct frame *in, const struct sent *out, const char *what,
		       bool first)
{
	struct frame want = *in;

	want.b[FRAME_ETH + (in->v6 ? 7 : 8)]--;
	if (!in->v6) {
		frame_set16(&want, FRAME_ETH + 10, 0);
		frame_set16(&want, FRAME_ETH + 10, (uint16_t)~ones_sum(want.b + FRAME_ETH, 20));
	}
	if (!first)
		memcpy(want.b, hop_mac, 6);
	if (out->f.len != in->len || memcmp(out->f.b, want.b, 6) ||
	    memcmp(out->f.b + 12, want.b + 12, in->len - 12))
		fail_msg("%s: what is sent is not what came", what);
	if (!first && !memcmp(out->f.b + 6, in->b + 6, 6))
		fail_msg("%s: the sender's link address is sent on", what);
}

/* Did the packet go the long way? A later one does if 10 ms have passed since the one before. */
static bool went_long_way(const struct frame *in, const struct sent *out)
{
	return !memcmp(out->f.b, in->b, 6);
}

static void check_run(struct plane *p, const struct route_case *c, const struct frame *f,
		      const char *what, bool first)
{
	enum shunt_counter exit;
	struct sent out;
	int tries = 1000;

	do {
		exit = run(p, f, c->gso, &out);
	} while (!first && exit == SHUNT_CTR_ROUTED && went_long_way(f, &out) && --tries);
	if (exit != c->exit)
		fail_msg("%s: counted as %s, should be %s", what, shunt_counter_name(exit),
			 shunt_counter_name(c->exit));
	if (out.verdict != (exit == SHUNT_CTR_ROUTED ? TC_ACT_REDIRECT : NEXT))
		fail_msg("%s: verdict %d", what, out.verdict);
	if (out.mark != PLANE_OTHER_MARK)
		fail_msg("%s: the mark is 0x%x", what, out.mark);
	if (exit == SHUNT_CTR_ROUTED)
		check_sent(f, &out, what, first);
	else if (out.f.len != f->len || memcmp(out.f.b, f->b, f->len))
		fail_msg("%s: left to the kernel, but changed", what);
}

/* A small packet of the same flow that may go, so that it is a known one. */
static void make_known(struct plane *p, const struct route_case *c, bool v6)
{
	const struct route_case plain = { .dst4 = c->dst4, .dst6 = c->dst6 };
	struct frame f;
	struct sent out;

	make_datagram(&f, p, &plain, v6);
	run(p, &f, 0, &out);
	assert_true(is_known(p));
}

static void check_case(struct plane *p, const struct route_case *c, bool v6)
{
	struct frame f;
	char what[96];

	if ((c->only[0] || c->only[1]) && !c->only[v6])
		return;
	make_datagram(&f, p, c, v6);
	snprintf(what, sizeof(what), "%s, IPv%d, first", c->name, v6 ? 6 : 4);
	forget_all(p);
	check_run(p, c, &f, what, true);
	if (is_known(p) == c->no_flow)
		fail_msg("%s: %s", what, c->no_flow ? "noted" : "not noted");
	if (c->no_flow)
		return;
	snprintf(what, sizeof(what), "%s, IPv%d, later", c->name, v6 ? 6 : 4);
	forget_all(p);
	make_known(p, c, v6);
	check_run(p, c, &f, what, false);
}

static void ROUTE_each_packet_goes_where_it_should(void **state)
{
	struct plane *p = *state;

	plane_rules(p, "10 in route");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int v6 = 0; v6 < 2; v6++)
			check_case(p, &cases[i], v6);
}

/* The control of it all: the same packets, and no rule that routes them. */
static void ROUTE_unselected_packets_are_left_alone(void **state)
{
	const struct route_case left = { "no rule", SHUNT_CTR_NO_MATCH, .no_flow = true };
	struct plane *p = *state;

	plane_rules(p, "10 in tcp route\n20 in udp port 10 route");
	check_case(p, &left, false);
	check_case(p, &left, true);
}

/* ---- life of a flow --------------------------------------------------------------------------- */

static enum shunt_counter segment(struct plane *p, bool v6, uint8_t flags)
{
	const struct route_case plain = {};
	struct frame f;
	struct sent out;

	begin_frame(&f, p, &plain, v6);
	frame_tcp(&f, 80, flags);
	frame_close(&f);
	if (!v6)
		finish_ip4(&f, &plain);
	return run(p, &f, 0, &out);
}

static void ROUTE_a_syn_ends_the_flow_before(void **state)
{
	struct plane *p = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		forget_all(p);
		plane_rules(p, "10 in tcp route");
		assert_int_equal(segment(p, v6, TCP_A), SHUNT_CTR_MID_FLOW);
		assert_int_equal(segment(p, v6, TCP_S), SHUNT_CTR_ROUTED);
		plane_rules(p, "10 in tcp pass");
		assert_int_equal(segment(p, v6, TCP_A), SHUNT_CTR_ROUTED);
		assert_int_equal(segment(p, v6, TCP_S), SHUNT_CTR_RULE_PASS);
		assert_int_equal(segment(p, v6, TCP_A), SHUNT_CTR_MID_FLOW);
		assert_false(is_known(p));
	}
}

static void make_answer(struct frame *f, const struct plane *p, const struct route_case *c, bool v6)
{
	make_datagram(f, p, c, v6);
	frame_set16(f, f->l4, PORT);
	frame_set16(f, f->l4 + 2, FRAME_SPORT);
}

/* It was left alone a moment ago, and is known by that (bpf/recent.h). */
static void ROUTE_the_way_back_is_routed_at_once(void **state)
{
	const struct route_case back = { .src4 = FRAME_DST4, .dst4 = "198.51.100.8",
					 .src6 = FRAME_DST6, .dst6 = "2001:db8:2::8" };
	const struct route_case again = { .src4 = "198.51.100.8", .src6 = "2001:db8:2::8" };
	struct plane *p = *state;
	struct sent out;
	struct frame f;

	for (int v6 = 0; v6 < 2; v6++) {
		forget_all(p);
		plane_rules(p, "10 in udp port 9 route");
		make_answer(&f, p, &back, v6);
		assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_NO_MATCH);
		for (int i = 0; i < 10; i++)
			assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_UDP_FLOW);
		make_datagram(&f, p, &again, v6);
		assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_ROUTED);
		make_answer(&f, p, &back, v6);
		assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_ROUTED);
	}
}

static void set_device_flag(struct plane *p, uint32_t flag, bool on)
{
	int slot = device_find(p->s, PLANE_DEVICE);
	struct shunt_device dev;

	assert_true(slot > 0);
	assert_int_equal(device_read(p->s, slot, &dev), 0);
	dev.flags = on ? dev.flags | flag : dev.flags & ~flag;
	assert_int_equal(device_write(p->s, slot, &dev), 0);
}

/* Nothing of this namespace's marks goes along into a peer; the first packet goes the long way. */
static void ROUTE_a_mark_does_not_go_into_a_peer(void **state)
{
	const struct route_case plain = {};
	struct plane *p = *state;
	struct sent out;
	struct frame f;

	plane_rules(p, "10 in route");
	for (int v6 = 0; v6 < 2; v6++) {
		forget_all(p);
		set_device_flag(p, SHUNT_DEV_PEER, true);
		make_datagram(&f, p, &plain, v6);
		assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_ROUTED);
		assert_int_equal(out.mark, PLANE_OTHER_MARK);
		/* So does one every four seconds. */
		for (int tries = 1000; out.mark && tries; tries--)
			assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_ROUTED);
		assert_int_equal(out.mark, 0);
		check_sent(&f, &out, "into a peer", false);
		set_device_flag(p, SHUNT_DEV_PEER, false);
		forget_all(p);
		run(p, &f, 0, &out);
		assert_int_equal(run(p, &f, 0, &out), SHUNT_CTR_ROUTED);
		assert_int_equal(out.mark, PLANE_OTHER_MARK);
	}
}

/* ---- set-up ----------------------------------------------------------------------------------- */

static int route_up(void **state)
{
	char script[sizeof(network) + 16];

	if (plane_up(state))
		return -1;
	plane_forwarding(true);
	snprintf(script, sizeof(script), "set -e\n%s", network);
	return system(script) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ROUTE_each_packet_goes_where_it_should),
		cmocka_unit_test(ROUTE_unselected_packets_are_left_alone),
		cmocka_unit_test(ROUTE_a_syn_ends_the_flow_before),
		cmocka_unit_test(ROUTE_the_way_back_is_routed_at_once),
		cmocka_unit_test(ROUTE_a_mark_does_not_go_into_a_peer),
	};

	return cmocka_run_group_tests_name("bpf route", tests, route_up, plane_down);
}
