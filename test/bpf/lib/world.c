// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOBODY = 65534,
	SETS = 3,
	PRIORITIES = 100000,
	LONG_LIST = 24, /* prefixes: more than a rule has entries for */
};

static const char *const set_names[] = { "one", "two", "three", "four", "five" };
static const uint32_t uids[] = { 0, 999, 1000, 1001, 70000, NOBODY };

#define PICK(c, v) ((v)[chance_below(c, sizeof(v) / sizeof((v)[0]))])

/* ---- addresses ---------------------------------------------------------------------------------- */

/* 10.0.0.0/14, of 2001:db8::/46 a few subnets: the beginnings are few, so that they overlap. */
static void random_address(struct world *w, bool v6, struct in6_addr *out)
{
	struct chance *c = &w->chance;
	uint8_t *b = out->s6_addr;

	memset(out, 0, sizeof(*out));
	if (v6) {
		memcpy(b, "\x20\x01\x0d\xb8", 4);
		b[5] = (uint8_t)chance_below(c, 4);
		b[7] = (uint8_t)chance_below(c, 4);
		b[8] = chance_one_in(c, 2) ? 0 : 0x80;
		b[14] = (uint8_t)chance_below(c, 4);
	} else {
		b[10] = b[11] = 0xff;
		b[12] = 10;
		b[13] = (uint8_t)chance_below(c, 4);
		b[14] = (uint8_t)chance_below(c, 8);
	}
	b[15] = (uint8_t)chance_below(c, 256);
	if (w->wide) /* in one high half, in many, or both */
		for (int i = v6 ? (chance_one_in(c, 2) ? 4 : 8) : 13;
		     i < (v6 && chance_one_in(c, 2) ? 8 : 15); i++)
			b[i] = (uint8_t)chance_below(c, 256);
}

static void random_prefix(struct world *w, struct shunt_prefix *out)
{
	struct chance *c = &w->chance;
	static const uint8_t len4[] = { 104, 110, 112, 117, 119, 120, 121, 124, 127, 128, 128 };
	static const uint8_t len6[] = { 32, 40, 47, 48, 63, 64, 65, 112, 119, 120, 127, 128, 128 };
	bool v6 = chance_one_in(c, 2);

	random_address(w, v6, &out->addr);
	out->len = v6 ? PICK(c, len6) : PICK(c, len4);
	if (w->wide && out->len < (v6 ? 56 : 116))
		out->len = v6 ? 56 : 120;
	for (int i = out->len; i < 128; i++)
		out->addr.s6_addr[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	if (!w->wide && chance_one_in(c, 60)) {
		memset(out->addr.s6_addr + (v6 ? 0 : 12), 0, v6 ? 16 : 4);
		out->len = v6 ? 0 : 96;
	}
}

/* ---- rules -------------------------------------------------------------------------------------- */

static void print_addrs(FILE *out, struct world *w, const char *word)
{
	struct chance *c = &w->chance;
	char text[SHUNT_PREFIX_STR];
	struct shunt_prefix p;
	uint32_t n = chance_one_in(c, 12) ? LONG_LIST : 1 + chance_below(c, 3);

	if (chance_one_in(c, 3))
		return;
	fprintf(out, " %s %s", word, chance_one_in(c, 5) ? "not " : "");
	if (w->config.sets.n && chance_one_in(c, 3)) {
		fprintf(out, "@%s",
			w->config.sets.v[chance_below(c, (uint32_t)w->config.sets.n)].name);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		random_prefix(w, &p);
		fprintf(out, "%s%s", i ? "," : "", shunt_prefix_str(text, &p));
	}
}

/* -EINVAL: from one family to the other, which matches nothing and is refused. */
static int random_rule(struct world *w, uint32_t priority, struct shunt_rule *out)
{
	static const char *const heads[] = { "", " in", " out", " tcp", " in udp", " on near" };
	static const char *const ports[] = { "", "", " port 80", " port 1-1023", " port 443,80-90",
					     " port 1000-1999", " sport 5", " sport 5-77" };
	static const char *const senders[] = { "", "", "", " out uid 1000", " out uid 0-1000" };
	char text[8192] = "", err[256];
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");
	const char *sender = PICK(&w->chance, senders);

	assert_non_null(f);
	fprintf(f, "%u%s", priority, sender[0] ? " out" : PICK(&w->chance, heads));
	print_addrs(f, w, "from");
	print_addrs(f, w, "to");
	fputs(PICK(&w->chance, ports), f);
	fputs(sender[0] ? sender + strlen(" out") : "", f);
	fputs(chance_one_in(&w->chance, 2) ? " pass" : " drop", f);
	fclose(f);
	return shunt_rule_parse(out, text, err, sizeof(err));
}

static size_t place_of(const struct shunt_rules *rules, uint32_t priority)
{
	size_t i = 0;

	while (i < rules->n && rules->v[i].priority < priority)
		i++;
	return i;
}

static bool has_rule(const struct shunt_rules *rules, uint32_t priority)
{
	size_t i = place_of(rules, priority);

	return i < rules->n && rules->v[i].priority == priority;
}

static void insert_rule(struct shunt_rules *rules, struct shunt_rule *rule)
{
	size_t at = place_of(rules, rule->priority);

	rules->v = realloc(rules->v, (rules->n + 1) * sizeof(*rules->v));
	assert_non_null(rules->v);
	memmove(rules->v + at + 1, rules->v + at, (rules->n++ - at) * sizeof(*rules->v));
	rules->v[at] = *rule;
	*rule = (struct shunt_rule){};
}

static void remove_rule(struct shunt_rules *rules, uint32_t priority)
{
	size_t at = place_of(rules, priority);

	shunt_rule_clear(&rules->v[at]);
	memmove(rules->v + at, rules->v + at + 1, (--rules->n - at) * sizeof(*rules->v));
}

static void new_rule(struct world *w, struct shunt_rule *out)
{
	uint32_t priority;

	do
		priority = 1 + chance_below(&w->chance, PRIORITIES);
	while (has_rule(&w->config.rules, priority));
	while (random_rule(w, priority, out))
		;
}

/* ---- sets --------------------------------------------------------------------------------------- */

static struct shunt_set *set_named(struct shunt_sets *sets, const char *name)
{
	for (size_t i = 0; i < sets->n; i++)
		if (!strcmp(sets->v[i].name, name))
			return &sets->v[i];
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct shunt_prefix *x = a, *y = b;
	int r = memcmp(&x->addr, &y->addr, sizeof(x->addr));

	return r ? r : x->len - y->len;
}

static bool holds(const struct shunt_set *set, const struct shunt_prefix *p)
{
	return set->n && bsearch(p, set->v, set->n, sizeof(*p), compare);
}

static void append(struct shunt_set *set, const struct shunt_prefix *v, size_t n)
{
	size_t kept = 0;

	set->v = realloc(set->v, (set->n + n + 1) * sizeof(*v));
	assert_non_null(set->v);
	if (n)
		memcpy(set->v + set->n, v, n * sizeof(*v));
	qsort(set->v, set->n + n, sizeof(*set->v), compare);
	for (size_t i = 0; i < set->n + n; i++)
		if (!kept || compare(&set->v[kept - 1], &set->v[i]))
			set->v[kept++] = set->v[i];
	set->n = kept;
}

static void take(struct shunt_set *set, const struct shunt_set *gone)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++)
		if (!holds(gone, &set->v[i]))
			set->v[kept++] = set->v[i];
	set->n = kept;
}

static void random_members(struct world *w, struct shunt_set *out, size_t n)
{
	struct shunt_prefix *v = malloc((n + 1) * sizeof(*v));

	assert_non_null(v);
	for (size_t i = 0; i < n; i++)
		random_prefix(w, &v[i]);
	append(out, v, n);
	free(v);
}

static void some_members(struct world *w, const struct shunt_set *of, struct shunt_set *out)
{
	uint32_t n = chance_one_in(&w->chance, 8) ? 1 + chance_below(&w->chance, (uint32_t)of->n) : 1;

	if (n > 1000)
		n = 1000;
	for (uint32_t i = 0; i < n; i++)
		append(out, &of->v[chance_below(&w->chance, (uint32_t)of->n)], 1);
}

static bool is_used(const struct shunt_rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->n; i++)
		if (!strcmp(rules->v[i].from.set, name) || !strcmp(rules->v[i].to.set, name))
			return true;
	return false;
}

static struct shunt_set *set_made(struct shunt_sets *sets, const char *name)
{
	struct shunt_set *set = set_named(sets, name);

	if (set)
		return set;
	sets->v = realloc(sets->v, (sets->n + 1) * sizeof(*sets->v));
	assert_non_null(sets->v);
	set = &sets->v[sets->n++];
	*set = (struct shunt_set){};
	strcpy(set->name, name);
	return set;
}

static void remove_set(struct shunt_sets *sets, const char *name)
{
	struct shunt_set *set = set_named(sets, name);

	shunt_set_clear(set);
	*set = sets->v[--sets->n];
}

/* ---- the world ---------------------------------------------------------------------------------- */

void world_make(struct world *w, struct plane *p, uint64_t seed, size_t rules, size_t members)
{
	struct world_change change;

	*w = (struct world){ .p = p, .chance = { seed }, .wide = members > 1000 };
	for (int i = 0; i < SETS; i++) {
		change = (struct world_change){ .kind = WORLD_SET_ADD };
		strcpy(change.set.name, set_names[i]);
		random_members(w, &change.set, members);
		world_do(w, &change);
	}
	for (size_t i = 0; i < rules; i++) {
		change = (struct world_change){ .kind = WORLD_RULE_ADD };
		new_rule(w, &change.rule);
		world_do(w, &change);
	}
}

void world_release(struct world *w)
{
	shunt_config_clear(&w->config);
}

/* False: such a change cannot be made now. */
static bool think_of(struct world *w, enum world_kind kind, struct world_change *out)
{
	const struct shunt_rules *rules = &w->config.rules;
	const struct shunt_sets *sets = &w->config.sets;
	const struct shunt_set *set =
		sets->n ? &sets->v[chance_below(&w->chance, (uint32_t)sets->n)] : NULL;

	*out = (struct world_change){ .kind = kind };
	switch (kind) {
	case WORLD_RULE_ADD:
		new_rule(w, &out->rule);
		return true;
	case WORLD_RULE_DEL:
		if (rules->n)
			out->priority =
				rules->v[chance_below(&w->chance, (uint32_t)rules->n)].priority;
		return rules->n;
	case WORLD_SET_ADD:
		strcpy(out->set.name, PICK(&w->chance, set_names));
		random_members(w, &out->set,
			       chance_one_in(&w->chance, 4) ? chance_below(&w->chance, 60) : 1);
		return true;
	case WORLD_SET_TAKE:
		if (set && set->n) {
			strcpy(out->set.name, set->name);
			some_members(w, set, &out->set);
		}
		return set && set->n;
	default:
		if (set)
			strcpy(out->set.name, set->name);
		return set && !is_used(rules, set->name);
	}
}

void world_think(struct world *w, struct world_change *out)
{
	static const enum world_kind kinds[] = {
		WORLD_RULE_ADD, WORLD_RULE_ADD, WORLD_RULE_DEL, WORLD_RULE_DEL, WORLD_SET_ADD,
		WORLD_SET_ADD, WORLD_SET_TAKE, WORLD_SET_TAKE, WORLD_SET_DEL,
	};

	while (!think_of(w, PICK(&w->chance, kinds), out))
		world_forget(out);
}

void world_do(struct world *w, struct world_change *change)
{
	switch (change->kind) {
	case WORLD_RULE_ADD:
		insert_rule(&w->config.rules, &change->rule);
		break;
	case WORLD_RULE_DEL:
		remove_rule(&w->config.rules, change->priority);
		break;
	case WORLD_SET_ADD:
		append(set_made(&w->config.sets, change->set.name), change->set.v, change->set.n);
		break;
	case WORLD_SET_TAKE:
		take(set_named(&w->config.sets, change->set.name), &change->set);
		break;
	default:
		remove_set(&w->config.sets, change->set.name);
	}
	world_forget(change);
}

void world_forget(struct world_change *change)
{
	shunt_rule_clear(&change->rule);
	shunt_set_clear(&change->set);
}

const char *world_kind_name(enum world_kind kind)
{
	static const char *const names[] = {
		[WORLD_RULE_ADD] = "rule add", [WORLD_RULE_DEL] = "rule del",
		[WORLD_SET_ADD] = "set add",   [WORLD_SET_TAKE] = "set del of prefixes",
		[WORLD_SET_DEL] = "set del",
	};

	return names[kind];
}

bool world_same(const struct shunt_config *a, struct shunt_config *b)
{
	if (a->rules.n != b->rules.n || a->sets.n != b->sets.n)
		return false;
	for (size_t i = 0; i < a->rules.n; i++)
		if (!shunt_rule_equal(&a->rules.v[i], &b->rules.v[i]))
			return false;
	for (size_t i = 0; i < a->sets.n; i++) {
		const struct shunt_set *x = &a->sets.v[i];
		struct shunt_set *y = set_named(&b->sets, x->name);

		if (!y || x->n != y->n)
			return false;
		if (y->n)
			qsort(y->v, y->n, sizeof(*y->v), compare);
		for (size_t k = 0; k < x->n; k++)
			if (compare(&x->v[k], &y->v[k]))
				return false;
	}
	return true;
}

/* ---- questions ---------------------------------------------------------------------------------- */

/* One that may be in a rule, or is in a set. */
static void known_prefix(struct world *w, struct shunt_prefix *out)
{
	const struct shunt_sets *sets = &w->config.sets;
	const struct shunt_set *set;

	random_prefix(w, out);
	if (!sets->n || chance_one_in(&w->chance, 2))
		return;
	set = &sets->v[chance_below(&w->chance, (uint32_t)sets->n)];
	if (set->n)
		*out = set->v[chance_below(&w->chance, (uint32_t)set->n)];
}

/* At the beginning or the end of some prefix, or just outside. */
static void border_address(struct world *w, bool v6, char *text)
{
	struct shunt_prefix p;
	uint8_t *b = p.addr.s6_addr;

	do
		known_prefix(w, &p);
	while (shunt_prefix_is_v4(&p) == v6 || p.len == (v6 ? 0 : 96));
	if (chance_one_in(&w->chance, 2))
		for (int i = p.len; i < 128; i++)
			b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	if (chance_one_in(&w->chance, 3))
		b[15] = (uint8_t)(b[15] + (chance_one_in(&w->chance, 2) ? 1 : -1));
	inet_ntop(v6 ? AF_INET6 : AF_INET, v6 ? b : b + 12, text, INET6_ADDRSTRLEN);
}

void world_ask(struct world *w, struct world_question *out)
{
	static const uint16_t ports[] = { 1, 5, 76, 77, 78, 79, 80, 90, 443, 999, 1000, 1999, 2000 };
	struct chance *c = &w->chance;
	bool v6 = chance_one_in(c, 2);
	char text[INET6_ADDRSTRLEN];
	const struct shunt_rule *rule;
	struct asked q = { .device = PLANE_DEVICE, .sets = &w->config.sets };
	struct reading r;

	out->out = chance_one_in(c, 2);
	out->uid = out->out ? PICK(c, uids) : NOBODY;
	frame_ip(&out->frame, w->p->mac, v6);
	frame_l4(&out->frame, chance_one_in(c, 2) ? IPPROTO_TCP : IPPROTO_UDP, PICK(c, ports));
	frame_set16(&out->frame, out->frame.l4, PICK(c, ports));
	border_address(w, v6, text);
	frame_set_src(&out->frame, text);
	border_address(w, v6, text);
	frame_set_dst(&out->frame, text);
	frame_close(&out->frame);
	oracle_read(&r, out->frame.b, out->frame.len, w->p->mac);
	assert_int_equal(r.kind, READING_FLOW);
	q.dir = out->out ? SHUNT_DIR_OUT : SHUNT_DIR_IN;
	q.has_uid = out->out && out->uid != NOBODY;
	q.uid = out->uid;
	rule = oracle_rule(&w->config.rules, &r, &q);
	out->rule = rule ? rule->priority : 0;
}

uint32_t world_answer(struct world *w, const struct world_question *q, uint64_t *generation)
{
	struct plane_run run = { .prog = q->out ? PROG_OUT_ETH : PROG_IN_ETH, .explain = true,
				 .uid = q->uid, .iif = q->out ? 0 : w->p->ifindex };
	struct plane_result r;

	plane_test_run(w->p, &run, &q->frame, &r);
	if (generation)
		*generation = r.ex.generation;
	return r.ex.priority;
}

void world_check(struct world *w, int n)
{
	struct world_question q;

	for (int i = 0; i < n; i++) {
		uint32_t is;

		world_ask(w, &q);
		is = world_answer(w, &q, NULL);
		if (is != q.rule)
			fail_msg("question %d: rule %u decides, should be %u", i, is, q.rule);
	}
}
