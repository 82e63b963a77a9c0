/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A rule's cells: its record, its source, and an entry for each combination of its lists.
 * Long lists of prefixes, and such with `not`, become sets without a name.
 */
#ifndef SHUNT_STEER_RULE_WRITE_H
#define SHUNT_STEER_RULE_WRITE_H

#include "compile.h"

struct rule_writer {
	struct arena *a;
	const struct names *names;
	void *ctx;
	/* The id of a named set, or -ENOENT. */
	int (*set_find)(void *ctx, const char *name);
	/* The id of a new set of these prefixes, or -ENOSPC if none can be made. */
	int (*set_make)(void *ctx, const struct shunt_prefix *v, size_t n);
};

/* Cells to *rule; what the rule needs is added to the generation's needs. */
int rule_write(const struct rule_writer *w, const struct shunt_rule *rule, uint32_t *cell);

#endif
