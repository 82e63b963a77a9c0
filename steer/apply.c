// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a rule file says becomes the state of an instance, in one step. */
#include "apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "generation.h"
#include "pin.h"
#include "rollback.h"
#include "set_timed.h"
#include "timed.h"

/* ---- sets that stay ----------------------------------------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names_list {
	const char **v; /* owned, sorted; the names are not */
	size_t n;
};

static bool has_name(const struct names_list *list, const char *name)
{
	return bsearch(&name, list->v, list->n, sizeof(*list->v), compare_strings);
}

static int names_of_sets(struct names_list *out, const struct shunt_sets *sets)
{
	out->v = calloc(sets->n + 1, sizeof(*out->v));
	if (!out->v)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < sets->n; i++)
		out->v[out->n++] = sets->v[i].name;
	qsort(out->v, out->n, sizeof(*out->v), compare_strings);
	return 0;
}

static int names_in_rules(struct names_list *out, const struct shunt_rules *rules)
{
	out->v = calloc(2 * rules->n + 1, sizeof(*out->v));
	if (!out->v)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < rules->n; i++) {
		if (rules->v[i].from.set[0])
			out->v[out->n++] = rules->v[i].from.set;
		if (rules->v[i].to.set[0])
			out->v[out->n++] = rules->v[i].to.set;
	}
	qsort(out->v, out->n, sizeof(*out->v), compare_strings);
	return 0;
}

/* A copy at the end of sets, which has room for it. */
static int copy_set(struct shunt_sets *sets, const struct shunt_set *set)
{
	struct shunt_set *copy = &sets->v[sets->n];

	*copy = (struct shunt_set){ .n = set->n };
	memcpy(copy->name, set->name, sizeof(copy->name));
	copy->v = malloc((set->n + 1) * sizeof(*set->v));
	if (!copy->v)
		return shunt_err(-ENOMEM, "out of memory");
	if (set->n)
		memcpy(copy->v, set->v, set->n * sizeof(*set->v));
	sets->n++;
	return 0;
}

/*
 * A file without sets is not about sets. One with sets says which there are; of the others those
 * stay that its rules name, which somebody else fills.
 */
static int keep_sets(struct shunt_config *config, const struct shunt_sets *old)
{
	struct names_list given = {}, used = {};
	bool all = !config->sets.n;
	struct shunt_set *grown;
	int r;

	grown = reallocarray(config->sets.v, config->sets.n + old->n + 1, sizeof(*grown));
	if (!grown)
		return shunt_err(-ENOMEM, "out of memory");
	config->sets.v = grown;
	r = names_of_sets(&given, &config->sets);
	if (!r)
		r = names_in_rules(&used, &config->rules);
	for (size_t i = 0; i < old->n && !r; i++)
		if (all || (!has_name(&given, old->v[i].name) && has_name(&used, old->v[i].name)))
			r = copy_set(&config->sets, &old->v[i]);
	free(given.v);
	free(used.v);
	return r;
}

/* ---- the change --------------------------------------------------------------------------------- */

/* A trial needs something to come back to. */
static int make_old(struct shunt *s)
{
	struct shunt_config none = {};
	struct arena old;
	int r = generation_open(&old, s);

	if (!r)
		arena_release(&old);
	return r == -ENOENT ? generation_replace(s, &none, NULL) : r;
}

static int put_in_force(struct shunt *s, const struct shunt_config *config,
			const struct shunt_apply *how, int lock,
			const struct set_timed_undo *timed)
{
	const struct generation_trial trial = { how->confirm, lock, timed };
	int r;

	if (!how->confirm)
		return generation_replace(s, config, NULL);
	r = make_old(s);
	return r ? r : generation_replace(s, config, &trial);
}

/*
 * What sets hold for a time is no part of the generation: it stays, as long as the set does. The
 * file's is added, and begins anew. It is there before the rules are, which ask for it at once;
 * if they cannot be put in force it is as before. Sets that have gone can come back only from a
 * trial.
 */
static int change(struct shunt *s, const struct shunt_config *config,
		  const struct shunt_apply *how, int lock)
{
	struct set_timed_undo undo;
	int r = rollback_check_none(s);

	if (r)
		return r;
	r = set_timed_put(s, &config->sets, &undo);
	if (!r)
		r = put_in_force(s, config, how, lock, &undo);
	if (r)
		set_timed_undo(s, &undo);
	free(undo.v);
	return r || how->confirm ? r : timed_purge(s);
}

int apply_locked(struct shunt *s, struct shunt_config *config, const struct shunt_apply *how,
		 struct shunt_config *before, int lock)
{
	struct shunt_config old;
	int r = generation_read_locked(s, &old);

	if (r)
		return r;
	if (before)
		r = timed_read(s, &old.sets);
	if (!r)
		r = keep_sets(config, &old.sets);
	for (size_t i = 0; i < config->sets.n && !r; i++)
		r = shunt_set_sort(&config->sets.v[i]);
	if (!r)
		r = set_timed_check_room(s, &config->sets);
	if (!r)
		r = how->dry_run ? generation_check(s, config) : change(s, config, how, lock);
	if (!r && before)
		*before = old;
	else
		shunt_config_clear(&old);
	return r;
}

int shunt_apply(struct shunt *s, struct shunt_config *config, const struct shunt_apply *how,
		struct shunt_config *before)
{
	_cleanup_close_ int lock = instance_lock(s);

	return lock < 0 ? lock : apply_locked(s, config, how, before, lock);
}

int shunt_confirm(struct shunt *s)
{
	_cleanup_close_ int lock = instance_lock(s);

	int r = lock < 0 ? lock : rollback_disarm(s);

	return r ? r : timed_purge(s);
}
