// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "set_timed.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "cleanup.h"
#include "generation.h"
#include "name.h"
#include "timed.h"

/* A generation in which the set has its place. */
static int prepare_anew(struct shunt *s)
{
	struct shunt_config config = {};
	int r = generation_read_locked(s, &config);

	if (!r)
		r = generation_replace(s, &config, NULL);
	shunt_config_clear(&config);
	return r;
}

int set_timed_prepare(struct shunt *s, const char *name)
{
	bool is_new = timed_find(s, name) == -ENOENT;
	int place = timed_take(s, name), r;

	if (place < 0)
		return place;
	r = generation_time_set(s, name, place);
	if (r == -ENOSPC)
		r = prepare_anew(s);
	if (r && is_new)
		timed_release(s, place);
	return r ? r : place;
}

static int no_room(const struct shunt_prefix *p)
{
	char text[SHUNT_PREFIX_STR];

	return shunt_err(-E2BIG, "no room for %s: all sets together hold at most %d prefixes with a "
			 "timeout: delete some with 'shuntctl set del', or use shorter timeouts",
			 shunt_prefix_str(text, p), SHUNT_MAX_TIMED);
}

static int put(struct shunt *s, int place, const struct shunt_prefix *p, uint64_t until)
{
	int r = timed_use_length(s, place, p);

	if (!r)
		r = timed_put(s, place, p, until);
	if (r != -E2BIG)
		return r;
	r = timed_collect(s);
	if (!r)
		r = timed_put(s, place, p, until);
	return r == -E2BIG ? no_room(p) : r;
}

int set_timed_add(struct shunt *s, const struct shunt_set *set)
{
	int place = set->n_timed ? set_timed_prepare(s, set->name) : 0;
	uint64_t now = timed_now();
	int r = place < 0 ? place : 0;

	for (size_t i = 0; i < set->n_timed && !r; i++)
		r = put(s, place, &set->timed[i].prefix, now + set->timed[i].left);
	return r;
}

/* ---- all sets of a file, or none ---------------------------------------------------------------- */

static int check_places(struct shunt *s, const struct shunt_sets *sets)
{
	int left = 0, r = timed_names_read(s);

	for (int i = 0; i < SHUNT_MAX_TIMED_SETS; i++)
		left += !s->timed_names[i][0];
	for (size_t i = 0; i < sets->n && !r; i++)
		if (sets->v[i].n_timed && timed_name_place(s, sets->v[i].name) < 0 && !left--)
			r = timed_no_place(sets->v[i].name);
	return r;
}

static int check_count(size_t there, size_t come)
{
	if (there + come <= SHUNT_MAX_TIMED)
		return 0;
	return shunt_err(-E2BIG, "no room for %zu more %s with a timeout: there are %zu, and all "
			 "sets together hold at most %d: delete some with 'shuntctl set del', or "
			 "use shorter timeouts", come, shunt_plural(come, "prefix", "prefixes"),
			 there, SHUNT_MAX_TIMED);
}

/* Those that are not there yet. */
static size_t count_new(struct shunt *s, const struct shunt_set *set)
{
	int place = timed_name_place(s, set->name);
	size_t n = 0;

	for (size_t i = 0; i < set->n_timed; i++)
		n += place < 0 || !timed_holds(s, place, &set->timed[i].prefix);
	return n;
}

int set_timed_check_room(struct shunt *s, const struct shunt_sets *sets)
{
	size_t there, come = 0;
	int r = check_places(s, sets);

	for (size_t i = 0; i < sets->n && !r; i++)
		come += count_new(s, &sets->v[i]);
	if (r || !come)
		return r;
	r = timed_count(s, -1, &there);
	return r ? r : check_count(there, come);
}

static int put_set(struct shunt *s, const struct shunt_set *set, struct set_timed_undo *undo)
{
	bool is_new = timed_find(s, set->name) == -ENOENT;
	int place = timed_take(s, set->name), r = place < 0 ? place : 0;
	uint64_t now = timed_now();

	if (!r && is_new)
		undo->taken |= 1U << place;
	for (size_t i = 0; i < set->n_timed && !r; i++) {
		const struct shunt_prefix *p = &set->timed[i].prefix;
		uint64_t until = now + set->timed[i].left;

		undo->v[undo->n++] = (struct set_timed_was){
			*p, place, timed_until(s, place, p), until,
		};
		r = put(s, place, p, until);
	}
	return r;
}

int set_timed_put(struct shunt *s, const struct shunt_sets *sets, struct set_timed_undo *undo)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < sets->n; i++)
		n += sets->v[i].n_timed;
	*undo = (struct set_timed_undo){ .v = calloc(n + 1, sizeof(*undo->v)) };
	if (!undo->v)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < sets->n && !r; i++)
		if (sets->v[i].n_timed)
			r = put_set(s, &sets->v[i], undo);
	return r;
}

static void put_back(struct shunt *s, const struct set_timed_was *was)
{
	if (was->until)
		timed_put(s, was->place, &was->prefix, was->until);
	else
		timed_drop(s, was->place, &was->prefix);
}

void set_timed_undo(struct shunt *s, const struct set_timed_undo *undo)
{
	for (size_t i = undo->n; i-- > 0;)
		put_back(s, &undo->v[i]);
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS; i++)
		if (undo->taken >> i & 1)
			timed_release(s, i);
}

/* A place that the trial took for a set that stays: for others, if they have put something there. */
static void keep_place(struct shunt *s, int place)
{
	char name[SHUNT_NAME_LEN];
	size_t all, others;

	if (timed_names_read(s) || !s->timed_names[place][0] || timed_count(s, -1, &all) ||
	    timed_count(s, place, &others))
		return;
	memcpy(name, s->timed_names[place], sizeof(name));
	if (all == others)
		timed_release(s, place);
	else
		set_timed_prepare(s, name);
}

void set_timed_take_back(struct shunt *s, const struct set_timed_undo *undo)
{
	for (size_t i = 0; i < undo->n; i++) {
		const struct set_timed_was *was = &undo->v[i];

		if (timed_until(s, was->place, &was->prefix) == was->put)
			put_back(s, was);
	}
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS; i++)
		if (undo->taken >> i & 1)
			keep_place(s, i);
}

/* ---- parts of changes of a set ------------------------------------------------------------------ */

int set_timed_check(struct shunt *s, const struct shunt_set *set)
{
	char text[SHUNT_PREFIX_STR];
	struct arena a;
	int r = set->n_timed ? generation_open(&a, s) : -ENOENT;

	if (r)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < set->n_timed && !r; i++) {
		r = change_set_holds(&a, set->name, &set->timed[i].prefix);
		if (r > 0)
			r = shunt_err(-EEXIST, "set '%s' holds %s for good: delete it first, so that "
				      "it can be added with a timeout", set->name,
				      shunt_prefix_str(text, &set->timed[i].prefix));
	}
	arena_release(&a);
	return r;
}

int set_timed_drop(struct shunt *s, const struct shunt_set *set)
{
	int place = timed_find(s, set->name);

	if (place < 0)
		return place == -ENOENT ? 0 : place;
	for (size_t i = 0; i < set->n; i++)
		timed_drop(s, place, &set->v[i]);
	return 0;
}

int set_timed_check_load(struct shunt *s, const struct shunt_set *set)
{
	struct shunt_set copy = *set;
	const struct shunt_sets sets = { .v = &copy, .n = 1 };
	size_t others;
	int r = set->n_timed ? check_places(s, &sets) : 0;

	if (r || !set->n_timed)
		return r;
	r = timed_count(s, timed_name_place(s, set->name), &others);
	return r ? r : check_count(others, set->n_timed);
}

static int drop_others(struct shunt *s, const struct shunt_set *set)
{
	int place = timed_find(s, set->name);

	if (place < 0)
		return place == -ENOENT ? 0 : place;
	return timed_drop_others(s, place, set);
}

/* No address leaves the set that is in it before and after, unless there is no room for both. */
int set_timed_load(struct shunt *s, const struct shunt_set *set)
{
	size_t there = 0;
	int r = timed_names_read(s);

	if (!r && set->n_timed)
		r = timed_count(s, -1, &there);
	if (!r && there + count_new(s, set) > SHUNT_MAX_TIMED)
		r = drop_others(s, set);
	if (!r)
		r = set_timed_add(s, set);
	return r ? r : drop_others(s, set);
}

/* Those that it holds for good into lasting->v, which has room; the others it must hold, too. */
static int split(struct shunt *s, int place, const struct arena *a, const struct shunt_set *set,
		 struct shunt_set *lasting)
{
	char text[SHUNT_PREFIX_STR];
	int r = 0;

	for (size_t i = 0; i < set->n && r >= 0; i++) {
		r = change_set_holds(a, set->name, &set->v[i]);
		if (r > 0)
			lasting->v[lasting->n++] = set->v[i];
		else if (!r && !timed_holds(s, place, &set->v[i]))
			r = shunt_err(-ENOENT, "set '%s' does not hold %s", set->name,
				      shunt_prefix_str(text, &set->v[i]));
	}
	return r < 0 ? r : 0;
}

int set_timed_split(struct shunt *s, const struct shunt_set *set, struct shunt_set *lasting)
{
	int place = timed_find(s, set->name), r;
	struct arena a;

	memcpy(lasting->name, set->name, sizeof(lasting->name));
	lasting->v = calloc(set->n + 1, sizeof(*lasting->v));
	if (!lasting->v)
		return shunt_err(-ENOMEM, "out of memory");
	r = place < 0 ? place : generation_open(&a, s);
	if (r == -ENOENT) {
		memcpy(lasting->v, set->v, set->n * sizeof(*set->v));
		lasting->n = set->n;
		return 0;
	}
	if (r)
		return r;
	r = split(s, place, &a, set, lasting);
	arena_release(&a);
	return r;
}

/* ---- learning --------------------------------------------------------------------------------- */

/* Then nothing is to be changed, and nobody to be waited for. */
static bool is_prepared(struct shunt *s, const char *set)
{
	int place = timed_find(s, set);
	struct arena a;
	bool is;

	if (place < 0 || generation_open(&a, s))
		return false;
	is = change_set_is_timed(&a, set, place);
	arena_release(&a);
	return is;
}

int shunt_set_prepare(struct shunt *s, const char *set)
{
	_cleanup_close_ int lock = -1;
	struct shunt_set empty = {};
	int r;

	if (!name_is_valid(set))
		return shunt_err(-EINVAL, "set '%s': " NAME_RULE, set);
	if (is_prepared(s, set))
		return 0;
	memcpy(empty.name, set, strlen(set));
	r = shunt_set_add(s, &empty);
	if (r)
		return r;
	lock = instance_lock(s);
	r = lock < 0 ? lock : set_timed_prepare(s, set);
	return r < 0 ? r : 0;
}

/*
 * Does the generation in force know the place? It does not while a trial waits that has no such
 * set. A generation that did is asked again only when another has come: what leaves one that
 * stays loses its name.
 */
static bool is_known(struct shunt *s, const char *set, int place)
{
	__u32 zero = 0, id, after;
	struct arena a;
	bool is;

	if (bpf_map_lookup_elem(s->map.ruleset, &zero, &id))
		return false;
	if (id == s->timed_ruleset && s->timed_known >> place & 1)
		return true;
	if (generation_open(&a, s))
		return false;
	is = change_set_is_timed(&a, set, place);
	arena_release(&a);
	if (id != s->timed_ruleset)
		s->timed_known = 0;
	s->timed_ruleset = id;
	if (is && !bpf_map_lookup_elem(s->map.ruleset, &zero, &after) && after == id)
		s->timed_known |= 1U << place;
	return is;
}

int shunt_set_learn(struct shunt *s, const char *set, const struct in6_addr *addr, uint64_t ns)
{
	const struct shunt_prefix p = { .addr = *addr, .len = 128 };
	int place = timed_name_place(s, set), r;

	if (place < 0 || !timed_is_named(s, place, set))
		place = timed_find(s, set);
	if (place < 0)
		return place;
	if (!is_known(s, set, place))
		return -ENOENT;
	r = timed_put(s, place, &p, timed_now() + ns);
	return r == -E2BIG ? no_room(&p) : r;
}
