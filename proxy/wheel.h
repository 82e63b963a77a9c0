/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Coarse timeouts of many flows: a hashed wheel of lists. Adding and removing cost a few
 * stores; a node is due at the first wheel_advance() at or after its time, so never early
 * and at most one tick late. Times are milliseconds of CLOCK_MONOTONIC.
 */
#ifndef SHUNT_PROXY_WHEEL_H
#define SHUNT_PROXY_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_TICK = 200, WHEEL_SLOTS = 512 };

/* Zeroed: not in a wheel. */
struct wheel_node {
	struct wheel_node *next, *prev;
	uint64_t due; /* tick */
};

struct wheel {
	struct wheel_node slots[WHEEL_SLOTS]; /* heads of circular lists */
	uint64_t tick;			      /* all up to this one are done */
	uint64_t count;
};

typedef void (*wheel_fn)(struct wheel_node *node, void *arg);

void wheel_init(struct wheel *w, uint64_t now);
/* A node that is in the wheel is moved. */
void wheel_set(struct wheel *w, struct wheel_node *node, uint64_t due);
void wheel_remove(struct wheel *w, struct wheel_node *node);
/* Call fn with each node that is due, removed; fn may set or remove any node. */
void wheel_advance(struct wheel *w, uint64_t now, wheel_fn fn, void *arg);
/* Call fn with each node, removed; fn must not set any. */
void wheel_empty(struct wheel *w, wheel_fn fn, void *arg);

#endif
