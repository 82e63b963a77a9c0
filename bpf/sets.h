/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The set index: from an address to its class, the list of the sets that hold it. */
#ifndef SHUNT_BPF_SETS_H
#define SHUNT_BPF_SETS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shunt/arena.h"

/* Steps of one search: three trees of at most eight levels. */
#define SETS_MAX_STEPS 24
/* Returning from a function costs as much as a step where returns are not predicted. */
#define SETS_STEPS_AT_ONCE 4

/* On the stack, since pointers cannot be in maps. */
struct arena {
	void *map;
	void *first; /* its page 0, not NULL: has most of what each search reads */
};

static __always_inline void *page_at(const struct arena *arena, __u32 at)
{
	__u32 page = at / SHUNT_PAGE_CELLS;

	return page ? bpf_map_lookup_elem(arena->map, &page) : arena->first;
}

static __always_inline void *cell_in(void *page, __u32 at)
{
	return page + at % SHUNT_PAGE_CELLS * SHUNT_CELL;
}

static __always_inline void *cell_at(const struct arena *arena, __u32 at)
{
	void *page = page_at(arena, at);

	return page ? cell_in(page, at) : 0;
}

/* The cell `to`, where the page of the cell `from` is known: mostly the same one. */
static __always_inline void *cell_from(const struct arena *arena, void *page, __u32 from, __u32 to)
{
	if (from / SHUNT_PAGE_CELLS != to / SHUNT_PAGE_CELLS)
		page = page_at(arena, to);
	return page ? cell_in(page, to) : 0;
}

/*
 * 1 if end < x, without a branch. Workaround: clang makes a branch of a comparison, and the
 * verifier would follow each of the 2^n ways through a search of n steps.
 */
static __always_inline __u32 below16(__u16 end, __u16 x)
{
	__u64 borrow = (__u64)end - (__u64)x;

	asm volatile("" : "+r"(borrow));
	return borrow >> 63;
}

static __always_inline __u32 below64(__u64 end, __u64 x)
{
	__u64 borrow = (~end & x) | ((~end | x) & (end - x));

	asm volatile("" : "+r"(borrow));
	return borrow >> 63;
}

static __always_inline __u32 rank32x16(const __u16 *ends, __u16 x)
{
	__u32 r = below16(ends[15], x) << 4;

	r |= below16(ends[r + 7], x) << 3;
	r |= below16(ends[r + 3], x) << 2;
	r |= below16(ends[r + 1], x) << 1;
	r |= below16(ends[r], x);
	return r;
}

static __always_inline __u32 rank8x64(const __u64 *ends, __u64 x)
{
	__u32 r = below64(ends[3], x) << 2;

	r |= below64(ends[r + 1], x) << 1;
	r |= below64(ends[r], x);
	return r;
}

static __always_inline __u32 set_class4(const struct arena *arena, __u32 dir_at, __u32 addr)
{
	__u16 low = addr;
	__u32 at, depth, i, r;
	const __u32 *v;
	void *page;

	v = cell_at(arena, dir_at + (addr >> 20));
	if (!v)
		return 0;
	at = v[(addr >> 16) & 15];
	if (!(at & SHUNT_AT_NODE))
		return at;
	depth = SHUNT_AT_DEPTH(at);
	at = SHUNT_AT_CELL(at);
	for (i = 0; i < 4; i++) {
		page = page_at(arena, at);
		if (!page)
			return 0;
		r = rank32x16(cell_in(page, at), low);
		if (!depth) {
			v = cell_from(arena, page, at, at + 1 + (r >> 4));
			return v ? v[r & 15] : 0;
		}
		depth--;
		at += 1 + r * SHUNT_NODE4_CELLS(depth);
	}
	return 0;
}

/* One step down the IPv6 tree. */
static __always_inline __u32 set_step6(const struct arena *arena, __u32 at, __u64 x)
{
	__u32 depth = SHUNT_AT_DEPTH(at), r;
	const __u64 *ends;
	const __u32 *v;
	void *page;

	at = SHUNT_AT_CELL(at);
	page = page_at(arena, at);
	if (!page)
		return 0;
	ends = cell_in(page, at);
	if (depth) {
		depth--;
		r = rank8x64(ends, x);
		return SHUNT_AT_NODE | depth << SHUNT_AT_DEPTH_SHIFT |
		       (at + 1 + r * SHUNT_NODE6_CELLS(depth));
	}
	r = below64(ends[7], x) << 3;
	if (r) {
		ends = cell_from(arena, page, at, at + 1);
		if (!ends)
			return 0;
	}
	r |= rank8x64(ends, x);
	v = cell_from(arena, page, at, at + 2);
	return v ? v[r & 15] : 0;
}

/*
 * Some steps down the IPv6 tree: a tagged place, of a node if there are more to do. x is the
 * half of the address that is compared.
 */
static __always_inline __u32 set_steps6(const struct arena *arena, __u32 at, __u64 *x, __u64 low)
{
#pragma unroll
	for (int n = 0; n < SETS_STEPS_AT_ONCE; n++) {
		if (at & SHUNT_AT_LOW && at & SHUNT_AT_NODE)
			*x = low;
		if (at & SHUNT_AT_NODE)
			at = set_step6(arena, at, *x);
	}
	return at;
}

/* The i-th place of a class, from 0, below its n: a set's id, or 0. */
static __always_inline __u32 class_id(const struct arena *arena, __u32 class_at, __u32 i)
{
	const __u16 *ids;

	i++;
	ids = cell_at(arena, class_at + (i >> 5));
	return ids ? ids[i & 31] : 0;
}

/* Not 0 if one of the four 16-bit fields is zero. */
static __always_inline __u64 zero16(__u64 x)
{
	return (x - 0x0001000100010001ULL) & ~x & 0x8000800080008000ULL;
}

/* Does the class hold this set? Compares the 32 places of one cell, four at a time. */
static __always_inline int class_has(const struct arena *arena, __u32 class_at, __u32 n, __u32 set)
{
	__u64 four = set * 0x0001000100010001ULL, hit;
	const __u64 *ids;
	int i;

	if (!class_at)
		return 0;
	set &= n >> 5;
	ids = cell_at(arena, class_at + set);
	if (!ids)
		return 0;
	/* The count stands where an id would in the first cell. */
	hit = zero16(set ? ids[0] ^ four : (ids[0] ^ four) | 0xffff);
	for (i = 1; i < 8; i++)
		hit |= zero16(ids[i] ^ four);
	return !!hit;
}

#endif
