/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules that come back unless a change is confirmed. The generation before the change is pinned
 * as "rollback" beside the others, and a process in the background publishes it when its time has
 * come; confirming is removing the pin. Called under the lock; private to libshunt.
 */
#ifndef SHUNT_ROLLBACK_H
#define SHUNT_ROLLBACK_H

#include "instance.h"

/* -EBUSY with a message if a change waits for its confirmation. */
int rollback_check_none(const struct shunt *s);

struct generation_trial;

/*
 * Call it before the change is put in force; if that fails, rollback_disarm(). old is the map of
 * the generation before.
 */
int rollback_arm(struct shunt *s, int old, const struct generation_trial *trial);

/* -ENOENT with a message if nothing waits. */
int rollback_disarm(const struct shunt *s);

#endif
