/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pin directory of an instance, SHUNT_PIN_ROOT/NETNS/INSTANCE: making, locking, listing,
 * removing it. What stands in it is the instance; there is no other record.
 */
#ifndef SHUNT_PIN_H
#define SHUNT_PIN_H

#include <stdbool.h>
#include <stddef.h>

/* Write the instance's directory for the caller's netns to buf. Refuses unusable names. */
int pin_dir(char *buf, size_t size, const char *instance);

/* Is bpffs mounted, may we use it? Message with what to do if not. */
int pin_check_bpffs(void);

/* Make the directory and those above it (mode 0700). 1 if it was there, 0 if it is new. */
int pin_make_dir(const char *dir);
bool pin_dir_exists(const char *dir);
/* Unlink all in the directory, remove it, and those above that are then empty. */
int pin_remove_dir(const char *dir);
/* Remove the directories above it that are empty. */
void pin_prune(const char *dir);

/*
 * Take the lock that serialises changes to the instances of a netns: a lock on the directory
 * above dir, which is made if need be. Returns a descriptor; closing it gives the lock back.
 */
int pin_lock(const char *dir);
/* The same, if nobody holds it: else -EAGAIN, without a message. */
int pin_try_lock(const char *dir);

/* dir/name to buf; both short by construction. Returns buf. */
char *pin_path(char *buf, size_t size, const char *dir, const char *name);

#endif
