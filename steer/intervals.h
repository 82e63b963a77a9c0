/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All sets laid over each other: intervals of addresses that are in the same sets. */
#ifndef SHUNT_STEER_INTERVALS_H
#define SHUNT_STEER_INTERVALS_H

#include "classes.h"
#include "setindex.h"

/* sets[i] is the set with id i + 1. */
int intervals_index(struct index_builder *b, struct classes *classes, const struct prefixes *sets,
		    size_t n_sets);

#endif
