/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One daemon per target: a locked file in /run/shunt. The kernel unlocks it when we die. */
#ifndef SHUNT_PROXY_LOCK_H
#define SHUNT_PROXY_LOCK_H

#include "shunt/control.h"

struct lock {
	int fd; /* -1: not held */
	char path[SHUNT_RUN_PATH_MAX];
};

/* For this network namespace. 0, or -errno with a message; -EBUSY if another has it. */
int lock_take(struct lock *lock, const char *instance, const char *target);
/* Remove the file and let go. */
void lock_release(struct lock *lock);

#endif
