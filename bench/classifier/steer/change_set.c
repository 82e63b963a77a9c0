// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Prefixes in and out of a set of a live generation. The slots of the IPv4 front that they are
 * in are made anew, with the classes that the set adds or takes away. IPv6 needs a new
 * generation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "cleanup.h"
#include "compile.h"
#include "setindex.h"

struct change {
	struct arena *a;
	struct classes classes;
	struct prefixes set;	     /* as it becomes */
	uint16_t id;
	struct index4_slot old, new;
};

/* ---- the list ------------------------------------------------------------------------------------ */

/* The first prefix that is not before key. */
static size_t lower_bound(const struct prefixes *p, uint64_t key)
{
	size_t lo = 0, hi = p->n4, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (p->v4[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_prefix(const struct prefixes *p, uint64_t key)
{
	size_t i = lower_bound(p, key);

	return i < p->n4 && p->v4[i] == key;
}

static int edit_list(struct prefixes *set, const struct prefixes *edit, bool add)
{
	uint64_t *grown = realloc(set->v4, (set->n4 + edit->n4 + 1) * sizeof(*grown));
	size_t at;

	if (!grown)
		return -ENOMEM;
	set->v4 = grown;
	for (size_t i = 0; i < edit->n4; i++) {
		if (has_prefix(set, edit->v4[i]) == add)
			return add ? -EEXIST : -ENOENT;
		at = lower_bound(set, edit->v4[i]);
		if (add) {
			memmove(grown + at + 1, grown + at, (set->n4++ - at) * sizeof(*grown));
			grown[at] = edit->v4[i];
		} else {
			memmove(grown + at, grown + at + 1, (--set->n4 - at) * sizeof(*grown));
		}
	}
	return 0;
}

/* ---- the index ----------------------------------------------------------------------------------- */

/* The class with the set, or without it. */
static int changed_class(struct change *c, uint32_t class, bool on, uint32_t *out)
{
	uint16_t ids[SHUNT_CLASS_MAX_CELLS * 32 + 1];
	size_t n = class_ids(c->a, class, ids), i = 0;
	uint64_t hash = 0;

	while (i < n && ids[i] < c->id)
		i++;
	*out = class;
	if ((i < n && ids[i] == c->id) == on)
		return 0;
	if (on)
		memmove(ids + i + 1, ids + i, (n++ - i) * sizeof(*ids));
	else
		memmove(ids + i, ids + i + 1, (--n - i) * sizeof(*ids));
	if (on)
		ids[i] = c->id;
	for (i = 0; i < n; i++)
		hash += class_hash_of(ids[i]);
	return classes_get(&c->classes, ids, n, hash, out);
}

static void push(struct index4_slot *s, uint32_t end, uint32_t value)
{
	if (s->n && s->values[s->n - 1] == value)
		s->n--;
	s->ends[s->n] = (uint16_t)end;
	s->values[s->n++] = value;
}

/* Addresses lo..hi of one slot are in the set, or not. */
static int change_slot(struct change *c, uint32_t *place, uint32_t lo, uint32_t hi, bool on)
{
	uint32_t begin = 0, end, class, at;
	int r = 0;

	index4_read(c->a, *place, &c->old);
	c->new.n = 0;
	for (uint32_t i = 0; i < c->old.n && !r; begin = end + 1, i++) {
		end = c->old.ends[i];
		if (end < lo || begin > hi) {
			push(&c->new, end, c->old.values[i]);
			continue;
		}
		r = changed_class(c, c->old.values[i], on, &class);
		if (begin < lo)
			push(&c->new, lo - 1, c->old.values[i]);
		push(&c->new, end < hi ? end : hi, class);
		if (end > hi)
			push(&c->new, end, c->old.values[i]);
	}
	if (r)
		return r;
	at = index4_write(c->a, c->new.ends, c->new.values, c->new.n, &r);
	if (r)
		return r;
	index4_free(c->a, *place);
	*place = at;
	return 0;
}

static int change_range(struct change *c, uint32_t lo, uint32_t hi, bool on)
{
	const struct shunt_arena_head *head = arena_head(c->a);
	uint32_t *front = arena_at(c->a, head->dir4_at[arena_gen(c->a)->side]);
	int r = 0;

	for (uint32_t slot = lo >> 16; slot <= hi >> 16 && !r; slot++)
		r = change_slot(c, &front[slot], slot == lo >> 16 ? lo & 0xffff : 0,
				slot == hi >> 16 ? hi & 0xffff : 0xffff, on);
	return r;
}

static bool is_covered(const struct prefixes *set, uint64_t key)
{
	uint32_t addr = (uint32_t)(key >> 8);

	for (uint64_t len = 0; len <= (key & 0xff); len++) {
		uint32_t first = len ? addr & 0xffffffffU << (32 - len) : 0;

		if (has_prefix(set, (uint64_t)first << 8 | len))
			return true;
	}
	return false;
}

/* Bring the range of a prefix, which was put in or out, in line with the list. */
static int change_prefix(struct change *c, uint64_t key)
{
	struct prefixes one = { .v4 = &key, .n4 = 1 };
	uint32_t lo = (uint32_t)prefix_first(&one, 0, false);
	uint32_t hi = (uint32_t)prefix_last(&one, 0, false);
	uint64_t next = lo;
	int r;

	if (is_covered(&c->set, key))
		return change_range(c, lo, hi, true);
	r = change_range(c, lo, hi, false);
	for (size_t i = lower_bound(&c->set, (uint64_t)lo << 8); i < c->set.n4 && !r; i++) {
		uint64_t first = (uint64_t)prefix_first(&c->set, i, false);

		if (first > hi)
			break;
		if (first < next)
			continue;
		next = (uint64_t)prefix_last(&c->set, i, false) + 1;
		r = change_range(c, (uint32_t)first, (uint32_t)(next - 1), true);
	}
	return r;
}

/* ---- the change ----------------------------------------------------------------------------------- */

static uint32_t find_set(const struct arena *a, const char *name)
{
	const struct shunt_gen *gen = arena_gen(a);
	const struct shunt_set_rec *rec = arena_at(a, gen->sets_at);

	for (uint32_t i = 0; i < gen->n_sets; i++)
		if ((rec[i].flags & 1) && !strcmp(rec[i].name, name))
			return i + 1;
	return 0;
}

/* The set's list in cells of its own, in a copy of the records. */
static int write_list(struct change *c)
{
	struct shunt_gen *gen = arena_gen(c->a);
	uint32_t at = arena_alloc(c->a, 2 * gen->n_sets);
	struct shunt_set_rec *rec = arena_at(c->a, at);

	if (!at)
		return -ENOSPC;
	memcpy(rec, arena_at(c->a, gen->sets_at), gen->n_sets * sizeof(*rec));
	arena_free(c->a, gen->sets_at, 2 * gen->n_sets);
	gen->sets_at = at;
	setstore_free(c->a, &rec[c->id - 1]);
	return setstore_write(c->a, &rec[c->id - 1], &c->set);
}

static int change_all(struct change *c, const struct prefixes *edit)
{
	struct shunt_gen *gen = arena_gen(c->a);
	uint32_t classes_at = gen->classes_at, n_classes = gen->n_classes;
	int r = classes_read(&c->classes, c->a);

	if (!r)
		r = write_list(c);
	for (size_t i = 0; i < edit->n4 && !r; i++)
		r = change_prefix(c, edit->v4[i]);
	if (!r)
		r = classes_write(&c->classes);
	if (!r)
		arena_free(c->a, classes_at, cells_for(n_classes * sizeof(__u32)));
	classes_release(&c->classes);
	return r;
}

static int change_with(struct change *c, const struct prefixes *edit, bool add)
{
	const struct shunt_set_rec *rec = arena_at(c->a, arena_gen(c->a)->sets_at);
	int r;

	if (edit->n6)
		return -ENOSPC;
	r = setstore_read(c->a, &rec[c->id - 1], &c->set);
	if (!r)
		r = edit_list(&c->set, edit, add);
	if (!r)
		r = arena_begin(c->a);
	if (!r) {
		r = change_all(c, edit);
		if (r)
			arena_abort(c->a);
		else
			arena_commit(c->a);
	}
	prefixes_clear(&c->set);
	return r;
}

int change_set(struct arena *a, const char *name, const struct shunt_prefix *v, size_t n,
	       bool add)
{
	_cleanup_free_ struct change *c = calloc(1, sizeof(*c));
	uint32_t id = name[0] ? find_set(a, name) : 0;
	struct prefixes edit;
	int r;

	if (!c)
		return -ENOMEM;
	if (!id)
		return -ENOENT;
	r = prefixes_make(&edit, v, n);
	if (r)
		return r;
	c->a = a;
	c->id = (uint16_t)id;
	r = change_with(c, &edit, add);
	prefixes_clear(&edit);
	return r;
}
