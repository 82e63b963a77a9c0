/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt_apply() for those who have the lock. Private to libshunt. */
#ifndef SHUNT_APPLY_H
#define SHUNT_APPLY_H

#include "instance.h"

/* lock is what pin_lock() returned. */
int apply_locked(struct shunt *s, struct shunt_config *config, const struct shunt_apply *how,
		 struct shunt_config *before, int lock);

#endif
