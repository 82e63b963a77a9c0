// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The sets of an instance. Prefixes, and small sets, are put in and out of the generation in force
 * where that can be done; else all is read, changed, and put in force as a new generation. Changes
 * are made under the lock.
 */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "generation.h"
#include "name.h"
#include "pin.h"
#include "set_timed.h"
#include "setstore.h"
#include "timed.h"

void shunt_set_clear(struct shunt_set *set)
{
	free(set->v);
	free(set->timed);
	*set = (struct shunt_set){};
}

void shunt_sets_clear(struct shunt_sets *sets)
{
	for (size_t i = 0; i < sets->n; i++)
		shunt_set_clear(&sets->v[i]);
	free(sets->v);
	*sets = (struct shunt_sets){};
}

int shunt_set_sort(struct shunt_set *set)
{
	struct shunt_prefix *sorted;
	struct prefixes p;
	size_t n;
	int r = prefixes_make(&p, set->v, set->n);

	if (r)
		return shunt_err(r, "out of memory");
	r = prefixes_list(&p, &sorted, &n);
	prefixes_clear(&p);
	if (r)
		return shunt_err(r, "out of memory");
	free(set->v);
	set->v = sorted;
	set->n = n;
	return 0;
}

void shunt_config_clear(struct shunt_config *config)
{
	shunt_rules_clear(&config->rules);
	shunt_sets_clear(&config->sets);
}

static int read_all(struct shunt *s, enum generation_part parts, struct shunt_config *out)
{
	int r = generation_read(s, parts, out);

	if (!r)
		r = timed_read(s, &out->sets);
	if (r)
		shunt_config_clear(out);
	return r;
}

int shunt_config_read(struct shunt *s, struct shunt_config *out)
{
	return read_all(s, GENERATION_ALL, out);
}

int shunt_config_apply(struct shunt *s, const struct shunt_config *config)
{
	_cleanup_close_ int lock = instance_lock(s);

	return lock < 0 ? lock : generation_replace(s, config, NULL);
}

int shunt_sets_read(struct shunt *s, struct shunt_sets *out)
{
	struct shunt_config config;
	int r = read_all(s, GENERATION_SETS, &config);

	if (!r)
		*out = config.sets;
	return r;
}

/* ---- changes ---------------------------------------------------------------------------------- */

static struct shunt_set *find_set(struct shunt_sets *sets, const char *name)
{
	for (size_t i = 0; i < sets->n; i++)
		if (!strcmp(sets->v[i].name, name))
			return &sets->v[i];
	return NULL;
}

static int find_or_fail(struct shunt_set **out, struct shunt_config *config, const char *name)
{
	struct shunt_set *set = find_set(&config->sets, name);

	if (!set)
		return shunt_err(-ENOENT, "there is no set '%s'", name);
	*out = set;
	return 0;
}

static int make_set(struct shunt_set **out, struct shunt_sets *sets, const char *name)
{
	struct shunt_set *grown;

	*out = find_set(sets, name);
	if (*out)
		return 0;
	grown = realloc(sets->v, (sets->n + 1) * sizeof(*grown));
	if (!grown)
		return shunt_err(-ENOMEM, "out of memory");
	sets->v = grown;
	grown[sets->n] = (struct shunt_set){};
	memcpy(grown[sets->n].name, name, strlen(name));
	*out = &grown[sets->n++];
	return 0;
}

static int append_all(struct shunt_set *set, const struct shunt_set *from)
{
	struct shunt_prefix *grown = realloc(set->v, (set->n + from->n + 1) * sizeof(*grown));

	if (!grown)
		return shunt_err(-ENOMEM, "out of memory");
	set->v = grown;
	if (from->n)
		memcpy(grown + set->n, from->v, from->n * sizeof(*grown));
	set->n += from->n;
	return 0;
}

static int change_add(struct shunt_config *config, const struct shunt_set *prefixes)
{
	struct shunt_set *set = NULL;
	int r = make_set(&set, &config->sets, prefixes->name);

	return r ? r : append_all(set, prefixes);
}

static int change_load(struct shunt_config *config, const struct shunt_set *prefixes)
{
	struct shunt_set *set = NULL;
	int r = make_set(&set, &config->sets, prefixes->name);

	if (r)
		return r;
	set->n = 0;
	return append_all(set, prefixes);
}

static int compare_prefixes(const void *a, const void *b)
{
	const struct shunt_prefix *x = a, *y = b;
	int r = memcmp(&x->addr, &y->addr, sizeof(x->addr));

	return r ? r : x->len - y->len;
}

static int change_take(struct shunt_config *config, const struct shunt_set *prefixes)
{
	_cleanup_free_ bool *gone = NULL;
	struct shunt_prefix *found;
	char text[SHUNT_PREFIX_STR];
	struct shunt_set *set = NULL;
	size_t kept = 0;
	int r = find_or_fail(&set, config, prefixes->name);

	if (r)
		return r;
	gone = calloc(set->n + 1, sizeof(*gone));
	if (!gone)
		return shunt_err(-ENOMEM, "out of memory");
	qsort(set->v, set->n, sizeof(*set->v), compare_prefixes);
	for (size_t i = 0; i < prefixes->n; i++) {
		found = bsearch(&prefixes->v[i], set->v, set->n, sizeof(*set->v),
				compare_prefixes);
		if (!found)
			return shunt_err(-ENOENT, "set '%s' does not hold %s", set->name,
					 shunt_prefix_str(text, &prefixes->v[i]));
		gone[found - set->v] = true;
	}
	for (size_t i = 0; i < set->n; i++)
		if (!gone[i])
			set->v[kept++] = set->v[i];
	set->n = kept;
	return 0;
}

static int change_del(struct shunt_config *config, const struct shunt_set *named)
{
	const struct shunt_rules *rules = &config->rules;
	struct shunt_sets *sets = &config->sets;
	struct shunt_set *set = NULL;
	int r = find_or_fail(&set, config, named->name);

	if (r)
		return r;
	for (size_t i = 0; i < rules->n; i++)
		if (!strcmp(rules->v[i].from.set, named->name) ||
		    !strcmp(rules->v[i].to.set, named->name))
			return shunt_err(-EBUSY, "set '%s' is used by rule %u", named->name,
					 rules->v[i].priority);
	shunt_set_clear(set);
	*set = sets->v[--sets->n];
	return 0;
}

/* inside: as far as it can be done in the generation in force. NULL: it cannot. */
struct way {
	int (*inside)(struct shunt *s, const struct shunt_set *arg);
	int (*anew)(struct shunt_config *config, const struct shunt_set *arg);
};

static int change_anew(struct shunt *s, const struct shunt_set *arg, const struct way *way)
{
	struct shunt_config config = {};
	int r = generation_read_locked(s, &config);

	if (!r)
		r = way->anew(&config, arg);
	if (!r)
		r = generation_replace(s, &config, NULL);
	shunt_config_clear(&config);
	return r;
}

static int change_locked(struct shunt *s, const struct shunt_set *arg, const struct way *way)
{
	int r = way->inside ? way->inside(s, arg) : -ENOSPC;

	return r == -ENOSPC ? change_anew(s, arg, way) : r;
}

/* The lock, for a change of the set of that name. */
static int lock_for(struct shunt *s, const char *name)
{
	_cleanup_close_ int lock = instance_lock(s);

	if (lock >= 0 && !name_is_valid(name))
		return shunt_err(-EINVAL, "set '%s': " NAME_RULE, name);
	return take_fd(&lock);
}

int shunt_set_add(struct shunt *s, const struct shunt_set *prefixes)
{
	_cleanup_close_ int lock = lock_for(s, prefixes->name);
	int r = lock < 0 ? lock : set_timed_check(s, prefixes);

	if (!r)
		r = change_locked(s, prefixes, &(struct way){ generation_add_prefixes, change_add });
	if (!r)
		r = set_timed_drop(s, prefixes);
	return r ? r : set_timed_add(s, prefixes);
}

int shunt_set_load(struct shunt *s, const struct shunt_set *prefixes)
{
	_cleanup_close_ int lock = lock_for(s, prefixes->name);
	int r = lock < 0 ? lock : set_timed_check_load(s, prefixes);

	if (!r)
		r = change_locked(s, prefixes, &(struct way){ NULL, change_load });
	return r ? r : set_timed_load(s, prefixes);
}

int shunt_set_take(struct shunt *s, const struct shunt_set *prefixes)
{
	_cleanup_close_ int lock = lock_for(s, prefixes->name);
	struct shunt_set lasting = {};
	int r = lock < 0 ? lock : set_timed_split(s, prefixes, &lasting);

	if (!r && (lasting.n || !prefixes->n))
		r = change_locked(s, &lasting,
				  &(struct way){ generation_take_prefixes, change_take });
	shunt_set_clear(&lasting);
	return r ? r : set_timed_drop(s, prefixes);
}

int shunt_set_del(struct shunt *s, const char *name)
{
	_cleanup_close_ int lock = lock_for(s, name);
	struct shunt_set named = {};
	int r = lock < 0 ? lock : 0;

	if (r)
		return r;
	memcpy(named.name, name, strlen(name));
	r = change_locked(s, &named, &(struct way){ generation_del_set, change_del });
	return r ? r : timed_purge(s);
}
