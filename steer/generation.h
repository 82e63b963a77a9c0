/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One generation of rules as the kernel reads it: compiling struct shunt_rules to the cells of
 * an inner map, and back. Private to libshunt; messages are given.
 */
#ifndef SHUNT_GENERATION_H
#define SHUNT_GENERATION_H

#include "instance.h"

/* A mapped inner map. */
struct generation {
	int fd;
	struct shunt_cell *cells;
	size_t n_cells;
};

void generation_release(struct generation *g);

/* Map the generation in force. 0, or -ENOENT without a message if there is none. */
int generation_open(struct generation *out, const struct shunt *s);

/*
 * Compile rules to a new generation, numbered after `old` (may be NULL). Rules that are the
 * same in `old` keep their counters. Names of targets and devices are looked up or made.
 */
int generation_compile(struct generation *out, struct shunt *s, const struct shunt_rules *rules,
		       const struct generation *old);

/* The one write that puts it in force. */
int generation_publish(struct shunt *s, const struct generation *g);

/* The rules of a generation, with their counters. */
int generation_decompile(struct shunt_rules *out, struct shunt *s, const struct generation *g);

#endif
