/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules and sets of a given size to measure, and tuples that they are about. The same each time. */
#ifndef SHUNT_BENCH_CLASSIFY_CASES_H
#define SHUNT_BENCH_CLASSIFY_CASES_H

#include "test/reference.h"

enum bench_kind { BENCH_DST, BENCH_SRC, BENCH_PORT, BENCH_MIXED, BENCH_KINDS };

extern const char *const bench_kind_names[BENCH_KINDS];

struct bench_case {
	struct shunt_rules rules;
	struct sets_in sets;
	uint64_t state; /* of chance */
	bool v6;
};

/*
 * n rules of a kind, then, if set_size is not 0, one rule about a set of so many prefixes, which
 * comes last. 0 or -ENOMEM.
 */
int bench_case_make(struct bench_case *c, enum bench_kind kind, bool v6, size_t n, size_t set_size);
void bench_case_clear(struct bench_case *c);

/* A flow that comes in: of some rule, of the set, or of none (about a quarter). */
void bench_packet(struct bench_case *c, struct ref_packet *out);

/* A rule that the case has not, between two that it has. */
int bench_extra_rule(struct bench_case *c, struct shunt_rule *out);
struct shunt_prefix bench_prefix(struct bench_case *c);

#endif
