// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Asking the loaded program itself: a first packet is made and run through it by
 * BPF_PROG_TEST_RUN in the network namespace of the instance (kernel-facts H12).
 */
#include "explain.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cgroup.h"
#include "cleanup.h"
#include "device.h"
#include "pin.h"

struct frame {
	struct ethhdr eth;
	__u8 rest[sizeof(struct ipv6hdr) + sizeof(struct tcphdr)];
	size_t len;
};

static __be16 port_of(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
					 : ((const struct sockaddr_in *)sa)->sin_port;
}

static size_t put_l4(__u8 *at, const struct shunt_question *q)
{
	if (q->ipproto == IPPROTO_UDP) {
		struct udphdr udp = { .source = port_of(&q->src),
				      .dest = port_of(&q->dst),
				      .len = htons(sizeof(udp)) };

		memcpy(at, &udp, sizeof(udp));
		return sizeof(udp);
	}
	struct tcphdr tcp = { .source = port_of(&q->src), .dest = port_of(&q->dst), .doff = 5,
			      .syn = 1, .window = 0xffff };

	memcpy(at, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

/* RFC 791 section 3.1 */
static __be16 checksum_of(const struct iphdr *ip)
{
	__u16 words[sizeof(*ip) / 2];
	__u32 sum = 0;

	memcpy(words, ip, sizeof(*ip));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__be16) ~(sum + (sum >> 16));
}

static void put_ip(struct frame *f, const struct shunt_question *q)
{
	if (q->src.ss_family == AF_INET6) {
		struct ipv6hdr ip = { .version = 6, .nexthdr = q->ipproto, .hop_limit = 64 };
		size_t l4 = put_l4(f->rest + sizeof(ip), q);

		ip.payload_len = htons((__u16)l4);
		memcpy(&ip.saddr, &((const struct sockaddr_in6 *)&q->src)->sin6_addr, 16);
		memcpy(&ip.daddr, &((const struct sockaddr_in6 *)&q->dst)->sin6_addr, 16);
		memcpy(f->rest, &ip, sizeof(ip));
		f->eth.h_proto = htons(ETH_P_IPV6);
		f->len = sizeof(f->eth) + sizeof(ip) + l4;
		return;
	}
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = q->ipproto };
	size_t l4 = put_l4(f->rest + sizeof(ip), q);

	ip.tot_len = htons((__u16)(sizeof(ip) + l4));
	ip.saddr = ((const struct sockaddr_in *)&q->src)->sin_addr.s_addr;
	ip.daddr = ((const struct sockaddr_in *)&q->dst)->sin_addr.s_addr;
	ip.check = checksum_of(&ip);
	memcpy(f->rest, &ip, sizeof(ip));
	f->eth.h_proto = htons(ETH_P_IP);
	f->len = sizeof(f->eth) + sizeof(ip) + l4;
}

/* The frame must be addressed to the device, or the program takes it for someone else's. */
static void put_mac(struct frame *f, const char *device)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	if (fd >= 0 && !ioctl(fd, SIOCGIFHWADDR, &ifr))
		memcpy(f->eth.h_dest, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
}

/* The device of the question; without a name the first one with that hook. */
static int find_device(struct shunt *s, const struct shunt_question *q, struct shunt_device *out)
{
	uint32_t flag = q->dir == SHUNT_DIR_IN ? SHUNT_DEV_IN : SHUNT_DEV_OUT;
	const char *hook = q->dir == SHUNT_DIR_IN ? "ingress" : "egress";

	for (int slot = 1; slot < SHUNT_MAX_DEVICES; slot++) {
		int r = device_read(s, slot, out);

		if (r)
			return r;
		if (!out->name[0])
			break;
		if (out->flags & SHUNT_DEV_LO || !(out->flags & flag))
			continue;
		if (!q->device || !strcmp(q->device, out->name))
			return 0;
	}
	if (!q->device)
		return shunt_err(-ENOENT, "no device has our program at %s: run 'shuntctl up -i "
				 "IFACE%s'", hook, q->dir == SHUNT_DIR_OUT ? " --out" : "");
	return shunt_err(-ENOENT, "'%s' has none of our programs at %s: run 'shuntctl up -i %s'",
			 q->device, hook, q->device);
}

int explain_locked(struct shunt *s, const struct shunt_question *q, char *device,
		   struct shunt_explain *out)
{
	enum { NO_UID = 65534 }; /* what the kernel says of a packet without a socket */
	struct shunt_explain record, blank = {};
	struct shunt_device dev;
	struct frame frame = {};
	struct __sk_buff skb = {};
	__u32 zero = 0;
	int prog, r;

	r = find_device(s, q, &dev);
	if (!r && q->cgroup)
		r = cgroup_find(q->cgroup, (uint64_t *)blank.cgroup);
	if (r < 0)
		return r;
	put_mac(&frame, dev.name);
	put_ip(&frame, q);
	/* The test run adds a link header of its own for L3 devices too. */
	prog = s->prog[q->dir == SHUNT_DIR_IN ? PROG_IN_ETH : PROG_OUT_ETH];
	skb.ifindex = dev.ifindex;
	skb.ingress_ifindex = q->dir == SHUNT_DIR_IN ? dev.ifindex : 0;
	skb.cb[0] = SHUNT_EXPLAIN_CB0;
	skb.cb[1] = SHUNT_EXPLAIN_CB1;
	skb.cb[2] = q->has_uid ? q->uid : NO_UID;
	bpf_map_update_elem(s->map.explain, &zero, &blank, BPF_ANY);
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &frame,
			    .data_size_in = (__u32)frame.len, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = 1);
	if (bpf_prog_test_run_opts(prog, &opts))
		return shunt_err(-errno, "cannot run the program on '%s': %s", dev.name,
				 strerror(errno));
	if (bpf_map_lookup_elem(s->map.explain, &zero, &record) || !record.ran)
		return shunt_err(-EIO, "the program left no record of its decision");
	*out = record;
	memcpy(device, dev.name, sizeof(dev.name));
	return 0;
}

int shunt_explain(struct shunt *s, const struct shunt_question *q, struct shunt_explain *out)
{
	_cleanup_close_ int lock = instance_lock(s); /* there is one record */
	char device[IF_NAMESIZE];

	return lock < 0 ? lock : explain_locked(s, q, device, out);
}
