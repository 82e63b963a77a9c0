/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Targets, for callers that hold the lock of the instance. Private to libshunt. */
#ifndef SHUNT_TARGET_H
#define SHUNT_TARGET_H

#include "instance.h"

/* As shunt_target_get(). */
int target_get_locked(struct shunt *s, const char *name);

#endif
