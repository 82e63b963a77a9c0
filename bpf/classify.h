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

/*
 * Does the side of the entry match? `not PREFIX` is everything else of either family: an IPv4
 * address, which is v4-mapped here, does not count as inside an IPv6 prefix. (Without `not` the
 * entry's families tell.) negated, v6_prefix and v6 are 0 or 1.
 *
 * Workaround: without branches, each of which would double the ways that the verifier follows.
 */
static __always_inline __u32 side_matches(const __u8 *prefix, __u32 len, const __be32 *addr,
					  __u32 negated, __u32 v6_prefix, __u32 v6)
{
	const __be32 *want = (const __be32 *)prefix;
	__u32 differs = 0, inside;

	for (int i = 0; i < 4; i++) {
		__u32 bits = len > i * 32U ? len - i * 32U : 0;
		__u32 mask = bits >= 32 ? ~0U : ~(~0U >> bits);

		differs |= (want[i] ^ addr[i]) & bpf_htonl(mask);
	}
	inside = (differs == 0) & ((negated ^ 1) | (v6_prefix ^ v6 ^ 1));
	return inside ^ negated;
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
	return side_matches(e->dst, e->dst_len, q->p->daddr, e->negate & 1, e->negate >> 2 & 1,
			    q->p->v6) &
	       side_matches(e->src, e->src_len, q->p->saddr, e->negate >> 1 & 1,
			    e->negate >> 3 & 1, q->p->v6);
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
