/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a packet: the decisions of docs/architecture.md, "The way of a packet".
 * Every function here returns a tc verdict that has gone through leave().
 */
#ifndef SHUNT_BPF_STEER_H
#define SHUNT_BPF_STEER_H

#include "event.h"
#include "limit.h"
#include "loopback.h"
#include "recent.h"
#include "reject.h"
#include "route.h"
#include "sockets.h"

#define MS 1000000ULL
#define BACKSTOP_LIFE (1000 * MS) /* the lookup follows at once, or after reassembly */
#define FRAG_LIFE (30000 * MS)	  /* ipfrag_time's default, net/ipv4/ip_fragment.c */

static __always_inline void note_frag(const struct run *r)
{
	struct shunt_frag_key key;
	__u64 now = bpf_ktime_get_ns();

	if (r->p.frag != FRAG_FIRST || r->ex)
		return;
	__builtin_memset(&key, 0, sizeof(key));
	__builtin_memcpy(key.saddr, r->p.saddr, 16);
	__builtin_memcpy(key.daddr, r->p.daddr, 16);
	key.id = r->p.frag_id;
	key.proto = r->p.v6 ? 0 : r->p.proto;
	if (bpf_map_update_elem(&frags, &key, &now, BPF_ANY))
		count(r, SHUNT_CTR_NOTE_LOST);
}

/* A later fragment goes where its first one went (kernel-facts H8). */
static __always_inline int follow_frag(struct run *r)
{
	struct shunt_frag_key key;
	__u64 *since;

	__builtin_memset(&key, 0, sizeof(key));
	__builtin_memcpy(key.saddr, r->p.saddr, 16);
	__builtin_memcpy(key.daddr, r->p.daddr, 16);
	key.id = r->p.frag_id;
	key.proto = r->p.v6 ? 0 : r->p.proto;
	since = bpf_map_lookup_elem(&frags, &key);
	if (!since || bpf_ktime_get_ns() - *since > FRAG_LIFE)
		return leave(r, SHUNT_CTR_FRAG_OTHER, NEXT);
	r->skb->mark |= steer_mark;
	return leave(r, SHUNT_CTR_STEER_FRAG, NEXT);
}

static __always_inline void note_flow(const struct run *r, const struct shunt_tuple *t,
				      const struct decision *d, __u32 socket, __u8 dir)
{
	struct shunt_flow flow = {
		.since = bpf_ktime_get_ns(),
		.rule = d->priority,
		.socket = socket,
		.target = d->target,
		.dir = dir,
	};

	if (r->ex)
		return;
	if (bpf_map_update_elem(&flows, t, &flow, BPF_ANY))
		count(r, SHUNT_CTR_NOTE_LOST);
	note_beginning(&r->p);
}

/*
 * A new flow of this tuple goes its own way although a socket of ours is still in TIME_WAIT on
 * it: its packets must not be given to that socket. A flow noted without a target.
 */
static __always_inline void note_direct(const struct run *r)
{
	struct shunt_flow flow = { .since = bpf_ktime_get_ns() };
	struct shunt_tuple t;

	packet_tuple(&r->p, &t);
	if (!r->ex && bpf_map_update_elem(&flows, &t, &flow, BPF_ANY))
		count(r, SHUNT_CTR_NOTE_LOST);
}

/* The note of a steered flow, or NULL. */
static __always_inline struct shunt_flow *steered_flow(const struct shunt_tuple *t)
{
	struct shunt_flow *flow = bpf_map_lookup_elem(&flows, t);

	return flow && flow->target ? flow : NULL;
}

/* The next listener lookup for this tuple gets that socket. */
static __always_inline void note_backstop(const struct run *r, const struct shunt_tuple *t,
					  __u32 socket)
{
	struct shunt_backstop b = {
		.until = bpf_ktime_get_ns() + BACKSTOP_LIFE,
		.socket = socket,
	};

	if (r->ex)
		return;
	if (bpf_map_update_elem(&backstop, t, &b, BPF_ANY))
		count(r, SHUNT_CTR_NOTE_LOST);
	backstop_until = b.until;
}

/* What the rule says for the time that nobody listens. */
static __always_inline int fail(struct run *r, __u8 flags)
{
	if (flags & SHUNT_RULE_FAIL_CLOSED)
		return leave(r, SHUNT_CTR_FAIL_CLOSED, TC_ACT_SHOT);
	return leave(r, SHUNT_CTR_FAIL_OPEN, NEXT);
}

/* Is the destination an address of this host? Asks the FIB, so addresses count that exist
 * only as `local` routes. False if forwarding is off, where the FIB helper does not say. */
static __always_inline bool is_local(struct run *r)
{
	struct bpf_fib_lookup fib;

	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = r->skb->ifindex;
	if (r->p.v6) {
		fib.family = 10; /* AF_INET6 */
		__builtin_memcpy(fib.ipv6_src, r->p.saddr, 16);
		__builtin_memcpy(fib.ipv6_dst, r->p.daddr, 16);
	} else {
		fib.family = 2; /* AF_INET */
		fib.ipv4_src = r->p.saddr[3];
		fib.ipv4_dst = r->p.daddr[3];
	}
	return bpf_fib_lookup(r->skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_SKIP_NEIGH) ==
	       BPF_FIB_LKUP_RET_NOT_FWDED;
}

/*
 * Give a SYN to its listener. A socket in TIME_WAIT keeps the tuple from any other, and only
 * the stack's own handling of a SYN removes it; that then looks for a listener by address and
 * finds ours by the backstop (kernel-facts H4, case c). Consumes neither reference.
 */
static __always_inline int give_syn(struct run *r, const struct shunt_tuple *t,
				    struct bpf_sock *listener, struct bpf_sock *time_wait,
				    __u32 index, __u8 flags)
{
	if (time_wait || r->p.frag == FRAG_FIRST)
		note_backstop(r, t, index);
	if (!assign(r, time_wait ? time_wait : listener)) {
		if (time_wait)
			note_direct(r);
		return fail(r, flags);
	}
	note_frag(r);
	return leave(r, time_wait ? SHUNT_CTR_STEER_TIMEWAIT : SHUNT_CTR_STEER_NEW, NEXT);
}

static __always_inline void explain_decision(struct run *r, const struct decision *d)
{
	if (!r->ex)
		return;
	r->ex->action = d->action;
	r->ex->priority = d->priority;
	r->ex->target = d->target;
	r->ex->generation = d->generation;
}

/* The socket that the packet would come from, were it sent here, or NULL. */
static __always_inline struct bpf_sock *find_sender(struct run *r)
{
	const struct packet *p = &r->p;
	struct endpoints e = { p->daddr, p->saddr, p->dport, p->sport, p->v6 };

	return find_tcp(r->skb, &e);
}

/* Is the other leg of this flow, with the client's own address and port, still alive? */
static __always_inline bool upstream_lives(struct run *r)
{
	struct bpf_sock *sk = find_sender(r);
	bool lives;

	if (!sk)
		return false;
	lives = is_ours(sk) && sk->state != STATE_TIME_WAIT;
	bpf_sk_release(sk);
	return lives;
}

/*
 * Did a socket of ours send this very SYN? With the client's address in use the client may have
 * the tuple of a connection that we are just making: only the sequence number tells its SYN
 * from ours.
 */
static __always_inline bool is_own_syn(struct run *r)
{
	struct bpf_sock *sk = find_sender(r);
	struct bpf_tcp_sock *tcp;
	bool own = false;
	__be32 seq;

	if (!sk)
		return false;
	if (sk->state == STATE_SYN_SENT && is_ours(sk) &&
	    !bpf_skb_load_bytes(r->skb, r->p.l4 + offsetof(struct tcphdr, seq), &seq,
				sizeof(seq))) {
		tcp = bpf_tcp_sock(sk);
		own = tcp && tcp->snd_una == bpf_ntohl(seq);
	}
	bpf_sk_release(sk);
	return own;
}

/* proxy at an ingress hook. Consumes nothing. */
static __always_inline int proxy_in(struct run *r, const struct decision *d,
				    struct bpf_sock *time_wait)
{
	struct shunt_tuple t;
	struct bpf_sock *listener;
	__u32 index;
	int verdict;

	/* Our own SYN, sent back by a router: steered again it would make a loop (LOOP-04). */
	if (is_own_syn(r))
		return leave(r, SHUNT_CTR_OWN, NEXT);
	/* The answer must know the interface, and the socket would take it to be lo. */
	if (by_loopback && is_link_local_source(&r->p))
		return fail(r, d->flags);
	listener = pick_socket(&r->p, d->target, &index);
	if (!listener)
		return fail(r, d->flags);
	if (listener->src_port == bpf_ntohs(r->p.dport) && is_local(r)) {
		bpf_sk_release(listener);
		return leave(r, SHUNT_CTR_SELF, NEXT);
	}
	if (r->ex)
		r->ex->socket = index;
	packet_tuple(&r->p, &t);
	note_flow(r, &t, d, index, SHUNT_DIR_IN);
	verdict = give_syn(r, &t, listener, time_wait, index, d->flags);
	bpf_sk_release(listener);
	return verdict;
}

/* Delivery by lo: the packet, marked, is turned round. */
static __always_inline int carry_to_lo(struct run *r)
{
	int verdict = turn_to_lo(r->skb, &r->p);

	if (verdict < 0)
		return leave(r, SHUNT_CTR_REDIRECT_FAILED, TC_ACT_SHOT);
	return leave(r, SHUNT_CTR_REDIRECT, verdict);
}

/* proxy at an egress hook: note the decision and turn the packet round to lo's ingress. */
static __always_inline int redirect_to_lo(struct run *r, bool link_header)
{
	if (r->ex)
		return leave(r, SHUNT_CTR_REDIRECT, TC_ACT_REDIRECT);
	r->skb->mark |= steer_mark; /* lo's program takes only what carries it */
	if (by_loopback)
		return carry_to_lo(r);
	if (!link_header && !add_link_header(r->skb))
		return leave(r, SHUNT_CTR_REDIRECT_FAILED, TC_ACT_SHOT);
	return leave(r, SHUNT_CTR_REDIRECT, bpf_redirect(LO_IFINDEX, BPF_F_INGRESS));
}

static __always_inline int proxy_out(struct run *r, const struct decision *d, bool link_header)
{
	struct shunt_tuple t;
	struct bpf_sock *listener;
	__u32 index;

	listener = pick_socket(&r->p, d->target, &index);
	if (!listener)
		return fail(r, d->flags);
	bpf_sk_release(listener);
	if (r->ex)
		r->ex->socket = index;
	packet_tuple(&r->p, &t);
	note_flow(r, &t, d, index, SHUNT_DIR_OUT);
	return redirect_to_lo(r, link_header);
}

/* Carry a decision out. */
static __always_inline int act(struct run *r, const struct decision *d, __u8 dir,
			       bool link_header, struct bpf_sock *time_wait)
{
	if (d->limit_rate && !r->ex && limit_reached(&r->p, d)) /* test runs take no token */
		return leave(r, SHUNT_CTR_RULE_LIMIT, TC_ACT_SHOT);
	switch (d->action) {
	case SHUNT_ACT_DROP:
		return leave(r, SHUNT_CTR_RULE_DROP, TC_ACT_SHOT);
	case SHUNT_ACT_REJECT:
		return reject(r, dir);
	case SHUNT_ACT_PROXY:
		return dir == SHUNT_DIR_IN ? proxy_in(r, d, time_wait)
					   : proxy_out(r, d, link_header);
	case SHUNT_ACT_ROUTE:
		return route(r, d);
	default:
		return leave(r, SHUNT_CTR_RULE_PASS, NEXT);
	}
}

/* What the rules say to a packet. */
struct verdict {
	struct run *run;
	struct query q;
	struct decision d;
};

/*
 * The rule only says what it would have done; go on behind it. Ends at one that decides. If the
 * rules were replaced meanwhile, the new ones are asked from the first: those behind an audit
 * rule of the old ones would make a mixture.
 */
static long audit(__u32 i __attribute__((unused)), void *ctx)
{
	struct verdict *v = ctx;
	__u64 generation = v->d.generation;
	struct run *r = v->run;

	count_rule(r, v->d.stat);
	count(r, SHUNT_CTR_AUDITED);
	if (!r->ex)
		emit_event(&r->p, &v->d, r->skb->ifindex, v->q.dir, SHUNT_CTR_AUDITED);
	v->q.after = v->d.priority + 1;
	if (!classify(r->skb, &r->p, &v->q, &v->d))
		return 1;
	if (v->d.generation != generation) {
		v->q.after = 0;
		if (!classify(r->skb, &r->p, &v->q, &v->d))
			return 1;
	}
	return !(v->d.flags & SHUNT_RULE_AUDIT);
}

/* The first packet of a flow: what do the rules say? */
static __always_inline int decide(struct run *r, __u8 dir, bool link_header,
				  struct bpf_sock *time_wait)
{
	struct verdict v = {
		.run = r,
		.q = {
			.dir = dir,
			.proto = r->p.proto == IPPROTO_TCP ? SHUNT_PROTO_TCP : SHUNT_PROTO_UDP,
			.explain = !!r->ex,
		},
	};
	int verdict;

	if (!classify(r->skb, &r->p, &v.q, &v.d))
		return leave(r, SHUNT_CTR_NO_RULESET, NEXT);
	if (v.d.flags & SHUNT_RULE_AUDIT)
		bpf_loop(2 * SHUNT_MAX_AUDITS, audit, &v, 0); /* twice: replaced at the last */
	explain_decision(r, &v.d);
	if (v.d.action == SHUNT_ACT_NONE || v.d.flags & SHUNT_RULE_AUDIT)
		return leave(r, SHUNT_CTR_NO_MATCH, NEXT);
	count_rule(r, v.d.stat);
	verdict = act(r, &v.d, dir, link_header, time_wait);
	if (v.d.flags & SHUNT_RULE_LOG && !r->ex)
		emit_event(&r->p, &v.d, r->skb->ifindex, dir, r->outcome);
	return verdict;
}

/* Does this ACK answer a SYN cookie of the listener? (kernel-facts H5, rule b) */
static __always_inline bool answers_cookie(struct run *r, struct bpf_sock *listener)
{
	struct __sk_buff *skb = r->skb;
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__u32 l3 = r->p.l3, l4 = r->p.l4;
	struct tcphdr *tcp;
	void *ip;

	if ((r->p.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_ACK || l3 > 64 || l4 > 0x7ff)
		return false;
	ip = data + l3;
	tcp = data + l4;
	if (ip + sizeof(struct ipv6hdr) > data_end || (void *)(tcp + 1) > data_end)
		return false;
	return bpf_tcp_check_syncookie(listener, ip,
				       r->p.v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr),
				       tcp, sizeof(*tcp)) == 0;
}

/*
 * A segment without a socket that opens nothing. Only flows noted as steered are looked at:
 * an ACK for a cookie is given to the very listener that got the SYN, and a segment of a flow
 * whose accepted socket is lost but whose upstream lives is given to it too, since it answers
 * RST where the server would take the data (kernel-facts H15). All else is left alone.
 */
static __always_inline int mid_flow(struct run *r, bool egress, bool link_header)
{
	struct bpf_sock *listener;
	struct shunt_flow *flow;
	enum shunt_counter exit;
	struct shunt_tuple t;

	packet_tuple(&r->p, &t);
	flow = steered_flow(&t);
	listener = flow ? registered(flow->socket) : NULL;
	r->alone = !flow;
	if (!listener)
		return leave(r, SHUNT_CTR_MID_FLOW, NEXT);
	if (answers_cookie(r, listener))
		exit = SHUNT_CTR_STEER_COOKIE;
	else if (upstream_lives(r))
		exit = SHUNT_CTR_STEER_RESET;
	else
		exit = SHUNT_CTR_MID_FLOW;
	if (exit == SHUNT_CTR_MID_FLOW || (!egress && !assign(r, listener))) {
		bpf_sk_release(listener);
		return leave(r, SHUNT_CTR_MID_FLOW, NEXT);
	}
	bpf_sk_release(listener);
	return egress ? redirect_to_lo(r, link_header) : leave(r, exit, NEXT);
}

/*
 * Is a packet that opens nothing for this socket in TIME_WAIT, or for a newer flow of the same
 * tuple that is not steered? That one's first packet was noted, at decide() for a SYN; a SYN|ACK
 * can only be the answer to one, since what is in TIME_WAIT waits for none.
 */
static __always_inline bool is_for_time_wait(struct run *r)
{
	struct shunt_tuple t;
	struct shunt_flow *flow;

	if (r->p.tcp_flags & TCP_SYN) {
		note_direct(r);
		return false;
	}
	packet_tuple(&r->p, &t);
	flow = bpf_map_lookup_elem(&flows, &t);
	return !flow || flow->target;
}

/*
 * Workaround: the stack's early demux would find our socket in TIME_WAIT again, and ip_forward()
 * drops a packet that has a socket. It looks only at packets without a route, and an empty
 * tunnel key counts as one until the real route is looked up (net/ipv4/ip_input.c,
 * ip_rcv_finish_core; net/ipv6/ip6_input.c, ip6_rcv_finish_core).
 */
static __always_inline void skip_early_demux(struct run *r)
{
	struct bpf_tunnel_key key = {};

	if (!r->ex)
		bpf_skb_set_tunnel_key(r->skb, &key, sizeof(key), 0);
}

/* Does a packet that opens nothing belong to this socket of ours? */
static __always_inline bool is_known_flow(struct run *r, struct bpf_sock *sk)
{
	return is_ours(sk) && (sk->state != STATE_TIME_WAIT || is_for_time_wait(r));
}

/*
 * Will early demux look for the packet's socket, where it is a full one? Not for a fragment of
 * IPv4, nor behind extension headers: net/ipv4/ip_input.c, ip_rcv_finish_core;
 * net/ipv6/ip6_input.c, ip6_rcv_finish_core.
 */
static __always_inline bool is_demuxed_early(const struct packet *p)
{
	return early_demux && p->frag == FRAG_NONE &&
	       (!p->v6 || p->l4 == p->l3 + sizeof(struct ipv6hdr));
}

/*
 * A full socket is found by the stack itself, and with it the route that it keeps for what it
 * receives. A packet that has its socket already is looked up in the FIB each time, with all the
 * rules: net/ipv4/ip_input.c, ip_rcv_finish_core. The mark is for packets before there is a route.
 * Where the stack would not look, the socket is assigned: a packet that has one is never forwarded.
 */
static __always_inline bool deliver(struct run *r, struct bpf_sock *sk)
{
	if (sk->state == STATE_TIME_WAIT || sk->state == STATE_NEW_SYN_RECV ||
	    !is_demuxed_early(&r->p))
		return assign(r, sk);
	r->skb->mark |= steer_mark;
	return true;
}

/* A packet that belongs to an existing socket. */
static __always_inline int known_flow(struct run *r, struct bpf_sock *sk)
{
	if (r->p.tcp_flags & TCP_SYN && !r->ex) /* a server's answer to one of ours */
		note_beginning(&r->p);
	if (!is_known_flow(r, sk) || !deliver(r, sk))
		return leave(r, SHUNT_CTR_FOREIGN_SOCKET, NEXT);
	note_frag(r);
	return leave(r, SHUNT_CTR_STEER_FLOW, NEXT);
}

static __always_inline int tcp_in(struct run *r)
{
	struct bpf_sock *sk = find_tcp_of(r->skb, &r->p);
	bool syn = is_syn(&r->p), listener = false;
	int verdict;

	if (sk && r->ex)
		r->ex->sk_state = sk->state;
	if (sk && sk->state == STATE_LISTEN) {
		bpf_sk_release(sk); /* who listens on the address is not asked */
		sk = NULL;
		listener = true;
	}
	if (sk && !(syn && sk->state == STATE_TIME_WAIT)) {
		verdict = known_flow(r, sk);
	} else if (syn) {
		if (sk)
			note_direct(r); /* until the decision says otherwise */
		verdict = decide(r, SHUNT_DIR_IN, true, sk);
	} else {
		verdict = mid_flow(r, false, true);
		if (listener) /* the segment may open one of its connections */
			r->alone = 0;
	}
	if (sk && sk->state == STATE_TIME_WAIT && !(r->skb->mark & steer_mark))
		skip_early_demux(r);
	if (sk)
		bpf_sk_release(sk);
	return verdict;
}

/* From the view of the receiver, who is here: the accepted socket has the server's address. */
static __always_inline int tcp_out(struct run *r, bool link_header)
{
	struct bpf_sock *sk = find_tcp_of(r->skb, &r->p);
	bool syn = is_syn(&r->p), ours = false, known = sk;
	int verdict;

	if (sk) {
		if (syn && sk->state == STATE_TIME_WAIT)
			note_direct(r); /* until the decision says otherwise */
		else
			ours = is_known_flow(r, sk);
		if (r->ex)
			r->ex->sk_state = sk->state;
		bpf_sk_release(sk);
	}
	if (ours)
		return redirect_to_lo(r, link_header);
	if (syn)
		return decide(r, SHUNT_DIR_OUT, link_header, NULL);
	verdict = mid_flow(r, true, link_header);
	if (known)
		r->alone = 0;
	return verdict;
}

/* At lo's ingress: the decision was made at egress, here it is carried out. */
static __always_inline int tcp_lo(struct run *r)
{
	struct bpf_sock *sk = find_tcp_of(r->skb, &r->p), *listener;
	bool syn = is_syn(&r->p);
	struct shunt_flow *flow;
	struct shunt_tuple t;
	__u32 index;
	int verdict;

	if (sk && sk->state == STATE_LISTEN) {
		bpf_sk_release(sk);
		sk = NULL;
	}
	if (sk && !(syn && sk->state == STATE_TIME_WAIT)) {
		verdict = known_flow(r, sk);
		goto out;
	}
	if (!syn) {
		verdict = mid_flow(r, false, true);
		goto out;
	}
	packet_tuple(&r->p, &t);
	flow = steered_flow(&t);
	index = flow ? flow->socket : 0;
	listener = flow ? registered(index) : NULL;
	if (!listener) {
		verdict = leave(r, SHUNT_CTR_LO_LOST, TC_ACT_SHOT);
		goto out;
	}
	verdict = give_syn(r, &t, listener, sk, index, SHUNT_RULE_FAIL_CLOSED);
	bpf_sk_release(listener);
out:
	if (sk)
		bpf_sk_release(sk);
	return verdict;
}

#endif
