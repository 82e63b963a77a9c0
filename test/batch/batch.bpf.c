// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The driver of batch.h. */
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "batch.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, BATCH_PROGRAMS + 1);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct batch_packet);
	__uint(max_entries, BATCH_MAX);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct batch_answer);
	__uint(max_entries, BATCH_MAX);
} answers SEC(".maps");

/* That of the instance. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_explain);
	__uint(max_entries, 1);
} explain SEC(".maps");

static __always_inline int write_packet(struct __sk_buff *skb, const struct batch_packet *p,
					int v6)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 *addrs = data + ETH_HLEN + offsetof(struct iphdr, saddr);

	if (v6) {
		addrs = data + ETH_HLEN + offsetof(struct ipv6hdr, saddr);
		if (addrs + 36 > end)
			return -1;
		__builtin_memcpy(addrs, p->addrs, 32);
		__builtin_memcpy(addrs + 32, &p->sport, 4);
		return 0;
	}
	if (addrs + 12 > end)
		return -1;
	__builtin_memcpy(addrs, p->addrs, 8);
	__builtin_memcpy(addrs + 8, &p->sport, 4);
	return 0;
}

static __always_inline void save_answer(struct shunt_explain *ex, __u32 i)
{
	struct batch_answer *a = bpf_map_lookup_elem(&answers, &i);

	if (!a)
		return;
	a->priority = ex->priority;
	a->counter = ex->counter;
	a->action = ex->action;
	a->ran = ex->ran;
	ex->ran = 0;
}

/* Run once more than there are packets, for the last answer. */
SEC("tc")
int driver_ask(struct __sk_buff *skb)
{
	__u32 zero = 0, i = skb->cb[BATCH_CB_NEXT], how = skb->cb[BATCH_CB_HOW];
	struct shunt_explain *ex = bpf_map_lookup_elem(&explain, &zero);
	struct batch_packet *p;

	if (!ex)
		return TC_ACT_SHOT;
	if (ex->ran)
		save_answer(ex, i - 1);
	if (i >= how >> BATCH_N_SHIFT)
		return TC_ACT_UNSPEC;
	p = bpf_map_lookup_elem(&packets, &i);
	if (!p || write_packet(skb, p, how & BATCH_HOW_V6))
		return TC_ACT_SHOT;
	__builtin_memcpy(ex->cgroup, p->cgroup, sizeof(ex->cgroup));
	skb->cb[2] = p->uid;
	skb->cb[BATCH_CB_NEXT] = i + 1;
	bpf_tail_call(skb, &programs, how & BATCH_HOW_CALLEE);
	return TC_ACT_SHOT;
}

SEC("tc")
int driver_time(struct __sk_buff *skb)
{
	__u32 i = skb->cb[BATCH_CB_NEXT], how = skb->cb[BATCH_CB_HOW];
	struct batch_packet *p = bpf_map_lookup_elem(&packets, &i);

	if (!p || write_packet(skb, p, how & BATCH_HOW_V6))
		return TC_ACT_SHOT;
	skb->cb[BATCH_CB_NEXT] = (i + 1) & ((how >> BATCH_N_SHIFT) - 1);
	bpf_tail_call(skb, &programs, how & BATCH_HOW_CALLEE);
	return TC_ACT_SHOT;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
