// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rules and sets are changed by one thread, as fast as it goes, while another runs packets
 * through the program. Whatever the state of the change, each of these packets is to pass: by
 * the old generation, or by the new one. A mixture of both would drop it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plane.h"

enum {
	CHANGES = 120,
	PACKETS_AT_ONCE = 500,
	AT_LEAST = 100000, /* packets meanwhile, else nothing has been shown */
	BYSTANDERS = 40,   /* rules that are not changed, each with a packet of its own */
	FIRST_PORT = 1000,
};

struct race {
	struct plane *p;
	void (*change)(struct race *race, unsigned int i);
	struct shunt *s; /* the changing thread's own */
	struct shunt_config config[2];
	uint64_t rng;
	atomic_bool done;
	atomic_uint packets;
	int failed; /* changes */
};

static uint32_t draw(struct race *race, uint32_t n)
{
	race->rng = race->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(race->rng >> 33) % n;
}

static void *change_all_the_time(void *arg)
{
	struct race *race = arg;

	if (shunt_open(&race->s, &(struct shunt_where){})) {
		race->failed = 1;
	} else {
		/* More of them where the packets come slowly. */
		for (unsigned int i = 0; i < CHANGES || atomic_load(&race->packets) <= AT_LEAST; i++)
			race->change(race, i);
		shunt_close(race->s);
	}
	atomic_store(&race->done, true);
	return NULL;
}

static void run_packets(struct plane *p, const struct frame *f)
{
	struct __sk_buff skb = { .ifindex = p->ifindex, .ingress_ifindex = p->ifindex };

	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b,
			    .data_size_in = (__u32)f->len, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = PACKETS_AT_ONCE);
	if (bpf_prog_test_run_opts(p->s->prog[PROG_IN_ETH], &opts))
		fail_msg("test run: %s", strerror(errno));
}

static void build(struct frame *f, const struct plane *p, bool v6, uint16_t port)
{
	frame_ip(f, p->mac, v6);
	frame_l4(f, IPPROTO_TCP, port);
	frame_close(f);
}

/* Packets of both families to n ports while it is changed: none may be dropped. */
static void race_against(struct race *race, unsigned int ports)
{
	uint64_t before[SHUNT_CTR_MAX], passed;
	struct plane *p = race->p;
	pthread_t thread;
	struct frame f;

	plane_sync(p);
	memcpy(before, p->counters, sizeof(before));
	assert_int_equal(pthread_create(&thread, NULL, change_all_the_time, race), 0);
	for (unsigned int i = 0; !atomic_load(&race->done); i++) {
		build(&f, p, i & 1, (uint16_t)(FIRST_PORT + i / 2 % ports));
		run_packets(p, &f);
		atomic_fetch_add(&race->packets, PACKETS_AT_ONCE);
	}
	pthread_join(thread, NULL);
	plane_sync(p);
	assert_int_equal(race->failed, 0);
	passed = p->counters[SHUNT_CTR_RULE_PASS] - before[SHUNT_CTR_RULE_PASS];
	assert_int_equal(p->counters[SHUNT_CTR_RULE_DROP] - before[SHUNT_CTR_RULE_DROP], 0);
	assert_int_equal(p->counters[SHUNT_CTR_NO_MATCH] - before[SHUNT_CTR_NO_MATCH], 0);
	assert_true(passed > AT_LEAST);
	print_message("           %llu packets during %d changes or more\n", (unsigned long long)passed,
		      CHANGES);
}

/* ---- whole swaps ---------------------------------------------------------------------------- */

static void parse(struct shunt_config *out, const char *text)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	char err[256];

	assert_non_null(in);
	if (shunt_rules_parse(&out->rules, in, "rules", err, sizeof(err)))
		fail_msg("%s", err);
	fclose(in);
}

static void give_prefixes(struct shunt_set *set, const char *name, const char *const *prefixes,
			  size_t n)
{
	const char *why;

	snprintf(set->name, sizeof(set->name), "%s", name);
	set->v = calloc(n + 1, sizeof(*set->v));
	assert_non_null(set->v);
	for (set->n = 0; set->n < n; set->n++)
		assert_int_equal(shunt_prefix_parse(&set->v[set->n], prefixes[set->n], &why), 0);
}

/* One of the sets holds where the packets go to, the other nothing. */
static void give_sets(struct shunt_config *c, size_t full)
{
	static const char *const names[] = { "x", "y" }, *const where[] = { FRAME_DST4, FRAME_DST6 };

	c->sets.v = calloc(2, sizeof(*c->sets.v));
	assert_non_null(c->sets.v);
	for (c->sets.n = 0; c->sets.n < 2; c->sets.n++)
		give_prefixes(&c->sets.v[c->sets.n], names[c->sets.n], where,
			      c->sets.n == full ? 2 : 0);
}

static void swap(struct race *race, unsigned int i)
{
	race->failed |= shunt_config_apply(race->s, &race->config[i & 1]);
}

static void race_of(struct plane *p, const char *one, const char *other)
{
	struct race race = { .p = p, .change = swap };

	parse(&race.config[0], one);
	give_sets(&race.config[0], 0);
	parse(&race.config[1], other);
	give_sets(&race.config[1], 1);
	assert_int_equal(shunt_config_apply(p->s, &race.config[1]), 0);
	race_against(&race, 1);
	shunt_config_clear(&race.config[0]);
	shunt_config_clear(&race.config[1]);
}

static void ATOMIC_rules_with_their_sets(void **state)
{
	race_of(*state, "10 to @x pass\n20 to @y drop\n30 drop",
		"10 to @x drop\n20 to @y pass\n30 drop");
}

/*
 * Behind an audit rule the search goes on: among the rules that this one is of. So many that most
 * of a packet's time is spent between them.
 */
static void ATOMIC_audit_goes_on_in_its_generation(void **state)
{
	char text[1024] = "";
	size_t at = 0;

	for (int i = 0; i < SHUNT_MAX_AUDITS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%d drop audit\n", 20 + i);
	snprintf(text + at, sizeof(text) - at, "80 pass\n90 drop\n");
	race_of(*state, text, "10 pass\n90 drop");
}

/* ---- single changes -------------------------------------------------------------------------- */

/* A rule of any shape, so that tables come and go. Its packets are none of those that run. */
static void other_rule(struct race *race, char *text, size_t size, uint32_t priority)
{
	char match[128] = "";
	uint32_t kind = draw(race, 5), a = draw(race, 256), len = 17 + draw(race, 16);

	if (kind == 0)
		snprintf(match, sizeof(match), "from 10.0.0.0/%u", 8 + len % 2);
	else if (kind == 1)
		snprintf(match, sizeof(match), "to 10.%u.0.0/%u", a, len);
	else if (kind == 2)
		snprintf(match, sizeof(match), "udp port %u-%u", 20000 + a, 20000 + 2 * a);
	else if (kind == 3)
		snprintf(match, sizeof(match), "to 2001:db8:ffff::/%u sport %u", 48 + len, 1 + a);
	else
		snprintf(match, sizeof(match), "from @%c", "xy"[a & 1]);
	snprintf(text, size, "%u %s drop", priority, match);
}

static void change_rule(struct race *race, uint32_t priority, bool add)
{
	struct shunt_rule rule;
	char text[256], err[256];

	if (!add) {
		race->failed |= shunt_rules_del(race->s, priority);
		return;
	}
	other_rule(race, text, sizeof(text), priority);
	if (shunt_rule_parse(&rule, text, err, sizeof(err))) {
		race->failed = 1;
		return;
	}
	race->failed |= shunt_rules_add(race->s, &rule);
	shunt_rule_clear(&rule);
}

/* Among them prefixes that hold the packets' own, in a set that does not matter to them. */
static void change_set(struct race *race, bool add)
{
	static const char *const prefixes[] = { "198.51.100.0/24", "2001:db8::/40", "10.1.0.0/16",
						"203.0.113.7", "2001:db8:ffff::1" };
	struct shunt_set set = {};

	give_prefixes(&set, "z", prefixes, 5);
	race->failed |= add ? shunt_set_add(race->s, &set) : shunt_set_take(race->s, &set);
	shunt_set_clear(&set);
}

/* Three rules come, a set changes, and all goes again. */
static void change_something(struct race *race, unsigned int i)
{
	uint32_t round = i % 8;

	if (round == 3 || round == 7)
		change_set(race, round == 3);
	else
		change_rule(race, 100 + 7 * (round % 4), round < 4);
}

static void bystanders(char *text, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < BYSTANDERS; i++) {
		static const char *const shapes[] = {
			"tcp port %u pass", "port %u to 198.51.100.0/24,2001:db8:2::/48 pass",
			"port %u from not @x pass", "tcp port %u to @w pass",
		};

		at += (size_t)snprintf(text + at, size - at, "%u ", 200 + i);
		at += (size_t)snprintf(text + at, size - at, shapes[i % 4], FIRST_PORT + i);
		at += (size_t)snprintf(text + at, size - at, "\n");
	}
	snprintf(text + at, size - at, "900 to @z drop\n999 drop\n");
}

static void ATOMIC_other_rules_and_sets_are_not_touched(void **state)
{
	static const char *const where[] = { FRAME_DST4, FRAME_DST6, "192.0.2.0/24" };
	static const char *const names[] = { "w", "x", "y", "z" };
	struct race race = { .p = *state, .change = change_something, .rng = 1 };
	struct shunt_config c = {};
	char text[8192];

	bystanders(text, sizeof(text));
	parse(&c, text);
	c.sets.v = calloc(4, sizeof(*c.sets.v));
	assert_non_null(c.sets.v);
	for (c.sets.n = 0; c.sets.n < 4; c.sets.n++)
		give_prefixes(&c.sets.v[c.sets.n], names[c.sets.n], where, c.sets.n ? 0 : 3);
	assert_int_equal(shunt_config_apply(race.p->s, &c), 0);
	shunt_config_clear(&c);
	race_against(&race, BYSTANDERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ATOMIC_rules_with_their_sets),
		cmocka_unit_test(ATOMIC_audit_goes_on_in_its_generation),
		cmocka_unit_test(ATOMIC_other_rules_and_sets_are_not_touched),
	};

	return cmocka_run_group_tests_name("bpf atomic", tests, plane_up, plane_down);
}
