// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which rule decides, by the explain record; every match has its neighbour that must not match.
 * Then the same by chance: random rules and questions against the oracle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plane.h"
#include "random_frame.h"

enum {
	NOBODY = 65534, /* what the kernel says of a packet without a socket */
	RANDOM_SETS = 150,
	RANDOM_RULES = 30,
	RANDOM_QUESTIONS = 400,
};

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

static void build(struct frame *f, const struct plane *p, bool v6, uint8_t proto, uint16_t port)
{
	frame_ip(f, p->mac, v6);
	frame_l4(f, proto, port);
	frame_close(f);
}

static struct plane_result explained(struct plane *p, const struct frame *f, bool out, uint32_t uid)
{
	struct plane_run run = { .prog = out ? PROG_OUT_ETH : PROG_IN_ETH, .explain = true,
				 .uid = uid, .iif = out ? 0 : p->ifindex };
	struct plane_result r;

	plane_test_run(p, &run, f, &r);
	return r;
}

/* The priority of the rule that decides, 0 if none does. */
static uint32_t decides(struct plane *p, const struct frame *f, bool out, uint32_t uid)
{
	return explained(p, f, out, uid).ex.priority;
}

/* Over both families and protocols: rule `want` decides a packet to this port. */
static void expect_port(struct plane *p, bool out, uint16_t port, uint32_t tcp, uint32_t udp)
{
	struct frame f;

	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++) {
			build(&f, p, v6, protos[i], port);
			assert_int_equal(decides(p, &f, out, NOBODY), i ? udp : tcp);
		}
}

/* Must be the first test: later ones load rules. */
static void RULE_no_rules_loaded(void **state)
{
	struct plane *p = *state;
	struct frame f;

	build(&f, p, false, IPPROTO_TCP, 80);
	plane_sync(p);
	assert_int_equal(plane_ingress(p, &f, NULL), SHUNT_CTR_NO_RULESET);
	plane_rules(p, "# none\n");
	assert_int_equal(plane_ingress(p, &f, NULL), SHUNT_CTR_NO_MATCH);
}

static void RULE_lowest_priority_first(void **state)
{
	struct plane *p = *state;

	plane_rules(p, "1 pass port 1-79\n20 drop tcp port 80\n30 pass port 80\n"
		       "40 drop port 79-81\n2147483647 drop\n");
	expect_port(p, false, 79, 1, 1);
	expect_port(p, false, 80, 20, 30);
	expect_port(p, false, 81, 40, 40);
	expect_port(p, false, 82, 2147483647, 2147483647);
	plane_rules(p, "30 pass port 80\n40 drop port 79-81\n"); /* without the first and last */
	expect_port(p, false, 79, 40, 40);
	expect_port(p, false, 80, 30, 30);
	expect_port(p, false, 82, 0, 0);
}

static void RULE_direction_and_protocol(void **state)
{
	struct plane *p = *state;

	plane_rules(p, "10 in tcp port 80 drop\n20 out udp port 80 drop\n30 port 81 drop\n");
	expect_port(p, false, 80, 10, 0);
	expect_port(p, true, 80, 0, 20);
	expect_port(p, false, 81, 30, 30);
	expect_port(p, true, 81, 30, 30);
}

static void RULE_ports(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 port 1000-1999,80,65535 drop\n20 sport 40000 port 1 drop\n"
		       "30 sport 39999,40001 drop\n");
	expect_port(p, false, 999, 0, 0);
	expect_port(p, false, 1000, 10, 10);
	expect_port(p, false, 1999, 10, 10);
	expect_port(p, false, 2000, 0, 0);
	expect_port(p, false, 80, 10, 10);
	expect_port(p, false, 20480, 0, 0); /* 80 with its bytes exchanged */
	expect_port(p, false, 65535, 10, 10);
	expect_port(p, false, 1, 20, 20);
	build(&f, p, false, IPPROTO_TCP, 1);
	frame_set16(&f, f.l4, 40001);
	assert_int_equal(decides(p, &f, false, NOBODY), 30);
}

static void flip(struct frame *f, size_t at, int bit)
{
	f->b[at + (size_t)bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* A prefix of this length: its last bit counts, the one behind it does not. */
static void one_prefix(struct plane *p, bool v6, bool dst, int len)
{
	int max = v6 ? 128 : 32;
	size_t at = v6 ? (dst ? FRAME_AT_DST6 : FRAME_AT_SRC6)
		       : (dst ? FRAME_AT_DST4 : FRAME_AT_SRC4);
	struct shunt_prefix prefix = { .len = (uint8_t)(v6 ? len : 96 + len) };
	char text[SHUNT_PREFIX_STR], rule[128];
	struct frame f;

	build(&f, p, v6, IPPROTO_TCP, 80);
	if (!v6)
		prefix.addr.s6_addr[10] = prefix.addr.s6_addr[11] = 0xff;
	for (int i = 0; i < len; i++)
		if (f.b[at + (size_t)i / 8] >> (7 - i % 8) & 1)
			prefix.addr.s6_addr[(v6 ? 0 : 12) + i / 8] |= (uint8_t)(0x80 >> i % 8);
	snprintf(rule, sizeof(rule), "10 %s %s drop\n", dst ? "to" : "from",
		 shunt_prefix_str(text, &prefix));
	plane_rules(p, rule);
	assert_int_equal(decides(p, &f, false, NOBODY), 10);
	if (len < max) {
		flip(&f, at, max - 1);
		assert_int_equal(decides(p, &f, false, NOBODY), 10);
		flip(&f, at, max - 1);
	}
	/* The first bits are those of unicast addresses: left alone. */
	if (len > (v6 ? 8 : 4)) {
		flip(&f, at, len - 1);
		assert_int_equal(decides(p, &f, false, NOBODY), 0);
	}
	build(&f, p, !v6, IPPROTO_TCP, 80);
	assert_int_equal(decides(p, &f, false, NOBODY), 0);
}

static void RULE_every_prefix_length(void **state)
{
	for (int v6 = 0; v6 < 2; v6++)
		for (int dst = 0; dst < 2; dst++)
			for (int len = 0; len <= (v6 ? 128 : 32); len++)
				one_prefix(*state, v6, dst, len);
}

static void RULE_not(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 to not 198.51.100.0/24 port 80 drop\n"
		       "20 from not 2001:db8:1::/48 port 81 drop\n");
	for (size_t i = 0; i < 2; i++) {
		build(&f, p, false, protos[i], 80);
		assert_int_equal(decides(p, &f, false, NOBODY), 0);
		frame_set_dst(&f, "198.51.101.9");
		assert_int_equal(decides(p, &f, false, NOBODY), 10);
		build(&f, p, true, protos[i], 80); /* no address of IPv6 is in it */
		assert_int_equal(decides(p, &f, false, NOBODY), 10);
		build(&f, p, true, protos[i], 81);
		assert_int_equal(decides(p, &f, false, NOBODY), 0);
		frame_set_src(&f, "2001:db8:3::7");
		assert_int_equal(decides(p, &f, false, NOBODY), 20);
		build(&f, p, false, protos[i], 81);
		assert_int_equal(decides(p, &f, false, NOBODY), 20);
	}
}

static void RULE_device(void **state)
{
	struct plane *p = *state;

	plane_rules(p, "10 on " PLANE_FAR " port 80 drop\n20 on " PLANE_DEVICE " port 80 drop\n"
		       "30 on absent port 81 drop\n40 on absent," PLANE_DEVICE " port 82 drop\n");
	expect_port(p, false, 80, 20, 20);
	expect_port(p, false, 81, 0, 0);
	expect_port(p, false, 82, 40, 40);
}

static void RULE_uid(void **state)
{
	static const struct {
		uint32_t uid, rule;
	} cases[] = { { 0, 0 },	   { 999, 0 },	{ 1000, 10 },	{ 1500, 10 },
		      { 1999, 10 }, { 2000, 0 }, { NOBODY, 0 }, { 0xffffffff, 0 } };
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 out uid 1000-1999 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++) {
			build(&f, p, v6, protos[i], 80);
			for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
				assert_int_equal(decides(p, &f, true, cases[c].uid),
						 cases[c].rule);
			assert_int_equal(decides(p, &f, false, 1500), 0); /* at ingress nobody is */
		}
	/* Without a socket nobody sent it, whatever the range. */
	plane_rules(p, "10 out uid 0-4294967294 drop\n20 out drop\n");
	build(&f, p, false, IPPROTO_TCP, 80);
	assert_int_equal(decides(p, &f, true, 0), 10);
	assert_int_equal(decides(p, &f, true, NOBODY), 20);
}

/* Rules are asked by a SYN alone; all 256 combinations of flags. */
static void RULE_only_a_syn_opens(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int flags = 0; flags < 256; flags++) {
			bool opens = (flags & (TCP_S | TCP_A | TCP_R | TCP_F)) == TCP_S;

			frame_ip(&f, p->mac, v6);
			frame_tcp(&f, 80, (uint8_t)flags);
			frame_close(&f);
			assert_int_equal(plane_check(p, &f, "flags"),
					 opens ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_MID_FLOW);
		}
}

/* ---- what a decision does --------------------------------------------------------------- */

static void RULE_counts_what_it_decides(void **state)
{
	struct plane *p = *state;
	struct shunt_rules rules = {};
	struct frame f;

	plane_rules(p, "10 in port 80 drop\n20 in port 81 pass\n30 in port 82 drop\n");
	build(&f, p, false, IPPROTO_TCP, 80);
	frame_zeros(&f, 6); /* padding is not counted */
	for (int i = 0; i < 3; i++)
		plane_ingress(p, &f, NULL);
	explained(p, &f, false, NOBODY);
	build(&f, p, true, IPPROTO_UDP, 81);
	plane_ingress(p, &f, NULL);
	assert_int_equal(shunt_rules_read(p->s, &rules), 0);
	assert_int_equal(rules.n, 3);
	assert_int_equal(rules.v[0].stat.packets, 3);
	assert_int_equal(rules.v[0].stat.flows, 3);
	assert_int_equal(rules.v[0].stat.bytes, 3 * 40);
	assert_true(rules.v[0].stat.last_hit > 0);
	assert_int_equal(rules.v[1].stat.packets, 1);
	assert_int_equal(rules.v[1].stat.bytes, 40 + 8 + 8);
	assert_int_equal(rules.v[2].stat.packets, 0);
	assert_int_equal(rules.v[2].stat.last_hit, 0);
	shunt_rules_clear(&rules);
}

static void RULE_proxy_without_a_live_socket(void **state)
{
	struct plane *p = *state;

	plane_rules(p, "10 tcp port 80 proxy nobody\n20 tcp port 81 proxy nobody fail closed\n"
		       "30 tcp port 82 proxy\n");
	for (int out = 0; out < 2; out++)
		for (int v6 = 0; v6 < 2; v6++) {
			struct plane_result r;
			struct frame f;

			build(&f, p, v6, IPPROTO_TCP, 80);
			r = explained(p, &f, out, NOBODY);
			assert_int_equal(r.ex.counter, SHUNT_CTR_FAIL_OPEN);
			assert_int_equal(r.verdict, TC_ACT_UNSPEC);
			build(&f, p, v6, IPPROTO_TCP, 81);
			r = explained(p, &f, out, NOBODY);
			assert_int_equal(r.ex.counter, SHUNT_CTR_FAIL_CLOSED);
			assert_int_equal(r.verdict, TC_ACT_SHOT);
			build(&f, p, v6, IPPROTO_TCP, 82);
			r = explained(p, &f, out, NOBODY);
			assert_int_equal(r.ex.counter,
					 out ? SHUNT_CTR_REDIRECT : SHUNT_CTR_STEER_NEW);
			assert_int_equal(r.verdict, out ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
			assert_int_not_equal(r.ex.socket, ~0U);
		}
}

/* At egress: what we sent ourselves, and what is only passed on. */
static void RULE_egress_own_and_forwarded(void **state)
{
	struct plane *p = *state;
	struct plane_run run = { .prog = PROG_OUT_ETH };
	struct plane_result r;
	struct frame f;

	plane_rules(p, "10 out drop\n");
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < 2; i++) {
			build(&f, p, v6, protos[i], 80);
			run.mark = run.iif = 0;
			plane_test_run(p, &run, &f, &r);
			assert_int_equal(plane_exit(p, NULL), SHUNT_CTR_RULE_DROP);
			run.iif = p->ifindex;
			plane_test_run(p, &run, &f, &r);
			assert_int_equal(plane_exit(p, NULL), SHUNT_CTR_FORWARDED);
			run.mark = p->s->info.own_mark;
			plane_test_run(p, &run, &f, &r);
			assert_int_equal(plane_exit(p, NULL), SHUNT_CTR_OWN);
			assert_int_equal(r.verdict, TC_ACT_UNSPEC);
		}
}

static uint16_t listener_port(const struct plane *p, bool v6)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(p->listener[v6], (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin6_port); /* in the same place in both families */
}

/* The port of the target's own listener at an address of this host would be a loop. */
static void RULE_not_to_the_listener_itself(void **state)
{
	struct plane *p = *state;
	struct frame f;

	plane_rules(p, "10 in tcp proxy\n");
	plane_forwarding(true); /* the program asks the FIB */
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t port = listener_port(p, v6);

		build(&f, p, v6, IPPROTO_TCP, port);
		frame_set_dst(&f, v6 ? PLANE_ADDR6 "234" : PLANE_ADDR4 "00"); /* a neighbour's */
		assert_int_equal(explained(p, &f, false, 0).ex.counter, SHUNT_CTR_STEER_NEW);
		frame_set_dst(&f, v6 ? PLANE_ADDR6 : PLANE_ADDR4);
		assert_int_equal(explained(p, &f, false, 0).ex.counter, SHUNT_CTR_SELF);
		frame_set16(&f, f.l4 + 2, (uint16_t)(port ^ 1));
		assert_int_equal(explained(p, &f, false, 0).ex.counter, SHUNT_CTR_STEER_NEW);
	}
	plane_forwarding(false);
}

/* ---- by chance -------------------------------------------------------------------------- */

static const char *pick(struct chance *c, const char *const *v, size_t n)
{
	return v[chance_below(c, (uint32_t)n)];
}

#define PICK(c, ...)                                                                           \
	pick(c, (const char *const[]){ __VA_ARGS__ },                                          \
	     sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

/* From a small world, so that rules overlap and questions meet them. */
static void random_rule(FILE *out, struct chance *c, int priority)
{
	bool sends = chance_one_in(c, 6);

	fprintf(out, "%d%s", priority, sends ? " out" : PICK(c, "", " in", " in", " out"));
	fputs(PICK(c, "", "", " tcp", " udp"), out);
	fputs(PICK(c, "", "", " on near", " on far,near", " on far"), out);
	fputs(PICK(c, "", "", " from 10.0.0.0/8", " from not 10.1.0.0/16", " from ::/0",
		   " from 192.0.2.0/24,2001:db8::/32", " from 0.0.0.0/0", " to 8.8.8.8",
		   " from not 10.1.0.0/16 to not 2001:db8:9::/48", " to 10.9.0.0/16,fd00::/8",
		   " from 10.0.0.0/8,fe80::/10 to 10.9.0.0/16,fd00::/8", " to not 10.9.8.7",
		   " from 128.0.0.0/1 to 0.0.0.0/0", " from not fe80::1 to 8.8.0.0/16"), out);
	fputs(PICK(c, "", "", " port 80", " port 80-443", " port 53,8000-8080,65535"), out);
	fputs(PICK(c, "", "", "", " sport 1-79", " sport 443,8081"), out);
	fputs(sends ? PICK(c, " uid 1000", " uid 0-999", " uid 1001-70000") : "", out);
	fputs(PICK(c, " pass\n", " drop\n"), out);
}

static void random_rules(struct plane *p, struct chance *c)
{
	char text[8192] = "";
	FILE *out = fmemopen(text, sizeof(text) - 1, "w");

	assert_non_null(out);
	for (int i = 0; i < RANDOM_RULES; i++)
		random_rule(out, c, 10 + 7 * i);
	fclose(out);
	plane_rules(p, text);
}

static void RULE_random_rules(void **state)
{
	static const uint32_t uids[] = { 0, 999, 1000, 1001, NOBODY, 70000, 70001 };
	struct chance chance = { 0x5eed };
	struct plane *p = *state;
	unsigned long matched = 0, asked_n = 0;
	struct reading r;
	struct frame f;

	for (int set = 0; set < RANDOM_SETS; set++) {
		random_rules(p, &chance);
		for (int i = 0; i < RANDOM_QUESTIONS; i++) {
			struct asked q = { .dir = chance_one_in(&chance, 2) ? SHUNT_DIR_IN
									    : SHUNT_DIR_OUT,
					   .device = PLANE_DEVICE,
					   .uid = uids[chance_below(&chance, 7)] };
			const struct shunt_rule *rule = NULL;
			uint32_t is;

			random_frame(&f, &chance, p->mac);
			oracle_read(&r, f.b, f.len, p->mac);
			if (plane_needs_wire(&f) || r.kind != READING_FLOW || !r.opens)
				continue;
			q.has_uid = q.dir == SHUNT_DIR_OUT && q.uid != NOBODY;
			rule = oracle_rule(&p->rules, &r, &q);
			is = decides(p, &f, q.dir == SHUNT_DIR_OUT, q.uid);
			if (is != (rule ? rule->priority : 0))
				fail_msg("set %d, question %d: rule %u, should be %u", set, i, is,
					 rule ? rule->priority : 0);
			asked_n++;
			matched += rule != NULL;
		}
	}
	print_message("# %lu questions, %lu decided by a rule\n", asked_n, matched);
	assert_true(matched > 1000 && asked_n - matched > 1000);
}

/* The library's own question is the same as ours. */
static void RULE_explain_asks_the_same(void **state)
{
	static const char *const devices[] = { PLANE_DEVICE };
	struct shunt_up_options out = { .devices = devices, .n_devices = 1, .out = true };
	struct plane *p = *state;
	struct shunt_question q = { .dir = SHUNT_DIR_IN, .device = PLANE_DEVICE,
				    .ipproto = IPPROTO_TCP, .has_uid = true, .uid = 1000 };
	struct sockaddr_in *src = (struct sockaddr_in *)&q.src, *dst = (struct sockaddr_in *)&q.dst;
	struct shunt_explain ex;

	plane_rules(p, "10 in tcp port 80 drop\n20 out uid 1000 port 80 pass\n30 udp drop\n");
	assert_int_equal(shunt_up(&(struct shunt_where){}, &out), 0);
	src->sin_family = dst->sin_family = AF_INET;
	src->sin_addr.s_addr = htonl(0xc0000207);
	dst->sin_addr.s_addr = htonl(0xc6336409);
	dst->sin_port = htons(80);
	assert_int_equal(shunt_explain(p->s, &q, &ex), 0);
	assert_int_equal(ex.priority, 10);
	q.dir = SHUNT_DIR_OUT;
	assert_int_equal(shunt_explain(p->s, &q, &ex), 0);
	assert_int_equal(ex.priority, 20);
	q.uid = 1001;
	assert_int_equal(shunt_explain(p->s, &q, &ex), 0);
	assert_int_equal(ex.counter, SHUNT_CTR_NO_MATCH);
	q.ipproto = IPPROTO_UDP;
	assert_int_equal(shunt_explain(p->s, &q, &ex), 0);
	assert_int_equal(ex.priority, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(RULE_no_rules_loaded),
		cmocka_unit_test(RULE_lowest_priority_first),
		cmocka_unit_test(RULE_direction_and_protocol),
		cmocka_unit_test(RULE_ports),
		cmocka_unit_test(RULE_every_prefix_length),
		cmocka_unit_test(RULE_not),
		cmocka_unit_test(RULE_device),
		cmocka_unit_test(RULE_uid),
		cmocka_unit_test(RULE_only_a_syn_opens),
		cmocka_unit_test(RULE_counts_what_it_decides),
		cmocka_unit_test(RULE_proxy_without_a_live_socket),
		cmocka_unit_test(RULE_egress_own_and_forwarded),
		cmocka_unit_test(RULE_not_to_the_listener_itself),
		cmocka_unit_test(RULE_random_rules),
		cmocka_unit_test(RULE_explain_asks_the_same), /* last: attaches at egress too */
	};

	return cmocka_run_group_tests_name("bpf classifier", tests, plane_up, plane_down);
}
