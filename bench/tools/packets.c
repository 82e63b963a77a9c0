// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The two ends of the small-packet load: one sends datagrams as fast as it goes, the other counts
 * what arrives while it is measured.
 *
 *	route-packets sink PORT [-t SECONDS] [-w WARM-UP]
 *	route-packets blast ADDRESS PORT [-P FLOWS] [-s BYTES] [-t SECONDS] [-r TARGETS]
 *
 * The sink begins to count after the warm-up, and prints one JSON object. With -r the sender goes
 * through the addresses ADDRESS .. ADDRESS + TARGETS - 1. The sender prints what it sent and its CPU time: a
 * datagram is forwarded, over veth, on the CPU and in the time of who sends it.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { BATCH = 32, BYTES_MAX = 1400, FLOWS_MAX = 4096 };

struct options {
	struct in_addr address;
	uint16_t port;
	unsigned int flows, bytes, targets;
	double seconds, warm_up;
};

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int open_socket(const struct sockaddr_in *to, bool connected)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 8 << 20;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, connected ? SO_SNDBUF : SO_RCVBUF, &size, sizeof(size));
	if (connected ? connect(fd, (const struct sockaddr *)to, sizeof(*to))
		      : bind(fd, (const struct sockaddr *)to, sizeof(*to))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int sink(const struct options *o)
{
	static char buf[BATCH][BYTES_MAX];
	struct mmsghdr msgs[BATCH] = {};
	struct iovec iov[BATCH];
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	uint64_t begin, end, n = 0, now = clock_now();
	int fd = open_socket(&at, false);

	if (fd < 0)
		return fail("cannot bind");
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	fprintf(stderr, "ready\n");
	begin = now + (uint64_t)(o->warm_up * NS_PER_S);
	end = begin + (uint64_t)(o->seconds * NS_PER_S);
	while (now < end) {
		struct timeval wait = { .tv_usec = 100000 };
		int got;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		got = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
		now = clock_now();
		if (got > 0 && now >= begin && now < end)
			n += (uint64_t)got;
	}
	printf("{\"n\":%lu,\"seconds\":%.6f}\n", (unsigned long)n, o->seconds);
	return 0;
}

static int blast(const struct options *o)
{
	static char payload[BYTES_MAX];
	struct mmsghdr msgs[BATCH] = {};
	struct iovec iov = { payload, o->bytes };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = o->address,
				  .sin_port = htons(o->port) };
	int *fds = calloc(o->flows, sizeof(*fds));
	struct timespec cpu;
	uint64_t end, n = 0;

	if (!fds)
		return fail("no memory");
	for (unsigned int i = 0; i < o->flows; i++) {
		to.sin_addr.s_addr = htonl(ntohl(o->address.s_addr) + i % o->targets);
		fds[i] = open_socket(&to, true);
		if (fds[i] < 0)
			return fail("cannot connect");
	}
	for (int i = 0; i < BATCH; i++) {
		msgs[i].msg_hdr.msg_iov = &iov;
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	end = clock_now() + (uint64_t)(o->seconds * NS_PER_S);
	for (unsigned int i = 0; clock_now() < end; i = (i + 1) % o->flows) {
		int sent = sendmmsg(fds[i], msgs, BATCH, 0);

		n += sent > 0 ? (uint64_t)sent : 0;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	printf("{\"n\":%lu,\"cpu_ns\":%lu}\n", (unsigned long)n,
	       (unsigned long)((uint64_t)cpu.tv_sec * NS_PER_S + (uint64_t)cpu.tv_nsec));
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: route-packets sink PORT [-t SECONDS] [-w WARM-UP]\n"
			"       route-packets blast ADDRESS PORT [-P FLOWS] [-s BYTES] [-t SECONDS] "
			"[-r TARGETS]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = { .flows = 16, .bytes = 18, .targets = 1, .seconds = 1 };
	bool send = argc > 3 && !strcmp(argv[1], "blast");
	int c;

	if (!send && (argc < 3 || strcmp(argv[1], "sink")))
		return usage();
	if (send && inet_pton(AF_INET, argv[2], &o.address) != 1)
		return usage();
	o.port = (uint16_t)atoi(argv[send ? 3 : 2]);
	optind = send ? 4 : 3;
	while ((c = getopt(argc, argv, "P:s:t:w:r:")) != -1) {
		switch (c) {
		case 'P': o.flows = (unsigned int)atoi(optarg); break;
		case 's': o.bytes = (unsigned int)atoi(optarg); break;
		case 't': o.seconds = atof(optarg); break;
		case 'w': o.warm_up = atof(optarg); break;
		case 'r': o.targets = (unsigned int)atoi(optarg); break;
		default: return usage();
		}
	}
	if (!o.flows || o.flows > FLOWS_MAX || o.bytes > BYTES_MAX || !o.targets)
		return usage();
	return send ? blast(&o) : sink(&o);
}
