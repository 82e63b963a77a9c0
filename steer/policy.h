/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policy routing that delivers marked packets to this host: per device and family one rule
 *   pref PREF iif DEV fwmark STEER/STEER lookup TABLE proto kernel
 * and per family one route `local default dev lo table TABLE proto kernel`.
 *
 * `iif`, or src_valid_mark=1 and tcp_fwmark_accept=1 break it; `proto kernel`, or
 * systemd-networkd removes it (kernel-facts H2). All by libnl-route.
 *
 * Functions give a message on failure. Without IPv6 in this namespace its half is left out.
 */
#ifndef SHUNT_POLICY_H
#define SHUNT_POLICY_H

#include <stdbool.h>

#include "shunt/abi.h"

/* Not if delivery is by lo: then nothing is added or deleted. */
bool policy_is_used(const struct shunt_instance *inst);

/*
 * For a new instance. Refuse (-EEXIST) a table, if it will use one, that holds routes of others or
 * that a rule of others, another instance among them, leads to; and, unless force is set, mark bits
 * that a rule of others looks at.
 */
int policy_check(const struct shunt_instance *inst, bool force);

/* Idempotent: what is there already is left as it is, what is gone already is no error. */
int policy_add_routes(const struct shunt_instance *inst);
int policy_del_routes(const struct shunt_instance *inst);
int policy_add_rules(const struct shunt_instance *inst, const char *device);
int policy_del_rules(const struct shunt_instance *inst, const char *device);

/* Is the route of this family (AF_*) in place? 1 yes, 0 no. */
int policy_has_route(const struct shunt_instance *inst, int family);

/*
 * Is the rule of this device and family (AF_*) in place? 1 yes, 0 no. *overtaken tells
 * whether a rule of others stands between `local` and ours.
 */
int policy_is_set(const struct shunt_instance *inst, const char *device, int family,
		  bool *overtaken);

/* Does this namespace have IPv6? */
bool policy_has_ipv6(void);

#endif
