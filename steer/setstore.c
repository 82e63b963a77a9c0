// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "setstore.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { PER_CELL4 = 12, PER_CELL6 = 3 };

/* ---- as lists --------------------------------------------------------------------------------- */

static bool is_sorted4(const uint64_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (v[i] < v[i - 1])
			return false;
	return true;
}

/* By 5 bytes, which is all there is; a comparison sort of a million takes ten times as long. */
static int sort4(uint64_t *v, size_t n)
{
	_cleanup_free_ uint64_t *other = NULL;
	uint64_t *from = v, *to;

	if (is_sorted4(v, n))
		return 0;
	other = malloc(n * sizeof(*v));
	if (!other)
		return -ENOMEM;
	to = other;
	for (int shift = 0; shift < 40; shift += 8) {
		size_t at[257] = {};
		uint64_t *swap = from;

		for (size_t i = 0; i < n; i++)
			at[(from[i] >> shift & 0xff) + 1]++;
		for (int i = 0; i < 256; i++)
			at[i + 1] += at[i];
		for (size_t i = 0; i < n; i++)
			to[at[from[i] >> shift & 0xff]++] = from[i];
		from = to;
		to = swap;
	}
	memcpy(v, from, n * sizeof(*v));
	return 0;
}

static int compare6(const void *a, const void *b)
{
	const struct prefix6 *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->len - y->len;
}

static void sort6(struct prefix6 *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (compare6(&v[i - 1], &v[i]) > 0) {
			qsort(v, n, sizeof(*v), compare6);
			return;
		}
	}
}

static void drop_twice(struct prefixes *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n4; i++)
		if (!n || p->v4[n - 1] != p->v4[i])
			p->v4[n++] = p->v4[i];
	p->n4 = n;
	n = 0;
	for (size_t i = 0; i < p->n6; i++)
		if (!n || compare6(&p->v6[n - 1], &p->v6[i]))
			p->v6[n++] = p->v6[i];
	p->n6 = n;
}

static void split(struct prefixes *p, const struct shunt_prefix *v, size_t n)
{
	uint64_t half[2];

	for (size_t i = 0; i < n; i++) {
		memcpy(half, &v[i].addr, 16);
		if (shunt_prefix_is_v4(&v[i]))
			p->v4[p->n4++] = (be64toh(half[1]) & 0xffffffff) << 8 | (v[i].len - 96U);
		else
			p->v6[p->n6++] = (struct prefix6){
				(addr_t)be64toh(half[0]) << 64 | be64toh(half[1]), v[i].len,
			};
	}
}

int prefixes_make(struct prefixes *out, const struct shunt_prefix *v, size_t n)
{
	struct prefixes p = {};
	size_t n4 = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		n4 += shunt_prefix_is_v4(&v[i]);
	p.v4 = malloc((n4 + 1) * sizeof(*p.v4));
	p.v6 = malloc((n - n4 + 1) * sizeof(*p.v6));
	r = p.v4 && p.v6 ? 0 : -ENOMEM;
	if (!r) {
		split(&p, v, n);
		r = sort4(p.v4, p.n4);
	}
	if (r) {
		prefixes_clear(&p);
		return r;
	}
	sort6(p.v6, p.n6);
	drop_twice(&p);
	*out = p;
	return 0;
}

void prefixes_clear(struct prefixes *p)
{
	free(p->v4);
	free(p->v6);
	*p = (struct prefixes){};
}

int prefixes_list(const struct prefixes *p, struct shunt_prefix **out, size_t *n)
{
	struct shunt_prefix *v = NULL;
	uint64_t half[2];
	addr_t addr;
	bool v6;

	*n = p->n4 + p->n6;
	if (*n) {
		v = calloc(*n, sizeof(*v));
		if (!v)
			return -ENOMEM;
	}
	for (size_t i = 0; i < *n; i++) {
		v6 = i >= p->n4;
		addr = v6 ? p->v6[i - p->n4].addr : (p->v4[i] >> 8 | 0xffff00000000ULL);
		half[0] = htobe64((uint64_t)(addr >> 64));
		half[1] = htobe64((uint64_t)addr);
		memcpy(&v[i].addr, half, 16);
		v[i].len = v6 ? p->v6[i - p->n4].len : (uint8_t)((p->v4[i] & 0xff) + 96);
	}
	*out = v;
	return 0;
}

/* ---- in a generation --------------------------------------------------------------------------- */

static uint32_t chunk_cells(uint32_t n, bool v6)
{
	uint32_t per_cell = v6 ? PER_CELL6 : PER_CELL4;

	return (n + per_cell - 1) / per_cell;
}

static void put(void *cells, uint32_t i, const struct prefix6 *p, bool v6)
{
	struct shunt_prefixes4 *c4 = (struct shunt_prefixes4 *)cells + i / PER_CELL4;
	struct shunt_prefixes6 *c6 = (struct shunt_prefixes6 *)cells + i / PER_CELL6;

	if (v6) {
		c6->addr[i % PER_CELL6][0] = (uint64_t)(p->addr >> 64);
		c6->addr[i % PER_CELL6][1] = (uint64_t)p->addr;
		c6->len[i % PER_CELL6] = p->len;
	} else {
		c4->addr[i % PER_CELL4] = (uint32_t)p->addr;
		c4->len[i % PER_CELL4] = p->len;
	}
}

static int write_family(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *p,
			bool v6)
{
	size_t n = prefixes_n(p, v6), n_chunks = (n + SHUNT_CHUNK_MAX - 1) / SHUNT_CHUNK_MAX;
	struct shunt_chunk *chunk;

	rec->n[v6] = (uint32_t)n;
	rec->n_chunks[v6] = (uint32_t)n_chunks;
	rec->chunks_at[v6] = n ? arena_alloc(a, cells_for(n_chunks * sizeof(*chunk))) : 0;
	if (n && !rec->chunks_at[v6])
		return -ENOSPC;
	chunk = arena_at(a, rec->chunks_at[v6]);
	for (size_t at = 0; at < n; at += chunk->n, chunk++) {
		chunk->n = n - at < SHUNT_CHUNK_MAX ? (uint32_t)(n - at) : SHUNT_CHUNK_MAX;
		chunk->at = arena_alloc(a, chunk_cells(chunk->n, v6));
		if (!chunk->at)
			return -ENOSPC;
		for (uint32_t i = 0; i < chunk->n; i++) {
			const struct prefix6 prefix = prefix_at(p, at + i, v6);

			put(arena_at(a, chunk->at), i, &prefix, v6);
		}
		if (at + chunk->n == n)
			break;
	}
	return 0;
}

int setstore_write(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *p)
{
	int r = write_family(a, rec, p, false);

	return r ? r : write_family(a, rec, p, true);
}

static struct prefix6 get(const void *cells, uint32_t i, bool v6)
{
	const struct shunt_prefixes4 *c4 = (const struct shunt_prefixes4 *)cells + i / PER_CELL4;
	const struct shunt_prefixes6 *c6 = (const struct shunt_prefixes6 *)cells + i / PER_CELL6;

	if (v6)
		return (struct prefix6){
			(addr_t)c6->addr[i % PER_CELL6][0] << 64 | c6->addr[i % PER_CELL6][1],
			c6->len[i % PER_CELL6],
		};
	return (struct prefix6){ c4->addr[i % PER_CELL4], c4->len[i % PER_CELL4] };
}

struct prefix6 setstore_get(const struct arena *a, const struct shunt_chunk *chunk, uint32_t i,
			    bool v6)
{
	return get(arena_at(a, chunk->at), i, v6);
}

int setstore_chunk(struct arena *a, struct shunt_chunk *chunk, const struct prefix6 *v, bool v6)
{
	chunk->at = arena_alloc(a, chunk_cells(chunk->n, v6));
	if (!chunk->at)
		return -ENOSPC;
	for (uint32_t i = 0; i < chunk->n; i++)
		put(arena_at(a, chunk->at), i, &v[i], v6);
	return 0;
}

void setstore_free_chunk(struct arena *a, const struct shunt_chunk *chunk, bool v6)
{
	arena_free(a, chunk->at, chunk_cells(chunk->n, v6));
}

static int read_chunks(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
		       struct prefixes *p)
{
	uint32_t n_chunks = rec->n_chunks[v6], left = rec->n[v6];
	const struct shunt_chunk *chunks = arena_at(a, rec->chunks_at[v6]);
	struct shunt_chunk chunk;

	if (n_chunks && !arena_holds(a, rec->chunks_at[v6], cells_for(n_chunks * sizeof(chunk))))
		return -EAGAIN;
	for (uint32_t c = 0; c < n_chunks; c++) {
		chunk = chunks[c];
		if (chunk.n > left || !arena_holds(a, chunk.at, chunk_cells(chunk.n, v6)))
			return -EAGAIN;
		left -= chunk.n;
		for (uint32_t i = 0; i < chunk.n; i++) {
			const struct prefix6 prefix = get(arena_at(a, chunk.at), i, v6);

			if (v6)
				p->v6[p->n6++] = prefix;
			else
				p->v4[p->n4++] = (uint64_t)prefix.addr << 8 | prefix.len;
		}
	}
	return left ? -EAGAIN : 0;
}

int setstore_read(const struct arena *a, const struct shunt_set_rec *rec, struct prefixes *out)
{
	struct prefixes p = {};
	int r;

	if (rec->n[0] / PER_CELL4 > a->n_cells || rec->n[1] / PER_CELL6 > a->n_cells)
		return -EAGAIN;
	p.v4 = malloc((rec->n[0] + 1UL) * sizeof(*p.v4));
	p.v6 = malloc((rec->n[1] + 1UL) * sizeof(*p.v6));
	r = p.v4 && p.v6 ? 0 : -ENOMEM;
	for (int v6 = 0; v6 < 2 && !r; v6++)
		r = read_chunks(a, rec, v6, &p);
	if (r)
		prefixes_clear(&p);
	else
		*out = p;
	return r;
}

void setstore_free(struct arena *a, struct shunt_set_rec *rec)
{
	const struct shunt_chunk *chunk;

	for (int v6 = 0; v6 < 2; v6++) {
		chunk = arena_at(a, rec->chunks_at[v6]);
		for (uint32_t c = 0; c < rec->n_chunks[v6]; c++)
			setstore_free_chunk(a, &chunk[c], v6);
		arena_free(a, rec->chunks_at[v6],
			   cells_for(rec->n_chunks[v6] * sizeof(*chunk)));
	}
}
