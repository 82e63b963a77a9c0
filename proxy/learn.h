/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The setting `learn`: destinations of flows that go into sets, so that rules take their next
 * flows past the proxy. The worker may change no map: it asks its supervisor, over the channel,
 * and never waits; what the supervisor does not take at once is dropped and counted.
 */
#ifndef SHUNT_PROXY_LEARN_H
#define SHUNT_PROXY_LEARN_H

#include "flow.h"
#include "flow_target.h"

/* Clean flows of each destination and set, counted by all loops without locks. */
struct learn_counts;

/* 0 or -errno. */
int learn_counts_new(struct learn_counts **out);
void learn_counts_free(struct learn_counts *c);
/* One more: true if it is the n-th, and the count begins anew. */
bool learn_counts_add(struct learn_counts *c, const char *set, const struct in6_addr *addr,
		      uint32_t n);

/* The flow has carried more bytes. */
void learn_bytes(struct flow *f);
/* It ended well. */
void learn_flow(struct flow *f);

static inline bool learn_is_wanted(const struct flow *f)
{
	return f->target->settings->learn.n;
}

#endif
