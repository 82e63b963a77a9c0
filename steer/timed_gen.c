// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which sets of a generation have timed prefixes: struct shunt_timed_ids. */
#include <errno.h>
#include <string.h>

#include "change.h"
#include "set_edit.h"
#include "timed.h"

static struct shunt_timed_ids *ids_of(const struct arena *a)
{
	uint32_t at = arena_gen(a)->timed_at;

	return at ? arena_at(a, at) : NULL;
}

uint8_t timed_place_of(const struct arena *a, uint16_t id)
{
	const struct shunt_timed_ids *ids = ids_of(a);

	for (uint8_t i = 0; ids && id && i < SHUNT_MAX_TIMED_SETS; i++)
		if (ids->id[i] == id)
			return (uint8_t)(i + 1);
	return 0;
}

/* One bit more in what is live is harmless. */
void timed_note_asked(struct arena *a, uint8_t place, int side)
{
	if (place)
		ids_of(a)->asked[side] |= 1U << (place - 1);
}

/* A copy, which is not live yet. */
static struct shunt_timed_ids *own_ids(struct arena *a)
{
	const struct shunt_timed_ids *old = ids_of(a);
	uint32_t at = arena_alloc(a, 1);

	if (!at)
		return NULL;
	if (old)
		memcpy(arena_at(a, at), old, sizeof(*old));
	arena_free(a, arena_gen(a)->timed_at, 1);
	arena_gen(a)->timed_at = at;
	return arena_at(a, at);
}

int timed_note_set(struct arena *a, uint16_t id, int place)
{
	struct shunt_timed_ids *ids = ids_of(a);

	if (!ids)
		ids = own_ids(a);
	if (!ids)
		return -ENOSPC;
	ids->id[place] = id;
	return 0;
}

int timed_forget_set(struct arena *a, uint16_t id)
{
	uint8_t place = timed_place_of(a, id);
	struct shunt_timed_ids *ids = place ? own_ids(a) : NULL;

	if (!place)
		return 0;
	if (!ids)
		return -ENOSPC;
	ids->id[place - 1] = 0;
	ids->asked[0] &= ~(1U << (place - 1));
	ids->asked[1] &= ~(1U << (place - 1));
	return 0;
}

/*
 * In what is live, too: the bit that the entry's place stands for is not set for any packet
 * before the generation knows the set's place.
 */
static void note_entries(struct arena *a, const struct shunt_rule2 *rule, uint16_t id,
			 uint8_t place)
{
	for (uint32_t k = 0; k < rule->n_entries; k++) {
		struct shunt_entry2 *e = arena_at(a, rule->entries_at + k);

		if (e->dst_set == id) {
			e->dst_timed = place;
			timed_note_asked(a, place, 0);
		}
		if (e->src_set == id) {
			e->src_timed = place;
			timed_note_asked(a, place, 1);
		}
	}
}

bool change_set_is_timed(const struct arena *a, const char *name, int place)
{
	uint16_t id = set_find_id(a, name);

	return id && timed_place_of(a, id) == place + 1;
}

int change_set_timed(struct arena *a, int ruleset_fd, const char *name, int place)
{
	uint16_t id = set_find_id(a, name);
	struct shunt_timed_ids *ids;
	int r;

	if (!id)
		return shunt_err(-ENOENT, "there is no set '%s'", name);
	if (change_set_is_timed(a, name, place))
		return 0;
	r = arena_begin(a, ruleset_fd);
	if (r)
		return r;
	ids = own_ids(a);
	if (!ids) {
		arena_abort(a);
		return -ENOSPC;
	}
	ids->id[place] = id;
	for (uint32_t i = 0; i < arena_gen(a)->n_rules; i++)
		note_entries(a, change_rule_at(a, i), id, (uint8_t)(place + 1));
	arena_commit(a);
	return 0;
}
