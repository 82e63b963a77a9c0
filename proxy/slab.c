/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "slab.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif

/* So that a debug build finds the use of an object that was put back. */
#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { CHUNK = 65536 };

struct slab_chunk {
	struct slab_chunk *next, *prev; /* in slab.free, while it has a free object */
	void *objects;			/* put back; linked through their first word */
	uint32_t fresh;			/* offset of the first byte never handed out */
	uint32_t used;			/* objects handed out */
};

void slab_init(struct slab *s, size_t size)
{
	*s = (struct slab){ .size = (size + 15) & ~(size_t)15 };
}

/* mmap aligns to pages only: take twice as much and give the ends back. */
static struct slab_chunk *map_chunk(void)
{
	char *p = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t skip;

	if (p == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)p & (CHUNK - 1);
	if (skip)
		munmap(p, skip);
	munmap(p + skip + CHUNK, CHUNK - skip);
	return (struct slab_chunk *)(p + skip);
}

static void link_chunk(struct slab *s, struct slab_chunk *c)
{
	c->prev = NULL;
	c->next = s->free;
	if (s->free)
		s->free->prev = c;
	s->free = c;
}

static void unlink_chunk(struct slab *s, struct slab_chunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		s->free = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

static void unmap_chunk(struct slab *s, struct slab_chunk *c)
{
	unlink_chunk(s, c);
	s->n_chunks--;
	ASAN_UNPOISON_MEMORY_REGION(c, CHUNK);
	munmap(c, CHUNK);
}

static bool chunk_is_full(const struct slab *s, const struct slab_chunk *c)
{
	return !c->objects && c->fresh + s->size > CHUNK;
}

void *slab_get(struct slab *s)
{
	struct slab_chunk *c = s->free;
	void *object;

	if (!c) {
		c = map_chunk();
		if (!c)
			return NULL;
		c->fresh = (sizeof(*c) + 63) & ~63U;
		s->n_chunks++;
		link_chunk(s, c);
	}
	object = c->objects;
	if (object) {
		ASAN_UNPOISON_MEMORY_REGION(object, s->size);
		c->objects = *(void **)object;
	} else {
		object = (char *)c + c->fresh;
		c->fresh += s->size;
	}
	c->used++;
	if (chunk_is_full(s, c))
		unlink_chunk(s, c);
	return memset(object, 0, s->size);
}

void slab_put(struct slab *s, void *object)
{
	struct slab_chunk *c = (void *)((uintptr_t)object & ~(uintptr_t)(CHUNK - 1));

	if (chunk_is_full(s, c))
		link_chunk(s, c);
	*(void **)object = c->objects;
	c->objects = object;
	ASAN_POISON_MEMORY_REGION(object, s->size);
	/* One empty chunk is kept, so that a flow that comes and goes alone costs no mmap. */
	if (!--c->used && s->n_chunks > 1)
		unmap_chunk(s, c);
}

void slab_release(struct slab *s)
{
	while (s->free)
		unmap_chunk(s, s->free);
}
