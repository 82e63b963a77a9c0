/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a change of rules and sets changes. */
#ifndef SHUNTCTL_DIFFERENCE_H
#define SHUNTCTL_DIFFERENCE_H

#include <stdbool.h>

#include "shunt/shunt.h"

/*
 * Print it: a line for each set and rule that goes or comes. Sets are in the order in which
 * prefixes are read; of a set that has changed in very many prefixes text shows some.
 */
int print_difference(const struct shunt_config *before, const struct shunt_config *after,
		     bool json);

#endif
