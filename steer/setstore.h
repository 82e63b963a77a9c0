/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact prefixes of sets: ordered by address and then length, none twice; and as they are
 * kept in a generation, in chunks.
 */
#ifndef SHUNT_STEER_SETSTORE_H
#define SHUNT_STEER_SETSTORE_H

#include "arena.h"
#include "shunt/shunt.h"

typedef unsigned __int128 addr_t; /* an address of either family, host byte order */

struct prefix6 {
	addr_t addr;
	uint8_t len;
};

struct prefixes {
	uint64_t *v4; /* owned: addr << 8 | len, which orders them */
	size_t n4;
	struct prefix6 *v6; /* owned */
	size_t n6;
};

int prefixes_make(struct prefixes *out, const struct shunt_prefix *v, size_t n);
void prefixes_clear(struct prefixes *p);

static inline size_t prefixes_n(const struct prefixes *p, bool v6)
{
	return v6 ? p->n6 : p->n4;
}

static inline addr_t prefix_first(const struct prefixes *p, size_t i, bool v6)
{
	return v6 ? p->v6[i].addr : p->v4[i] >> 8;
}

static inline addr_t prefix_last(const struct prefixes *p, size_t i, bool v6)
{
	uint8_t len = v6 ? p->v6[i].len : p->v4[i] & 0xff;

	if (v6)
		return len == 128 ? p->v6[i].addr : p->v6[i].addr | ~(addr_t)0 >> len;
	return p->v4[i] >> 8 | (len == 32 ? 0 : 0xffffffffU >> len);
}

/* Fill in the chunks of a record; its name and flags stay. -ENOSPC. */
int setstore_write(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *p);
/* -EAGAIN: what is there is no set (any more). */
int setstore_read(const struct arena *a, const struct shunt_set_rec *rec, struct prefixes *out);
/* The cells of its chunks. */
void setstore_free(struct arena *a, struct shunt_set_rec *rec);
/* In order, IPv4 first; *out is malloc'ed, NULL if there are none. */
int prefixes_list(const struct prefixes *p, struct shunt_prefix **out, size_t *n);

#endif
