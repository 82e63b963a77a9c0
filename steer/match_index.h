/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which of many matches hold a point: a tree of hash tables, a level for each dimension, one for
 * the interface and one for the cgroup. A match stands at the prefixes that its spans have in
 * common, so what is found is more than what holds the point: each is then asked itself. Private
 * to libshunt.
 */
#ifndef SHUNT_STEER_MATCH_INDEX_H
#define SHUNT_STEER_MATCH_INDEX_H

#include "match.h"

enum { INDEX_LEVELS = DIM_MAX + 2 };

struct match_index {
	const struct match *matches; /* of the caller */
	bool levels_off[DIM_MAX];    /* the caller's: do not look at this dimension */
	struct index_node *nodes;    /* owned; the first two are the roots of the families */
	size_t n_nodes, nodes_room;
	struct index_child *children; /* owned: a hash table */
	size_t n_children, n_slots;
	struct index_entry *entries; /* owned: lists of matches */
	size_t n_entries, entries_room;
};

/* -ENOMEM with a message. */
int match_index_init(struct match_index *index, const struct match *matches);
void match_index_clear(struct match_index *index);
int match_index_add(struct match_index *index, uint32_t match);

/* True: enough. */
typedef bool (*match_index_fn)(void *arg, uint32_t match);
/* Give fn each match that may hold the point, some perhaps twice, in no order. */
bool match_index_find(const struct match_index *index, const struct point *p, match_index_fn fn,
		      void *arg);

#endif
