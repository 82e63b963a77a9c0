/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was left alone a moment ago, for each CPU: a segment or datagram of a flow that goes on its
 * own way pays neither for the search for a socket nor for the look into the memory of flows.
 *
 * Only exits that no rule has a say in are kept (mid_flow, udp_flow), so no change of rules, sets
 * or targets can make one wrong. What can is a flow of ours that begins on the tuple or on its way
 * back: a count of such beginnings, for each of some buckets of tuples, is a part of what is kept.
 * See docs/architecture.md, "What was left alone a moment ago".
 */
#ifndef SHUNT_BPF_RECENT_H
#define SHUNT_BPF_RECENT_H

#include "account.h"

/* Of flows of ours, by the tuple's hash. Shared by all CPUs. */
__u32 beginnings[SHUNT_RECENT_BUCKETS] = {};

/* The same for both directions. A collision costs time, and nothing else: tuples are compared. */
static __always_inline __u64 pair_hash(const struct packet *p)
{
	const __u64 *s = (const __u64 *)p->saddr, *d = (const __u64 *)p->daddr;
	__u64 h = ((s[0] ^ d[0]) + hash_seed) * 0x9e3779b97f4a7c15ULL;

	h = ((h ^ h >> 32) + s[1] + d[1]) * 0xbf58476d1ce4e5b9ULL;
	h = ((h ^ h >> 32) + p->sport + p->dport) * 0x94d049bb133111ebULL;
	return h ^ h >> 32;
}

static __always_inline __u32 *beginnings_of(__u64 hash)
{
	return &beginnings[hash & (SHUNT_RECENT_BUCKETS - 1)];
}

/* A flow of ours has begun, and what it is known by has been written. */
static __always_inline void note_beginning(const struct packet *p)
{
	__sync_fetch_and_add(beginnings_of(pair_hash(p)), 1);
}

/* Segments that open or end a connection are always judged. */
static __always_inline bool is_plain(const struct packet *p)
{
	return p->frag == FRAG_NONE && !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

static __always_inline __u64 place_of(const struct run *r, __u32 dir)
{
	return (__u64)r->skb->ifindex << 8 | dir;
}

/* Both ways of a flow have the same hash, and may come by the same interface. */
static __always_inline struct shunt_recent *recent_slot(const struct packet *p, __u64 hash,
							__u64 where)
{
	__u32 slot = (((hash + where) >> 8) + (p->sport < p->dport)) & (SHUNT_MAX_RECENT - 1);

	return bpf_map_lookup_elem(&recent, &slot);
}

/* Byte for byte: nobody else's packets pass for the tuple's. */
static __always_inline bool is_about(const struct shunt_recent *e, const struct packet *p,
				     __u64 where)
{
	const __u64 *a = (const __u64 *)&e->tuple, *b = (const __u64 *)packet_key(p);

	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) |
		 (e->where ^ where));
}

/* The exit that packets of the tuple took a moment ago, or -1: it must be judged. */
static __always_inline int recall(struct run *r, __u32 dir)
{
	struct shunt_recent *e;
	__u64 hash, where;

	if (!recent_jiffies || r->ex || !is_plain(&r->p))
		return -1;
	hash = pair_hash(&r->p);
	where = place_of(r, dir);
	e = recent_slot(&r->p, hash, where);
	if (!e)
		return -1;
	r->beginnings = *(volatile __u32 *)beginnings_of(hash);
	if (is_about(e, &r->p, where) && e->beginnings == r->beginnings &&
	    bpf_jiffies64() - e->since < recent_jiffies)
		return e->exit;
	/* A full barrier: of what has begun by that count, whoever judges now sees the rest. */
	__sync_fetch_and_add(&e->since, 0);
	return -1;
}

/*
 * Keep the exit of a packet that recall() knew nothing of, and that has neither a socket nor a
 * steered flow on its tuple. Nor may one be on the way back: the proxy may be about to connect from
 * there (--source client-port), and no SYN of that passes here. A place that is taken stays so for
 * its time: where there are many flows, most of them are not worth the writing.
 *
 * Workaround: a global function, for the stack of the programs.
 */
__noinline int remember(const struct packet *p, __u64 where, __u32 beginnings_before, __u32 exit)
{
	struct shunt_tuple t, back;
	struct shunt_flow *flow;
	struct shunt_recent *e;

	if (!p || !is_plain(p))
		return 0;
	e = recent_slot(p, pair_hash(p), where);
	if (!e || (!is_about(e, p, where) && bpf_jiffies64() - e->since < recent_jiffies))
		return 0;
	packet_tuple(p, &t);
	reverse_tuple(&t, &back);
	flow = p->proto == IPPROTO_TCP ? bpf_map_lookup_elem(&flows, &back) : NULL;
	if (flow && flow->target)
		return 0;
	e->tuple = t;
	e->where = where;
	e->beginnings = beginnings_before;
	e->exit = exit;
	e->since = bpf_jiffies64();
	return 0;
}

#endif
