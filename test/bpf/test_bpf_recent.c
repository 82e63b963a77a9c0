// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * BYST-01 to BYST-07: what was left alone a moment ago is known again (bpf/recent.h), by exactly
 * its own packets, not for long, and not when a flow of ours begins on its tuple or on its way back.
 * Each case for both families, and for both directions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recent_map.h"

enum { NEXT = -1, PORT = 53, PATIENCE = 60 /* s */ };

struct way {
	struct plane *p;
	struct recent_map *map;
	bool v6, out;
	struct frame f;
};

/* ---- packets ---------------------------------------------------------------------------- */

static void make(struct way *w, uint8_t proto, uint16_t sport, uint8_t flags)
{
	frame_ip(&w->f, w->p->mac, w->v6);
	if (proto == IPPROTO_TCP)
		frame_tcp(&w->f, PORT, flags);
	else
		frame_udp(&w->f, PORT, 8);
	frame_set16(&w->f, w->f.l4, sport);
	frame_close(&w->f);
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t t[16];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

/* The same, from the other end. */
static void turn_round(struct way *w)
{
	if (w->v6)
		swap(w->f.b + FRAME_AT_SRC6, w->f.b + FRAME_AT_DST6, 16);
	else
		swap(w->f.b + FRAME_AT_SRC4, w->f.b + FRAME_AT_DST4, 4);
	swap(w->f.b + w->f.l4, w->f.b + w->f.l4 + 2, 2);
}

static enum shunt_counter go(struct way *w)
{
	struct plane_run run = { .prog = w->out ? PROG_OUT_ETH : PROG_IN_ETH,
				 .iif = w->out ? 0 : w->p->ifindex };
	struct plane_result result;

	plane_sync(w->p);
	plane_test_run(w->p, &run, &w->f, &result);
	return plane_exit(w->p, NULL);
}

static enum shunt_counter segment(struct way *w, uint16_t sport, uint8_t flags)
{
	make(w, IPPROTO_TCP, sport, flags);
	return go(w);
}

static enum shunt_counter datagram(struct way *w, uint16_t sport)
{
	make(w, IPPROTO_UDP, sport, 0);
	return go(w);
}

static struct shunt_tuple tuple_of(const struct way *w)
{
	struct shunt_tuple t = { .proto = w->f.b[FRAME_ETH + (w->v6 ? 6 : 9)] };
	size_t len = w->v6 ? 16 : 4;

	if (!w->v6)
		memset(t.saddr + 10, 0xff, 2), memset(t.daddr + 10, 0xff, 2);
	memcpy(t.saddr + 16 - len, w->f.b + (w->v6 ? FRAME_AT_SRC6 : FRAME_AT_SRC4), len);
	memcpy(t.daddr + 16 - len, w->f.b + (w->v6 ? FRAME_AT_DST6 : FRAME_AT_DST4), len);
	memcpy(&t.sport, w->f.b + w->f.l4, 2);
	memcpy(&t.dport, w->f.b + w->f.l4 + 2, 2);
	return t;
}

/* Is the tuple of the frame remembered, and did no flow begin since? */
static bool is_kept(struct way *w, struct shunt_recent *e)
{
	struct shunt_tuple t = tuple_of(w);
	struct shunt_recent here;

	if (!e)
		e = &here;
	return recent_find(w->map, &t, e) >= 0 && recent_holds(w->map, e);
}

static bool is_remembered(struct way *w)
{
	return is_kept(w, NULL);
}

static void each_way(void **state, void (*check)(struct way *w))
{
	struct plane *p = *state;
	struct recent_map map = {};

	recent_open(&map, p);
	p->udp_goes_on = true;
	for (int i = 0; i < 4; i++) {
		struct way w = { .p = p, .map = &map, .v6 = i & 1, .out = i & 2 };
		struct shunt_udp_key key;
		struct shunt_tuple t;

		while (!bpf_map_get_next_key(p->s->map.udp_flows, NULL, &key))
			bpf_map_delete_elem(p->s->map.udp_flows, &key);
		while (!bpf_map_get_next_key(p->s->map.flows, NULL, &t))
			bpf_map_delete_elem(p->s->map.flows, &t);
		recent_forget_all(&map);
		recent_number_buckets(&map);
		plane_rules(p, "999 pass");
		check(&w);
	}
	p->udp_goes_on = false;
	recent_close(&map);
}

/* ---- what is kept ----------------------------------------------------------------------- */

static void kept(struct way *w)
{
	static const uint8_t judged[] = { TCP_S, TCP_S | TCP_A, TCP_F | TCP_A, TCP_R, TCP_R | TCP_A };

	plane_rules(w->p, "10 tcp port 53 drop");
	assert_int_equal(segment(w, 2000, TCP_A), SHUNT_CTR_MID_FLOW);
	assert_true(is_remembered(w));
	recent_forget_all(w->map); /* its place may be taken, as of the next ones */
	assert_int_equal(segment(w, 2001, 0), SHUNT_CTR_MID_FLOW);
	assert_true(is_remembered(w));
	for (uint16_t i = 0; i < sizeof(judged); i++) {
		assert_int_equal(segment(w, (uint16_t)(2100 + i), judged[i]),
				 judged[i] == TCP_S ? SHUNT_CTR_RULE_DROP : SHUNT_CTR_MID_FLOW);
		assert_false(is_remembered(w));
	}
	/* The first datagram begins the flow, and a rule decides. */
	assert_int_equal(datagram(w, 2000), SHUNT_CTR_NO_MATCH);
	assert_false(is_remembered(w));
	recent_forget_all(w->map);
	assert_int_equal(datagram(w, 2000), SHUNT_CTR_UDP_FLOW);
	assert_true(is_remembered(w));
	plane_rules(w->p, "10 udp port 53 drop");
	for (int i = 0; i < 3; i++)
		assert_int_equal(datagram(w, 2001), SHUNT_CTR_RULE_DROP);
	assert_false(is_remembered(w));
}

static void BYST_01_what_goes_on_is_kept_and_nothing_else(void **state)
{
	each_way(state, kept);
}

/* A SYN of a tuple that is known is judged all the same. */
static void judged_though_known(struct way *w)
{
	plane_rules(w->p, "10 tcp port 53 drop\n20 udp port 54 drop");
	for (int i = 0; i < 100; i++) {
		assert_int_equal(segment(w, 3000, TCP_A), SHUNT_CTR_MID_FLOW);
		assert_int_equal(segment(w, 3000, TCP_S), SHUNT_CTR_RULE_DROP);
		/* Not the other protocol of the same ports, nor what is no packet of it at all. */
		make(w, IPPROTO_TCP, 3000, TCP_A);
		w->f.b[w->f.l4 + 12] = 0x40;
		assert_int_equal(go(w), SHUNT_CTR_BAD_HEADER);
	}
	assert_int_equal(datagram(w, 3000), SHUNT_CTR_NO_MATCH);
}

static void BYST_02_what_may_begin_a_flow_is_judged(void **state)
{
	each_way(state, judged_though_known);
}

/* Many in one go, so that nearly all are known: each is counted, where it would be otherwise. */
static void counted(struct way *w)
{
	enum { MANY = 20000 };
	struct __sk_buff skb = { .ifindex = w->p->ifindex,
				 .ingress_ifindex = w->out ? 0 : w->p->ifindex };
	uint64_t before[SHUNT_CTR_MAX];
	const int prog = w->p->s->prog[w->out ? PROG_OUT_ETH : PROG_IN_ETH];
	struct shunt_rules rules;

	plane_rules(w->p, "10 pass");
	for (int udp = 0; udp < 2; udp++) {
		const unsigned int exit = udp ? SHUNT_CTR_UDP_FLOW : SHUNT_CTR_MID_FLOW;

		DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = w->f.b, .ctx_in = &skb,
				    .ctx_size_in = sizeof(skb), .repeat = MANY);
		make(w, udp ? IPPROTO_UDP : IPPROTO_TCP, 4000, TCP_A);
		if (udp)
			assert_int_equal(go(w), SHUNT_CTR_RULE_PASS);
		plane_sync(w->p);
		memcpy(before, w->p->counters, sizeof(before));
		opts.data_size_in = (__u32)w->f.len;
		assert_int_equal(bpf_prog_test_run_opts(prog, &opts), 0);
		assert_int_equal((int)opts.retval, NEXT);
		plane_sync(w->p);
		for (unsigned int c = 0; c < SHUNT_CTR_MAX; c++)
			assert_int_equal(w->p->counters[c] - before[c], c == exit ? MANY : 0);
	}
	assert_int_equal(shunt_rules_read(w->p->s, &rules), 0);
	assert_int_equal(rules.v[0].stat.packets, 1);
	shunt_rules_clear(&rules);
}

static void BYST_03_each_packet_is_counted(void **state)
{
	each_way(state, counted);
}

/* ---- when it ends ----------------------------------------------------------------------- */

/*
 * A flow of ours begins: nothing is known of its tuple any more, nor of the way back, which may be
 * that of a server whom the proxy is about to call from the client's address.
 */
static void ended_by_a_flow(struct way *w)
{
	struct shunt_recent ahead, back, other;
	unsigned int others = 0;

	assert_int_equal(segment(w, 5000, TCP_A), SHUNT_CTR_MID_FLOW);
	assert_true(is_kept(w, &ahead));
	turn_round(w);
	assert_int_equal(go(w), SHUNT_CTR_MID_FLOW);
	assert_true(is_kept(w, &back));
	assert_int_equal(recent_bucket(&ahead), recent_bucket(&back));
	/* A SYN that is not for us begins nothing. */
	assert_int_equal(segment(w, 5000, TCP_S), SHUNT_CTR_RULE_PASS);
	assert_false(recent_any_began(w->map));
	plane_rules(w->p, "10 tcp port 53 proxy");
	assert_true(recent_holds(w->map, &ahead)); /* it goes on, whatever the rules say */
	segment(w, 5000, TCP_S);
	assert_false(recent_holds(w->map, &ahead));
	assert_false(recent_holds(w->map, &back));
	segment(w, 5000, TCP_A);
	assert_false(is_remembered(w));
	turn_round(w);
	go(w);
	assert_false(is_remembered(w));
	/* Others are. */
	for (uint16_t port = 5001; port < 5009; port++) {
		recent_forget_all(w->map); /* its place may be taken */
		segment(w, port, TCP_A);
		others += is_kept(w, &other);
		segment(w, 5000, TCP_S);
		if (recent_bucket(&other) != recent_bucket(&ahead))
			assert_true(recent_holds(w->map, &other));
	}
	assert_int_equal(others, 8);
}

static void BYST_04_a_flow_of_ours_ends_what_is_known_both_ways(void **state)
{
	each_way(state, ended_by_a_flow);
}

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Datagrams of the frame without a pause between: how many were known. */
static uint64_t many(struct way *w, uint64_t *dropped)
{
	struct __sk_buff skb = { .ifindex = w->p->ifindex,
				 .ingress_ifindex = w->out ? 0 : w->p->ifindex };
	const int prog = w->p->s->prog[w->out ? PROG_OUT_ETH : PROG_IN_ETH];
	uint64_t known = w->p->counters[SHUNT_CTR_UDP_FLOW];

	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = w->f.b,
			    .data_size_in = (__u32)w->f.len, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = 200000);
	*dropped = w->p->counters[SHUNT_CTR_RULE_DROP];
	assert_int_equal(bpf_prog_test_run_opts(prog, &opts), 0);
	plane_sync(w->p);
	*dropped = w->p->counters[SHUNT_CTR_RULE_DROP] - *dropped;
	return w->p->counters[SHUNT_CTR_UDP_FLOW] - known;
}

/*
 * The memory of flows is emptied, so that what goes on is known by nothing else. It ends although
 * there are always more of it.
 */
static bool goes_on_for_a_while(struct way *w)
{
	time_t end = seconds() + PATIENCE;
	struct shunt_udp_key key;
	struct shunt_recent before, after;
	uint64_t known = 0, dropped;

	assert_true(is_kept(w, &before));
	assert_int_equal(bpf_map_get_next_key(w->p->s->map.udp_flows, NULL, &key), 0);
	assert_int_equal(bpf_map_delete_elem(w->p->s->map.udp_flows, &key), 0);
	do {
		known += many(w, &dropped);
		assert_true(seconds() < end);
	} while (!dropped);
	assert_true(is_kept(w, &after));
	assert_int_equal(after.since, before.since);
	return known;
}

static void not_for_long(struct way *w)
{
	time_t end = seconds() + PATIENCE;
	bool known;

	do {
		plane_rules(w->p, "10 udp port 53 pass");
		datagram(w, 6000);
		plane_rules(w->p, "10 udp port 53 drop");
		assert_int_equal(datagram(w, 6000), SHUNT_CTR_UDP_FLOW);
		known = goes_on_for_a_while(w);
	} while (!known && seconds() < end);
	assert_true(known);
}

static void BYST_05_nothing_is_known_for_long(void **state)
{
	each_way(state, not_for_long);
}

/* ---- whose it is ------------------------------------------------------------------------ */

/* What is remembered of the frame is said to be of a tuple, or place, that differs in one bit. */
static enum shunt_counter forged(struct way *w, unsigned int byte, unsigned int bit)
{
	struct shunt_tuple t = tuple_of(w);
	struct shunt_recent e;
	int slot;

	recent_forget_all(w->map);
	assert_int_equal(go(w), SHUNT_CTR_MID_FLOW);
	slot = recent_find(w->map, &t, &e);
	assert_true(slot >= 0);
	e.exit = SHUNT_CTR_LO_OTHER;
	((uint8_t *)&e)[byte] ^= (uint8_t)bit;
	recent_write(w->map, slot, &e);
	return go(w);
}

/* The control: what differs in nothing is believed. */
static void believe(struct way *w)
{
	time_t end = seconds() + PATIENCE;

	while (forged(w, 0, 0) != SHUNT_CTR_LO_OTHER)
		assert_true(seconds() < end);
}

static void compared_bit_by_bit(struct way *w)
{
	assert_int_equal(segment(w, 7000, TCP_A), SHUNT_CTR_MID_FLOW);
	believe(w);
	for (unsigned int byte = 0; byte < offsetof(struct shunt_recent, since); byte++)
		for (unsigned int bit = 0; bit < 8; bit += 7)
			assert_int_equal(forged(w, byte, 1U << bit), SHUNT_CTR_MID_FLOW);
	believe(w);
}

static void BYST_06_known_by_the_whole_tuple(void **state)
{
	each_way(state, compared_bit_by_bit);
}

/* ---- sockets ---------------------------------------------------------------------------- */

struct connection {
	int listener, client;
};

/* On the ports of the frames, between two sockets here. The client's end is ours. */
static void connect_ours(struct way *w, struct connection *c, uint16_t client_port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(client_port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(client_port) };
	struct sockaddr *a = w->v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t len = w->v6 ? sizeof(a6) : sizeof(a4);
	const uint32_t own = w->p->s->info.own_mark;
	int on = 1;

	inet_pton(AF_INET6, PLANE_ADDR6, &a6.sin6_addr);
	inet_pton(AF_INET, PLANE_ADDR4, &a4.sin_addr);
	c->listener = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->client = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(c->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(c->client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(c->client, SOL_SOCKET, SO_MARK, &own, sizeof(own)), 0);
	assert_int_equal(bind(c->client, a, len), 0);
	a4.sin_port = a6.sin6_port = htons(PORT);
	assert_int_equal(bind(c->listener, a, len), 0);
	assert_int_equal(listen(c->listener, 1), 0);
	if (connect(c->client, a, len))
		fail_msg("cannot connect: %s", strerror(errno));
}

/* A segment of the server's, to the client's end. */
static enum shunt_counter answer(struct way *w, uint16_t client_port, uint8_t flags)
{
	make(w, IPPROTO_TCP, client_port, flags);
	frame_set_src(&w->f, w->v6 ? PLANE_ADDR6 : PLANE_ADDR4);
	frame_set_dst(&w->f, w->v6 ? PLANE_ADDR6 : PLANE_ADDR4);
	turn_round(w);
	return go(w);
}

/*
 * The server's first answer to one of our sockets is a SYN|ACK. It is judged, and what follows is
 * the socket's, although it was not a moment ago.
 */
static void a_socket_comes(struct way *w)
{
	const uint16_t port = (uint16_t)(8000 + w->v6);
	struct connection c;

	if (w->out) /* what goes out there has no socket yet that it would belong to */
		return;
	assert_int_equal(answer(w, port, TCP_A), SHUNT_CTR_MID_FLOW);
	assert_true(is_remembered(w));
	connect_ours(w, &c, port);
	assert_int_equal(answer(w, port, TCP_S | TCP_A), SHUNT_CTR_STEER_FLOW);
	assert_false(is_remembered(w));
	for (int i = 0; i < 3; i++)
		assert_int_equal(answer(w, port, TCP_A), SHUNT_CTR_STEER_FLOW);
	/* The end that is not ours has a socket, and is not remembered either. */
	turn_round(w);
	assert_int_equal(go(w), SHUNT_CTR_FOREIGN_SOCKET);
	assert_false(is_remembered(w));
	/* Nor what only a listener would get: it may open a connection by a cookie. */
	assert_int_equal(answer(w, (uint16_t)(port + 100), TCP_A), SHUNT_CTR_MID_FLOW);
	turn_round(w);
	assert_int_equal(go(w), SHUNT_CTR_MID_FLOW);
	assert_false(is_remembered(w));
	close(c.client);
	close(c.listener);
}

static void BYST_07_a_socket_of_ours_gets_what_follows_its_handshake(void **state)
{
	each_way(state, a_socket_comes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(BYST_01_what_goes_on_is_kept_and_nothing_else),
		cmocka_unit_test(BYST_02_what_may_begin_a_flow_is_judged),
		cmocka_unit_test(BYST_03_each_packet_is_counted),
		cmocka_unit_test(BYST_04_a_flow_of_ours_ends_what_is_known_both_ways),
		cmocka_unit_test(BYST_05_nothing_is_known_for_long),
		cmocka_unit_test(BYST_06_known_by_the_whole_tuple),
		cmocka_unit_test(BYST_07_a_socket_of_ours_gets_what_follows_its_handshake),
	};

	return cmocka_run_group_tests_name("bpf recent", tests, plane_up, plane_down);
}
