// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What forwarding a small packet takes, without the ends that send and receive it:
 *
 *	forward-load IN OUT tcp|udp SOURCE DESTINATION [-n PACKETS] [-r ROUNDS] [-f FLOWS]
 *
 * XDP live frames come in by the interface IN as if they had just been received, to DESTINATION and
 * the address behind it, and are dropped where they leave by OUT. Prints one JSON object: CPU
 * time of one packet, ns, the least of all rounds. Needs Linux 6.6.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "forward.h"
#include "forward.skel.h"

enum { TCX_EGRESS = 47, LIVE_FRAMES = 1 << 1 }; /* enum bpf_attach_type, BPF_F_TEST_XDP_LIVE_FRAMES */

struct load {
	const char *in, *out;
	uint8_t proto;
	struct in_addr source, destination;
	uint32_t packets, rounds, flows;
};

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "forward-load: %s '%s': %s\n", what, name, strerror(errno));
	return 1;
}

static bool read_mac(const char *device, uint8_t *mac)
{
	struct ifreq request = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	done = fd >= 0 && !ioctl(fd, SIOCGIFHWADDR, &request);
	if (fd >= 0)
		close(fd);
	memcpy(mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return done;
}

static uint16_t checksum(const void *at, size_t size)
{
	const uint16_t *word = at;
	uint32_t sum = 0;

	for (size_t i = 0; i < size / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* The middle of a TCP flow, or a datagram. */
static void write_head(const struct load *l, const uint8_t *mac, uint8_t *head)
{
	struct ethhdr eth = { .h_source = { 2 }, .h_proto = htons(ETH_P_IP) };
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = l->proto,
			    .tot_len = htons(FORWARD_FRAME - ETH_HLEN),
			    .saddr = l->source.s_addr, .daddr = l->destination.s_addr };
	struct tcphdr tcp = { .dest = htons(443), .doff = 5, .ack = 1, .window = htons(1000) };
	struct udphdr udp = { .dest = htons(443),
			      .len = htons(FORWARD_FRAME - ETH_HLEN - sizeof(ip)) };

	memset(head, 0, FORWARD_HEAD);
	memcpy(eth.h_dest, mac, ETH_ALEN);
	/* So that the program's step by one never borrows from the byte before. */
	do
		ip.check = 0, ip.id = htons((uint16_t)(ntohs(ip.id) + 1)),
		ip.check = checksum(&ip, sizeof(ip));
	while (!(ntohs(ip.check) & 0xff));
	memcpy(head, &eth, sizeof(eth));
	memcpy(head + ETH_HLEN, &ip, sizeof(ip));
	if (l->proto == IPPROTO_TCP)
		memcpy(head + ETH_HLEN + sizeof(ip), &tcp, sizeof(tcp));
	else
		memcpy(head + ETH_HLEN + sizeof(ip), &udp, sizeof(udp));
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int run(const struct load *l, struct forward_bpf *skel, uint32_t ifindex)
{
	uint8_t frame[FORWARD_FRAME] = {};
	struct xdp_md context = { .data_end = sizeof(frame), .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = (int)l->packets,
		    .flags = LIVE_FRAMES);
	uint64_t least = UINT64_MAX, before, took;

	for (uint32_t i = 0; i <= l->rounds; i++) { /* the first one to warm up */
		before = cpu_ns();
		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.inject), &opts))
			return fail("cannot send by", l->in);
		took = cpu_ns() - before;
		if (i && took < least)
			least = took;
	}
	if (skel->bss->forwarded < skel->bss->injected / 100 * 99) {
		fprintf(stderr, "forward-load: only %llu of %llu packets were forwarded\n",
			(unsigned long long)skel->bss->forwarded,
			(unsigned long long)skel->bss->injected);
		return 1;
	}
	printf("{\"ns\":%.1f}\n", (double)least / l->packets);
	return 0;
}

static int measure(const struct load *l)
{
	uint32_t in = if_nametoindex(l->in), out = if_nametoindex(l->out);
	struct forward_bpf *skel;
	int links[2] = { -1, -1 }, r = 1;
	uint8_t mac[ETH_ALEN];

	if (!in || !out || !read_mac(l->in, mac))
		return fail("cannot use", in ? l->out : l->in);
	skel = forward_bpf__open_and_load();
	if (!skel)
		return fail("cannot load", "forward.bpf.o");
	write_head(l, mac, skel->bss->head);
	skel->data->flows = l->flows;
	/* The interface has the queue that live frames need only with a program. */
	links[0] = bpf_link_create(bpf_program__fd(skel->progs.inject), (int)in, BPF_XDP, NULL);
	links[1] = bpf_link_create(bpf_program__fd(skel->progs.drop), (int)out,
				   (enum bpf_attach_type)TCX_EGRESS, NULL);
	if (links[0] < 0 || links[1] < 0)
		fail("cannot attach to", links[0] < 0 ? l->in : l->out);
	else
		r = run(l, skel, in);
	for (int i = 0; i < 2; i++)
		if (links[i] >= 0)
			close(links[i]);
	forward_bpf__destroy(skel);
	return r;
}

static int usage(void)
{
	fputs("usage: forward-load IN OUT tcp|udp SOURCE DESTINATION [-n PACKETS] [-r ROUNDS] "
	      "[-f FLOWS]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct load l = { .packets = 100000, .rounds = 10, .flows = 16 };
	int c;

	while ((c = getopt(argc, argv, "n:r:f:")) != -1) {
		uint32_t n = (uint32_t)strtoul(optarg ? optarg : "0", NULL, 10);

		if (c == '?' || !n)
			return usage();
		*(c == 'n' ? &l.packets : c == 'r' ? &l.rounds : &l.flows) = n;
	}
	argv += optind;
	if (argc - optind != 5 || (strcmp(argv[2], "tcp") && strcmp(argv[2], "udp")) ||
	    inet_pton(AF_INET, argv[3], &l.source) != 1 ||
	    inet_pton(AF_INET, argv[4], &l.destination) != 1)
		return usage();
	l.in = argv[0];
	l.out = argv[1];
	l.proto = argv[2][0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
	return measure(&l);
}
