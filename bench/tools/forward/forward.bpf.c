// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The programs of forward-load: packets come out of one, and end in the other. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "forward.h"

__u8 head[FORWARD_HEAD] = { 0 };
__u32 flows = 1;
__u32 first_port = 20000;
__u64 injected = 0, forwarded = 0;

/*
 * The frame is written whole each time, as the kernel uses its memory again. The destination
 * alternates, or the kernel takes the route of the packet before (net/ipv4/route.c,
 * ip_route_use_hint), which it does on no gateway with more than one flow.
 */
SEC("xdp")
int inject(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + FORWARD_HEAD > end)
		return XDP_DROP;
	__builtin_memcpy(data, head, FORWARD_HEAD);
	data[FORWARD_AT_DADDR + 3] += injected & 1;
	/* The checksum makes up for it: one more there is one less here (RFC 1624). */
	data[25] -= injected & 1;
	*(__be16 *)(data + FORWARD_AT_SPORT) = bpf_htons(first_port + injected % flows);
	injected++;
	return XDP_PASS;
}

SEC("tc")
int drop(struct __sk_buff *skb __attribute__((unused)))
{
	forwarded++;
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
