/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tunlab: a wire between two network namespaces made of two tun devices, which have no link
 * header, and this process, which carries packets from one to the other.
 */
#include "lib/args.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: tunlab NETNS:DEV NETNS:DEV\n"
	"\n"
	"Make the two tun devices and connect them until SIGTERM; they go away with the process.\n"
	"NETNS is a name of `ip netns`. Says `ready` on stderr when the devices are there.\n";

static int open_tun(const char *where)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	const char *colon = strchr(where, ':');
	char path[128];
	int ns, tun;

	if (!colon || strlen(colon + 1) >= IFNAMSIZ || !colon[1])
		die_usage("'%s': not NETNS:DEV", where);
	snprintf(path, sizeof(path), "/run/netns/%.*s", (int)(colon - where), where);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die("cannot enter '%s': %s", path, strerror(errno));
	close(ns);
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0)
		die("cannot open '/dev/net/tun': %s", strerror(errno));
	strcpy(request.ifr_name, colon + 1);
	if (ioctl(tun, TUNSETIFF, &request))
		die("cannot make '%s': %s", where, strerror(errno));
	return tun;
}

static void pump(int from, int to)
{
	char packet[65536];
	ssize_t n;

	while ((n = read(from, packet, sizeof(packet))) > 0) {
		/* A full queue loses packets as any wire may. A device that is down refuses. */
		if (write(to, packet, (size_t)n) < 0 && errno != EAGAIN && errno != EIO)
			die("cannot write a packet: %s", strerror(errno));
	}
	if (n < 0 && errno != EAGAIN && errno != EBADFD)
		die("cannot read a packet: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc != 3) {
		fputs(usage_text, stderr);
		return 2;
	}
	p[0].fd = open_tun(argv[1]);
	p[1].fd = open_tun(argv[2]);
	fprintf(stderr, "ready\n");
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("cannot wait: %s", strerror(errno));
		if (p[0].revents)
			pump(p[0].fd, p[1].fd);
		if (p[1].revents)
			pump(p[1].fd, p[0].fd);
	}
}
