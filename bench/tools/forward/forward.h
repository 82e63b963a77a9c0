/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of forward-load share. */
#ifndef BENCH_FORWARD_H
#define BENCH_FORWARD_H

enum {
	FORWARD_HEAD = 54,	/* Ethernet, IPv4, TCP, or as much of UDP and its payload */
	FORWARD_FRAME = 60,	/* the least that Ethernet has */
	FORWARD_AT_DADDR = 30,	/* alternates between this address and the next */
	FORWARD_AT_SPORT = 34,	/* which flow */
};

#endif
