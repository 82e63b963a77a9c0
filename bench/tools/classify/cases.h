/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules and sets of a given size to measure, and tuples that they are about. The same each time. */
#ifndef BENCH_CLASSIFY_CASES_H
#define BENCH_CLASSIFY_CASES_H

#include "batch.h"
#include "shunt/shunt.h"

enum bench_kind { BENCH_DST, BENCH_SRC, BENCH_PORT, BENCH_MIXED, BENCH_KINDS };

extern const char *const bench_kind_names[BENCH_KINDS];

struct bench_case {
	struct shunt_rules rules;
	struct shunt_sets sets;
	uint64_t state; /* of chance */
	bool v6;
};

/*
 * n rules of a kind, then, if set_size is not 0, one rule about a set of so many prefixes, which
 * comes last. 0 or -ENOMEM.
 */
int bench_case_make(struct bench_case *c, enum bench_kind kind, bool v6, size_t n, size_t set_size);
void bench_case_clear(struct bench_case *c);

/* The first packet of a TCP flow: of some rule, of the set, or of none (about a quarter). */
void bench_packet(struct bench_case *c, struct batch_packet *out);

#endif
