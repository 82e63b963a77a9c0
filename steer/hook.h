/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A device of an instance with all that belongs to it: the programs at its hooks, its routing
 * rules, its slot. Each change is written to the slot before it is made, so that `down` finds
 * it after a SIGKILL at any point. Private to libshunt; messages are given.
 */
#ifndef SHUNT_HOOK_H
#define SHUNT_HOOK_H

#include "instance.h"

struct hook_request {
	const char *device;
	bool out;	 /* egress too */
	bool peer;	 /* what is routed to it goes into its peer */
	bool lo;	 /* the loopback device, for local outbound */
	enum shunt_hook hook;
};

/* What a device was before hook_add, for hook_undo. */
struct hook_undo {
	int slot;
	struct shunt_device old;
	bool renamed; /* it had another name at the last `up`; that is not undone */
};

/* Attach what is missing. *undo is valid on success and on failure if undo->slot > 0. */
int hook_add(struct shunt *s, const struct hook_request *req, struct hook_undo *undo);

/* Make the device what it was. Goes on after a failure, returns the first. */
int hook_undo(struct shunt *s, const struct hook_undo *undo);

/* Take everything off the device in this slot. */
int hook_remove(struct shunt *s, int slot);

/* Are the programs of this slot where they should be? 1 or 0. */
int hook_is_set(struct shunt *s, int slot, const struct shunt_device *dev);

#endif
