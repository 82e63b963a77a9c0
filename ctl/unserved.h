/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SHUNTCTL_UNSERVED_H
#define SHUNTCTL_UNSERVED_H

#include "shunt/shunt.h"

/*
 * Warn of targets that these rules name, in force by now, and that have no live socket: nothing is
 * wrong if the server is started later, but a name that is mistyped looks the same.
 */
void warn_unserved(struct shunt *s, const struct shunt_rule *rules, size_t n);

#endif
