/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All latencies of a run, kept as they are: percentiles are exact. */
#ifndef SHUNT_BENCH_SAMPLES_H
#define SHUNT_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
	uint32_t *ns; /* owned; at most 4.2 s each */
	size_t n, room;
};

/* 0 or -ENOMEM. */
int samples_add(struct samples *s, uint64_t ns);
void samples_forget(struct samples *s);
void samples_release(struct samples *s);
/* Sorts, and prints "n":...,"p50_ns":... and so on. */
void samples_print(struct samples *s);

#endif
