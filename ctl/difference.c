// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "difference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum { SHOWN = 50 }; /* prefixes of a set that go, and as many that come, in text */

/* What changes, collected before it is printed. */
struct difference {
	struct json_object *added, *removed; /* arrays of rules as text */
	struct json_object *sets;	     /* array of objects */
};

static int no_memory(void)
{
	return shunt_err(-ENOMEM, "out of memory");
}

/* ---- rules ---------------------------------------------------------------------------------- */

static int add_text(struct json_object *array, const struct shunt_rule *rule)
{
	char *text = shunt_rule_format(rule);

	if (!text)
		return no_memory();
	json_object_array_add(array, json_object_new_string(text));
	free(text);
	return 0;
}

/* Both lists are ordered by priority. */
static int compare_rules(struct difference *d, const struct shunt_rules *old,
			 const struct shunt_rules *new)
{
	size_t o = 0, n = 0;
	int r = 0;

	while (!r && (o < old->n || n < new->n)) {
		const struct shunt_rule *a = o < old->n ? &old->v[o] : NULL;
		const struct shunt_rule *b = n < new->n ? &new->v[n] : NULL;

		if (a && b && shunt_rule_equal(a, b)) {
			o++;
			n++;
		} else if (a && (!b || a->priority <= b->priority)) {
			r = add_text(d->removed, a);
			o++;
		} else {
			r = add_text(d->added, b);
			n++;
		}
	}
	return r;
}

/* ---- sets ----------------------------------------------------------------------------------- */

static int compare_prefixes(const struct shunt_prefix *a, const struct shunt_prefix *b)
{
	bool v4 = shunt_prefix_is_v4(a);
	int r;

	if (v4 != shunt_prefix_is_v4(b))
		return v4 ? -1 : 1;
	r = memcmp(&a->addr, &b->addr, sizeof(a->addr));
	return r ? r : a->len - b->len;
}

static void add_prefix(struct json_object *array, const struct shunt_prefix *p)
{
	char text[SHUNT_PREFIX_STR];

	json_object_array_add(array, json_object_new_string(shunt_prefix_str(text, p)));
}

static int compare_timed(const void *a, const void *b)
{
	return compare_prefixes(&((const struct shunt_timed *)a)->prefix,
				&((const struct shunt_timed *)b)->prefix);
}

/* What the set holds for a time already begins anew, which is no difference. */
static bool holds_timed(const struct shunt_set *set, const struct shunt_timed *t)
{
	return set && set->n_timed &&
	       bsearch(t, set->timed, set->n_timed, sizeof(*t), compare_timed);
}

static void add_timed(struct json_object *array, const struct shunt_timed *t)
{
	char text[SHUNT_PREFIX_STR], time[SHUNT_TIME_STR];
	char both[SHUNT_PREFIX_STR + SHUNT_TIME_STR + 16];

	snprintf(both, sizeof(both), "%s timeout %s", shunt_prefix_str(text, &t->prefix),
		 shunt_time_str(time, t->left));
	json_object_array_add(array, json_object_new_string(both));
}

/* Either may be NULL: the set comes, or goes. */
static void compare_set(struct difference *d, const struct shunt_set *old,
			const struct shunt_set *new)
{
	struct json_object *o, *added = json_object_new_array(),
			   *removed = json_object_new_array();
	size_t i = 0, k = 0, n_old = old ? old->n : 0, n_new = new ? new->n : 0;
	int order;

	while (i < n_old || k < n_new) {
		order = i == n_old ? 1 : k == n_new ? -1 : compare_prefixes(&old->v[i], &new->v[k]);
		if (order < 0)
			add_prefix(removed, &old->v[i]);
		else if (order > 0)
			add_prefix(added, &new->v[k]);
		i += order <= 0;
		k += order >= 0;
	}
	for (i = 0; new && i < new->n_timed; i++)
		if (!holds_timed(old, &new->timed[i]))
			add_timed(added, &new->timed[i]);
	if (old && new && !json_object_array_length(added) && !json_object_array_length(removed)) {
		json_object_put(added);
		json_object_put(removed);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string(new ? new->name : old->name));
	json_object_object_add(o, "change", json_object_new_string(!old ? "added" :
								   !new ? "removed" : "changed"));
	json_object_object_add(o, "prefixes", json_object_new_int64((int64_t)n_new));
	json_object_object_add(o, "removed", removed);
	json_object_object_add(o, "added", added);
	json_object_array_add(d->sets, o);
}

static int by_name(const void *a, const void *b)
{
	const struct shunt_set *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static const struct shunt_set **sorted(const struct shunt_sets *sets)
{
	const struct shunt_set **v = calloc(sets->n + 1, sizeof(*v));

	for (size_t i = 0; v && i < sets->n; i++)
		v[i] = &sets->v[i];
	if (v)
		qsort(v, sets->n, sizeof(*v), by_name);
	return v;
}

static int compare_sets(struct difference *d, const struct shunt_sets *old,
			const struct shunt_sets *new)
{
	const struct shunt_set **a = sorted(old), **b = sorted(new);
	size_t i = 0, k = 0;
	int order, r = a && b ? 0 : no_memory();

	while (!r && (i < old->n || k < new->n)) {
		order = i == old->n ? 1 : k == new->n ? -1 : by_name(&a[i], &b[k]);
		compare_set(d, order <= 0 ? a[i] : NULL, order >= 0 ? b[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	free(a);
	free(b);
	return r;
}

/* ---- print ---------------------------------------------------------------------------------- */

static const char *string_at(struct json_object *array, size_t i)
{
	return json_object_get_string(json_object_array_get_idx(array, i));
}

static void print_prefixes(char sign, const char *name, struct json_object *array)
{
	size_t n = json_object_array_length(array), shown = n <= SHOWN ? n : SHOWN;

	for (size_t i = 0; i < shown; i++)
		printf("%c set %s %s\n", sign, name, string_at(array, i));
	if (shown < n)
		printf("%c set %s and %zu more\n", sign, name, n - shown);
}

static void print_set(struct json_object *set)
{
	const char *name = json_object_get_string(json_object_object_get(set, "name"));
	const char *change = json_object_get_string(json_object_object_get(set, "change"));
	struct json_object *removed = json_object_object_get(set, "removed"),
			   *added = json_object_object_get(set, "added");

	/* A set without prefixes comes and goes, too. */
	if (!json_object_array_length(removed) && !json_object_array_length(added))
		printf("%c set %s\n", change[0] == 'a' ? '+' : '-', name);
	print_prefixes('-', name, removed);
	print_prefixes('+', name, added);
}

static void print_text(const struct difference *d)
{
	size_t sets = json_object_array_length(d->sets),
	       removed = json_object_array_length(d->removed),
	       added = json_object_array_length(d->added);

	for (size_t i = 0; i < sets; i++)
		print_set(json_object_array_get_idx(d->sets, i));
	for (size_t i = 0; i < removed; i++)
		printf("- %s\n", string_at(d->removed, i));
	for (size_t i = 0; i < added; i++)
		printf("+ %s\n", string_at(d->added, i));
	if (!sets && !removed && !added)
		puts("no difference");
}

int print_difference(const struct shunt_config *before, const struct shunt_config *after,
		     bool json)
{
	struct difference d = { json_object_new_array(), json_object_new_array(),
				json_object_new_array() };
	struct json_object *o;
	int r = compare_rules(&d, &before->rules, &after->rules);

	if (!r)
		r = compare_sets(&d, &before->sets, &after->sets);
	if (!r && json) {
		o = json_object_new_object();
		json_object_object_add(o, "removed", json_object_get(d.removed));
		json_object_object_add(o, "added", json_object_get(d.added));
		json_object_object_add(o, "sets", json_object_get(d.sets));
		print_json(o);
	} else if (!r) {
		print_text(&d);
	}
	json_object_put(d.added);
	json_object_put(d.removed);
	json_object_put(d.sets);
	return r;
}
