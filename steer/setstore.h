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

static inline struct prefix6 prefix_at(const struct prefixes *p, size_t i, bool v6)
{
	return v6 ? p->v6[i]
		  : (struct prefix6){ p->v4[i] >> 8, (uint8_t)(p->v4[i] & 0xff) };
}

/* The addresses of a prefix; of IPv4 it has 32 bits. */
static inline addr_t prefix6_last(const struct prefix6 *p, bool v6)
{
	if (v6)
		return p->len == 128 ? p->addr : p->addr | ~(addr_t)0 >> p->len;
	return p->addr | (p->len == 32 ? 0 : 0xffffffffU >> p->len);
}

/* Fill in the chunks of a record; its name and flags stay. -ENOSPC. */
int setstore_write(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *p);
/* -EAGAIN: what is there is no set (any more). */
int setstore_read(const struct arena *a, const struct shunt_set_rec *rec, struct prefixes *out);
/* The cells of its chunks. */
void setstore_free(struct arena *a, struct shunt_set_rec *rec);
/*
 * Put prefixes in or out, in a live generation: chunks that change are made anew. What is there
 * already, or is not there, makes no difference. -ENOSPC, -ENOMEM.
 */
int setstore_edit(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *edit, bool add);

/* One chunk: a prefix of it; its n prefixes into new cells; its cells. */
struct prefix6 setstore_get(const struct arena *a, const struct shunt_chunk *chunk, uint32_t i,
			    bool v6);
int setstore_chunk(struct arena *a, struct shunt_chunk *chunk, const struct prefix6 *v, bool v6);
void setstore_free_chunk(struct arena *a, const struct shunt_chunk *chunk, bool v6);

/* A place in the list of a family. */
struct setstore_at {
	uint32_t chunk, i;
};
/* The first prefix that is not before key. */
struct setstore_at setstore_seek(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
				 const struct prefix6 *key);
/* The prefix here, and go on; false: there are no more. */
bool setstore_next(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
		   struct setstore_at *at, struct prefix6 *out);
bool setstore_has(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
		  const struct prefix6 *key);

/* In order, IPv4 first; *out is malloc'ed, NULL if there are none. */
int prefixes_list(const struct prefixes *p, struct shunt_prefix **out, size_t *n);

#endif
