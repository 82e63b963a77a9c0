/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which rule decides the first packet of a flow: first match by priority.
 *
 * Entries are tried in the order of their rules' priorities; their number is data, so no
 * verifier limit depends on it.
 */
#ifndef SHUNT_BPF_CLASSIFY_H
#define SHUNT_BPF_CLASSIFY_H

#include "account.h"

struct query {
	const struct packet *p;
	struct run *run;
	__u8 dir;   /* enum shunt_dir */
	__u8 proto; /* enum shunt_proto */
	__u16 device;
	bool has_uid;
	__u32 uid;
	__u64 cgroup; /* 0 unknown */
};

struct decision {
	__u8 action; /* enum shunt_action, NONE: no rule matched */
	__u8 flags;
	__u16 target;
	__u32 priority;
	__u32 stat;
	__u32 rule;
	__u32 limit_rate, limit_burst;
	__u64 generation;
};

static __always_inline void *gen_cell(__u32 index)
{
	__u32 zero = 0;
	void *gen = bpf_map_lookup_elem(&ruleset, &zero);

	return gen ? bpf_map_lookup_elem(gen, &index) : NULL;
}

static __always_inline bool prefix_holds(const __u8 *prefix, __u32 len, const __be32 *addr)
{
	const __be32 *want = (const __be32 *)prefix;

	for (int i = 0; i < 4; i++) {
		__u32 bits = len > i * 32U ? len - i * 32U : 0;
		__u32 mask = bits >= 32 ? ~0U : ~(~0U >> bits);

		if ((want[i] ^ addr[i]) & bpf_htonl(mask))
			return false;
	}
	return true;
}

static __always_inline bool entry_matches(const struct shunt_entry *e, const struct query *q)
{
	__u32 sport = bpf_ntohs(q->p->sport), dport = bpf_ntohs(q->p->dport);

	if (!(e->dirs & q->dir) || !(e->protos & q->proto) ||
	    !(e->families & (q->p->v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4)))
		return false;
	if (e->device && e->device != q->device)
		return false;
	if (dport < e->dport_lo || dport > e->dport_hi || sport < e->sport_lo ||
	    sport > e->sport_hi)
		return false;
	return prefix_holds(e->dst, e->dst_len, q->p->daddr) != !!(e->negate & SHUNT_NEG_DST) &&
	       prefix_holds(e->src, e->src_len, q->p->saddr) != !!(e->negate & SHUNT_NEG_SRC);
}

static __always_inline bool sender_matches(const struct shunt_rule_rec *rule,
					   const struct query *q)
{
	if ((rule->flags & SHUNT_RULE_UID) &&
	    (!q->has_uid || q->uid < rule->uid_lo || q->uid > rule->uid_hi))
		return false;
	return !(rule->flags & SHUNT_RULE_CGROUP) || rule->cgroup == q->cgroup;
}

struct search {
	struct query q;
	struct decision d;
	__u32 entries_at, rules_at;
	__u32 after; /* rules below this priority number are not asked */
};

static long try_entry(__u32 i, void *ctx)
{
	struct search *s = ctx;
	const struct shunt_entry *e = gen_cell(s->entries_at + i);
	const struct shunt_rule_rec *rule;

	if (!e || !entry_matches(e, &s->q))
		return !e;
	rule = gen_cell(s->rules_at + e->rule);
	if (!rule || rule->priority < s->after || !sender_matches(rule, &s->q))
		return 0;
	s->d.action = rule->action;
	s->d.flags = rule->flags;
	s->d.target = rule->target;
	s->d.priority = rule->priority;
	s->d.stat = rule->stat;
	s->d.rule = e->rule;
	s->d.limit_rate = rule->limit_rate;
	s->d.limit_burst = rule->limit_burst;
	return 1;
}

/* False if no rules are loaded. s->q and s->after are the question, s->d the answer. */
static __always_inline bool classify(struct search *s)
{
	const struct shunt_gen_header *h = gen_cell(0);

	__builtin_memset(&s->d, 0, sizeof(s->d));
	if (!h)
		return false;
	s->entries_at = h->entries_at;
	s->rules_at = h->rules_at;
	s->d.generation = h->generation;
	bpf_loop(h->n_entries, try_entry, s, 0);
	return true;
}

#endif
