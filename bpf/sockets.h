/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets: finding the one a packet belongs to, telling ours from others', giving a packet to
 * one. Whoever finds a socket releases it.
 */
#ifndef SHUNT_BPF_SOCKETS_H
#define SHUNT_BPF_SOCKETS_H

#include <linux/errno.h>

#include "account.h"

/* include/net/tcp_states.h */
enum tcp_state {
	STATE_SYN_SENT = 2,
	STATE_TIME_WAIT = 6,
	STATE_LISTEN = 10,
	STATE_NEW_SYN_RECV = 12,
};

struct endpoints {
	const __be32 *saddr, *daddr; /* v4-mapped; the packet's, or exchanged */
	__be16 sport, dport;
	__u8 v6;
};

/*
 * The TCP socket that a packet of this tuple would reach, connected ones first, or NULL.
 * bpf_skc_lookup_tcp, as bpf_sk_lookup_tcp turns a request socket into its listener, and the
 * third ACK of a handshake would be reset.
 */
static __always_inline struct bpf_sock *find_tcp(struct __sk_buff *skb, const struct endpoints *e)
{
	struct bpf_sock_tuple t = {};

	if (!e->v6) {
		t.ipv4.saddr = e->saddr[3];
		t.ipv4.daddr = e->daddr[3];
		t.ipv4.sport = e->sport;
		t.ipv4.dport = e->dport;
		return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(t.ipv6.saddr, e->saddr, 16);
	__builtin_memcpy(t.ipv6.daddr, e->daddr, 16);
	t.ipv6.sport = e->sport;
	t.ipv6.dport = e->dport;
	return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

static __always_inline struct bpf_sock *find_tcp_of(struct __sk_buff *skb, const struct packet *p)
{
	struct endpoints e = { p->saddr, p->daddr, p->sport, p->dport, p->v6 };

	return find_tcp(skb, &e);
}

/*
 * Does the socket carry our ownership bit? Accepted sockets have it from their listener.
 * A TIME_WAIT socket shows no mark: taken as ours, since a packet for one that is not is
 * delivered to that same socket either way.
 */
static __always_inline bool is_ours(struct bpf_sock *sk)
{
	struct bpf_sock *full;

	if (sk->state == STATE_TIME_WAIT)
		return true;
	if (sk->state == STATE_LISTEN)
		return false;
	if (sk->state == STATE_NEW_SYN_RECV)
		full = bpf_get_listener_sock(sk);
	else
		full = bpf_sk_fullsock(sk);
	return full && (full->mark & own_mark);
}

static __always_inline enum shunt_counter assign_error(long e)
{
	switch (e) {
	case -ENOENT:
		return SHUNT_CTR_ASSIGN_ENOENT;
	case -ENETUNREACH:
		return SHUNT_CTR_ASSIGN_ENETUNREACH;
	case -EOPNOTSUPP:
		return SHUNT_CTR_ASSIGN_EOPNOTSUPP;
	case -ESOCKTNOSUPPORT:
		return SHUNT_CTR_ASSIGN_ESOCKTNOSUPPORT;
	default:
		return SHUNT_CTR_ASSIGN_OTHER;
	}
}

/*
 * Give the packet to the socket and mark it, so that policy routing delivers it here. False
 * (counted) if the kernel refuses. What goes by lo gets its socket there. In a test run the kernel always says -EOPNOTSUPP
 * (kernel-facts H12), which is no refusal.
 */
static __always_inline bool assign(struct run *r, struct bpf_sock *sk)
{
	long e = r->turn ? 0 : bpf_sk_assign(r->skb, sk, 0);

	if (e && !(r->ex && e == -EOPNOTSUPP)) {
		count(r, assign_error(e));
		return false;
	}
	r->skb->mark |= steer_mark;
	return true;
}

/* The socket registered at this index, or NULL. */
static __always_inline struct bpf_sock *registered(__u32 index)
{
	return bpf_map_lookup_elem(&sockets, &index);
}

static __always_inline __u32 flow_hash(const struct packet *p)
{
	__u32 h = hash_seed ^ ((__u32)p->sport << 16 | p->dport);

	for (int i = 0; i < 4; i++) {
		h = (h ^ p->saddr[i]) * 0x9e3779b1U; /* golden ratio, as in hash_32() */
		h = (h ^ p->daddr[i] ^ h >> 15) * 0x85ebca6bU;
	}
	return h ^ h >> 16;
}

struct slot_search {
	__u32 target, v6, slots, slot; /* slot: the next to try */
	__u32 index;		       /* found, ~0 none */
};

static long try_slot(__u32 i __attribute__((unused)), void *ctx)
{
	struct slot_search *s = ctx;
	__u32 index = SHUNT_SOCKET_INDEX(s->target, s->v6, s->slot);
	struct bpf_sock *sk = registered(index);

	if (sk) {
		bpf_sk_release(sk);
		s->index = index;
		return 1;
	}
	if (++s->slot >= s->slots)
		s->slot = 0;
	return 0;
}

/*
 * A live socket of the target for this flow: the slot its hash picks, else the next one that
 * is not empty. NULL: the target has no live socket of this family. *index is its place.
 *
 * Workaround: the search for the next one is a callback that gives its reference back. With
 * a loop that keeps it the verifier follows each slot to the end of the program.
 */
static __always_inline struct bpf_sock *pick_socket(const struct packet *p, __u32 target,
						    __u32 *index)
{
	struct shunt_target *t = bpf_map_lookup_elem(&targets, &target);
	struct slot_search s = { .target = target, .v6 = p->v6, .index = ~0U };
	struct bpf_sock *sk;

	if (!t)
		return NULL;
	s.slots = t->slots;
	if (!s.slots || s.slots > SHUNT_TARGET_SLOTS)
		return NULL;
	s.slot = flow_hash(p) % s.slots;
	*index = SHUNT_SOCKET_INDEX(target, p->v6, s.slot);
	sk = registered(*index);
	if (sk)
		return sk;
	bpf_loop(s.slots, try_slot, &s, 0);
	*index = s.index;
	return registered(s.index);
}

#endif
