/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UDP flows: the rules are asked about the first datagram of a 5-tuple, and what they leave alone
 * goes its own way for as long as it goes on. A datagram that begins nothing costs one lookup.
 *
 * A flow that was dropped or rejected has not begun: its next datagram is asked about again.
 */
#ifndef SHUNT_BPF_UDP_FLOWS_H
#define SHUNT_BPF_UDP_FLOWS_H

#include "steer.h"

static __always_inline void udp_key(struct shunt_udp_key *key, const struct packet *p,
				    __u32 ifindex, __u32 dir)
{
	__builtin_memset(key, 0, sizeof(*key));
	packet_tuple(p, &key->tuple);
	key->ifindex = ifindex;
	key->dir = dir;
}

/*
 * Does the datagram belong to a flow that was left alone?
 *
 * Workaround: a global function, as note_udp(), for the stack of the programs.
 */
__noinline int udp_goes_on(const struct packet *p, __u32 ifindex, __u32 dir)
{
	struct shunt_udp_key key;
	__u64 *seen, now;
	__s64 idle;

	if (!p)
		return 0; /* never; the verifier asks for it */
	udp_key(&key, p, ifindex, dir);
	seen = bpf_map_lookup_elem(&udp_flows, &key);
	if (!seen)
		return 0;
	now = bpf_ktime_get_coarse_ns();
	idle = now - *seen; /* below 0 if another CPU was faster */
	if (idle > (__s64)(SHUNT_UDP_IDLE * NS_PER_SECOND))
		return 0;
	if (idle > (__s64)NS_PER_SECOND) /* so that CPUs do not fight for the line */
		*seen = now;
	return 1;
}

__noinline int note_udp(const struct packet *p, __u32 ifindex, __u32 dir)
{
	struct shunt_udp_key key;
	__u64 now;

	if (!p)
		return 0; /* never; the verifier asks for it */
	udp_key(&key, p, ifindex, dir);
	now = bpf_ktime_get_coarse_ns();
	if (bpf_map_update_elem(&udp_flows, &key, &now, BPF_ANY))
		count_up(SHUNT_CTR_NOTE_LOST);
	return 0;
}

static __always_inline bool is_left_alone(enum shunt_counter outcome)
{
	return outcome == SHUNT_CTR_NO_MATCH || outcome == SHUNT_CTR_RULE_PASS ||
	       outcome == SHUNT_CTR_FAIL_OPEN || outcome == SHUNT_CTR_NO_RULESET;
}

static __always_inline int udp(struct run *r, __u8 dir, bool link_header)
{
	__u32 ifindex = r->skb->ifindex;
	int verdict;

	/* explain is about a new flow */
	if (!r->ex && udp_goes_on(&r->p, ifindex, dir)) {
		r->alone = 1;
		return leave(r, SHUNT_CTR_UDP_FLOW, NEXT);
	}
	verdict = decide(r, dir, link_header, NULL);
	if (!r->ex && is_left_alone(r->outcome))
		note_udp(&r->p, ifindex, dir);
	return verdict;
}

#endif
