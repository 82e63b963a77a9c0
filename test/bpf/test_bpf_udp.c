// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * UDP flows: the rules decide about the first datagram of a 5-tuple, and what they leave alone goes
 * on, whatever the rules say later. Each case for both families, and for both directions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>

#include "recent_map.h"

enum { PORT = 53, NEXT = -1 };

struct way {
	struct plane *p;
	struct recent_map *recent;
	bool v6, out;
	struct frame f;
};

/* A datagram of the flow `n` of this way: its exit. The verdict must fit it. */
static enum shunt_counter datagram(struct way *w, uint16_t n)
{
	struct plane_run run = { .prog = w->out ? PROG_OUT_ETH : PROG_IN_ETH,
				 .iif = w->out ? 0 : w->p->ifindex };
	struct plane_result result;
	enum shunt_counter exit;

	frame_ip(&w->f, w->p->mac, w->v6);
	frame_l4(&w->f, IPPROTO_UDP, PORT);
	frame_set16(&w->f, w->f.l4, (uint16_t)(FRAME_SPORT + n));
	frame_close(&w->f);
	plane_sync(w->p);
	plane_test_run(w->p, &run, &w->f, &result);
	exit = plane_exit(w->p, NULL);
	assert_int_equal(result.verdict, exit == SHUNT_CTR_RULE_DROP ||
						 exit == SHUNT_CTR_RULE_LIMIT
					 ? TC_ACT_SHOT
					 : NEXT);
	assert_int_equal(result.mark, PLANE_OTHER_MARK);
	return exit;
}

static void key_of(struct shunt_udp_key *key, const struct way *w, uint16_t n)
{
	const uint8_t *src = w->f.b + (w->v6 ? FRAME_AT_SRC6 : FRAME_AT_SRC4);
	const uint8_t *dst = w->f.b + (w->v6 ? FRAME_AT_DST6 : FRAME_AT_DST4);
	size_t len = w->v6 ? 16 : 4;

	*key = (struct shunt_udp_key){ .ifindex = w->p->ifindex,
				       .dir = w->out ? SHUNT_DIR_OUT : SHUNT_DIR_IN };
	if (!w->v6)
		memset(key->tuple.saddr + 10, 0xff, 2), memset(key->tuple.daddr + 10, 0xff, 2);
	memcpy(key->tuple.saddr + 16 - len, src, len);
	memcpy(key->tuple.daddr + 16 - len, dst, len);
	key->tuple.sport = htons((uint16_t)(FRAME_SPORT + n));
	key->tuple.dport = htons(PORT);
	key->tuple.proto = IPPROTO_UDP;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void forget_all(struct plane *p, struct recent_map *recent)
{
	struct shunt_udp_key key;

	while (!bpf_map_get_next_key(p->s->map.udp_flows, NULL, &key))
		bpf_map_delete_elem(p->s->map.udp_flows, &key);
	recent_forget_all(recent);
}

/* Run a case each way; nothing is left of the way before, neither flows nor what rules counted. */
static void each_way(void **state, void (*check)(struct way *w))
{
	struct plane *p = *state;
	struct recent_map recent = {};

	recent_open(&recent, p);
	p->udp_goes_on = true;
	for (int i = 0; i < 4; i++) {
		struct way w = { .p = p, .recent = &recent, .v6 = i & 1, .out = i & 2 };

		forget_all(p, &recent);
		plane_rules(p, "999 pass");
		check(&w);
	}
	p->udp_goes_on = false;
	recent_close(&recent);
}

static void passed_goes_on(struct way *w)
{
	plane_rules(w->p, "10 udp port 53 pass");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_PASS);
	plane_rules(w->p, "10 udp port 53 drop");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_UDP_FLOW);
	assert_int_equal(datagram(w, 1), SHUNT_CTR_RULE_DROP);
	assert_int_equal(datagram(w, 0), SHUNT_CTR_UDP_FLOW);
	/* The same addresses in the other direction are another flow. */
	w->out = !w->out;
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_DROP);
}

static void UDP_a_passed_flow_goes_on(void **state)
{
	each_way(state, passed_goes_on);
}

static void unselected_goes_on(struct way *w)
{
	plane_rules(w->p, "10 udp port 54 drop");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_NO_MATCH);
	plane_rules(w->p, "10 udp port 53 reject");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_UDP_FLOW);
	plane_rules(w->p, "10 udp port 53 drop");
	assert_int_equal(datagram(w, 1), SHUNT_CTR_RULE_DROP);
}

static void UDP_a_flow_that_no_rule_selects_goes_on(void **state)
{
	each_way(state, unselected_goes_on);
}

static void dropped_is_asked_again(struct way *w)
{
	plane_rules(w->p, "10 udp port 53 drop");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_DROP);
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_DROP);
	plane_rules(w->p, "10 udp port 53 pass");
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_PASS);
	assert_int_equal(datagram(w, 0), SHUNT_CTR_UDP_FLOW);
}

static void UDP_a_dropped_flow_is_asked_again(void **state)
{
	each_way(state, dropped_is_asked_again);
}

static void limited_by_flow(struct way *w)
{
	uint16_t n;
	int result;

	plane_rules(w->p, "10 udp port 53 pass limit 1/s burst 2");
	for (n = 0; n < 2; n++)
		assert_int_equal(datagram(w, n), SHUNT_CTR_RULE_PASS);
	for (int i = 0; i < 10; i++)
		assert_int_equal(datagram(w, (uint16_t)(i & 1)), SHUNT_CTR_UDP_FLOW);
	/* One more is allowed for each second that this has taken. */
	do
		result = datagram(w, n++);
	while (result == SHUNT_CTR_RULE_PASS && n < 100);
	assert_int_equal(result, SHUNT_CTR_RULE_LIMIT);
}

static void UDP_a_limit_counts_flows(void **state)
{
	each_way(state, limited_by_flow);
}

static void count_event(void *arg, const struct shunt_event *event)
{
	(void)event;
	++*(int *)arg;
}

static void counted_once(struct way *w)
{
	struct shunt_rules rules;
	int events = 0;

	plane_rules(w->p, "10 udp port 53 pass log");
	shunt_events_poll(w->p->s, 0, count_event, &events);
	events = 0;
	for (int i = 0; i < 10; i++)
		datagram(w, (uint16_t)(i % 3));
	assert_int_equal(shunt_rules_read(w->p->s, &rules), 0);
	shunt_events_poll(w->p->s, 0, count_event, &events);
	assert_int_equal(events, 3);
	assert_int_equal(rules.v[0].stat.flows, 3);
	shunt_rules_clear(&rules);
}

static void UDP_a_flow_is_counted_and_logged_once(void **state)
{
	each_way(state, counted_once);
}

static void idle_is_over(struct way *w)
{
	const uint64_t second = 1000000000;
	struct shunt_udp_key key;
	uint64_t seen;

	plane_rules(w->p, "10 udp port 53 pass");
	datagram(w, 0);
	plane_rules(w->p, "10 udp port 53 drop");
	key_of(&key, w, 0);
	assert_int_equal(bpf_map_lookup_elem(w->p->s->map.udp_flows, &key, &seen), 0);
	seen = now_ns() - (SHUNT_UDP_IDLE - 2) * second;
	assert_int_equal(bpf_map_update_elem(w->p->s->map.udp_flows, &key, &seen, BPF_EXIST), 0);
	assert_int_equal(datagram(w, 0), SHUNT_CTR_UDP_FLOW);
	/* That datagram was seen. */
	assert_int_equal(bpf_map_lookup_elem(w->p->s->map.udp_flows, &key, &seen), 0);
	assert_true(now_ns() - seen < 2 * second);
	recent_forget_all(w->recent); /* as time would */
	seen = now_ns() - (SHUNT_UDP_IDLE + 1) * second;
	assert_int_equal(bpf_map_update_elem(w->p->s->map.udp_flows, &key, &seen, BPF_EXIST), 0);
	assert_int_equal(datagram(w, 0), SHUNT_CTR_RULE_DROP);
}

static void UDP_an_idle_flow_is_a_new_one(void **state)
{
	each_way(state, idle_is_over);
}

static void explained_as_new(struct way *w)
{
	struct plane_run run = { .prog = w->out ? PROG_OUT_ETH : PROG_IN_ETH, .explain = true,
				 .uid = 65534, .iif = w->out ? 0 : w->p->ifindex };
	struct plane_result result;

	plane_rules(w->p, "10 udp port 53 pass");
	datagram(w, 0);
	plane_rules(w->p, "10 udp port 53 drop");
	plane_test_run(w->p, &run, &w->f, &result);
	assert_int_equal(result.ex.counter, SHUNT_CTR_RULE_DROP);
	assert_int_equal(result.ex.priority, 10);
	/* And nothing is remembered of the question. */
	plane_rules(w->p, "10 udp port 53 pass");
	assert_int_equal(datagram(w, 1), SHUNT_CTR_RULE_PASS);
	frame_set16(&w->f, w->f.l4, FRAME_SPORT + 2);
	plane_test_run(w->p, &run, &w->f, &result);
	assert_int_equal(datagram(w, 2), SHUNT_CTR_RULE_PASS);
}

static void UDP_explain_is_about_a_new_flow(void **state)
{
	each_way(state, explained_as_new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(UDP_a_passed_flow_goes_on),
		cmocka_unit_test(UDP_a_flow_that_no_rule_selects_goes_on),
		cmocka_unit_test(UDP_a_dropped_flow_is_asked_again),
		cmocka_unit_test(UDP_a_limit_counts_flows),
		cmocka_unit_test(UDP_a_flow_is_counted_and_logged_once),
		cmocka_unit_test(UDP_an_idle_flow_is_a_new_one),
		cmocka_unit_test(UDP_explain_is_about_a_new_flow),
	};

	return cmocka_run_group_tests_name("bpf udp flows", tests, plane_up, plane_down);
}
