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

enum { CHUNK = 65536, SIZE_MIN = 64, BITS = 64 };

struct slab_chunk {
	struct slab_chunk *next, *prev; /* in slab.free, while it has a free object */
	struct slab_chunk *older, *newer;
	uint64_t age;			/* 1 is the first ever made */
	void *objects;			/* put back; linked through their first word */
	uint32_t fresh;			/* offset of the first byte never handed out */
	uint32_t used;			/* objects handed out */
	uint64_t in_use[CHUNK / SIZE_MIN / BITS]; /* which: only a walk reads it */
};

enum { FIRST = (sizeof(struct slab_chunk) + 63) & ~63UL };

void slab_init(struct slab *s, size_t size)
{
	size = size < SIZE_MIN ? SIZE_MIN : size;
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

static struct slab_chunk *new_chunk(struct slab *s)
{
	struct slab_chunk *c = map_chunk();

	if (!c)
		return NULL;
	c->fresh = FIRST;
	c->age = ++s->n_made;
	c->older = s->newest;
	if (s->newest)
		s->newest->newer = c;
	else
		s->oldest = c;
	s->newest = c;
	s->n_chunks++;
	link_chunk(s, c);
	return c;
}

static void unmap_chunk(struct slab *s, struct slab_chunk *c)
{
	unlink_chunk(s, c);
	if (c->older)
		c->older->newer = c->newer;
	else
		s->oldest = c->newer;
	if (c->newer)
		c->newer->older = c->older;
	else
		s->newest = c->older;
	s->n_chunks--;
	ASAN_UNPOISON_MEMORY_REGION(c, CHUNK);
	munmap(c, CHUNK);
}

static bool chunk_is_full(const struct slab *s, const struct slab_chunk *c)
{
	return !c->objects && c->fresh + s->size > CHUNK;
}

static void mark(const struct slab *s, struct slab_chunk *c, const void *object, bool used)
{
	size_t n = (size_t)((const char *)object - (char *)c - FIRST) / s->size;
	uint64_t bit = (uint64_t)1 << (n % BITS);

	if (used)
		c->in_use[n / BITS] |= bit;
	else
		c->in_use[n / BITS] &= ~bit;
}

void *slab_get(struct slab *s)
{
	struct slab_chunk *c = s->free;
	void *object;

	if (!c)
		c = new_chunk(s);
	if (!c)
		return NULL;
	object = c->objects;
	if (object) {
		ASAN_UNPOISON_MEMORY_REGION(object, s->size);
		c->objects = *(void **)object;
	} else {
		object = (char *)c + c->fresh;
		c->fresh += s->size;
	}
	c->used++;
	mark(s, c, object, true);
	if (chunk_is_full(s, c))
		unlink_chunk(s, c);
	return memset(object, 0, s->size);
}

void slab_put(struct slab *s, void *object)
{
	struct slab_chunk *c = (void *)((uintptr_t)object & ~(uintptr_t)(CHUNK - 1));

	if (chunk_is_full(s, c))
		link_chunk(s, c);
	mark(s, c, object, false);
	*(void **)object = c->objects;
	c->objects = object;
	ASAN_POISON_MEMORY_REGION(object, s->size);
	/* One empty chunk is kept, so that a flow that comes and goes alone costs no mmap. */
	if (!--c->used && s->n_chunks > 1)
		unmap_chunk(s, c);
}

/* The number of the first object in use from n on; UINT32_MAX none. */
static uint32_t next_in_use(const struct slab_chunk *c, uint32_t n)
{
	for (; n < CHUNK / SIZE_MIN; n = (n / BITS + 1) * BITS) {
		uint64_t rest = c->in_use[n / BITS] >> (n % BITS);

		if (rest)
			return n + (uint32_t)__builtin_ctzll(rest);
	}
	return UINT32_MAX;
}

void *slab_next(const struct slab *s, struct slab_place *at)
{
	for (struct slab_chunk *c = s->oldest; c; c = c->newer) {
		uint32_t n;

		if (c->age < at->chunk)
			continue;
		n = next_in_use(c, c->age == at->chunk ? at->object : 0);
		if (n == UINT32_MAX)
			continue;
		*at = (struct slab_place){ .chunk = c->age, .object = n + 1 };
		return (char *)c + FIRST + n * s->size;
	}
	at->chunk = s->n_made + 1;
	at->object = 0;
	return NULL;
}

void slab_release(struct slab *s)
{
	while (s->free)
		unmap_chunk(s, s->free);
}
