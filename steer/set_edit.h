/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets in a change of the live generation, between arena_begin() and arena_commit(): their lists
 * of prefixes and the set index, of which only the parts that the prefixes are in are made anew.
 *
 * Functions return 0 or -errno, without a message but for -E2BIG: -ENOSPC if there is no room or
 * it is so much that a new generation is better, -ENOMEM. The change must not be committed then.
 */
#ifndef SHUNT_STEER_SET_EDIT_H
#define SHUNT_STEER_SET_EDIT_H

#include "classes.h"
#include "setindex.h"

struct set_edit {
	struct arena *a;
	struct classes classes;	    /* owned, of the generation; .v NULL before the first change */
	struct shunt_set_rec *recs; /* those of this change; NULL before the first change */
	struct index_change index;
	uint16_t id;		    /* set that is changed */
	bool on;		    /* what is being done to it */
	uint32_t last[2];	    /* class that was changed last, and what it became */
};

void set_edit_init(struct set_edit *e, struct arena *a);
/* Write down what there is only one of. */
int set_edit_end(struct set_edit *e);
void set_edit_release(struct set_edit *e);

/* The id of a new set without prefixes; name may be "". */
int set_edit_make(struct set_edit *e, const char *name);
int set_edit_change(struct set_edit *e, uint16_t id, const struct prefixes *edit, bool add);
/* The set and all its prefixes. */
int set_edit_drop(struct set_edit *e, uint16_t id);

/* The id of a named set, 0 if there is none. */
uint16_t set_find_id(const struct arena *a, const char *name);
const struct shunt_set_rec *set_record(const struct arena *a, uint16_t id);

#endif
