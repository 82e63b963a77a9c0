// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 4 /* priorities between two rules */ };

const char *const bench_kind_names[BENCH_KINDS] = { "destination", "source", "port", "mixed" };

static uint64_t next(struct bench_case *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15ULL; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint32_t below(struct bench_case *c, uint32_t n)
{
	return (uint32_t)((next(c) >> 32) * n >> 32);
}

/* Host bits by chance. */
static struct in6_addr address_in(struct bench_case *c, const struct shunt_prefix *p)
{
	struct in6_addr a = p->addr;

	for (unsigned int i = p->len / 8; i < 16; i++) {
		uint8_t host = i == p->len / 8U ? (uint8_t)(0xff >> p->len % 8) : 0xff;

		a.s6_addr[i] |= (uint8_t)next(c) & host;
	}
	return a;
}

static struct shunt_prefix everything(bool v6)
{
	struct shunt_prefix p = { .len = v6 ? 3 : 96 };

	if (v6)
		p.addr.s6_addr[0] = 0x20; /* 2000::/3 */
	else
		p.addr.s6_addr[10] = p.addr.s6_addr[11] = 0xff;
	return p;
}

/* A length, and how many of a thousand prefixes have it. */
struct share {
	uint8_t len;
	uint16_t of_1000;
};

/* About as in the routing tables of the Internet, and some hosts. */
static const struct share shares4[] = {
	{ 24, 580 }, { 22, 110 }, { 23, 100 }, { 20, 45 }, { 21, 50 }, { 32, 60 }, { 19, 25 },
	{ 18, 14 },  { 17, 6 },	  { 16, 9 },   { 12, 1 },
};
static const struct share shares6[] = {
	{ 48, 480 }, { 32, 110 }, { 44, 80 }, { 40, 70 }, { 36, 40 }, { 29, 10 }, { 56, 60 },
	{ 64, 90 },  { 128, 60 },
};

static uint8_t length(struct bench_case *c)
{
	const struct share *s = c->v6 ? shares6 : shares4;
	uint32_t x = below(c, 1000);

	for (; x >= s->of_1000; s++)
		x -= s->of_1000;
	return c->v6 ? s->len : 96 + s->len;
}

static struct shunt_prefix some_prefix(struct bench_case *c)
{
	struct shunt_prefix p = everything(c->v6);

	p.addr = address_in(c, &p);
	if (!c->v6) { /* unicast, not of loopback: others are not asked about */
		p.addr.s6_addr[12] = (uint8_t)(1 + below(c, 222));
		p.addr.s6_addr[12] += p.addr.s6_addr[12] >= 127;
	}
	p.len = length(c);
	for (unsigned int i = p.len; i < 128; i++)
		p.addr.s6_addr[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	return p;
}

static int one_prefix(struct bench_case *c, struct shunt_addrs *out)
{
	out->v = malloc(sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	out->v[0] = some_prefix(c);
	out->n = 1;
	return 0;
}

static int one_range(struct shunt_ports *out, uint32_t lo, uint32_t hi)
{
	out->v = malloc(sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	out->v[0] = (struct shunt_port_range){ (uint16_t)lo, (uint16_t)hi };
	out->n = 1;
	return 0;
}

/* Five sorts of rules in turn, as a firewall of several departments has them. */
static int mixed_rule(struct bench_case *c, struct shunt_rule *rule)
{
	uint32_t sort = below(c, 5), port = 1 + below(c, 60000);
	int r = 0;

	if (sort != 3)
		r = one_prefix(c, &rule->to);
	if (!r && (sort == 1 || sort == 3))
		r = one_prefix(c, &rule->from);
	if (!r && (sort == 2 || sort == 3))
		r = one_range(&rule->port, port, sort == 2 ? port : port + below(c, 1000));
	if (sort == 4) {
		rule->dirs = SHUNT_DIR_OUT;
		rule->has_uid = true;
		rule->uid_lo = rule->uid_hi = 1000 + below(c, 500);
	}
	return r;
}

static int make_rule(struct bench_case *c, struct shunt_rule *rule, enum bench_kind kind, size_t i)
{
	memset(rule, 0, sizeof(*rule));
	rule->priority = (uint32_t)(i + 1) * GAP;
	rule->dirs = SHUNT_DIR_IN | SHUNT_DIR_OUT;
	rule->protos = SHUNT_PROTO_TCP;
	rule->action = SHUNT_ACT_PASS;
	switch (kind) {
	case BENCH_DST:
		return one_prefix(c, &rule->to);
	case BENCH_SRC:
		return one_prefix(c, &rule->from);
	case BENCH_PORT: /* no two alike: the ports of TCP, then those of UDP */
		if (i >= 65535)
			rule->protos = SHUNT_PROTO_UDP;
		return one_range(&rule->port, 1 + (uint32_t)i % 65535, 1 + (uint32_t)i % 65535);
	default:
		return mixed_rule(c, rule);
	}
}

static int make_set(struct bench_case *c, size_t n)
{
	struct shunt_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	c->sets = (struct shunt_sets){ set, 1 };
	strcpy(set->name, "large");
	set->v = malloc(n * sizeof(*set->v));
	if (!set->v)
		return -ENOMEM;
	for (set->n = 0; set->n < n; set->n++)
		set->v[set->n] = some_prefix(c);
	return 0;
}

int bench_case_make(struct bench_case *c, enum bench_kind kind, bool v6, size_t n, size_t set_size)
{
	int r = 0;

	memset(c, 0, sizeof(*c));
	c->v6 = v6;
	c->state = n * 4 + kind;
	c->rules.v = calloc(n + 1, sizeof(*c->rules.v));
	if (!c->rules.v)
		return -ENOMEM;
	for (; c->rules.n < n && !r; c->rules.n++)
		r = make_rule(c, &c->rules.v[c->rules.n], kind, c->rules.n);
	if (!r && set_size) {
		r = make_set(c, set_size);
		if (!r)
			r = make_rule(c, &c->rules.v[n], BENCH_DST, n);
		c->rules.n = n + 1;
		free(c->rules.v[n].to.v);
		c->rules.v[n].to = (struct shunt_addrs){ .set = "large" };
	}
	if (r)
		bench_case_clear(c);
	return r;
}

void bench_case_clear(struct bench_case *c)
{
	shunt_rules_clear(&c->rules);
	for (size_t i = 0; i < c->sets.n; i++)
		free(c->sets.v[i].v);
	free(c->sets.v);
	memset(c, 0, sizeof(*c));
}

static struct in6_addr address_of(struct bench_case *c, const struct shunt_addrs *list)
{
	struct shunt_prefix all = everything(c->v6);
	const struct shunt_set *set = &c->sets.v[0];
	struct in6_addr a;

	if (list && list->set[0] && set->n)
		return address_in(c, &set->v[below(c, (uint32_t)set->n)]);
	a = address_in(c, list && list->n ? &list->v[0] : &all);
	if (!c->v6 && !(list && list->n)) /* unicast: others are not asked about */
		a.s6_addr[12] = (uint8_t)(1 + below(c, 126));
	return a;
}

void bench_packet(struct bench_case *c, struct batch_packet *out)
{
	const struct shunt_rule *rule = NULL;
	size_t skip = c->v6 ? 0 : 12;
	uint32_t sort = below(c, 4);
	struct in6_addr src, dst;

	memset(out, 0, sizeof(*out));
	if (sort > 0 && c->rules.n)
		rule = &c->rules.v[below(c, (uint32_t)c->rules.n)];
	if (sort == 1 && c->sets.n)
		rule = &c->rules.v[c->rules.n - 1];
	dst = address_of(c, rule ? &rule->to : NULL);
	src = address_of(c, rule ? &rule->from : NULL);
	memcpy(out->addrs, src.s6_addr + skip, 16 - skip);
	memcpy(out->addrs + 16 - skip, dst.s6_addr + skip, 16 - skip);
	out->dport = htons(rule && rule->port.n ? rule->port.v[0].lo
						: (uint16_t)(1 + below(c, 65535)));
	out->sport = htons((uint16_t)(1024 + below(c, 60000)));
}
