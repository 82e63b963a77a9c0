/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Test programs around the classifier: one parses real packets and asks for a socket as the
 * steering program does, one does so without classifying, one classifies a list of tuples.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shunt/abi.h"
#include "classify.h"
#include "test/probe.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__type(key, __u32);
		__uint(value_size, SHUNT_PAGE);
	});
} ruleset SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROBE_MAX);
	__type(key, __u32);
	__type(value, struct probe);
} probes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_control);
} control SEC(".maps");

static __always_inline int parse4(struct iphdr *ip, void *end, struct classify *c,
				  struct bpf_sock_tuple *t)
{
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return -1;
	c->src[1] = 0xffff00000000ULL | bpf_ntohl(ip->saddr);
	c->dst[1] = 0xffff00000000ULL | bpf_ntohl(ip->daddr);
	c->bits = SHUNT_BIT_V4 | SHUNT_BIT_TCP | SHUNT_BIT_IN;
	t->ipv4.saddr = ip->saddr;
	t->ipv4.daddr = ip->daddr;
	t->ipv4.sport = tcp->source;
	t->ipv4.dport = tcp->dest;
	c->sport = bpf_ntohs(tcp->source);
	c->dport = bpf_ntohs(tcp->dest);
	return sizeof(t->ipv4);
}

static __always_inline int parse6(struct ipv6hdr *ip, void *end, struct classify *c,
				  struct bpf_sock_tuple *t)
{
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP)
		return -1;
	__builtin_memcpy(c->src, &ip->saddr, 16);
	__builtin_memcpy(c->dst, &ip->daddr, 16);
	__builtin_memcpy(t->ipv6.saddr, &ip->saddr, 32);
	c->src[0] = bpf_be64_to_cpu(c->src[0]);
	c->src[1] = bpf_be64_to_cpu(c->src[1]);
	c->dst[0] = bpf_be64_to_cpu(c->dst[0]);
	c->dst[1] = bpf_be64_to_cpu(c->dst[1]);
	c->bits = SHUNT_BIT_V6 | SHUNT_BIT_TCP | SHUNT_BIT_IN;
	t->ipv6.sport = tcp->source;
	t->ipv6.dport = tcp->dest;
	c->sport = bpf_ntohs(tcp->source);
	c->dport = bpf_ntohs(tcp->dest);
	return sizeof(t->ipv6);
}

/* Size of the socket tuple, or -1. */
static __always_inline int parse(struct __sk_buff *skb, struct classify *c,
				 struct bpf_sock_tuple *t)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse4(data + ETH_HLEN, end, c, t);
	return parse6(data + ETH_HLEN, end, c, t);
}

static __always_inline int socket_exists(struct __sk_buff *skb, struct bpf_sock_tuple *t,
					 __u32 len)
{
	struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, t, len, BPF_F_CURRENT_NETNS, 0);

	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* The mark becomes the priority of the rule. */
SEC("tc")
int packet(struct __sk_buff *skb)
{
	struct classify c = {};
	struct bpf_sock_tuple t = {};
	const struct shunt_rule2 *rule;
	int len = parse(skb, &c, &t);

	if (len < 0)
		return TC_ACT_SHOT;
	if (socket_exists(skb, &t, len))
		return TC_ACT_UNSPEC;
	if (classify_begin(&c, &ruleset))
		return TC_ACT_UNSPEC;
	c.device = skb->cb[0];
	if (c.needs & SHUNT_NEED_UID) {
		c.uid = bpf_get_socket_uid(skb);
		c.has_uid = 1;
	}
	rule = classify_run(&c, 0);
	skb->mark = rule ? rule->priority : 0;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int packet_only(struct __sk_buff *skb)
{
	struct classify c = {};
	struct bpf_sock_tuple t = {};
	int len = parse(skb, &c, &t);

	if (len < 0)
		return TC_ACT_SHOT;
	if (socket_exists(skb, &t, len))
		return TC_ACT_UNSPEC;
	skb->mark = c.dst[1];
	return TC_ACT_UNSPEC;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

static __always_inline void probe_fill(struct classify *c, const struct probe *p)
{
	__builtin_memcpy(c->dst, p->dst, 16);
	__builtin_memcpy(c->src, p->src, 16);
	__builtin_memcpy(c->cgroup, p->cgroup, sizeof(c->cgroup));
	c->dport = p->dport;
	c->sport = p->sport;
	c->device = p->device;
	c->bits = p->bits;
	c->has_uid = p->has_uid;
	c->uid = p->uid;
}

static int probe_one(__u32 i, void *ctx)
{
	struct probe_control *control_p = *(struct probe_control **)ctx;
	__u32 at = (control_p->first + i) & (PROBE_MAX - 1);
	struct probe *p = bpf_map_lookup_elem(&probes, &at);
	const struct shunt_rule2 *rule;
	struct classify c = {};

	if (!p || classify_begin(&c, &ruleset))
		return 1;
	probe_fill(&c, p);
	rule = classify_run(&c, p->after);
	p->generation = c.generation;
	p->found = rule ? rule->priority : 0;
	p->hit = !!rule;
	return 0;
}

/* Classifies control.n tuples of the map probes, from control.first on. */
SEC("tc")
int tuples(struct __sk_buff *skb)
{
	struct probe_control *p;
	__u32 zero = 0;

	(void)skb;
	p = bpf_map_lookup_elem(&control, &zero);
	if (!p)
		return TC_ACT_SHOT;
	bpf_loop(p->n, probe_one, &p, 0);
	return TC_ACT_UNSPEC;
}

char probe_license[] SEC("license") = "Dual BSD/GPL";
