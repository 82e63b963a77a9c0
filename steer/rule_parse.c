/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rule_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rule_grammar.h"
#include "rule_value.h"

struct rule_parser {
	struct rule_reader reader;
	struct shunt_rule *rule;
	struct rule_error *e;
	uint64_t seen;	 /* RULE_W bits of the words so far */
	uint64_t clause; /* RULE_W bit of the last word that is no part of another one */
};

/* ---- values ----------------------------------------------------------------------------- */

static int next_value(struct rule_parser *p, const struct rule_word *word, struct rule_span *value)
{
	if (rule_reader_next(&p->reader, value))
		return 0;
	return rule_error(p->e, "%s needs a value", word->name);
}

/* One of the words that are values of this word's kind. */
static int read_choice(struct rule_parser *p, const struct rule_word *word, enum rule_word_id *out)
{
	const struct rule_word *choice;
	struct rule_span value;
	char list[64];
	int r;

	r = next_value(p, word, &value);
	if (r)
		return r;
	choice = rule_word_find(value.at, value.len);
	if (!choice || choice->place != RULE_VALUE || choice->kind != word->kind) {
		rule_words_list(list, sizeof(list), rule_words_of_kind(word->kind), ", ");
		return rule_error_at(p->e, word->name, value, "not one of %s", list);
	}
	*out = rule_word_id(choice);
	return 0;
}

static int read_addrs(struct rule_parser *p, const struct rule_word *word,
		      struct shunt_addrs *out)
{
	struct rule_span value;
	bool negated = false;
	int r;

	for (;;) {
		const struct rule_word *meta;

		r = next_value(p, negated ? &rule_words[RULE_WORD_NOT] : word, &value);
		if (r)
			return r;
		meta = rule_word_find(value.at, value.len);
		if (!meta || meta->place != RULE_VALUE || meta->kind != RULE_ADDRS)
			break;
		if (rule_word_id(meta) == RULE_WORD_ANY)
			return negated ? rule_error(p->e, "%s 'not any': matches nothing",
						    word->name) : 0;
		if (negated)
			return rule_error(p->e, "'not' is given twice");
		negated = true;
	}
	r = rule_value_addrs(out, word->name, value, p->e);
	if (!r)
		out->negated = negated;
	return r;
}

static int read_uids(struct rule_parser *p, const char *what, struct rule_span value)
{
	struct shunt_rule *rule = p->rule;

	rule->has_uid = true;
	return rule_value_range(&rule->uid_lo, &rule->uid_hi, what, value, 0, RULE_UID_MAX, p->e);
}

static int read_rate(struct rule_parser *p, const char *what, struct rule_span value)
{
	if (value.len > 2 && !memcmp(value.at + value.len - 2, "/s", 2))
		value.len -= 2;
	p->rule->limit_per = SHUNT_LIMIT_PER_RULE;
	return rule_value_number(&p->rule->limit_rate, what, value, 1, RULE_RATE_MAX, p->e);
}

static int read_per(struct rule_parser *p, const struct rule_word *word)
{
	enum rule_word_id choice;
	int r;

	r = read_choice(p, word, &choice);
	if (!r)
		p->rule->limit_per =
			choice == RULE_WORD_SRC ? SHUNT_LIMIT_PER_SRC : SHUNT_LIMIT_PER_RULE;
	return r;
}

static int read_fail(struct rule_parser *p, const struct rule_word *word)
{
	enum rule_word_id choice;
	int r;

	r = read_choice(p, word, &choice);
	if (!r)
		p->rule->fail = choice == RULE_WORD_CLOSED ? SHUNT_FAIL_CLOSED : SHUNT_FAIL_OPEN;
	return r;
}

/* Bits of enum shunt_proto if text is "tcp", "udp" or a list of these, else 0. */
static uint8_t scan_protos(struct rule_span text)
{
	const char *at = text.at, *end = text.at + text.len;
	uint8_t protos = 0;

	for (; end - at >= 3; at += 4) {
		if (!memcmp(at, "tcp", 3))
			protos |= SHUNT_PROTO_TCP;
		else if (!memcmp(at, "udp", 3))
			protos |= SHUNT_PROTO_UDP;
		else
			return 0;
		if (end - at == 3)
			return protos;
		if (at[3] != ',')
			return 0;
	}
	return 0;
}

static int read_protos(struct rule_parser *p, uint8_t protos)
{
	const uint64_t bits[] = { 0, RULE_W(TCP), RULE_W(UDP), RULE_W(TCP) | RULE_W(UDP) };

	if (p->seen & (RULE_W(TCP) | RULE_W(UDP)))
		return rule_error(p->e, "the protocol is given twice; for both write 'tcp,udp'");
	p->seen |= bits[protos];
	p->clause = 0;
	p->rule->protos = protos;
	return 0;
}

/* A bare word after proxy is its target, but a word of the grammar is itself. */
static int read_target(struct rule_parser *p)
{
	struct rule_reader before = p->reader;
	struct rule_span value;

	p->rule->action = SHUNT_ACT_PROXY;
	if (rule_reader_next(&p->reader, &value) && !rule_word_find(value.at, value.len) &&
	    !scan_protos(value))
		return rule_value_target(p->rule->target, "proxy", value, p->e);
	p->reader = before;
	strcpy(p->rule->target, RULE_TARGET_DEFAULT);
	return 0;
}

/* ---- words ------------------------------------------------------------------------------ */

static int read_plain(struct rule_parser *p, const struct rule_word *word)
{
	static const enum shunt_action actions[RULE_WORD_MAX] = {
		[RULE_WORD_PASS] = SHUNT_ACT_PASS,
		[RULE_WORD_DROP] = SHUNT_ACT_DROP,
		[RULE_WORD_REJECT] = SHUNT_ACT_REJECT,
		[RULE_WORD_ROUTE] = SHUNT_ACT_ROUTE,
	};
	enum rule_word_id id = rule_word_id(word);

	if (word->place == RULE_ACTION)
		p->rule->action = actions[id];
	else if (id == RULE_WORD_IN)
		p->rule->dirs = SHUNT_DIR_IN;
	else if (id == RULE_WORD_OUT)
		p->rule->dirs = SHUNT_DIR_OUT;
	else if (id == RULE_WORD_LOG)
		p->rule->log = true;
	else if (id == RULE_WORD_AUDIT)
		p->rule->audit = true;
	return 0;
}

/* The words whose value is one word that stands for itself. */
static int read_simple(struct rule_parser *p, const struct rule_word *word)
{
	struct shunt_rule *rule = p->rule;
	const char *what = word->name;
	struct rule_span value;
	int r;

	r = next_value(p, word, &value);
	if (r)
		return r;
	switch (word->kind) {
	case RULE_IFACES:
		return rule_value_ifaces(&rule->devices, &rule->n_devices, what, value, p->e);
	case RULE_PORTS:
		return rule_value_ports(rule_word_id(word) == RULE_WORD_PORT ? &rule->port
									     : &rule->sport,
					what, value, p->e);
	case RULE_UIDS:
		return read_uids(p, what, value);
	case RULE_PATH:
		return rule_value_cgroup(&rule->cgroup, what, value, p->e);
	case RULE_ADDR:
		if (value.at[0] == '@')
			return rule_value_name(rule->via_group, "group",
					       (struct rule_span){ value.at + 1, value.len - 1 },
					       p->e);
		rule->has_via = true;
		return rule_value_next_hop(&rule->via, what, value, p->e);
	case RULE_IFACE:
		return rule_value_iface(rule->route_dev, what, value, p->e);
	case RULE_RATE:
		return read_rate(p, what, value);
	default: /* RULE_COUNT */
		return rule_value_number(&rule->limit_burst, what, value, 1, RULE_RATE_MAX, p->e);
	}
}

static int read_word(struct rule_parser *p, const struct rule_word *word)
{
	switch (word->kind) {
	case RULE_NO_VALUE:
		return read_plain(p, word);
	case RULE_ADDRS:
		return read_addrs(p, word, rule_word_id(word) == RULE_WORD_TO ? &p->rule->to
									      : &p->rule->from);
	case RULE_TARGET:
		return read_target(p);
	case RULE_FAIL:
		return read_fail(p, word);
	case RULE_PER:
		return read_per(p, word);
	default:
		return read_simple(p, word);
	}
}

/* May this word stand here? */
static int check_place(struct rule_parser *p, const struct rule_word *word)
{
	char list[64];
	uint64_t takers = 0;

	switch (word->place) {
	case RULE_MATCH:
	case RULE_ACTION:
		break;
	case RULE_OPTION:
		if (!(p->seen & RULE_ACTIONS))
			return rule_error(p->e, "%s stands after the action", word->name);
		break;
	case RULE_PART:
		if (!(p->clause & word->needs))
			return rule_error(p->e, "%s stands right after %s", word->name,
					  rule_words_list(list, sizeof(list), word->needs, ", "));
		break;
	case RULE_VALUE:
		for (size_t i = 0; i < RULE_WORD_MAX; i++)
			if (rule_words[i].place != RULE_VALUE && rule_words[i].kind == word->kind)
				takers |= UINT64_C(1) << i;
		return rule_error(p->e, "%s stands after %s", word->name,
				  rule_words_list(list, sizeof(list), takers, " or "));
	}
	if (p->seen & rule_word_bit(word))
		return rule_error(p->e, "'%s' is given twice", word->name);
	return 0;
}

static int parse_unknown(struct rule_parser *p, struct rule_span text)
{
	const struct rule_word *guess = rule_word_guess(text.at, text.len);
	char quoted[RULE_QUOTED_LEN];

	rule_quote(quoted, text);
	if (guess)
		return rule_error(p->e, "unknown word %s, did you mean '%s'", quoted, guess->name);
	return rule_error(p->e, "unknown word %s", quoted);
}

static int parse_word(struct rule_parser *p, struct rule_span text)
{
	const struct rule_word *word;
	uint8_t protos = scan_protos(text);
	int r;

	if (protos)
		return read_protos(p, protos);
	word = rule_word_find(text.at, text.len);
	if (!word)
		return parse_unknown(p, text);
	r = check_place(p, word);
	if (r)
		return r;
	p->seen |= rule_word_bit(word);
	if (word->place != RULE_PART)
		p->clause = rule_word_bit(word);
	return read_word(p, word);
}

/* ---- the whole --------------------------------------------------------------------------- */

/* Which families can addresses be of? Bits of enum shunt_family. */
static unsigned int addrs_families(const struct shunt_addrs *addrs)
{
	unsigned int some = 0, all = 0;

	for (size_t i = 0; i < addrs->n; i++) {
		const struct shunt_prefix *p = &addrs->v[i];

		some |= shunt_prefix_is_v4(p) ? SHUNT_FAM_V4 : SHUNT_FAM_V6;
		if (p->len == 0)
			all |= SHUNT_FAM_V6;
		else if (p->len == 96 && shunt_prefix_is_v4(p))
			all |= SHUNT_FAM_V4;
	}
	if (addrs->n == 0) /* any, or a set */
		return SHUNT_FAM_V4 | SHUNT_FAM_V6;
	return addrs->negated ? (SHUNT_FAM_V4 | SHUNT_FAM_V6) & ~all : some;
}

static int check_addresses(struct rule_parser *p)
{
	const struct shunt_rule *rule = p->rule;
	unsigned int from = addrs_families(&rule->from), to = addrs_families(&rule->to);

	if (!from || !to)
		return rule_error(p->e, "%s matches nothing: all addresses are excluded",
				  from ? "to" : "from");
	if (!(from & to))
		return rule_error(p->e, "matches nothing: from is %s and to is %s",
				  from == SHUNT_FAM_V4 ? "IPv4" : "IPv6",
				  to == SHUNT_FAM_V4 ? "IPv4" : "IPv6");
	if (rule->has_via && IN6_IS_ADDR_LINKLOCAL(&rule->via) && !rule->route_dev[0])
		return rule_error(p->e, "via a link-local address needs dev");
	return 0;
}

static int check_route(struct rule_parser *p)
{
	const struct shunt_rule *rule = p->rule;
	unsigned int via = IN6_IS_ADDR_V4MAPPED(&rule->via) ? SHUNT_FAM_V4 : SHUNT_FAM_V6;

	if (rule->has_via && !(addrs_families(&rule->from) & addrs_families(&rule->to) & via))
		return rule_error(p->e, "via is %s and the addresses are not",
				  via == SHUNT_FAM_V4 ? "IPv4" : "IPv6");
	if (rule->via_group[0] && rule->route_dev[0])
		return rule_error(p->e, "dev does not go with via @%s: next hops have their own",
				  rule->via_group);
	if (rule->action == SHUNT_ACT_ROUTE && rule->fail == SHUNT_FAIL_CLOSED && !rule->has_via &&
	    !rule->via_group[0] && !rule->route_dev[0])
		return rule_error(p->e, "fail closed with route needs via or dev");
	return 0;
}

/* What is printed must be readable again, and some addresses are printed longer than typed. */
static int check_length(struct rule_parser *p, size_t len)
{
	char *text;

	if (len <= RULE_TEXT_MAX / 4)
		return 0;
	text = shunt_rule_format(p->rule);
	if (!text)
		return rule_error_memory(p->e);
	len = strlen(text);
	free(text);
	if (len > RULE_TEXT_MAX)
		return rule_error(p->e, "longer than %d bytes when written out; use a set",
				  RULE_TEXT_MAX);
	return 0;
}

static int check_whole(struct rule_parser *p, size_t len)
{
	char list[64];
	int r;

	if (!(p->seen & RULE_ACTIONS))
		return rule_error(p->e, "no action: one of %s",
				  rule_words_list(list, sizeof(list), RULE_ACTIONS, ", "));
	for (size_t i = 0; i < RULE_WORD_MAX; i++) {
		const struct rule_word *word = &rule_words[i];

		if (!(p->seen & rule_word_bit(word)))
			continue;
		if (p->seen & word->excludes)
			return rule_error(p->e, "%s does not go with %s", word->name,
					  rule_words_list(list, sizeof(list),
							  p->seen & word->excludes, ", "));
		if (word->needs && !(p->seen & word->needs))
			return rule_error(p->e, "%s goes with %s", word->name,
					  rule_words_list(list, sizeof(list), word->needs,
							  " or "));
	}
	r = check_addresses(p);
	if (!r)
		r = check_route(p);
	return r ? r : check_length(p, len);
}

static int parse_priority(struct rule_parser *p)
{
	char quoted[RULE_QUOTED_LEN];
	struct rule_span text;

	if (!rule_reader_next(&p->reader, &text))
		return rule_error(p->e, "empty: a rule begins with its priority");
	if (text.at[0] < '0' || text.at[0] > '9')
		return rule_error(p->e, "a rule begins with its priority, not %s",
				  rule_quote(quoted, text));
	return rule_value_number(&p->rule->priority, "priority", text, 1, RULE_PRIORITY_MAX, p->e);
}

int rule_parse(struct shunt_rule *out, struct rule_span text, struct rule_error *e)
{
	struct shunt_rule rule = {
		.dirs = SHUNT_DIR_IN | SHUNT_DIR_OUT,
		.protos = SHUNT_PROTO_TCP | SHUNT_PROTO_UDP,
	};
	struct rule_parser p = { .reader = { .rest = text }, .rule = &rule, .e = e };
	struct rule_span word;
	int r;

	if (text.len > RULE_TEXT_MAX)
		return rule_error(e, "longer than %d bytes", RULE_TEXT_MAX);
	r = parse_priority(&p);
	while (!r && rule_reader_next(&p.reader, &word))
		r = parse_word(&p, word);
	if (!r && p.reader.commented)
		r = rule_value_comment(&rule.comment, p.reader.rest, e);
	if (!r)
		r = check_whole(&p, text.len);
	if (r)
		shunt_rule_clear(&rule);
	else
		*out = rule;
	return r;
}

int shunt_rule_parse(struct shunt_rule *out, const char *text, char *err, size_t err_size)
{
	struct rule_error e;
	int r;

	r = rule_parse(out, (struct rule_span){ text, strlen(text) }, &e);
	return r ? rule_error_give(&e, r, err, err_size) : 0;
}
