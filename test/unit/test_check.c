/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `rule check`: what is said about given rules; and about random ones in a small world, in which
 * every packet can be tried, rules are in the shadow of others exactly if no packet reaches them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

static void parse(struct shunt_config *out, const char *text)
{
	FILE *in = fmemopen((char *)text, strlen(text), "r");
	char err[256];

	if (shunt_config_parse(out, in, "f", NULL, err, sizeof(err)))
		fail_msg("%s:\n%s", err, text);
	fclose(in);
}

/* ---- given rules ---------------------------------------------------------------------------- */

/* The findings as "10 shadowed by 1 2, a set-unused"; free it. */
static char *summary(const char *text)
{
	struct shunt_findings found;
	struct shunt_config config;
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	parse(&config, text);
	assert_int_equal(shunt_check(NULL, &config, &found), 0);
	assert_int_equal(found.unsure, 0);
	for (size_t i = 0; i < found.n; i++) {
		const struct shunt_finding *one = &found.v[i];

		assert_true(strlen(one->text) > 20);
		fputs(i ? ", " : "", f);
		if (one->rule)
			fprintf(f, "%u", one->rule);
		fprintf(f, "%s %s%s", one->set, shunt_finding_name(one->kind),
			one->n_by ? " by" : "");
		for (size_t k = 0; k < one->n_by; k++)
			fprintf(f, " %u", one->by[k]);
	}
	fclose(f);
	shunt_findings_clear(&found);
	shunt_config_clear(&config);
	return out;
}

static void expect(const char *text, const char *expected)
{
	char *found = summary(text);

	if (strcmp(found, expected))
		fail_msg("'%s', not '%s':\n%s", found, expected, text);
	free(found);
}

static void test_shadowed(void **state)
{
	(void)state;
	expect("", "");
	expect("10 pass to 10.0.0.0/8\n20 pass to 10.0.0.0/7\n", "");
	expect("10 pass to 10.0.0.0/7\n20 pass to 10.0.0.0/8\n", "20 shadowed by 10");
	expect("10 pass to 10.0.0.0/8\n20 to 10.0.0.0/9,10.128.0.0/9 pass # x\n",
	       "20 duplicate by 10");
	expect("10 pass to 10.0.0.0/8\n20 drop to 10.0.0.0/8\n", "20 shadowed by 10");
	expect("10 pass log\n20 pass\n30 pass limit 5/s\n", "20 shadowed by 10, 30 shadowed by 10");
	expect("10 pass audit\n20 pass\n", "");
	expect("10 pass\n20 pass audit\n", "20 shadowed by 10");
	expect("10 pass in\n20 pass out\n30 pass to ::/0\n", "30 shadowed by 10 20");
	expect("10 pass tcp\n20 pass udp in\n30 pass out udp uid 5\n40 pass uid 5\n",
	       "40 shadowed by 10 30");
	expect("10 pass port 1-100\n20 pass port 101-200\n30 pass port 50-150\n",
	       "30 shadowed by 10 20");
	expect("10 pass port 1-100\n20 pass port 102-200\n30 pass port 50-150\n", "");
	/* Port 0 is no port that a rule can name. */
	expect("10 pass port 1-65535\n20 pass\n", "");
	expect("10 pass to not 10.0.0.0/8\n20 pass to 10.0.0.0/8\n30 pass\n", "30 shadowed by 10 20");
	expect("10 pass on a\n20 pass on b\n30 pass on a,b\n40 pass\n", "30 shadowed by 10 20");
	expect("10 pass on a\n20 pass on b\n30 pass on a,b,c\n", "");
	expect("10 pass cgroup /a\n20 pass cgroup /a/b\n30 pass cgroup /ab\n", "20 shadowed by 10");
	expect("10 pass uid 0-4294967294\n20 pass out\n", "");
	/* An address of one family leaves nothing of the other to the rule. */
	expect("10 pass to 0.0.0.0/0\n20 pass from 10.0.0.0/8\n", "20 shadowed by 10");
	expect("10 pass to 0.0.0.0/0\n20 pass\n", "");
	/* An action that does not go with all that the words say. */
	expect("10 proxy\n20 drop udp\n30 drop tcp\n", "30 shadowed by 10");
	expect("10 route\n20 drop out\n30 drop in\n", "30 shadowed by 10");
	expect("10 proxy\n20 proxy tcp\n", "10 tcp-only, 20 duplicate by 10");
	/* What is itself in the shadow is no reason. */
	expect("10 pass to 10.0.0.0/8\n20 pass to 10.1.0.0/16\n30 pass to 10.1.1.0/24\n",
	       "20 shadowed by 10, 30 shadowed by 10");
}

/* The n-th finding about these rules says that. */
static void expect_text(const char *text, size_t n, const char *expected)
{
	struct shunt_findings found;
	struct shunt_config config;

	parse(&config, text);
	assert_int_equal(shunt_check(NULL, &config, &found), 0);
	assert_true(n < found.n);
	assert_string_equal(found.v[n].text, expected);
	shunt_findings_clear(&found);
	shunt_config_clear(&config);
}

static void test_sentences(void **state)
{
	(void)state;
	expect_text("set a\n10 pass to @a from 1.2.3.4\n", 0,
		    "set 'a' is empty, which leaves no address for 'to': change the set, or delete "
		    "the rule");
	expect_text("set a ::/0,0.0.0.0/0\n10 pass from not @a\n", 0,
		    "set 'a' holds all addresses, which leaves no address for 'from': change the "
		    "set, or delete the rule");
	expect_text("set a fd00::/8\n10 pass to @a from 1.2.3.4\n", 0,
		    "'from' and 'to' have no address family in common: change one of them, or "
		    "delete the rule");
	/* A rule that names a set twice is one rule. */
	expect_text("set a\n10 pass to @a from @a\n20 pass to not @a from not @a\n", 1,
		    "it has no prefixes, and 2 rules name it, 10 the first: add some, unless a "
		    "program fills it");
	expect_text("set a\n10 pass to @a from @a\n", 1,
		    "it has no prefixes, and 1 rule names it, 10 the first: add some, unless a "
		    "program fills it");
}

static void test_sets(void **state)
{
	(void)state;
	expect("set a 10.0.0.0/8\nset b 10.1.0.0/16\n10 pass to @a\n20 pass to @b\n30 pass to @b\n",
	       "20 shadowed by 10, 30 shadowed by 10");
	expect("set a 10.0.0.0/8\n10 pass to not @a\n20 pass to @a\n30 pass to 1.2.3.4\n40 pass\n",
	       "30 shadowed by 10, 40 shadowed by 10 20");
	expect("set a\n10 pass to @a\n20 pass to not @a\n30 pass\n",
	       "10 never-match, 30 duplicate by 20, a set-empty");
	expect("set a 1.2.3.4\n", "a set-unused");
	expect("10 pass to @a\n20 pass to @a\n", "10 set-unknown, 20 set-unknown");
	expect("set a fd00::/8\n10 pass to @a from 1.2.3.4\n", "10 never-match");
}

static void test_gaps(void **state)
{
	(void)state;
	expect("10 tcp port 443 proxy\n", "10 tcp-only");
	expect("10 tcp port 443 pass\n", "");
	expect("10 tcp port 443 proxy audit\n", "");
	expect("10 port 443 drop\n", "");
	expect("10 udp port 443 drop\n", "");
	expect("10 tcp port 443 proxy\n20 udp port 443 reject\n", "");
	expect("10 udp port 443 pass\n20 tcp port 443 proxy\n", "");
	expect("10 tcp port 443 proxy\n20 pass\n", "10 tcp-only");
	expect("10 tcp port 443 proxy\n20 drop\n", "");
	expect("10 tcp port 443 proxy\n20 udp to 0.0.0.0/0 drop\n",
	       "10 tcp-only, 20 one-family");
	expect("10 to 10.0.0.0/8 drop\n", "10 one-family");
	expect("10 to fd00::/8 drop\n", "10 one-family");
	expect("10 to 10.0.0.0/8 pass\n", "");
	expect("10 to 10.0.0.0/8,fd00::/8 drop\n", "");
	expect("10 to not 10.0.0.0/8 drop\n", "");
	expect("10 to 10.0.0.0/8 drop\n20 from fd00::/8 reject\n", "");
	expect("10 to 10.0.0.0/8 drop\n20 from fd00::/8 port 80 reject\n", "10 one-family");
	expect("set a 10.0.0.0/8\n10 to @a drop\n", "10 one-family");
	expect("set a 10.0.0.0/8,fd00::/8\n10 to @a drop\n", "");
}

/* ---- random rules ----------------------------------------------------------------------------- */

static uint64_t seed = 1;

static unsigned int below(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(seed >> 33) % n;
}

static const char *one_of(const char *const *v, unsigned int n)
{
	return v[below(n)];
}
#define ONE_OF(...)                                                                            \
	({                                                                                     \
		static const char *const v_[] = { __VA_ARGS__ };                               \
		one_of(v_, sizeof(v_) / sizeof(v_[0]));                                        \
	})

static const char *addrs(void)
{
	return ONE_OF("10.0.0.0", "10.0.0.1", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/30", "0.0.0.0/0",
		      "::/0", "fd00::/126", "fd00::2", "fd00::/127,10.0.0.3", "not 10.0.0.0/31",
		      "not fd00::", "@a", "@b", "not @a", "10.0.0.0/30,fd00::/126");
}

static const char *ports(void)
{
	return ONE_OF("1", "2", "1-2", "2-4", "1,3", "3-65535", "1-65535", "4");
}

static void random_rule(FILE *f, unsigned int priority)
{
	bool in = !below(4);

	fprintf(f, "%u %s %s", priority, in ? "in" : ONE_OF("out", "", ""),
		ONE_OF("tcp", "udp", "", ""));
	if (!below(2))
		fprintf(f, " to %s", addrs());
	if (!below(3))
		fprintf(f, " from %s", addrs());
	if (!below(2))
		fprintf(f, " port %s", ports());
	if (!below(5))
		fprintf(f, " sport %s", ports());
	if (!below(4))
		fprintf(f, " on %s", ONE_OF("x", "y", "x,y"));
	if (!in && !below(5))
		fprintf(f, " uid %s", ONE_OF("0", "1", "0-1", "1-2", "0-4294967294"));
	if (!in && !below(6))
		fprintf(f, " cgroup %s", ONE_OF("/g", "/g/h", "/i"));
	fprintf(f, " %s\n", ONE_OF("pass", "drop", "pass audit"));
}

/* Addresses of two families are refused: then another one. */
static void add_rule(FILE *out, unsigned int priority)
{
	struct shunt_rule rule;
	char text[512], err[256];
	FILE *f;

	do {
		f = fmemopen(text, sizeof(text), "w");
		random_rule(f, priority);
		fclose(f);
		text[strcspn(text, "\n")] = '\0';
	} while (shunt_rule_parse(&rule, text, err, sizeof(err)));
	shunt_rule_clear(&rule);
	fprintf(out, "%s\n", text);
}

struct packet {
	uint8_t dir, proto;
	struct in6_addr to, from;
	uint16_t port, sport;
	int uid; /* -1: not known */
	const char *device, *cgroup;
};

static bool in_prefixes(const struct shunt_prefix *v, size_t n, const struct in6_addr *addr)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(addr);

	for (size_t i = 0; i < n; i++) {
		unsigned int bit = 0;

		if (shunt_prefix_is_v4(&v[i]) != v4)
			continue;
		while (bit < v[i].len && !((v[i].addr.s6_addr[bit / 8] ^ addr->s6_addr[bit / 8]) &
					   (0x80 >> bit % 8)))
			bit++;
		if (bit == v[i].len)
			return true;
	}
	return false;
}

static bool in_addrs(const struct shunt_config *c, const struct shunt_addrs *a,
		     const struct in6_addr *addr)
{
	if (a->set[0]) {
		for (size_t i = 0; i < c->sets.n; i++)
			if (!strcmp(c->sets.v[i].name, a->set))
				return in_prefixes(c->sets.v[i].v, c->sets.v[i].n, addr) !=
				       a->negated;
		fail_msg("no set");
	}
	return !a->n || in_prefixes(a->v, a->n, addr) != a->negated;
}

static bool in_ports(const struct shunt_ports *ports_, uint16_t port)
{
	for (size_t i = 0; i < ports_->n; i++)
		if (port >= ports_->v[i].lo && port <= ports_->v[i].hi)
			return true;
	return !ports_->n;
}

static bool in_devices(const struct shunt_rule *r, const char *name)
{
	for (size_t i = 0; i < r->n_devices; i++)
		if (!strcmp(r->devices[i], name))
			return true;
	return !r->n_devices;
}

/* The rule as docs/rules.md tells it, word by word. */
static bool matches(const struct shunt_config *c, const struct shunt_rule *r,
		    const struct packet *p)
{
	size_t n = r->cgroup ? strlen(r->cgroup) : 0;

	if (!(r->dirs & p->dir) || !(r->protos & p->proto) || !in_devices(r, p->device))
		return false;
	if (r->has_uid && (p->dir != SHUNT_DIR_OUT || p->uid < 0 ||
			   (uint32_t)p->uid < r->uid_lo || (uint32_t)p->uid > r->uid_hi))
		return false;
	if (n && (p->dir != SHUNT_DIR_OUT || strncmp(p->cgroup, r->cgroup, n) ||
		  (p->cgroup[n] && p->cgroup[n] != '/')))
		return false;
	return in_addrs(c, &r->to, &p->to) && in_addrs(c, &r->from, &p->from) &&
	       in_ports(&r->port, p->port) && in_ports(&r->sport, p->sport);
}

/* Each packet that the rules can tell from others, by number: false behind the last. */
static bool packet_of(unsigned int n, struct packet *out)
{
	struct in6_addr addr[5] = {};
	static const uint16_t port[] = { 0, 1, 2, 3, 4, 5 };
	static const char *const devices[] = { "x", "y", "z" };
	static const char *const cgroups[] = { "/g", "/g/h", "/i", "/" };
	for (uint8_t i = 0; i < 5; i++) { /* 10.0.0.0 and next, or fd00:: and next */
		memcpy(&addr[i], n % 2 ? "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0" : "\xfd", n % 2 ? 15 : 1);
		addr[i].s6_addr[15] = i;
	}
	n /= 2;
#define TAKE(v, count) (v)[({ unsigned int i_ = n % (count); n /= (count); i_; })]
	out->to = TAKE(addr, 5);
	out->from = TAKE(addr, 5);
	out->port = TAKE(port, 6);
	out->sport = TAKE(port, 6);
	out->device = TAKE(devices, 3);
	out->proto = TAKE(((const uint8_t[]){ SHUNT_PROTO_TCP, SHUNT_PROTO_UDP }), 2);
	out->dir = TAKE(((const uint8_t[]){ SHUNT_DIR_IN, SHUNT_DIR_OUT }), 2);
	out->uid = TAKE(((const int[]){ 0, 1, 2, 3, -1 }), 5);
	out->cgroup = TAKE(cgroups, 4);
#undef TAKE
	return !n;
}

static void find_reached(const struct shunt_config *c, bool *reached)
{
	struct packet p;

	for (unsigned int n = 0; packet_of(n, &p); n++) {
		for (size_t i = 0; i < c->rules.n; i++) {
			if (!matches(c, &c->rules.v[i], &p))
				continue;
			reached[i] = true;
			if (!c->rules.v[i].audit)
				break;
		}
	}
}

static bool is_dead(const struct shunt_findings *found, uint32_t priority)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->v[i].rule == priority && (found->v[i].kind == SHUNT_FIND_SHADOWED ||
						     found->v[i].kind == SHUNT_FIND_DUPLICATE ||
						     found->v[i].kind == SHUNT_FIND_NEVER_MATCH))
			return true;
	return false;
}

enum { ROUNDS = 30, RULES = 14 };

static void test_random(void **state)
{
	size_t dead = 0, alive = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		bool reached[RULES] = {};
		struct shunt_findings found;
		struct shunt_config config;
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		fputs("set a 10.0.0.1,10.0.0.2,fd00::/127\nset b 10.0.0.0/30\n", f);
		for (unsigned int i = 0; i < RULES; i++)
			add_rule(f, i + 1);
		fclose(f);
		parse(&config, text);
		find_reached(&config, reached);
		assert_int_equal(shunt_check(NULL, &config, &found), 0);
		assert_int_equal(found.unsure, 0);
		for (unsigned int i = 0; i < RULES; i++) {
			if (is_dead(&found, i + 1) == reached[i])
				fail_msg("rule %u is %s:\n%s", i + 1,
					 reached[i] ? "reached" : "not reached", text);
			*(reached[i] ? &alive : &dead) += 1;
		}
		shunt_findings_clear(&found);
		shunt_config_clear(&config);
		free(text);
	}
	assert_in_range(dead, ROUNDS, ROUNDS * RULES / 2);
	assert_in_range(alive, ROUNDS, ROUNDS * RULES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shadowed),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
