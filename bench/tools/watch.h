/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What processes have used so far, from /proc: a set of them is summed, over all threads. */
#ifndef SHUNT_BENCH_WATCH_H
#define SHUNT_BENCH_WATCH_H

#include <stdint.h>

struct usage {
	uint64_t cpu_ns;       /* on a CPU, user and system (softirqs on their behalf, too) */
	uint64_t machine_ns;   /* of the whole machine, by the tick */
	uint64_t memory_bytes; /* resident and not of a file: heap, stacks, shared memory */
};

/* 0, or -errno if one of the processes cannot be read. */
int usage_read(struct usage *u, const int *pids, uint32_t n_pids);

#endif
