// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "set_edit.h"

#include <stdlib.h>
#include <string.h>

#include "timed.h"

enum {
	WORK_MAX = 1 << 20,  /* intervals; some ten milliseconds */
	DROP_MAX = 1 << 14,  /* prefixes of a set that goes as a whole */
	EDIT_MAX = 1 << 11,  /* prefixes put in or out */
};

/* ---- look ---------------------------------------------------------------------------------------- */

const struct shunt_set_rec *set_record(const struct arena *a, uint16_t id)
{
	return (const struct shunt_set_rec *)arena_at(a, arena_gen(a)->sets_at) + (id - 1);
}

uint16_t set_find_id(const struct arena *a, const char *name)
{
	for (uint32_t id = 1; name[0] && id <= arena_gen(a)->n_sets; id++) {
		const struct shunt_set_rec *rec = set_record(a, (uint16_t)id);

		if ((rec->flags & 1) && !strcmp(rec->name, name))
			return (uint16_t)id;
	}
	return 0;
}

/* ---- begin and end ------------------------------------------------------------------------------- */

/* The class with the set, or without it. */
static int changed_class(void *ctx, uint32_t class, uint32_t *out)
{
	uint16_t ids[SHUNT_CLASS_MAX_CELLS * 32 + 1];
	struct set_edit *e = ctx;
	uint64_t hash = 0;
	size_t n, i = 0;

	if (class == e->last[0]) {
		*out = e->last[1];
		return 0;
	}
	n = class_ids(e->a, class, ids);
	while (i < n && ids[i] < e->id)
		i++;
	*out = class;
	if ((i < n && ids[i] == e->id) == e->on)
		return 0;
	if (e->on)
		memmove(ids + i + 1, ids + i, (n++ - i) * sizeof(*ids));
	else
		memmove(ids + i, ids + i + 1, (--n - i) * sizeof(*ids));
	if (e->on)
		ids[i] = e->id;
	for (i = 0; i < n; i++)
		hash += class_hash_of(ids[i]);
	return classes_get(&e->classes, ids, n, hash, out);
}

static int remember_class(void *ctx, uint32_t class, uint32_t *out)
{
	struct set_edit *e = ctx;
	int r = changed_class(ctx, class, out);

	if (!r) {
		e->last[0] = class;
		e->last[1] = *out;
	}
	return r;
}

void set_edit_init(struct set_edit *e, struct arena *a)
{
	*e = (struct set_edit){ .a = a };
	e->index = (struct index_change){
		.a = a, .class = remember_class, .ctx = e, .work_max = WORK_MAX,
	};
}

void set_edit_release(struct set_edit *e)
{
	classes_release(&e->classes);
	free(e->index.old);
	free(e->index.new);
	e->index.old = e->index.new = NULL;
}

/* A copy of the records with room for so many more. */
static int copy_records(struct set_edit *e, uint32_t more)
{
	struct shunt_gen *gen = arena_gen(e->a);
	uint32_t at = arena_alloc(e->a, 2 * (gen->n_sets + more));

	if (!at)
		return -ENOSPC;
	memcpy(arena_at(e->a, at), arena_at(e->a, gen->sets_at),
	       gen->n_sets * sizeof(struct shunt_set_rec));
	arena_free(e->a, gen->sets_at, 2 * gen->n_sets);
	gen->sets_at = at;
	gen->n_sets += more;
	e->recs = arena_at(e->a, at);
	return 0;
}

/* Before the first change. */
static int begin(struct set_edit *e)
{
	int r = e->recs ? 0 : copy_records(e, 0);

	if (r || e->classes.v)
		return r;
	e->index.old = malloc(sizeof(*e->index.old));
	e->index.new = malloc(sizeof(*e->index.new));
	return e->index.old && e->index.new ? classes_read(&e->classes, e->a) : -ENOMEM;
}

int set_edit_end(struct set_edit *e)
{
	struct shunt_gen *gen = arena_gen(e->a);
	uint32_t at = gen->classes_at, n = gen->n_classes;
	int r = e->classes.v ? classes_write(&e->classes) : 0;

	if (!r && e->classes.v)
		arena_free(e->a, at, cells_for(n * sizeof(__u32)));
	return r;
}

/* ---- change -------------------------------------------------------------------------------------- */

static int change_range(struct set_edit *e, addr_t lo, addr_t hi, bool v6, bool on)
{
	if (e->on != on)
		e->last[0] = ~0U; /* no class */
	e->on = on;
	return v6 ? index6_change(&e->index, lo, hi)
		  : index4_change(&e->index, (uint32_t)lo, (uint32_t)hi);
}

static bool is_covered(const struct set_edit *e, const struct prefix6 *p, bool v6)
{
	const struct shunt_set_rec *rec = &e->recs[e->id - 1];
	uint8_t bits = v6 ? 128 : 32;
	struct prefix6 wider;

	for (uint8_t len = 0; len <= p->len; len++) {
		wider.len = len;
		wider.addr = len ? p->addr >> (bits - len) << (bits - len) : 0;
		if (setstore_has(e->a, rec, v6, &wider))
			return true;
	}
	return false;
}

/* The prefixes of the list that are in lo..hi, of which the wider ones come first. */
static int change_listed(struct set_edit *e, addr_t lo, addr_t hi, bool v6, bool on)
{
	const struct shunt_set_rec *rec = &e->recs[e->id - 1];
	const struct prefix6 key = { lo, 0 };
	struct setstore_at at = setstore_seek(e->a, rec, v6, &key);
	addr_t done = lo;
	struct prefix6 p;
	bool any = false;
	int r = 0;

	while (!r && setstore_next(e->a, rec, v6, &at, &p) && p.addr <= hi) {
		if (any && p.addr <= done)
			continue;
		done = prefix6_last(&p, v6);
		any = true;
		r = change_range(e, p.addr, done, v6, on);
	}
	return r;
}

/* Bring the addresses of a prefix, which is not in the list any more, in line with it. */
static int change_taken(struct set_edit *e, const struct prefix6 *p, bool v6)
{
	addr_t last = prefix6_last(p, v6);
	int r;

	if (is_covered(e, p, v6))
		return 0;
	r = change_range(e, p->addr, last, v6, false);
	return r ? r : change_listed(e, p->addr, last, v6, true);
}

static void take_up(struct set_edit *e, uint16_t id)
{
	e->id = id;
	e->last[0] = ~0U;
}

int set_edit_change(struct set_edit *e, uint16_t id, const struct prefixes *edit, bool add)
{
	int r = edit->n4 + edit->n6 > EDIT_MAX ? -ENOSPC : begin(e);

	if (r)
		return r;
	take_up(e, id);
	r = setstore_edit(e->a, &e->recs[id - 1], edit, add);
	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < prefixes_n(edit, v6) && !r; i++) {
			const struct prefix6 p = prefix_at(edit, i, v6);

			r = add ? change_range(e, p.addr, prefix6_last(&p, v6), v6, true)
				: change_taken(e, &p, v6);
		}
	}
	return r;
}

int set_edit_make(struct set_edit *e, const char *name)
{
	uint32_t n = arena_gen(e->a)->n_sets, id = 1;
	int r;

	while (id <= n && set_record(e->a, (uint16_t)id)->flags & 1)
		id++;
	if (id > SHUNT_MAX_SETS)
		return -ENOSPC;
	r = id > n || !e->recs ? copy_records(e, id > n) : 0;
	if (r)
		return r;
	e->recs[id - 1] = (struct shunt_set_rec){ .flags = 1, .users = !name[0] };
	memcpy(e->recs[id - 1].name, name, strlen(name));
	return (int)id;
}

int set_edit_drop(struct set_edit *e, uint16_t id)
{
	const struct shunt_set_rec *rec = set_record(e->a, id);
	int r = rec->n[0] + rec->n[1] > DROP_MAX ? -ENOSPC : begin(e);

	if (r)
		return r;
	take_up(e, id);
	r = change_listed(e, 0, 0xffffffffU, false, false);
	if (!r)
		r = change_listed(e, 0, ~(addr_t)0, true, false);
	if (r)
		return r;
	r = timed_forget_set(e->a, id);
	if (r)
		return r;
	setstore_free(e->a, &e->recs[id - 1]);
	e->recs[id - 1] = (struct shunt_set_rec){};
	return 0;
}
