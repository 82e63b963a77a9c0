/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects of one size from chunks of 64 KiB: no header per object, memory of a chunk goes
 * back to the system when its last object does. Not thread-safe: one per thread.
 */
#ifndef SHUNT_PROXY_SLAB_H
#define SHUNT_PROXY_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_chunk;

struct slab {
	size_t size;		  /* of an object */
	struct slab_chunk *free;  /* chunks with a free object */
	struct slab_chunk *oldest, *newest; /* all chunks, by age */
	uint64_t n_made;	  /* chunks ever */
	uint32_t n_chunks;
};

/* A place in a walk over all objects; zeroed: the beginning. */
struct slab_place {
	uint64_t chunk; /* its age */
	uint32_t object;
	uint32_t reserved;
};

void slab_init(struct slab *s, size_t size);
/* Zeroed, or NULL. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);
/*
 * The first object in use at or behind *at, or NULL; *at is then behind it. Objects do not move:
 * a walk in many steps meets each one that lives all the while exactly once, and of the others
 * some.
 */
void *slab_next(const struct slab *s, struct slab_place *at);
/* All objects must have been put back. */
void slab_release(struct slab *s);

#endif
