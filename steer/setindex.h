/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The set index of a family, made from intervals of addresses in ascending order that leave
 * nothing out: an interval reaches up to `end`, its class is `value`.
 */
#ifndef SHUNT_STEER_SETINDEX_H
#define SHUNT_STEER_SETINDEX_H

#include <errno.h>

#include "setstore.h"

/* One slot of the IPv4 front. */
struct index4_slot {
	uint16_t ends[65536];
	uint32_t values[65536];
	uint32_t n;
};

/* As a tagged place; 0 and *err -ENOSPC if there is no room. */
uint32_t index4_write(struct arena *a, const uint16_t *ends, const uint32_t *values, uint32_t n,
		      int *err);
void index4_read(const struct arena *a, uint32_t at, struct index4_slot *out);
void index4_free(struct arena *a, uint32_t at);

/* What a class becomes, for the addresses that change. */
struct index_change {
	struct arena *a;
	int (*class)(void *ctx, uint32_t class, uint32_t *out);
	void *ctx;
	uint64_t work;	   /* intervals written so far */
	uint64_t work_max; /* -ENOSPC above: a new index costs no more */
	struct index4_slot *old, *new; /* for IPv4; the caller's */
};
int index4_change(struct index_change *c, uint32_t lo, uint32_t hi);
/* lo..hi are the addresses of a prefix. */
int index6_change(struct index_change *c, addr_t lo, addr_t hi);

static inline int index_work(struct index_change *c, uint64_t n)
{
	c->work += n + 8;
	return c->work > c->work_max ? -ENOSPC : 0;
}

/* A tree over halves of IPv6 addresses. */
enum { TREE6_LEAF = 16, TREE6_NODE = 128 }; /* intervals */
struct tree6 {
	uint64_t *ends;	  /* owned */
	uint32_t *values; /* owned */
	size_t n, room;
};
int tree6_add(struct tree6 *t, uint64_t end, uint32_t value);
/* One node of up to 128 intervals; 0 if there is no room. */
uint32_t tree6_write_node(struct arena *a, const uint64_t *ends, const uint32_t *values, size_t n);
uint32_t tree6_write(struct arena *a, struct tree6 *t, int *err);
void tree6_release(struct tree6 *t);

struct index_builder {
	struct arena *a;
	bool v6;
	addr_t next;		  /* begin of the next interval */
	struct index4_slot *slot; /* owned */
	struct tree6 high, low;
	int err;
};
int index_begin(struct index_builder *b, struct arena *a, bool v6);
int index_add(struct index_builder *b, addr_t end, uint32_t value);
/* Into the generation. Releases b in any case. */
int index_end(struct index_builder *b);

#endif
