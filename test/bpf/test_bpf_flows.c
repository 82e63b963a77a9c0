// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Packets and ICMP errors that belong to a connection here: one of ours (its socket carries the
 * ownership bit) and, as the control, one that is not. The connection is a real one, from and to
 * the address of near; its client end is ours, its server end is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <unistd.h>

#include "plane.h"

struct connection {
	int listener, client, server;
	uint16_t port, client_port;
};

static struct sockaddr_in6 address_of(bool v6, socklen_t *len)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in a4 = { .sin_family = AF_INET };

	if (v6) {
		assert_int_equal(inet_pton(AF_INET6, PLANE_ADDR6, &a6.sin6_addr), 1);
		*len = sizeof(a6);
	} else {
		assert_int_equal(inet_pton(AF_INET, PLANE_ADDR4, &a4.sin_addr), 1);
		memcpy(&a6, &a4, sizeof(a4));
		*len = sizeof(a4);
	}
	return a6;
}

/* The port is in the same place in both families. */
static uint16_t port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin6_port);
}

static void open_connection(struct connection *c, const struct plane *p, bool v6)
{
	struct sockaddr_in6 a;
	socklen_t len;

	a = address_of(v6, &len);
	c->listener = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->client = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(c->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(c->listener, 1), 0);
	c->port = port_of(c->listener);
	a.sin6_port = htons(c->port);
	assert_int_equal(setsockopt(c->client, SOL_SOCKET, SO_MARK, &p->s->info.own_mark,
				    sizeof(p->s->info.own_mark)),
			 0);
	if (connect(c->client, (struct sockaddr *)&a, len))
		fail_msg("cannot connect: %s", strerror(errno));
	c->server = accept(c->listener, NULL, NULL);
	assert_true(c->server >= 0);
	c->client_port = port_of(c->client);
}

static void close_connection(struct connection *c)
{
	close(c->client);
	close(c->server);
	close(c->listener);
}

/* An error about a packet of near's own: IP and transport header from `sport` to `dport`. */
static void build_error(struct frame *f, const struct plane *p, bool v6, uint16_t sport,
			uint16_t dport)
{
	const char *near = v6 ? PLANE_ADDR6 : PLANE_ADDR4;
	struct frame inner;

	frame_ip(&inner, p->mac, v6);
	frame_set_src(&inner, near);
	frame_set_dst(&inner, near);
	frame_tcp(&inner, dport, TCP_A);
	frame_set16(&inner, inner.l4, sport);
	frame_close(&inner);
	frame_ip(f, p->mac, v6);
	frame_set_dst(f, near);
	frame_other(f, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8);
	f->b[f->l4] = v6 ? 2 : 3; /* too big; unreachable, fragmentation needed */
	f->b[f->l4 + 1] = v6 ? 0 : 4;
	frame_put(f, inner.b + FRAME_ETH, inner.len - FRAME_ETH);
	frame_close(f);
}

static void expect(struct plane *p, const struct frame *f, const char *what,
		   enum shunt_counter want)
{
	bool steered;
	enum shunt_counter is = plane_ingress(p, f, &steered);

	if (is != want)
		fail_msg("IPv%d, %s: %s, should be %s", f->v6 ? 6 : 4, what,
			 shunt_counter_name(is), shunt_counter_name(want));
	if (steered != (want == SHUNT_CTR_STEER_ICMP))
		fail_msg("IPv%d, %s: steer bit %d", f->v6 ? 6 : 4, what, steered);
}

static void icmp_about(struct plane *p, const struct connection *c, bool v6)
{
	struct frame f;

	build_error(&f, p, v6, c->client_port, c->port);
	expect(p, &f, "our socket's packet", SHUNT_CTR_STEER_ICMP);
	build_error(&f, p, v6, c->port, c->client_port);
	expect(p, &f, "packet of the end that is not ours", SHUNT_CTR_ICMP_OTHER);
	build_error(&f, p, v6, (uint16_t)(c->client_port ^ 1), c->port);
	expect(p, &f, "other source port", SHUNT_CTR_ICMP_OTHER);
	build_error(&f, p, v6, c->client_port, (uint16_t)(c->port ^ 1));
	expect(p, &f, "other destination port", SHUNT_CTR_ICMP_OTHER);
}

static void icmp_types(struct plane *p, const struct connection *c, bool v6)
{
	struct frame f;

	build_error(&f, p, v6, c->client_port, c->port);
	for (unsigned int type = 0; type < 256; type++) {
		bool error = v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;

		f.b[f.l4] = (uint8_t)type;
		expect(p, &f, "type", error ? SHUNT_CTR_STEER_ICMP : SHUNT_CTR_OTHER_PROTO);
	}
}

/* What is inside is as far as it must be, and what it must be. */
static void icmp_inner(struct plane *p, const struct connection *c, bool v6)
{
	size_t ip = FRAME_ETH + (v6 ? 40 : 20) + 8, ports = ip + (v6 ? 40 : 20);
	struct frame f;

	build_error(&f, p, v6, c->client_port, c->port);
	for (size_t end = FRAME_ETH + (v6 ? 40 : 20); end <= f.len; end++) {
		/* The IP packet ends there, the frame goes on with the right bytes. */
		frame_set16(&f, FRAME_ETH + (v6 ? 4 : 2),
			    (uint16_t)(end - FRAME_ETH - (v6 ? 40 : 0)));
		expect(p, &f, "cut error",
		       end < ip ? SHUNT_CTR_SHORT
				: end < ports + 4 ? SHUNT_CTR_ICMP_OTHER : SHUNT_CTR_STEER_ICMP);
	}
	build_error(&f, p, v6, c->client_port, c->port);
	f.b[ip + (v6 ? 6 : 9)] = IPPROTO_SCTP;
	expect(p, &f, "inner SCTP", SHUNT_CTR_ICMP_OTHER);
	build_error(&f, p, v6, c->client_port, c->port);
	f.b[ip] ^= v6 ? 0x20 : 0x10;
	expect(p, &f, "inner version", SHUNT_CTR_ICMP_OTHER);
	if (v6)
		return;
	build_error(&f, p, v6, c->client_port, c->port);
	f.b[ip + 7] = 1;
	expect(p, &f, "inner later fragment", SHUNT_CTR_ICMP_OTHER);
	build_error(&f, p, v6, c->client_port, c->port);
	f.b[ip] = 0x44;
	expect(p, &f, "inner header of 16 bytes", SHUNT_CTR_ICMP_OTHER);
}

typedef void (*with_connection)(struct plane *p, const struct connection *c, bool v6);

static void for_both(struct plane *p, with_connection fn)
{
	struct connection c;

	plane_rules(p, "10 in drop\n");
	for (int v6 = 0; v6 < 2; v6++) {
		open_connection(&c, p, v6);
		plane_sync(p);
		fn(p, &c, v6);
		close_connection(&c);
	}
}

static void ICMP_error_about_our_flow(void **state)
{
	for_both(*state, icmp_about);
}

static void ICMP_types_about_our_flow(void **state)
{
	for_both(*state, icmp_types);
}

static void ICMP_inner_packet_as_far_as_it_goes(void **state)
{
	for_both(*state, icmp_inner);
}

/* ---- segments --------------------------------------------------------------------------- */

static void build_segment(struct frame *f, const struct plane *p, bool v6, uint16_t sport,
			  uint16_t dport, uint8_t flags)
{
	frame_ip(f, p->mac, v6);
	frame_set_src(f, v6 ? PLANE_ADDR6 : PLANE_ADDR4);
	frame_set_dst(f, v6 ? PLANE_ADDR6 : PLANE_ADDR4);
	frame_tcp(f, dport, flags);
	frame_set16(f, f->l4, sport);
	frame_close(f);
}

static void expect_explained(struct plane *p, const struct frame *f, enum shunt_counter want)
{
	struct plane_run run = { .prog = PROG_IN_ETH, .explain = true, .iif = p->ifindex };
	struct plane_result is;

	plane_test_run(p, &run, f, &is);
	if (is.ex.counter != want)
		fail_msg("%s, should be %s", shunt_counter_name(is.ex.counter),
			 shunt_counter_name(want));
	assert_int_equal(!!(is.mark & p->s->info.steer_mark), want == SHUNT_CTR_STEER_FLOW);
	if (want == SHUNT_CTR_STEER_FLOW || want == SHUNT_CTR_FOREIGN_SOCKET)
		assert_int_equal(is.ex.sk_state, 1); /* established */
	assert_int_equal(is.verdict,
			 want == SHUNT_CTR_RULE_DROP ? TC_ACT_SHOT : TC_ACT_UNSPEC);
}

/* The rule drops: a packet of a socket is not asked about, not even a SYN. */
static void each_segment(struct plane *p, const struct connection *c, bool v6)
{
	static const uint8_t flags[] = { TCP_A, TCP_A | TCP_P, TCP_F | TCP_A, TCP_R, TCP_S,
					 TCP_S | TCP_A, 0 };
	struct frame f;

	for (size_t i = 0; i < sizeof(flags); i++) {
		build_segment(&f, p, v6, c->port, c->client_port, flags[i]);
		expect_explained(p, &f, SHUNT_CTR_STEER_FLOW);
		build_segment(&f, p, v6, c->client_port, c->port, flags[i]);
		expect_explained(p, &f, SHUNT_CTR_FOREIGN_SOCKET);
		/* To the listener only: who listens does not matter. */
		build_segment(&f, p, v6, (uint16_t)(c->client_port ^ 1), c->port, flags[i]);
		expect_explained(p, &f, flags[i] == TCP_S ? SHUNT_CTR_RULE_DROP
							  : SHUNT_CTR_MID_FLOW);
	}
}

static void FLOW_segments_of_sockets(void **state)
{
	for_both(*state, each_segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ICMP_error_about_our_flow),
		cmocka_unit_test(ICMP_types_about_our_flow),
		cmocka_unit_test(ICMP_inner_packet_as_far_as_it_goes),
		cmocka_unit_test(FLOW_segments_of_sockets),
	};

	return cmocka_run_group_tests_name("bpf flows", tests, plane_up, plane_down);
}
