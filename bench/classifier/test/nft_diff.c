// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The classifier and the plain reference against nftables, as somebody who knows neither: random
 * rule sets are loaded into all three, and packets are sent through nft's egress hook, where the
 * rule that decides marks them.
 *
 *	nft_diff OBJECT [RULE_SETS [SEED]]
 *
 * Runs in a network namespace of its own. Status 1 at the first packet they do not agree on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nft_rules.h"
#include "probe_run.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK 75 /* Linux 5.19 */
#endif

enum {
	PACKETS = 768, /* of a rule set */
	BATCH = 64,
	MAX_RULES = 60,
	FRAME_MAX = 128,
	MAGIC = 0x6e667464,
};

struct lab {
	struct probe_run run;
	struct random_case c;
	uint64_t seed, pairs, hits;
	int send, tap;
	struct ref_packet packets[PACKETS];
	uint32_t marks[PACKETS]; /* by nft; ~0 not seen */
};

/* ---- the network --------------------------------- */

static int run_script(const char *command, const char *text)
{
	FILE *f = popen(command, "w");

	if (!f)
		return shunt_err(-errno, "cannot run '%s'", command);
	fputs(text, f);
	return pclose(f) ? shunt_err(-EINVAL, "'%s' failed", command) : 0;
}

static int make_devices(void)
{
	static const enum shunt_dir dirs[] = { SHUNT_DIR_IN, SHUNT_DIR_OUT };
	char name[IF_NAMESIZE], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -ENOMEM;
	for (int i = 0; i < NFT_DEVICES; i++) {
		nft_device_name(name, dirs[i & 1], random_devices[i / 2]);
		fprintf(out, "link add %s type veth peer name p%s\nlink set p%s up\nlink set %s up\n",
			name, name, name, name);
	}
	fclose(out);
	r = run_script("ip -batch -", text);
	free(text);
	return r;
}

/* Sees what leaves, behind the hook, with its mark. */
static int open_tap(void)
{
	struct sock_filter outgoing[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { 4, outgoing };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = 4 << 20;
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    bind(fd, (struct sockaddr *)&all, sizeof(all))) {
		close(fd);
		return -errno;
	}
	return fd;
}

static int open_network(struct lab *lab)
{
	int r;

	if (unshare(CLONE_NEWNET))
		return shunt_err(-errno, "cannot make a network namespace: %s", strerror(errno));
	r = make_devices();
	if (r)
		return r;
	lab->tap = open_tap();
	lab->send = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (lab->tap < 0 || lab->send < 0)
		return shunt_err(-EIO, "cannot open packet sockets");
	return 0;
}

/* ---- packets --------------------------------- */

static size_t put_l4(uint8_t *at, const struct ref_packet *p, uint32_t index)
{
	uint32_t tail[2] = { index, MAGIC };
	size_t len = p->proto == SHUNT_PROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	struct tcphdr tcp = { .source = htons(p->sport), .dest = htons(p->dport), .doff = 5,
			      .syn = 1 };
	struct udphdr udp = { .source = htons(p->sport), .dest = htons(p->dport),
			      .len = htons(sizeof(udp) + sizeof(tail)) };

	memcpy(at, p->proto == SHUNT_PROTO_TCP ? (void *)&tcp : (void *)&udp, len);
	memcpy(at + len, tail, sizeof(tail));
	return len + sizeof(tail);
}

static size_t put_frame(uint8_t *frame, const struct ref_packet *p, uint32_t index)
{
	uint8_t proto = p->proto == SHUNT_PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	size_t head = p->v6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr), len;
	struct ethhdr eth = { .h_proto = htons(p->v6 ? ETH_P_IPV6 : ETH_P_IP) };

	len = put_l4(frame + sizeof(eth) + head, p, index);
	memcpy(frame, &eth, sizeof(eth));
	if (p->v6) {
		struct ip6_hdr ip = { .ip6_src = p->src, .ip6_dst = p->dst };

		ip.ip6_flow = htonl(6U << 28);
		ip.ip6_plen = htons((uint16_t)len);
		ip.ip6_nxt = proto;
		ip.ip6_hlim = 64;
		memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	} else {
		struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = proto,
				    .tot_len = htons((uint16_t)(head + len)) };

		memcpy(&ip.saddr, &p->src.s6_addr[12], 4);
		memcpy(&ip.daddr, &p->dst.s6_addr[12], 4);
		memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	}
	return sizeof(eth) + head + len;
}

static int send_packet(struct lab *lab, const struct ref_packet *p, uint32_t index)
{
	char name[IF_NAMESIZE];
	uint8_t frame[FRAME_MAX];
	size_t len = put_frame(frame, p, index);
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(p->v6 ? ETH_P_IPV6 : ETH_P_IP) };

	to.sll_ifindex = (int)if_nametoindex(nft_device_name(name, p->dir, p->device));
	if (sendto(lab->send, frame, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return shunt_err(-errno, "cannot send to '%s': %s", name, strerror(errno));
	return 0;
}

static uint32_t mark_of(struct msghdr *m)
{
	uint32_t mark = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	return mark;
}

/* One of our frames; what the kernel itself sends is passed over. */
static int receive(struct lab *lab)
{
	for (;;) {
		uint8_t frame[FRAME_MAX], control[256];
		struct iovec v = { frame, sizeof(frame) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(lab->tap, &m, 0);
		uint32_t tail[2];

		if (n < 0)
			return shunt_err(-errno, "a packet did not come out: %s", strerror(errno));
		if ((size_t)n < sizeof(tail))
			continue;
		memcpy(tail, frame + n - sizeof(tail), sizeof(tail));
		if (tail[1] != MAGIC || tail[0] >= PACKETS)
			continue;
		lab->marks[tail[0]] = mark_of(&m);
		return 0;
	}
}

static int ask_nft(struct lab *lab)
{
	int r = 0;

	memset(lab->marks, 0xff, sizeof(lab->marks));
	for (uint32_t i = 0; i < PACKETS && !r; i += BATCH) {
		for (uint32_t j = 0; j < BATCH && !r; j++)
			r = send_packet(lab, &lab->packets[i + j], i + j);
		for (uint32_t j = 0; j < BATCH && !r; j++)
			r = receive(lab);
	}
	return r;
}

/* ---- the three --------------------------------- */

static int load_nft(const struct random_case *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r = out ? nft_rules_write(out, &c->rules, &c->sets) : -ENOMEM;

	if (out)
		fclose(out);
	if (!r)
		r = run_script("nft -f -", text);
	free(text);
	return r;
}

static int load_classifier(struct lab *lab)
{
	int fd = compile(&lab->c.rules, &lab->c.sets, &probe_names, lab->seed), r;

	if (fd < 0)
		return shunt_err(fd, "cannot compile: %s", strerror(-fd));
	r = probe_publish(&lab->run, fd);
	close(fd);
	return r ? shunt_err(r, "cannot publish: %s", strerror(-r)) : 0;
}

static int compare(struct lab *lab)
{
	for (uint32_t i = 0; i < PACKETS; i++) {
		const struct ref_packet *p = &lab->packets[i];
		const struct probe *probe = &lab->run.probes[i];
		const struct shunt_rule *rule =
			reference_find(&lab->c.rules, &lab->c.sets, p, 0);
		uint32_t plain = rule ? rule->priority : 0;
		char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

		lab->pairs++;
		lab->hits += rule != NULL;
		if (plain == lab->marks[i] && probe->found == plain)
			continue;
		printf("MISMATCH: seed %llu: %s %s on '%s' from %s sport %u to %s port %u: "
		       "nft %u, reference %u, classifier %u\n",
		       (unsigned long long)lab->seed, p->dir == SHUNT_DIR_IN ? "in" : "out",
		       p->proto == SHUNT_PROTO_TCP ? "tcp" : "udp", p->device,
		       inet_ntop(AF_INET6, &p->src, src, sizeof(src)), p->sport,
		       inet_ntop(AF_INET6, &p->dst, dst, sizeof(dst)), p->dport, lab->marks[i],
		       plain, probe->found);
		for (size_t j = 0; j < lab->c.rules.n; j++) {
			char *text = shunt_rule_format(&lab->c.rules.v[j]);

			printf("%s\n", text ? text : "");
			free(text);
		}
		return -EBADMSG;
	}
	return 0;
}

static int check_case(struct lab *lab)
{
	int r = load_nft(&lab->c);

	if (!r)
		r = load_classifier(lab);
	for (uint32_t i = 0; i < PACKETS; i++) {
		random_packet(&lab->c, &lab->packets[i]);
		probe_from_packet(&lab->run.probes[i], &lab->packets[i], 0);
	}
	if (!r)
		r = probe_classify(&lab->run, PACKETS);
	if (!r)
		r = ask_nft(lab);
	return r ? r : compare(lab);
}

int main(int argc, char **argv)
{
	uint64_t cases = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000, done = 0;
	struct random_options options = { .no_sender = true, .max_rules = MAX_RULES };
	struct lab *lab = calloc(1, sizeof(*lab));
	int r;

	if (argc < 2 || !lab || probe_open(&lab->run, argv[1]))
		return 2;
	r = open_network(lab);
	if (r)
		return 2;
	lab->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	for (; !r && done < cases; done++, lab->seed++) {
		r = random_case_make(&lab->c, lab->seed, &options);
		if (!r)
			r = check_case(lab);
		random_case_clear(&lab->c);
	}
	printf("%s: %llu rule sets, %llu packets (%llu with a rule)\n",
	       r ? "FAILED" : "nftables agrees", (unsigned long long)done,
	       (unsigned long long)lab->pairs, (unsigned long long)lab->hits);
	probe_close(&lab->run);
	free(lab);
	return r ? 1 : 0;
}
