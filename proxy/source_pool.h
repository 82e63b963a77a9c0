/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The addresses that connections to servers come from, where a target has a pool of them. They
 * may be of this host or not. Shared by the loops of a worker; all that changes is atomic.
 */
#ifndef SHUNT_PROXY_SOURCE_POOL_H
#define SHUNT_PROXY_SOURCE_POOL_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "settings.h"

enum {
	SOURCE_POOL_TRIES = 8, /* addresses to try for one connection */
	SOURCE_POOL_COUNTED = 4096, /* at most, to choose the least used of */
};

/* The addresses of one family. */
struct source_family {
	struct source_range {
		struct in6_addr first;
		uint64_t count;
	} *ranges;
	uint32_t n;
	uint64_t total;
	_Atomic uint64_t turn;
	_Atomic uint32_t *flows; /* of each address; NULL: by turns */
};

struct source_pool {
	struct source_family families[2]; /* IPv4, IPv6 */
};

/* The addresses that one connection has tried. */
struct source_tried {
	uint64_t v[SOURCE_POOL_TRIES];
	uint32_t n;
};

/* 0 or -ENOMEM. */
int source_pool_init(struct source_pool *p, const struct target_settings *s);
/* Also of a zeroed one. */
void source_pool_release(struct source_pool *p);
/*
 * An address that is not among the tried, and is then. False: there is none, or enough were
 * tried. *at is for source_pool_put(); it is 0 where nothing is counted.
 */
bool source_pool_get(struct source_pool *p, bool v4, struct source_tried *tried,
		     struct in6_addr *ip, uint16_t *at);
void source_pool_put(struct source_pool *p, bool v4, uint16_t at);

/* How many addresses a list has, of the family that has more. */
uint64_t source_pool_size(const struct prefix_list *list);

#endif
