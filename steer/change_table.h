/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entries in and out of the hash tables of a live generation, between arena_begin() and
 * arena_commit(). A table that changes gets new buckets, the first time in a change.
 */
#ifndef SHUNT_STEER_CHANGE_TABLE_H
#define SHUNT_STEER_CHANGE_TABLE_H

#include "table.h"

struct table_change {
	struct arena *a;
	struct shunt_table *tables[2]; /* of both families, as they become */
	uint64_t owned[2];	       /* by id: tables whose buckets are of this change */
	uint64_t stale[2];	       /* by id: tables of which the best has gone */
	struct chain chain;	       /* owned */
};

/* All return 0 or -errno; -ENOSPC: there is no room, or no table for it. */
int table_change_begin(struct table_change *c, struct arena *a);
int table_change_add(struct table_change *c, uint32_t entry);
int table_change_remove(struct table_change *c, uint32_t entry);
/* Put the tables in order; nothing is published. */
void table_change_end(struct table_change *c);
void table_change_release(struct table_change *c);

#endif
