/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Active checks of a target's upstreams: a TCP connection at intervals, from the worker's main
 * thread and so outside the data path. What they find is upstream.unhealthy.
 */
#ifndef SHUNT_PROXY_HEALTH_H
#define SHUNT_PROXY_HEALTH_H

#include <event2/event.h>
#include <stdint.h>

#include "flow_target.h"

struct health;

/* Descriptors that the checks of these settings may take at once. */
uint64_t health_descriptors(const struct settings *s);
/*
 * Check t's upstreams, if its settings say so, until health_stop(); else *out is NULL. A line
 * for each change is written to log_fd. 0 or -ENOMEM.
 */
int health_start(struct health **out, struct event_base *base, struct target *t, uint32_t mark,
		 int log_fd);
/* NULL is allowed. */
void health_stop(struct health *h);

#endif
