/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A rule as text, in one fixed order: what a person reads and shunt_rule_parse accepts. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"
#include "rule_grammar.h"

struct text {
	char *v; /* NULL after memory was out */
	size_t len, size;
};

static void text_add_bytes(struct text *t, const char *bytes, size_t len)
{
	if (!t->v)
		return;
	if (t->size - t->len <= len) {
		size_t size = (t->len + len + 1) * 2;
		char *v = realloc(t->v, size);

		if (!v) {
			free(t->v);
			t->v = NULL;
			return;
		}
		t->v = v;
		t->size = size;
	}
	memcpy(t->v + t->len, bytes, len);
	t->len += len;
	t->v[t->len] = '\0';
}

static void text_add(struct text *t, const char *s)
{
	text_add_bytes(t, s, strlen(s));
}

static void text_add_number(struct text *t, uint32_t n)
{
	char digits[10];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	text_add_bytes(t, digits + at, sizeof(digits) - at);
}

static void text_add_range(struct text *t, uint32_t lo, uint32_t hi)
{
	text_add_number(t, lo);
	if (lo != hi) {
		text_add(t, "-");
		text_add_number(t, hi);
	}
}

/* " word" */
static void text_add_word(struct text *t, enum rule_word_id id)
{
	text_add(t, " ");
	text_add_bytes(t, rule_words[id].name, rule_words[id].len);
}

/* " word value" */
static void text_add_pair(struct text *t, enum rule_word_id id, const char *value)
{
	text_add_word(t, id);
	text_add(t, " ");
	text_add(t, value);
}

static void add_addrs(struct text *t, enum rule_word_id id, const struct shunt_addrs *addrs)
{
	char buf[SHUNT_PREFIX_STR];

	if (addrs->n == 0 && !addrs->set[0])
		return;
	text_add_word(t, id);
	if (addrs->negated)
		text_add_word(t, RULE_WORD_NOT);
	text_add(t, " ");
	if (addrs->set[0]) {
		text_add(t, "@");
		text_add(t, addrs->set);
		return;
	}
	for (size_t i = 0; i < addrs->n; i++) {
		if (i > 0)
			text_add(t, ",");
		text_add(t, shunt_prefix_str(buf, &addrs->v[i]));
	}
}

static void add_ports(struct text *t, enum rule_word_id id, const struct shunt_ports *ports)
{
	if (ports->n == 0)
		return;
	text_add_word(t, id);
	for (size_t i = 0; i < ports->n; i++) {
		text_add(t, i == 0 ? " " : ",");
		text_add_range(t, ports->v[i].lo, ports->v[i].hi);
	}
}

static void add_match(struct text *t, const struct shunt_rule *rule)
{
	if (rule->dirs == SHUNT_DIR_IN)
		text_add_word(t, RULE_WORD_IN);
	else if (rule->dirs == SHUNT_DIR_OUT)
		text_add_word(t, RULE_WORD_OUT);
	if (rule->n_devices > 0)
		text_add_word(t, RULE_WORD_ON);
	for (size_t i = 0; i < rule->n_devices; i++) {
		text_add(t, i == 0 ? " " : ",");
		text_add(t, rule->devices[i]);
	}
	if (rule->protos == SHUNT_PROTO_TCP)
		text_add_word(t, RULE_WORD_TCP);
	else if (rule->protos == SHUNT_PROTO_UDP)
		text_add_word(t, RULE_WORD_UDP);
	add_addrs(t, RULE_WORD_FROM, &rule->from);
	add_ports(t, RULE_WORD_SPORT, &rule->sport);
	add_addrs(t, RULE_WORD_TO, &rule->to);
	add_ports(t, RULE_WORD_PORT, &rule->port);
	if (rule->has_uid) {
		text_add_word(t, RULE_WORD_UID);
		text_add(t, " ");
		text_add_range(t, rule->uid_lo, rule->uid_hi);
	}
	if (rule->cgroup)
		text_add_pair(t, RULE_WORD_CGROUP, rule->cgroup);
}

static void add_action(struct text *t, const struct shunt_rule *rule)
{
	static const enum rule_word_id words[] = {
		[SHUNT_ACT_PASS] = RULE_WORD_PASS,	 [SHUNT_ACT_DROP] = RULE_WORD_DROP,
		[SHUNT_ACT_REJECT] = RULE_WORD_REJECT, [SHUNT_ACT_PROXY] = RULE_WORD_PROXY,
		[SHUNT_ACT_ROUTE] = RULE_WORD_ROUTE,
	};
	char buf[INET6_ADDRSTRLEN];

	if (rule->action == SHUNT_ACT_NONE) /* not made by the parser; nothing true to say */
		return;
	text_add_word(t, words[rule->action]);
	if (rule->action == SHUNT_ACT_PROXY && strcmp(rule->target, RULE_TARGET_DEFAULT)) {
		text_add(t, " ");
		text_add(t, rule->target);
	}
	if (rule->action == SHUNT_ACT_ROUTE) {
		if (rule->has_via)
			text_add_pair(t, RULE_WORD_VIA, shunt_addr_str(buf, &rule->via));
		if (rule->via_group[0]) {
			text_add_pair(t, RULE_WORD_VIA, "@");
			text_add(t, rule->via_group);
		}
		if (rule->route_dev[0])
			text_add_pair(t, RULE_WORD_DEV, rule->route_dev);
	}
}

static void add_limit(struct text *t, const struct shunt_rule *rule)
{
	const struct shunt_rule unset = { .limit_rate = rule->limit_rate };

	text_add_word(t, RULE_WORD_LIMIT);
	text_add(t, " ");
	text_add_number(t, rule->limit_rate);
	text_add(t, "/s");
	if (shunt_rule_burst(rule) != shunt_rule_burst(&unset)) {
		text_add_word(t, RULE_WORD_BURST);
		text_add(t, " ");
		text_add_number(t, rule->limit_burst);
	}
	if (rule->limit_per == SHUNT_LIMIT_PER_SRC)
		text_add_pair(t, RULE_WORD_PER, rule_words[RULE_WORD_SRC].name);
}

static void add_options(struct text *t, const struct shunt_rule *rule)
{
	if (rule->fail == SHUNT_FAIL_CLOSED &&
	    (rule->action == SHUNT_ACT_PROXY || rule->action == SHUNT_ACT_ROUTE))
		text_add_pair(t, RULE_WORD_FAIL, rule_words[RULE_WORD_CLOSED].name);
	if (rule->limit_per != SHUNT_LIMIT_NONE)
		add_limit(t, rule);
	if (rule->log)
		text_add_word(t, RULE_WORD_LOG);
	if (rule->audit)
		text_add_word(t, RULE_WORD_AUDIT);
}

char *shunt_rule_format(const struct shunt_rule *rule)
{
	struct text t = { .v = malloc(128), .size = 128 };

	text_add_number(&t, rule->priority);
	add_match(&t, rule);
	add_action(&t, rule);
	add_options(&t, rule);
	if (rule->comment) {
		text_add(&t, " # ");
		text_add(&t, rule->comment);
	}
	return t.v;
}
