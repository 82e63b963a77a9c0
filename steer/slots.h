/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The slots that new names of targets and devices get while rules are compiled, and that are
 * given back if these rules do not come into force. Called under the lock; private to libshunt.
 */
#ifndef SHUNT_SLOTS_H
#define SHUNT_SLOTS_H

#include "instance.h"

struct slots_mark {
	bool targets[SHUNT_MAX_TARGETS]; /* in use */
	int devices;			 /* first that is not; slots are given out in order */
};

int slots_mark(struct shunt *s, struct slots_mark *out);
/*
 * Free the slots of devices that are not attached and that no rule names, in force or compiled
 * through this handle. -EBUSY with a message while a change waits to be confirmed: rules may come
 * back that name them.
 */
int slots_collect(struct shunt *s);
/* Empty what has been given out since. */
void slots_restore(struct shunt *s, const struct slots_mark *mark);

#endif
