/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs of a plane remember of tuples left alone a moment ago, on this CPU: the test
 * stays on one. Their maps are not pinned, and are found by a program that uses them.
 */
#ifndef TEST_BPF_RECENT_MAP_H
#define TEST_BPF_RECENT_MAP_H

#include "plane.h"

struct recent_map {
	int recent, variables;
	unsigned int cpu, n_cpus;
	void *values; /* one of each CPU */
	void *bss;
	size_t bss_size;
};

/* These fail the test on error. */
void recent_open(struct recent_map *m, const struct plane *p);
void recent_close(struct recent_map *m);

/* The slot that holds the tuple, or -1. */
int recent_find(struct recent_map *m, const struct shunt_tuple *t, struct shunt_recent *out);
void recent_write(struct recent_map *m, int slot, const struct shunt_recent *e);
void recent_forget_all(struct recent_map *m);

/* Set all counts of beginnings so that what is kept from now on tells its bucket. */
void recent_number_buckets(struct recent_map *m);
unsigned int recent_bucket(const struct shunt_recent *e);
/* Has no flow begun in its bucket since? */
bool recent_holds(struct recent_map *m, const struct shunt_recent *e);
/* In any. */
bool recent_any_began(struct recent_map *m);

#endif
