/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which next hop of a group a flow takes: weighted rendezvous hashing. Each next hop gets a score
 * for the flow from a hash of both, and the best one that is alive wins. So the flow's next hop
 * depends on nobody else's being there, and one that goes moves its own flows only.
 *
 * Alive is what the kernel has a link address for. One that has none is given a moment to be
 * resolved; then its flows go elsewhere, but for a packet every ten seconds that tries it, by the
 * kernel's own neighbour code.
 */
#ifndef SHUNT_BPF_HOPS_H
#define SHUNT_BPF_HOPS_H

#include "sockets.h"

#define HOP_GRACE 900000000ULL /* ns; less than the second after which a SYN is sent again */
/* ns; so long that what tries and is lost is not what tries the next time: SYNs come again after
 * 1, 3 and 7 s. */
#define HOP_RETRY 10000000000ULL

/*
 * What is being found out about a packet's way, and the state of the search for its next hop:
 * [0] of packets, [1] of test runs of `explain` (as with `searches`, bpf/classify.h).
 */
struct way {
	struct shunt_routed flow; /* that is new */
	__u8 head[24]; /* of the IP header */
	struct bpf_fib_lookup fib;
	__u32 oif, mtu, hop;
	__u32 family; /* of the next hop's address */
	__be32 via[4];
	__u8 dmac[6], smac[6];
	__u32 explain; /* asked by a test run, which leaves no trace */
	__u32 peer;    /* oif is a veth that is passed by: SHUNT_ROUTED_PEER, or 0 */
	/* The search. */
	__u64 now, best, best_alive; /* scores, ~0 none */
	__u32 hash, n, v6;
	__u32 first, alive; /* slots of these scores */
	__u32 first_dead;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct way);
	__uint(max_entries, 2);
} ways SEC(".maps");

struct hop_search {
	struct way *way;
	const struct shunt_hop_group *group;
	__u32 list;
};

/*
 * -log2(h / 2^32) in 2^-16ths, to a hundredth: the exact form of the curve is of no matter.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline __u32 neg_log2(__u32 h)
{
	__u32 shift = 0, x;

	h |= 1;
	for (int s = 16; s; s >>= 1) {
		if (!(h >> (32 - s))) {
			h <<= s;
			shift += s;
		}
	}
	x = h << 1 >> 16; /* the fraction of the mantissa */
	x += (__u64)x * (65536 - x) * 22 >> 22; /* log2(1 + x) ~ x + 0.34 x (1 - x) */
	return ((shift + 1) << 16) - x;
}

static __always_inline __u32 mix(__u32 h)
{
	h = (h ^ h >> 16) * 0x85ebca6bU; /* MurmurHash3's finalizer */
	h = (h ^ h >> 13) * 0xc2b2ae35U;
	return h ^ h >> 16;
}

static __always_inline bool is_v4_address(const __u8 *a)
{
	const __u32 *w = (const __u32 *)a;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

static __always_inline bool has_address(const struct shunt_hop *hop)
{
	const __u64 *w = (const __u64 *)hop->addr;

	return w[0] || w[1];
}

/* Has it failed to resolve for too long? */
__noinline int hop_is_dead(__u32 id, __u64 now)
{
	struct shunt_hop_state *state = bpf_map_lookup_elem(&hop_states, &id);
	__u64 since = state ? state->bad_since : 0;

	return since && now - since > HOP_GRACE;
}

static long try_hop(__u32 i, void *ctx)
{
	struct hop_search *s = ctx;
	struct way *w = s->way;
	const struct shunt_hop *hop;
	__u64 score;
	__u32 dead;

	if (i >= SHUNT_GROUP_HOPS)
		return 1;
	hop = &s->group->list[s->list & 1].hop[i];
	if (has_address(hop) && is_v4_address(hop->addr) == w->v6)
		return 0; /* of the other family */
	score = ((__u64)neg_log2(mix(w->hash ^ hop->id)) << 16) / hop->weight;
	dead = hop_is_dead(hop->id, w->now);
	if (score < w->best) {
		w->best = score;
		w->first = i;
		w->first_dead = dead;
	}
	if (!dead && score < w->best_alive) {
		w->best_alive = score;
		w->alive = i;
	}
	return 0;
}

/* May this packet try a next hop that is dead? One may, every ten seconds. */
static __always_inline bool may_try(__u32 id, __u64 now)
{
	struct shunt_hop_state *state = bpf_map_lookup_elem(&hop_states, &id);
	__u64 tried = state ? state->tried : 0;

	return state && now - tried > HOP_RETRY &&
	       __sync_val_compare_and_swap(&state->tried, tried, now) == tried;
}

/* The slot of the best next hop for the hash, ~0 none. */
static __always_inline __u32 pick_hop(struct hop_search *s)
{
	const struct shunt_hop_group *g = s->group;
	struct way *w = s->way;
	__u32 first;

	w->best = w->best_alive = ~0ULL;
	w->first_dead = 0;
	bpf_loop(g->list[s->list & 1].n, try_hop, s, 0);
	first = w->first;
	if (w->best == ~0ULL || first >= SHUNT_GROUP_HOPS)
		return ~0U;
	if (w->first_dead && !w->explain && may_try(g->list[s->list & 1].hop[first].id, w->now))
		return first;
	return w->best_alive == ~0ULL ? ~0U : w->alive;
}

static long is_hop(__u32 i, void *ctx)
{
	struct hop_search *s = ctx;

	if (i >= SHUNT_GROUP_HOPS)
		return 1;
	if (s->group->list[s->list & 1].hop[i].id != s->way->hop)
		return 0;
	s->way->first = i;
	return 1;
}

/* The slot of the next hop that the flow has, if it is in the group still and alive, else ~0. */
static __always_inline __u32 keep_hop(struct hop_search *s, __u32 id)
{
	struct way *w = s->way;

	if (!id || hop_is_dead(id, w->now))
		return ~0U;
	w->hop = id;
	w->first = ~0U;
	bpf_loop(s->group->list[s->list & 1].n, is_hop, s, 0);
	return w->first;
}

/*
 * Did it resolve?
 *
 * Workaround: not inlined, for the stack.
 */
__noinline int note_hop(__u32 id, __u32 good, __u64 now)
{
	struct shunt_hop_state *state = bpf_map_lookup_elem(&hop_states, &id), bad = {
		.bad_since = now, .tried = now,
	};

	if (good) {
		if (state && state->bad_since)
			state->bad_since = 0;
	} else if (!state) {
		bpf_map_update_elem(&hop_states, &id, &bad, BPF_ANY);
	} else if (!state->bad_since) {
		state->tried = now;
		state->bad_since = now;
	}
	return 0;
}

#endif
