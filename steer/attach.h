/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attaching the tc programs to a device, by tcx (Linux 6.6, a pinned link) or by clsact (a
 * filter of its own priority and handle). Only what is ours is ever removed; a clsact qdisc
 * goes only if we made it and nobody else uses it.
 *
 * Functions give a message on failure.
 */
#ifndef SHUNT_ATTACH_H
#define SHUNT_ATTACH_H

#include <stdbool.h>

#include "shunt/shunt.h"

enum attach_point { ATTACH_IN, ATTACH_OUT };

/* Where our filter stands among clsact filters: priority and handle. */
enum { ATTACH_TC_PRIORITY = 3020, ATTACH_TC_HANDLE = 1 };

struct attach {
	const char *pin_dir;
	int slot; /* of the device, names the pinned link */
	unsigned int ifindex;
	const char *device; /* for messages */
	enum attach_point point;
};

/* Does this kernel have tcx? Tried on the device, nothing is left. */
bool attach_has_tcx(unsigned int ifindex, int prog_fd);

/* Does the device have a clsact qdisc? 1, 0 or -errno. */
int attach_has_clsact(unsigned int ifindex);

/* Idempotent: 0 too if our program is attached there already. */
int attach_tcx(const struct attach *at, int prog_fd);
int attach_clsact(const struct attach *at, int prog_fd);

/* Is it in place? 1 or 0. */
int attach_tcx_is_set(const struct attach *at);
int attach_clsact_is_set(const struct attach *at, int prog_fd);

/* Idempotent. What is not there, or is not ours, is no error. */
int detach_tcx(const struct attach *at);
int detach_clsact(const struct attach *at, int prog_fd);
/* Remove the clsact qdisc unless it has filters. */
int detach_clsact_qdisc(unsigned int ifindex, const char *device);

/* Programs of others that run before ours at a tcx hook, or 0. */
int attach_count_foreign_tcx(unsigned int ifindex, enum attach_point point, int prog_fd);

#endif
