// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The exact prefixes of a set of a live generation: looking for one, and changing some. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "setstore.h"

static int compare(const struct prefix6 *x, const struct prefix6 *y)
{
	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->len - y->len;
}

static const struct shunt_chunk *chunks_of(const struct arena *a, const struct shunt_set_rec *rec,
					   bool v6)
{
	return arena_at(a, rec->chunks_at[v6]);
}

/* ---- look ---------------------------------------------------------------------------------------- */

struct setstore_at setstore_seek(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
				 const struct prefix6 *key)
{
	const struct shunt_chunk *chunks = chunks_of(a, rec, v6);
	uint32_t lo = 0, hi = rec->n_chunks[v6], mid;
	struct setstore_at at = {};
	struct prefix6 p;

	/* The last chunk that does not begin behind it. */
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		p = setstore_get(a, &chunks[mid], 0, v6);
		if (compare(&p, key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return at;
	at.chunk = lo - 1;
	lo = 0;
	hi = chunks[at.chunk].n;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		p = setstore_get(a, &chunks[at.chunk], mid, v6);
		if (compare(&p, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	at.i = lo;
	return at;
}

bool setstore_next(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
		   struct setstore_at *at, struct prefix6 *out)
{
	const struct shunt_chunk *chunks = chunks_of(a, rec, v6);

	while (at->chunk < rec->n_chunks[v6] && at->i == chunks[at->chunk].n)
		*at = (struct setstore_at){ at->chunk + 1, 0 };
	if (at->chunk == rec->n_chunks[v6])
		return false;
	*out = setstore_get(a, &chunks[at->chunk], at->i++, v6);
	return true;
}

bool setstore_has(const struct arena *a, const struct shunt_set_rec *rec, bool v6,
		  const struct prefix6 *key)
{
	struct setstore_at at = setstore_seek(a, rec, v6, key);
	struct prefix6 p;

	return setstore_next(a, rec, v6, &at, &p) && !compare(&p, key);
}

/* ---- edit ---------------------------------------------------------------------------------------- */

struct edit {
	struct arena *a;
	bool v6, add;
	const struct prefixes *p;
	size_t at;		   /* the next of them */
	struct shunt_chunk *list;  /* owned: as they become */
	uint32_t n_list, n;	   /* chunks, prefixes in them */
	struct prefix6 *merged;	   /* owned */
};

/* Put so many of merged into new chunks, of about the same size. */
static int write_merged(struct edit *e, uint32_t n)
{
	uint32_t pieces = (n + SHUNT_CHUNK_MAX - 1) / SHUNT_CHUNK_MAX, here, done = 0;

	for (uint32_t i = 0; i < pieces; i++, done += here) {
		struct shunt_chunk *chunk = &e->list[e->n_list];

		here = (n - done) / (pieces - i);
		chunk->n = here;
		if (setstore_chunk(e->a, chunk, e->merged + done, e->v6))
			return -ENOSPC;
		e->n_list++;
	}
	e->n += n;
	return 0;
}

/* The chunk (NULL: none) and the prefixes to change before `end` (NULL: all that are left). */
static int edit_chunk(struct edit *e, const struct shunt_chunk *chunk, const struct prefix6 *end)
{
	uint32_t n = 0, i = 0, have = chunk ? chunk->n : 0;
	size_t n_edit = prefixes_n(e->p, e->v6);
	struct prefix6 old = {}, key = {};
	bool more, here;
	int order;

	for (;;) {
		here = e->at < n_edit;
		if (here)
			key = prefix_at(e->p, e->at, e->v6);
		here = here && (!end || compare(&key, end) < 0);
		more = i < have;
		if (!here && !more)
			return write_merged(e, n);
		if (more)
			old = setstore_get(e->a, chunk, i, e->v6);
		order = !here ? -1 : !more ? 1 : compare(&old, &key);
		if (order < 0 || (!order && e->add))
			e->merged[n++] = old;
		else if (order > 0 && e->add)
			e->merged[n++] = key;
		i += order <= 0;
		e->at += order >= 0;
	}
}

static bool has_edit_before(const struct edit *e, const struct prefix6 *end)
{
	struct prefix6 key;

	if (e->at == prefixes_n(e->p, e->v6))
		return false;
	key = prefix_at(e->p, e->at, e->v6);
	return !end || compare(&key, end) < 0;
}

static int edit_chunks(struct edit *e, const struct shunt_set_rec *rec)
{
	const struct shunt_chunk *chunks = chunks_of(e->a, rec, e->v6);
	uint32_t n_chunks = rec->n_chunks[e->v6];
	struct prefix6 next;
	int r = 0;

	if (!n_chunks)
		return edit_chunk(e, NULL, NULL);
	for (uint32_t i = 0; i < n_chunks && !r; i++) {
		bool last = i + 1 == n_chunks;

		if (!last)
			next = setstore_get(e->a, &chunks[i + 1], 0, e->v6);
		if (has_edit_before(e, last ? NULL : &next)) {
			r = edit_chunk(e, &chunks[i], last ? NULL : &next);
			setstore_free_chunk(e->a, &chunks[i], e->v6);
		} else {
			e->list[e->n_list++] = chunks[i];
			e->n += chunks[i].n;
		}
	}
	return r;
}

static int write_list(struct edit *e, struct shunt_set_rec *rec)
{
	uint32_t at = 0;

	if (e->n_list) {
		at = arena_alloc(e->a, cells_for(e->n_list * sizeof(*e->list)));
		if (!at)
			return -ENOSPC;
		memcpy(arena_at(e->a, at), e->list, e->n_list * sizeof(*e->list));
	}
	arena_free(e->a, rec->chunks_at[e->v6],
		   cells_for(rec->n_chunks[e->v6] * sizeof(*e->list)));
	rec->chunks_at[e->v6] = at;
	rec->n_chunks[e->v6] = e->n_list;
	rec->n[e->v6] = e->n;
	return 0;
}

int setstore_edit(struct arena *a, struct shunt_set_rec *rec, const struct prefixes *edit, bool add)
{
	int r = 0;

	for (int v6 = 0; v6 < 2 && !r; v6++) {
		struct edit e = { .a = a, .v6 = v6, .add = add, .p = edit };
		size_t n_edit = prefixes_n(edit, v6);

		if (!n_edit)
			continue;
		e.list = malloc((rec->n_chunks[v6] + 2 * n_edit + 2) * sizeof(*e.list));
		e.merged = malloc((n_edit + SHUNT_CHUNK_MAX) * sizeof(*e.merged));
		r = e.list && e.merged ? edit_chunks(&e, rec) : -ENOMEM;
		if (!r)
			r = write_list(&e, rec);
		free(e.list);
		free(e.merged);
	}
	return r;
}
