/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The devices of an instance: the maps `devices` and `device_slots`. Private to libshunt. */
#ifndef SHUNT_DEVICE_H
#define SHUNT_DEVICE_H

#include "instance.h"

#define DEVICE_FREE "/" /* instead of a name, which cannot be that: the slot may be had again */

/*
 * The slot of the device of that name, made if it is new (then without flags: named by a rule,
 * not attached). Message and -errno on failure.
 */
int device_slot(struct shunt *s, const char *name);
/* As above, -ENOENT without a message if there is none. */
int device_find(struct shunt *s, const char *name);

/* The slot in use for this ifindex whatever its name, -ENOENT without a message if there is none. */
int device_find_ifindex(struct shunt *s, unsigned int ifindex);

int device_read(struct shunt *s, int slot, struct shunt_device *out);
/* Write the slot and keep device_slots in step: ifindex -> slot while flags has USED. */
int device_write(struct shunt *s, int slot, const struct shunt_device *dev);

/* Is the loopback device up? Without it nothing is delivered locally. Message if not. */
int device_check_lo(void);

/* ifindex of an interface and whether it has a link header. Refuses what we cannot steer on. */
int device_probe(const char *name, unsigned int *ifindex, bool *l3);

#endif
