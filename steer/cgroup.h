/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A cgroup as the classifier compares it. Private to libshunt. */
#ifndef SHUNT_STEER_CGROUP_H
#define SHUNT_STEER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "shunt/abi.h"

/*
 * The ids of the cgroup at this path below the cgroup v2 mount and of those above it, by level:
 * ids[0] is the root; levels beyond the last are left out. Returns the cgroup's own level, or
 * -errno with a message.
 */
int cgroup_find(const char *path, uint64_t ids[SHUNT_CGROUP_LEVELS]);

/* Is there a cgroup at this path? No message. */
bool cgroup_exists(const char *path);

#endif
