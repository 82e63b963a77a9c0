/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets that hold an address for a time: prefixes in the map `timed`, which expire by the clock,
 * whoever runs or does not. What the search finds of an address goes beside its class (sets.h).
 *
 * One look-up for each set and length of prefix that is in use; of most sets just one, for the
 * address itself. A generation in which no set has timed prefixes does not come here.
 */
#ifndef SHUNT_BPF_TIMED_H
#define SHUNT_BPF_TIMED_H

#include "maps.h"
#include "search.h"

/* Steps of one search: on both sides each length of each set, and to the next of these. */
#define TIMED_MAX_STEPS (2 * (SHUNT_MAX_TIMED_SETS * (132 + 1) + 1))

static __always_inline int timed_holds(const __u64 *addr, __u32 set, __u32 len)
{
	struct shunt_timed_key key = { .set = set, .len = len };
	__u64 *to = (__u64 *)key.addr, *expires;

	if (len > 128)
		return 0; /* SHUNT_TIMED_NO_LEN */
	if (len > 64) {
		to[0] = bpf_cpu_to_be64(addr[0]);
		to[1] = bpf_cpu_to_be64(addr[1] & ~0ULL << ((128 - len) & 63));
	} else if (len) {
		to[0] = bpf_cpu_to_be64(addr[0] & ~0ULL << ((64 - len) & 63));
	}
	expires = bpf_map_lookup_elem(&timed, &key);
	return expires && bpf_ktime_get_ns() < *expires;
}

/* Where it is found, the id that was put down behind the others counts. */
static __always_inline void timed_found(struct classify *c)
{
	__u32 side = c->timed_side & 1;

	c->n_timed[side] = c->n_timed[side] + 1;
	c->timed_bits[side] = c->timed_bits[side] | 2U << (c->timed_set & 31);
}

static __always_inline long next_timed_set(struct classify *c)
{
	c->timed_set = c->timed_set + 1;
	c->timed_len = 0;
	return 0;
}

/*
 * One length of one set, or on to the next set or side; for bpf_loop. Over the look-up little is
 * kept, since the stack has room for little.
 */
static long timed_step(__u32 n __attribute__((unused)), void *ctx)
{
	struct search *s = ctx;
	struct classify *c = s->c;
	const struct shunt_timed_ids *ids = cell_at(&s->arena, c->timed_at);
	__u32 side = c->timed_side & 1, set = c->timed_set, i = c->timed_len, left;
	const struct shunt_timed_set *lengths;
	int v6 = !(c->bits & SHUNT_BIT_V4);

	left = ids && set < SHUNT_MAX_TIMED_SETS ? ids->asked[side] >> (set & 31) : 0;
	if (!left) {
		c->timed_side = 1;
		c->timed_set = 0;
		c->timed_len = 0;
		return side;
	}
	if (set >= SHUNT_MAX_TIMED_SETS || !(left & 1))
		return next_timed_set(c);
	c->timed[side][c->n_timed[side] & (TIMED_ROOM - 1)] = ids->id[set];
	lengths = bpf_map_lookup_elem(&timed_sets, &set);
	if (!lengths || i >= sizeof(lengths->len[0]) || i >= lengths->n[v6])
		return next_timed_set(c);
	c->timed_len = i + 1;
	if (!timed_holds(side ? c->src : c->dst, set, lengths->len[v6][i]))
		return 0;
	timed_found(c);
	return next_timed_set(c);
}

/* Between search_begin() and search_run(), when the packet is filled in. */
static __always_inline void find_timed(struct search *s)
{
	struct classify *c = s->c;

	if (!c->timed_at)
		return;
	c->timed_side = 0;
	c->timed_set = 0;
	c->timed_len = 0;
	bpf_loop(TIMED_MAX_STEPS, timed_step, s, 0);
}

#endif
