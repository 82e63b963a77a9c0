// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "random_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *const random_devices[RANDOM_DEVICES] = { "", "dev1", "dev2", "dev3" };
const char *const random_cgroups[RANDOM_CGROUPS] = {
	"", "/a", "/a/b", "/a/b/c", "/a/bb", "/d", "/d/b", "/d/e/f/g/h/i/j", "/d/e/f/g/h/i",
};

/* ---- chance --------------------------------------------------------------------------------- */

uint64_t random_next(struct random_case *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15ULL; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint32_t random_below(struct random_case *c, uint32_t n)
{
	return (uint32_t)((random_next(c) >> 32) * n >> 32);
}

bool random_percent(struct random_case *c, uint32_t percent)
{
	return random_below(c, 100) < percent;
}

/* ---- addresses ------------------------------------------------------------------------------ */

void random_flip(struct in6_addr *a, unsigned int bit)
{
	a->s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* Bits from `from` on: all zero, all one, or by chance. */
void random_fill(struct random_case *c, struct in6_addr *a, unsigned int from)
{
	uint32_t how = random_below(c, 4);
	uint64_t bits = 0;

	for (unsigned int i = from / 8; i < 16; i++) {
		uint8_t mask = i == from / 8 ? (uint8_t)(0xff >> from % 8) : 0xff;

		if (how > 1)
			bits = i % 8 && bits ? bits >> 8 : random_next(c);
		else
			bits = how ? 0xff : 0;
		a->s6_addr[i] = (uint8_t)((a->s6_addr[i] & ~mask) | (bits & mask));
	}
}

void random_map_v4(struct in6_addr *a)
{
	memset(a->s6_addr, 0, 10);
	a->s6_addr[10] = a->s6_addr[11] = 0xff;
}

/* An IPv6 address is not one that stands for an IPv4 address. */
void random_unmap(struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		a->s6_addr[0] = 0x20;
}

static void make_bases(struct random_case *c)
{
	for (int v6 = 0; v6 < 2; v6++)
		for (int i = 0; i < RANDOM_BASES; i++) {
			struct in6_addr *a = &c->bases[v6][i];

			memset(a, 0, sizeof(*a));
			random_fill(c, a, 0);
			if (random_percent(c, 80)) /* else at the edge of what is unicast */
				a->s6_addr[v6 ? 0 : 12] =
					(uint8_t)(v6 ? 0x20 : 1 + random_below(c, 126));
			if (!v6)
				random_map_v4(a);
			else
				random_unmap(a);
		}
}

static void cut(struct shunt_prefix *p, unsigned int len)
{
	p->len = (uint8_t)len;
	for (unsigned int i = len; i < 128; i++)
		p->addr.s6_addr[i / 8] &= (uint8_t)~(0x80 >> i % 8);
}

static void make_prefix(struct random_case *c, struct shunt_prefix *p, int v6)
{
	static const uint8_t lens4[] = { 0, 1, 8, 8, 12, 15, 16, 16, 17, 20, 23, 24, 24, 24, 25, 30,
					 31, 32, 32, 32, 32 };
	static const uint8_t lens6[] = { 0, 1, 3, 16, 29, 32, 32, 33, 47, 48, 56, 63, 64, 64, 65,
					 80, 96, 112, 120, 127, 128, 128, 128 };
	unsigned int len = v6 ? lens6[random_below(c, COUNT(lens6))]
			      : 96U + lens4[random_below(c, COUNT(lens4))];
	unsigned int keep, first = v6 ? 0 : 96;

	if (random_percent(c, 20))
		len = first + random_below(c, 129 - first);
	p->addr = c->bases[v6][random_below(c, RANDOM_BASES)];
	keep = first + random_below(c, 129 - first);
	if (keep < 128 && random_percent(c, 60))
		random_flip(&p->addr, keep);
	if (random_percent(c, 50))
		random_fill(c, &p->addr, keep);
	if (v6)
		random_unmap(&p->addr);
	cut(p, len);
	if (v6) /* zeros may have come where ::ffff:0:0/96 begins */
		random_unmap(&p->addr);
}

struct shunt_prefix random_prefix(struct random_case *c)
{
	int v6 = random_percent(c, c->odds.v6);
	struct shunt_prefix p;

	if (random_percent(c, 60))
		return c->pool[v6][random_below(c, RANDOM_POOL)];
	make_prefix(c, &p, v6);
	return p;
}

/* ---- the parts of a rule -------------------------------------------------------------------- */

static bool has_prefix(const struct shunt_prefix *v, size_t n, const struct shunt_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].len == p->len && !memcmp(&v[i].addr, &p->addr, sizeof(p->addr)))
			return true;
	return false;
}

static int make_prefixes(struct random_case *c, struct shunt_prefix **v, size_t *n, size_t want)
{
	*n = 0;
	*v = calloc(want ? want : 1, sizeof(**v));
	if (!*v)
		return -ENOMEM;
	for (size_t i = 0; i < want; i++) {
		struct shunt_prefix p = random_prefix(c);

		if (!has_prefix(*v, *n, &p))
			(*v)[(*n)++] = p;
	}
	return 0;
}

static int make_addrs(struct random_case *c, struct shunt_addrs *out)
{
	size_t want = 1;

	out->negated = random_percent(c, c->odds.negated);
	if (c->sets.n && random_percent(c, c->odds.set)) {
		memcpy(out->set, c->sets.v[random_below(c, (uint32_t)c->sets.n)].name,
		       SHUNT_NAME_LEN);
		return 0;
	}
	if (random_percent(c, c->odds.list))
		want += random_below(c, random_percent(c, 10) ? 60 : 5);
	return make_prefixes(c, &out->v, &out->n, want);
}

static uint16_t make_port(struct random_case *c)
{
	uint16_t port = c->ports[random_below(c, RANDOM_PORTS)];

	if (random_percent(c, 15))
		port = (uint16_t)random_next(c);
	return port ? port : 1;
}

static int make_ports(struct random_case *c, struct shunt_ports *out)
{
	size_t want = 1 + (random_percent(c, c->odds.list) ? random_below(c, 5) : 0);

	out->v = calloc(want, sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	for (size_t i = 0; i < want; i++) {
		uint16_t a = make_port(c), b = random_percent(c, 50) ? a : make_port(c);
		struct shunt_port_range r = { a < b ? a : b, a < b ? b : a };
		bool twice = false;

		if (c->options.crowded) {
			a = (uint16_t)(1 + random_below(c, 65535));
			b = (uint16_t)(1 + random_below(c, 65535));
			r = (struct shunt_port_range){ a < b ? a : b, a < b ? b : a };
		}
		if (random_percent(c, 5))
			r = (struct shunt_port_range){ 1, 65535 };
		for (size_t j = 0; j < out->n; j++)
			twice |= out->v[j].lo == r.lo && out->v[j].hi == r.hi;
		if (!twice)
			out->v[out->n++] = r;
	}
	return 0;
}

static int make_devices(struct random_case *c, struct shunt_rule *rule)
{
	uint32_t some = 1 + random_below(c, 6); /* not all of them */

	rule->devices = calloc(RANDOM_DEVICES, sizeof(*rule->devices));
	if (!rule->devices)
		return -ENOMEM;
	for (uint32_t i = 1; i < RANDOM_DEVICES; i++)
		if (some >> (i - 1) & 1)
			strcpy(rule->devices[rule->n_devices++], random_devices[i]);
	return 0;
}

static int make_sender(struct random_case *c, struct shunt_rule *rule)
{
	uint32_t a, b;

	if (random_percent(c, c->odds.uid)) {
		a = c->uids[random_below(c, RANDOM_PORTS)];
		b = random_percent(c, 50) ? a : c->uids[random_below(c, RANDOM_PORTS)];
		rule->has_uid = true;
		rule->uid_lo = a < b ? a : b;
		rule->uid_hi = a < b ? b : a;
	}
	if (random_percent(c, c->odds.cgroup)) {
		rule->cgroup = strdup(random_cgroups[1 + random_below(c, RANDOM_CGROUPS - 1)]);
		if (!rule->cgroup)
			return -ENOMEM;
	}
	if ((rule->has_uid || rule->cgroup) && rule->dirs == SHUNT_DIR_IN)
		rule->dirs = SHUNT_DIR_OUT;
	return 0;
}

/* What it does is listed, not matched. */
static int make_action(struct random_case *c, struct shunt_rule *rule)
{
	static const enum shunt_action actions[] = { SHUNT_ACT_PASS, SHUNT_ACT_DROP,
						     SHUNT_ACT_REJECT, SHUNT_ACT_PROXY };

	rule->action = actions[random_below(c, COUNT(actions))];
	if (rule->action == SHUNT_ACT_PROXY && rule->protos != SHUNT_PROTO_TCP)
		rule->action = SHUNT_ACT_PASS; /* proxy says something about protocols, too */
	if (rule->action == SHUNT_ACT_PROXY) {
		strcpy(rule->target, random_percent(c, 50) ? "default" : "dns");
		rule->fail = random_percent(c, 30) ? SHUNT_FAIL_CLOSED : SHUNT_FAIL_OPEN;
	}
	if (rule->action != SHUNT_ACT_DROP && random_percent(c, 10)) {
		rule->limit_per = random_percent(c, 50) ? SHUNT_LIMIT_PER_RULE
							: SHUNT_LIMIT_PER_SRC;
		rule->limit_rate = 1 + random_below(c, 1000);
		rule->limit_burst = random_percent(c, 50) ? 0 : 1 + random_below(c, 100);
	}
	rule->log = random_percent(c, 10);
	rule->audit = random_percent(c, 10);
	if (random_percent(c, 10)) {
		rule->comment = strdup("by chance");
		return rule->comment ? 0 : -ENOMEM;
	}
	return 0;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool priority_is_taken(const struct random_case *c, uint32_t priority)
{
	size_t lo = 0, hi = c->rules.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->rules.v[mid].priority == priority)
			return true;
		if (c->rules.v[mid].priority < priority)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int make_match(struct random_case *c, struct shunt_rule *rule)
{
	int r = 0;

	rule->dirs = SHUNT_DIR_IN | SHUNT_DIR_OUT;
	rule->protos = SHUNT_PROTO_TCP | SHUNT_PROTO_UDP;
	if (random_percent(c, c->odds.dir))
		rule->dirs = random_percent(c, 50) ? SHUNT_DIR_IN : SHUNT_DIR_OUT;
	if (random_percent(c, c->odds.proto))
		rule->protos = random_percent(c, 50) ? SHUNT_PROTO_TCP : SHUNT_PROTO_UDP;
	if (random_percent(c, c->odds.device))
		r = make_devices(c, rule);
	if (!r && random_percent(c, c->odds.from))
		r = make_addrs(c, &rule->from);
	if (!r && random_percent(c, c->odds.to))
		r = make_addrs(c, &rule->to);
	if (!r && random_percent(c, c->odds.sport))
		r = make_ports(c, &rule->sport);
	if (!r && random_percent(c, c->odds.port))
		r = make_ports(c, &rule->port);
	return r ? r : make_sender(c, rule);
}

int random_families(const struct shunt_addrs *list)
{
	int found = list->n == 0 || list->negated ? 3 : 0;

	for (size_t i = 0; i < list->n; i++)
		found |= shunt_prefix_is_v4(&list->v[i]) ? 1 : 2;
	return found;
}

/* The language refuses what can match nothing, such as from IPv4 to IPv6: try again. */
static int make_rule(struct random_case *c, struct shunt_rule *rule)
{
	struct shunt_rule back;
	char err[256], *text;
	int r = make_match(c, rule);

	if (!r)
		r = make_action(c, rule);
	if (r)
		return r;
	text = shunt_rule_format(rule);
	r = text ? shunt_rule_parse(&back, text, err, sizeof(err)) : -ENOMEM;
	if (!r)
		shunt_rule_clear(&back);
	free(text);
	return r;
}

int random_rule(struct random_case *c, struct shunt_rule *out)
{
	/* Close together, far apart, at the end. */
	uint32_t range = random_percent(c, 80) ? 100000 : 2147483647, priority;
	int r;

	do
		priority = 1 + random_below(c, range);
	while (priority_is_taken(c, priority));
	do {
		memset(out, 0, sizeof(*out));
		out->priority = priority;
		r = make_rule(c, out);
		if (r)
			shunt_rule_clear(out);
	} while (r == -EINVAL);
	return r;
}

int random_case_insert(struct random_case *c, struct shunt_rule *rule)
{
	struct shunt_rule *v = realloc(c->rules.v, (c->rules.n + 1) * sizeof(*v));
	size_t at = c->rules.n;

	if (!v)
		return -ENOMEM;
	while (at > 0 && v[at - 1].priority > rule->priority)
		at--;
	memmove(v + at + 1, v + at, (c->rules.n - at) * sizeof(*v));
	v[at] = *rule;
	memset(rule, 0, sizeof(*rule));
	c->rules.v = v;
	c->rules.n++;
	return 0;
}

void random_case_remove(struct random_case *c, size_t i)
{
	shunt_rule_clear(&c->rules.v[i]);
	memmove(&c->rules.v[i], &c->rules.v[i + 1], (c->rules.n - i - 1) * sizeof(*c->rules.v));
	c->rules.n--;
}

/* ---- cases ---------------------------------------------------------------------------------- */

/* Mostly few sets; sometimes more than one cell of a class holds, or one crowded corner. */
static int make_sets(struct random_case *c)
{
	uint32_t kind = random_below(c, 40);
	size_t n = kind < 10 ? 0 : kind < 36 ? random_below(c, 10) : 30 + random_below(c, 90);
	int r = 0;

	c->sets.v = calloc(n ? n : 1, sizeof(*c->sets.v));
	if (!c->sets.v)
		return -ENOMEM;
	for (size_t i = 0; i < n && !r; i++) {
		struct shunt_set *set = &c->sets.v[i];
		size_t want = random_below(c, random_percent(c, 20) ? 80 : 8);

		if (kind == 30 && i == 0)
			want = 2000;
		snprintf(set->name, sizeof(set->name), "set%zu", i);
		r = make_prefixes(c, &set->v, &set->n, want);
		c->sets.n++;
	}
	return r;
}

/* Some of the prefixes of some sets are for a time. */
static int make_timed(struct random_case *c)
{
	size_t places = SHUNT_MAX_TIMED_SETS;

	for (size_t i = 0; i < c->sets.n && places; i++) {
		struct shunt_set *set = &c->sets.v[i];
		size_t n = 0;

		if (random_percent(c, 25))
			continue;
		places--;
		set->expires = true;
		set->timed = calloc(set->n + 1, sizeof(*set->timed));
		if (!set->timed)
			return -ENOMEM;
		for (size_t k = 0; k < set->n; k++) {
			if (random_percent(c, 40))
				set->v[n++] = set->v[k];
			else
				set->timed[set->n_timed++] = (struct shunt_timed){
					set->v[k], random_percent(c, 70) ? RANDOM_LEFT : 0,
				};
		}
		set->n = n;
	}
	return 0;
}

static uint8_t odd(struct random_case *c)
{
	static const uint8_t odds[] = { 0, 0, 10, 30, 60, 95 };

	return odds[random_below(c, COUNT(odds))];
}

static void make_pools(struct random_case *c)
{
	static const uint16_t ports[] = { 1, 2, 53, 80, 443, 1023, 1024, 8080, 32768, 49151, 65534,
					  65535 };
	static const uint32_t uids[] = { 0, 1, 1000, 1001, 65534, 100000, 0x80000000, 4294967294U };
	struct random_odds *o = &c->odds;

	*o = (struct random_odds){ odd(c), odd(c), odd(c), odd(c), odd(c), odd(c), odd(c),
				   odd(c), odd(c), odd(c), odd(c), odd(c), odd(c) };
	if (c->options.crowded)
		*o = (struct random_odds){ .from = 80, .to = 10, .port = 95, .sport = 5,
					   .proto = odd(c), .dir = odd(c), .uid = 10, .v6 = 50 };
	if (o->v6 == 0 && random_percent(c, 50))
		o->v6 = 50;
	if (c->options.no_sender)
		o->uid = o->cgroup = 0;
	make_bases(c);
	for (int v6 = 0; v6 < 2; v6++)
		for (int i = 0; i < RANDOM_POOL; i++)
			make_prefix(c, &c->pool[v6][i], v6);
	for (int i = 0; i < RANDOM_PORTS; i++) {
		c->ports[i] = random_percent(c, 60) ? ports[random_below(c, COUNT(ports))]
						    : (uint16_t)(1 + random_below(c, 65535));
		c->uids[i] = random_percent(c, 60) ? uids[random_below(c, COUNT(uids))]
						   : random_below(c, 4294967295U);
	}
}

static size_t how_many_rules(struct random_case *c)
{
	uint32_t kind = c->options.crowded ? 99 : random_below(c, 100);
	size_t n = kind < 5 ? random_below(c, 3) : kind < 45 ? 1 + random_below(c, 12)
		 : kind < 85 ? 10 + random_below(c, 60) : kind < 98 ? 60 + random_below(c, 240)
		 : c->options.crowded ? 1500 + random_below(c, 1500) : 500 + random_below(c, 1500);

	return c->options.max_rules && n > c->options.max_rules ? c->options.max_rules : n;
}

/* As many as there may be. */
static void keep_few_audits(struct random_case *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->rules.n; i++)
		if (c->rules.v[i].audit)
			c->rules.v[i].audit = n++ < SHUNT_MAX_AUDITS;
}

static int odd_ports(struct shunt_ports *out, size_t n)
{
	out->v = calloc(n, sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	for (; out->n < n; out->n++)
		out->v[out->n].lo = out->v[out->n].hi = (uint16_t)(2 * out->n + 1);
	return 0;
}

/* An entry for each pair of ports. */
static int add_large_rule(struct random_case *c)
{
	struct shunt_rule rule = { .priority = 1, .dirs = SHUNT_DIR_IN, .protos = SHUNT_PROTO_TCP,
				   .action = SHUNT_ACT_PASS };
	int r;

	while (c->rules.n && c->rules.v[0].priority <= rule.priority)
		random_case_remove(c, 0);
	r = odd_ports(&rule.port, 200);
	if (!r)
		r = odd_ports(&rule.sport, 250 + random_below(c, 100));
	if (!r)
		r = random_case_insert(c, &rule);
	shunt_rule_clear(&rule);
	return r;
}

int random_case_make(struct random_case *c, uint64_t seed, const struct random_options *options)
{
	struct shunt_rule rule;
	size_t n;
	int r;

	memset(c, 0, sizeof(*c));
	c->state = seed * 0xd1342543de82ef95ULL;
	c->options = *options;
	make_pools(c);
	n = how_many_rules(c);
	r = make_sets(c);
	if (!r && options->timed)
		r = make_timed(c);
	for (size_t i = 0; i < n && !r; i++) {
		r = random_rule(c, &rule);
		if (!r)
			r = random_case_insert(c, &rule);
	}
	if (!r && options->large)
		r = add_large_rule(c);
	keep_few_audits(c);
	if (r)
		random_case_clear(c);
	return r;
}

void random_case_clear(struct random_case *c)
{
	shunt_rules_clear(&c->rules);
	for (size_t i = 0; i < c->sets.n; i++)
		shunt_set_clear(&c->sets.v[i]);
	free(c->sets.v);
	memset(c, 0, sizeof(*c));
}
