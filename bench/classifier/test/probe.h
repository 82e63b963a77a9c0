/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The list of tuples that test/probe.bpf.c classifies. */
#ifndef SHUNT_TEST_PROBE_H
#define SHUNT_TEST_PROBE_H

#include <linux/types.h>

#include "shunt/arena.h"

enum { PROBE_MAX = 65536 };

struct probe {
	__u64 dst[2], src[2];
	__u64 cgroup[SHUNT_CGROUP_LEVELS];
	__u16 dport, sport, device;
	__u8 bits, has_uid;
	__u32 uid;
	__u32 after;
	__u64 generation; /* out */
	__u32 found;	  /* out: priority */
	__u32 hit;	  /* out */
};

struct probe_control {
	__u32 first, n;
};

#endif
