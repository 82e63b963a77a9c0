/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many different packets through a loaded program in one test run: a driver writes the next
 * packet's addresses and ports into the frame and calls the program as its tail. It is the
 * program under test itself that runs, not a copy made for tests.
 *
 *	batch_open(), batch_set_program()
 *	fill b.packets[0..n)
 *	batch_ask()	n runs as `shuntctl explain` does them; the answers to b.answers[0..n)
 *	batch_time()	runs over the packets in turn, again and again; ns for each
 */
#ifndef TEST_BATCH_H
#define TEST_BATCH_H

#include "shunt/abi.h"

enum {
	BATCH_MAX = 65536, /* a power of two */
	BATCH_PROGRAMS = 3,
};

/* In network byte order. */
struct batch_packet {
	__u8 addrs[32]; /* source and destination, as they stand in the header */
	__be16 sport, dport;
	__u32 uid;	/* ask: who sends, at egress */
	__u64 cgroup[SHUNT_CGROUP_LEVELS]; /* ask */
	__u8 reserved[24];
};

struct batch_answer {
	__u32 priority; /* of the rule that decides, 0 none */
	__u16 counter;	/* enum shunt_counter of the exit */
	__u8 action;
	__u8 ran;	/* 1 */
};

/* What the driver is told in __sk_buff.cb; [0] to [2] are those of explain. */
enum { BATCH_CB_NEXT = 3, BATCH_CB_HOW = 4 };
enum batch_how {
	BATCH_HOW_CALLEE = 3, /* which program to call; this one: an empty one */
	BATCH_HOW_V6 = 1 << 2,
	BATCH_N_SHIFT = 8, /* above: the number of the packet behind the last */
};

#ifndef __bpf__
#include <stddef.h>
#include <stdint.h>

struct batch {
	struct batch_bpf *driver; /* owned */
	struct batch_packet *packets;
	struct batch_answer *answers;
};

/* How the packets of a run come: the frame is a whole one, with any addresses and ports. */
struct batch_run {
	uint32_t program; /* 0..BATCH_PROGRAMS-1 */
	uint32_t ifindex, ingress_ifindex;
	const void *frame;
	size_t len;
};

/*
 * These return 0 (or a time) or -errno. explain: the map of that name of the instance whose
 * programs run.
 */
int batch_open(struct batch *b, int explain);
void batch_close(struct batch *b);
/* Which loaded program the number stands for. */
int batch_set_program(struct batch *b, uint32_t number, int fd);
/* Packets [first, first + n). */
int batch_ask(struct batch *b, const struct batch_run *run, uint32_t first, uint32_t n);
/* Mean of `repeat` runs in ns, over packets [0, n) in turn; n is a power of two. */
int batch_time(struct batch *b, const struct batch_run *run, uint32_t n, uint32_t repeat);
/* The number of a program that does nothing. */
enum { BATCH_EMPTY = BATCH_HOW_CALLEE };
#endif

#endif
