/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listening TCP sockets of running servers: finding them through /proc and taking copies with
 * pidfd_getfd(2). The server needs no change and no restart. Private to libshunt.
 */
#ifndef SHUNT_ADOPT_H
#define SHUNT_ADOPT_H

#include "instance.h"

struct adopted {
	int fds[2][SHUNT_TARGET_SLOTS]; /* by family: IPv4, IPv6; owned */
	size_t n[2];
	pid_t pid; /* of the first server found */
};

struct adopt_filter {
	pid_t pid;			    /* 0: any process of this network namespace */
	uint16_t port;			    /* host byte order */
	const struct sockaddr_storage *addr; /* NULL: any address */
};

/*
 * Take copies of the listening sockets that match, each once however many processes share it,
 * and make them transparent, with own_mark beside the mark they have. -ENOENT with a message if
 * there is none. A dual-stack socket stands in both families.
 */
int adopt_sockets(struct adopted *out, const struct adopt_filter *filter, uint32_t own_mark);

void adopt_release(struct adopted *a);

#endif
