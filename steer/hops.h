/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Next hops: groups with a name, and those that rules make by `via ADDR` and `dev IFACE`. */
#ifndef SHUNT_STEER_HOPS_H
#define SHUNT_STEER_HOPS_H

#include "instance.h"

/*
 * The group that a rule with route names, by its name or by next hop and device; one of the latter
 * is made if it is new. -errno with a message. The instance is locked.
 */
int hop_group_get_locked(struct shunt *s, const struct shunt_rule *rule);

/* Devices may have been deleted and made again: the ifindexes as they are now. */
int hops_refresh_locked(struct shunt *s);

#endif
