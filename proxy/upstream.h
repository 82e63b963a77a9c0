/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection to the original destination: whose address it comes from, and its options. */
#ifndef SHUNT_PROXY_UPSTREAM_H
#define SHUNT_PROXY_UPSTREAM_H

#include <stdbool.h>

#include "counters.h"

struct flow;
struct target_settings;

/*
 * Open the server's end of f and begin to connect. 0 connected, -EINPROGRESS, or another
 * -errno with no descriptor left. f->source is filled if anybody will want it.
 */
int upstream_connect(struct flow *f);
/* Do its connections have an address of this host, as opposed to the client's? */
bool upstream_has_own_source(const struct target_settings *s);
/* What an error of upstream_connect() means for the flow. */
enum flow_reason upstream_reason(int error);

#endif
