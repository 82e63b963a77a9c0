/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* arrivals: which SYNs and datagrams come by an interface, from whom, and when. */
#include "lib/args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: arrivals in|out IFACE LOW HIGH\n"
	"\n"
	"Prints a line 'tcp|udp PORT SOURCE TIME' for each SYN and datagram to the ports LOW to HIGH\n"
	"that is received or sent there, until SIGTERM; TIME in microseconds of the clock. Fails if\n"
	"it missed any.\n";

enum { SNAP = 128, BUFFER = 64 << 20 };

struct arrival {
	uint8_t family, proto;
	uint16_t port;
	struct in6_addr source; /* IPv4: the first four bytes */
};

/* 0 if it is a SYN or a datagram to one of the ports. Headers without options. */
static int read_frame(struct arrival *out, const uint8_t *b, size_t len, uint16_t low, uint16_t high)
{
	const struct ether_header *eth = (const void *)b;
	const struct ip *ip4 = (const void *)(b + ETH_HLEN);
	const struct ip6_hdr *ip6 = (const void *)(b + ETH_HLEN);
	const uint8_t *l4;

	*out = (struct arrival){};
	if (len >= ETH_HLEN + sizeof(*ip4) && eth->ether_type == htons(ETHERTYPE_IP)) {
		out->family = AF_INET;
		out->proto = ip4->ip_p;
		memcpy(&out->source, &ip4->ip_src, 4);
		l4 = (const uint8_t *)(ip4 + 1);
	} else if (len >= ETH_HLEN + sizeof(*ip6) && eth->ether_type == htons(ETHERTYPE_IPV6)) {
		out->family = AF_INET6;
		out->proto = ip6->ip6_nxt;
		out->source = ip6->ip6_src;
		l4 = (const uint8_t *)(ip6 + 1);
	} else {
		return -1;
	}
	if (l4 + sizeof(struct tcphdr) <= b + len && out->proto == IPPROTO_TCP) {
		if (((const struct tcphdr *)l4)->th_flags != TH_SYN)
			return -1;
	} else if (l4 + sizeof(struct udphdr) > b + len || out->proto != IPPROTO_UDP) {
		return -1;
	}
	out->port = (uint16_t)(l4[2] << 8 | l4[3]);
	return out->port >= low && out->port <= high ? 0 : -1;
}

static int open_tap(const char *iface)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(iface) };
	int size = BUFFER, on = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		die("cannot make a packet socket: %s", strerror(errno));
	if (!at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		die("cannot use '%s': %s", iface, strerror(errno));
	return fd;
}

/* False if there is none. */
static bool receive(int fd, bool out, uint16_t low, uint16_t high)
{
	uint8_t frame[SNAP] __attribute__((aligned(8)));
	uint8_t control[CMSG_SPACE(sizeof(struct timespec))] __attribute__((aligned(8)));
	struct iovec iov = { frame, sizeof(frame) };
	struct sockaddr_ll from;
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov,
			      .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	char source[INET6_ADDRSTRLEN];
	struct arrival a;
	struct timespec t;

	if (!c)
		return false;
	if ((from.sll_pkttype == PACKET_OUTGOING) != out ||
	    read_frame(&a, frame, (size_t)n, low, high))
		return true;
	memcpy(&t, CMSG_DATA(c), sizeof(t));
	printf("%s %u %s %" PRIu64 "\n", a.proto == IPPROTO_TCP ? "tcp" : "udp", a.port,
	       inet_ntop(a.family, &a.source, source, sizeof(source)),
	       (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
	return true;
}

/* To be polled: a handler's flag can be set between its check and the wait. */
static int open_term(void)
{
	sigset_t term;
	int fd;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	fd = signalfd(-1, &term, SFD_CLOEXEC);
	if (fd < 0)
		die("cannot wait for a signal: %s", strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	uint16_t low, high;
	bool out;

	if (argc != 5 || (strcmp(argv[1], "in") && strcmp(argv[1], "out"))) {
		fputs(usage_text, stderr);
		return 2;
	}
	out = !strcmp(argv[1], "out");
	low = (uint16_t)arg_u64("port", argv[3], 65535);
	high = (uint16_t)arg_u64("port", argv[4], 65535);
	p[0].fd = open_tap(argv[2]);
	p[1].fd = open_term();
	fprintf(stderr, "ready\n");
	while (poll(p, 2, -1) > 0 && !p[1].revents)
		receive(p[0].fd, out, low, high);
	while (receive(p[0].fd, out, low, high))
		;
	if (getsockopt(p[0].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) || stats.tp_drops)
		die("%u frames were missed", stats.tp_drops);
	return 0;
}
