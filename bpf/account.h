/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One run of a program on one packet, and its one way out: leave(). Counters, the counts of
 * rules, and the record that `shuntctl explain` reads are written here and nowhere else.
 */
#ifndef SHUNT_BPF_ACCOUNT_H
#define SHUNT_BPF_ACCOUNT_H

#include <linux/pkt_cls.h>

#include "maps.h"
#include "packet.h"

/*
 * Packets that are not ours leave with this, so that other tc programs keep working: it is
 * TC_ACT_UNSPEC for clsact and TCX_NEXT for tcx (kernel-facts H3). TC_ACT_OK would hide them.
 */
#define NEXT (-1)

struct run {
	struct __sk_buff *skb;
	struct shunt_explain *ex; /* not NULL: a test run of `explain`, leaves no trace */
	__u8 outcome;		  /* enum shunt_counter of the exit */
	__u8 turn;		  /* what is steered goes by lo, and is counted as steered there */
	__u8 alone;		  /* so may the next of its flow be: recent.h */
	__u32 beginnings;	  /* as it was counted before: recent.h */
	struct packet p;
};

static __always_inline void count_up(enum shunt_counter c)
{
	__u32 key = c;
	__u64 *n = bpf_map_lookup_elem(&counters, &key);

	if (n)
		(*n)++;
}

static __always_inline void count(const struct run *r, enum shunt_counter c)
{
	if (!r->ex)
		count_up(c);
}

static __always_inline bool is_steered(enum shunt_counter c)
{
	return c >= SHUNT_CTR_STEER_NEW && c <= SHUNT_CTR_STEER_FRAG;
}

static __always_inline int leave(struct run *r, enum shunt_counter c, int verdict)
{
	if (!r->turn || !is_steered(c))
		count(r, c);
	r->outcome = c;
	if (r->ex) {
		r->ex->counter = c;
		r->ex->verdict = verdict;
	}
	return verdict;
}

static __always_inline void run_begin(struct run *r, struct __sk_buff *skb)
{
	__u32 zero = 0;

	r->skb = skb;
	r->ex = NULL;
	r->turn = by_loopback;
	r->alone = 0;
	r->beginnings = 0;
	if (skb->cb[0] != SHUNT_EXPLAIN_CB0 || skb->cb[1] != SHUNT_EXPLAIN_CB1)
		return;
	r->ex = bpf_map_lookup_elem(&explain, &zero);
	if (r->ex) {
		__builtin_memset(r->ex, 0, offsetof(struct shunt_explain, cgroup));
		r->ex->ran = 1;
		r->ex->socket = ~0U;
	}
}

/* The rule decided this packet, the first of a flow. */
static __always_inline void count_rule(const struct run *r, __u32 stat)
{
	struct shunt_rule_stat *s = bpf_map_lookup_elem(&rule_stats, &stat);

	if (!s || r->ex)
		return;
	__sync_fetch_and_add(&s->packets, 1);
	__sync_fetch_and_add(&s->bytes, r->p.end - r->p.l3);
	__sync_fetch_and_add(&s->flows, 1);
	s->last_hit = bpf_ktime_get_coarse_ns(); /* to the tick, for a fifth of the time */
}

#endif
