// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rules in and out of the live generation. */
#include <errno.h>
#include <string.h>

#include "change.h"
#include "change_table.h"
#include "rule_write.h"

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

static int set_find(void *ctx, const char *name)
{
	const struct shunt_gen *gen = arena_gen(ctx);
	const struct shunt_set_rec *rec = arena_at(ctx, gen->sets_at);

	for (uint32_t i = 0; i < gen->n_sets; i++)
		if ((rec[i].flags & 1) && !strcmp(rec[i].name, name))
			return (int)i + 1;
	return -ENOSPC; /* whoever makes a new generation says so */
}

/* A new set changes the whole index: that is for a new generation. */
static int set_make(void *ctx, const struct shunt_prefix *v, size_t n)
{
	(void)ctx;
	(void)v;
	(void)n;
	return -ENOSPC;
}

static int write_rule(struct arena *a, const struct shunt_rule *rule, const struct names *names,
		      uint32_t *cell)
{
	struct rule_writer w = {
		.a = a, .names = names, .ctx = a, .set_find = set_find, .set_make = set_make,
	};
	struct table_change tables;
	int r = table_change_begin(&tables, a);

	if (!r)
		r = rule_write(&w, rule, cell);
	if (!r) {
		const struct shunt_rule2 *rec = arena_at(a, *cell);

		for (uint32_t i = 0; i < rec->n_entries && !r; i++)
			r = table_change_add(&tables, rec->entries_at + i);
	}
	if (!r)
		table_change_end(&tables);
	table_change_release(&tables);
	return r;
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

static bool is_unnamed(const struct arena *a, uint16_t set)
{
	const struct shunt_set_rec *rec = arena_at(a, arena_gen(a)->sets_at);

	return set && !rec[set - 1].name[0];
}

static int erase_rule(struct arena *a, uint32_t cell)
{
	const struct shunt_rule2 *rec = arena_at(a, cell);
	const struct shunt_entry2 *e = arena_at(a, rec->entries_at);
	struct table_change tables;
	int r = table_change_begin(&tables, a);

	if (rec->n_entries && (is_unnamed(a, e->dst_set) || is_unnamed(a, e->src_set)))
		r = r ? r : -ENOSPC;
	for (uint32_t i = 0; i < rec->n_entries && !r; i++)
		r = table_change_remove(&tables, rec->entries_at + i);
	if (!r) {
		table_change_end(&tables);
		arena_free(a, rec->entries_at, rec->n_entries);
		arena_free(a, rec->source_at, cells_for(rec->source_len));
		arena_free(a, cell, 1);
	}
	table_change_release(&tables);
	return r;
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
