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
/* fd is the lock that another process holds, too: when that lets go, it is ours alone. */
int lock_inherit(struct lock *lock, int fd, const char *instance, const char *target);
/* Write our pid into the file: for people only, the lock is what counts. */
void lock_sign(const struct lock *lock);
/* Let go, and leave file and lock to whoever holds them, too. */
void lock_leave(struct lock *lock);
/* Remove the file and let go. */
void lock_release(struct lock *lock);

#endif
