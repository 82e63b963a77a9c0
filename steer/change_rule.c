// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rules in and out of the live generation. */
#include <errno.h>
#include <string.h>

#include "change.h"
#include "change_table.h"
#include "rule_write.h"
#include "set_edit.h"

static uint32_t *index_of(const struct arena *a)
{
	return arena_at(a, arena_head(a)->index_at[arena_gen(a)->side & 1]);
}

uint32_t change_rule_cell(const struct arena *a, uint32_t i)
{
	return index_of(a)[i];
}

const struct shunt_rule2 *change_rule_at(const struct arena *a, uint32_t i)
{
	return arena_at(a, change_rule_cell(a, i));
}

uint32_t change_find_rule(const struct arena *a, uint32_t priority)
{
	uint32_t lo = 0, hi = arena_gen(a)->n_rules, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (change_rule_at(a, mid)->priority < priority)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_rule(const struct arena *a, uint32_t i, uint32_t priority)
{
	return i < arena_gen(a)->n_rules && change_rule_at(a, i)->priority == priority;
}

/* ---- add ---------------------------------------------------------------------------------------- */

struct adding {
	struct arena *a;
	struct set_edit sets;
	bool failed; /* a set could not be made: the change must not go on without it */
};

static int set_find(void *ctx, const char *name)
{
	const struct adding *add = ctx;
	uint16_t id = set_find_id(add->a, name);

	return id ? id : -ENOSPC; /* whoever makes a new generation says so */
}

static int set_make(void *ctx, const struct shunt_prefix *v, size_t n)
{
	struct adding *add = ctx;
	struct prefixes p;
	int r = prefixes_make(&p, v, n), id;

	if (r)
		return r;
	id = set_edit_make(&add->sets, "");
	if (id > 0)
		r = set_edit_change(&add->sets, (uint16_t)id, &p, true);
	prefixes_clear(&p);
	add->failed |= id < 0 || r;
	return r ? r : id;
}

static int write_entries(struct arena *a, uint32_t cell)
{
	const struct shunt_rule2 *rec = arena_at(a, cell);
	struct table_change tables;
	int r = table_change_begin(&tables, a);

	for (uint32_t i = 0; i < rec->n_entries && !r; i++)
		r = table_change_add(&tables, rec->entries_at + i);
	if (!r)
		table_change_end(&tables);
	table_change_release(&tables);
	return r;
}

static int write_rule(struct arena *a, const struct shunt_rule *rule, const struct names *names,
		      uint32_t *cell)
{
	struct adding add = { .a = a };
	struct rule_writer w = {
		.a = a, .names = names, .ctx = &add, .set_find = set_find, .set_make = set_make,
	};
	int r;

	set_edit_init(&add.sets, a);
	r = rule_write(&w, rule, cell);
	if (!r && add.failed)
		r = -ENOSPC;
	if (!r)
		r = set_edit_end(&add.sets);
	set_edit_release(&add.sets);
	return r ? r : write_entries(a, *cell);
}

int change_rule_add(struct arena *a, int ruleset_fd, const struct shunt_rule *rule,
		    const struct names *names)
{
	uint32_t i = change_find_rule(a, rule->priority), cell, *index;
	int r;

	if (has_rule(a, i, rule->priority))
		return shunt_err(-EEXIST, "rule %u exists: delete it first, or choose another priority",
				 rule->priority);
	if (arena_gen(a)->n_rules == arena_head(a)->index_max)
		return -ENOSPC;
	r = arena_begin(a, ruleset_fd);
	if (r)
		return r;
	r = write_rule(a, rule, names, &cell);
	if (r) {
		arena_abort(a);
		return r;
	}
	index = index_of(a);
	memmove(index + i + 1, index + i, (arena_gen(a)->n_rules++ - i) * sizeof(*index));
	index[i] = cell;
	arena_commit(a);
	return 0;
}

/* ---- delete -------------------------------------------------------------------------------------- */

static int drop_unnamed(struct set_edit *e, uint16_t id)
{
	if (!id || set_record(e->a, id)->name[0])
		return 0;
	return set_edit_drop(e, id);
}

/* The sets that were made of the rule's own lists. */
static int erase_sets(struct arena *a, const struct shunt_rule2 *rec)
{
	const struct shunt_entry2 *e = arena_at(a, rec->entries_at);
	struct set_edit sets;
	int r;

	if (!rec->n_entries)
		return 0;
	set_edit_init(&sets, a);
	r = drop_unnamed(&sets, e->dst_set);
	if (!r)
		r = drop_unnamed(&sets, e->src_set);
	if (!r)
		r = set_edit_end(&sets);
	set_edit_release(&sets);
	return r;
}

static int erase_entries(struct arena *a, const struct shunt_rule2 *rec)
{
	struct table_change tables;
	int r = table_change_begin(&tables, a);

	for (uint32_t i = 0; i < rec->n_entries && !r; i++)
		r = table_change_remove(&tables, rec->entries_at + i);
	if (!r)
		table_change_end(&tables);
	table_change_release(&tables);
	return r;
}

static int erase_rule(struct arena *a, uint32_t cell)
{
	const struct shunt_rule2 *rec = arena_at(a, cell);
	int r = erase_entries(a, rec);

	if (!r)
		r = erase_sets(a, rec);
	if (r)
		return r;
	arena_free(a, rec->entries_at, rec->n_entries);
	arena_free(a, rec->source_at, cells_for(rec->source_len));
	arena_free(a, cell, 1);
	return 0;
}

int change_rule_del(struct arena *a, int ruleset_fd, uint32_t priority)
{
	uint32_t i = change_find_rule(a, priority), *index;
	int r;

	if (!has_rule(a, i, priority))
		return shunt_err(-ENOENT, "there is no rule %u", priority);
	r = arena_begin(a, ruleset_fd);
	if (r)
		return r;
	index = index_of(a);
	r = erase_rule(a, index[i]);
	if (r) {
		arena_abort(a);
		return r;
	}
	memmove(index + i, index + i + 1, (--arena_gen(a)->n_rules - i) * sizeof(*index));
	arena_commit(a);
	return 0;
}
