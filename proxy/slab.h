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
	uint32_t n_chunks;
};

void slab_init(struct slab *s, size_t size);
/* Zeroed, or NULL. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);
/* All objects must have been put back. */
void slab_release(struct slab *s);

#endif
