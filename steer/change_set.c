// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sets, and prefixes of sets, in and out of the live generation. */
#include <errno.h>
#include <string.h>

#include "change.h"
#include "set_edit.h"

/* ---- add and take -------------------------------------------------------------------------------- */

static int add_all(struct set_edit *e, uint16_t id, const char *name, const struct prefixes *edit)
{
	int r = id ? id : set_edit_make(e, name);

	if (r < 0)
		return r;
	return set_edit_change(e, (uint16_t)r, edit, true);
}

/* Publish what was edited, or give it up. */
static int end(struct set_edit *e, int r)
{
	if (!r)
		r = set_edit_end(e);
	set_edit_release(e);
	if (r)
		arena_abort(e->a);
	else
		arena_commit(e->a);
	return r;
}

int change_set_add(struct arena *a, int ruleset_fd, const struct shunt_set *set)
{
	uint16_t id = set_find_id(a, set->name);
	struct prefixes edit;
	struct set_edit e;
	int r;

	if (id && !set->n)
		return 0;
	r = prefixes_make(&edit, set->v, set->n);
	if (r)
		return r;
	r = arena_begin(a, ruleset_fd);
	if (!r) {
		set_edit_init(&e, a);
		r = end(&e, add_all(&e, id, set->name, &edit));
	}
	prefixes_clear(&edit);
	return r;
}

int change_set_holds(const struct arena *a, const char *name, const struct shunt_prefix *p)
{
	uint16_t id = set_find_id(a, name);
	bool v6 = !shunt_prefix_is_v4(p);
	struct prefixes one;
	int r = id ? prefixes_make(&one, p, 1) : 0;

	if (r || !id)
		return r;
	const struct prefix6 key = prefix_at(&one, 0, v6);

	r = setstore_has(a, set_record(a, id), v6, &key);
	prefixes_clear(&one);
	return r;
}

static int check_holds(const struct arena *a, const struct shunt_set *set)
{
	char text[SHUNT_PREFIX_STR];
	int r;

	for (size_t i = 0; i < set->n; i++) {
		r = change_set_holds(a, set->name, &set->v[i]);
		if (r < 0)
			return r;
		if (!r)
			return shunt_err(-ENOENT, "set '%s' does not hold %s", set->name,
					 shunt_prefix_str(text, &set->v[i]));
	}
	return 0;
}

int change_set_take(struct arena *a, int ruleset_fd, const struct shunt_set *set)
{
	uint16_t id = set_find_id(a, set->name);
	struct prefixes edit;
	struct set_edit e;
	int r;

	if (!id)
		return shunt_err(-ENOENT, "there is no set '%s'", set->name);
	r = check_holds(a, set);
	if (!r)
		r = prefixes_make(&edit, set->v, set->n);
	if (r)
		return r;
	r = arena_begin(a, ruleset_fd);
	if (!r) {
		set_edit_init(&e, a);
		r = end(&e, set_edit_change(&e, id, &edit, false));
	}
	prefixes_clear(&edit);
	return r;
}

/* ---- delete -------------------------------------------------------------------------------------- */

/* All entries of a rule name the same sets. */
static int check_unused(const struct arena *a, uint16_t id, const char *name)
{
	for (uint32_t i = 0; i < arena_gen(a)->n_rules; i++) {
		const struct shunt_rule2 *rule = change_rule_at(a, i);
		const struct shunt_entry2 *e = arena_at(a, rule->entries_at);

		if (!rule->n_entries)
			return -ENOSPC; /* it names sets in its source only */
		if (e->dst_set == id || e->src_set == id)
			return shunt_err(-EBUSY, "set '%s' is used by rule %u", name,
					 rule->priority);
	}
	return 0;
}

int change_set_del(struct arena *a, int ruleset_fd, const char *name)
{
	uint16_t id = set_find_id(a, name);
	struct set_edit e;
	int r;

	if (!id)
		return shunt_err(-ENOENT, "there is no set '%s'", name);
	r = check_unused(a, id, name);
	if (!r)
		r = arena_begin(a, ruleset_fd);
	if (r)
		return r;
	set_edit_init(&e, a);
	return end(&e, set_edit_drop(&e, id));
}
