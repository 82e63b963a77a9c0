/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of what sets hold for a time (timed.h), as parts of changes of sets. Under the lock,
 * private to libshunt; messages are given.
 */
#ifndef SHUNT_STEER_SET_TIMED_H
#define SHUNT_STEER_SET_TIMED_H

#include "instance.h"

/* The place of the set, which is there; the generation in force knows of it, unless this fails. */
int set_timed_prepare(struct shunt *s, const char *name);
/* -EEXIST if the set holds one of set->timed for good. */
int set_timed_check(struct shunt *s, const struct shunt_set *set);
/* set->timed into the set of that name. On failure those before stay. */
int set_timed_add(struct shunt *s, const struct shunt_set *set);
/* set->v out of what the set of that name holds for a time; what it does not is no error. */
int set_timed_drop(struct shunt *s, const struct shunt_set *set);
/* Is there room for all of set->timed if nothing else stays in the set? */
int set_timed_check_load(struct shunt *s, const struct shunt_set *set);
/* The set, which is there, holds just set->timed for a time. */
int set_timed_load(struct shunt *s, const struct shunt_set *set);
/*
 * Those of set->v that it holds for good; -ENOENT if it holds one neither so nor for a time.
 * lasting is empty, and the caller's to clear in any case.
 */
int set_timed_split(struct shunt *s, const struct shunt_set *set, struct shunt_set *lasting);

/* ---- all sets of a file ------------------------------------------------------------------- */

struct set_timed_was {
	struct shunt_prefix prefix;
	int place;
	uint64_t until; /* 0: it was not there */
	uint64_t put;	/* until when it is since */
};

/* What set_timed_put() changed. */
struct set_timed_undo {
	struct set_timed_was *v; /* owned, to be freed */
	size_t n;
	uint32_t taken; /* bits: places that it took */
};

/* Is there room for what the sets hold for a time, beside all that is there? */
int set_timed_check_room(struct shunt *s, const struct shunt_sets *sets);
/*
 * All of it into the map. Sets that the generation in force does not know get places, which those
 * made from now on know of; nobody sees what is put there before. On failure undo says what was
 * done so far.
 */
int set_timed_put(struct shunt *s, const struct shunt_sets *sets, struct set_timed_undo *undo);
/* As it was before, if the rest of the change has failed. */
void set_timed_undo(struct shunt *s, const struct set_timed_undo *undo);
/*
 * The same some time after, when the generation of before is in force again: what others have
 * renewed or taken out since stays as they left it. What fails is left as it is.
 */
void set_timed_take_back(struct shunt *s, const struct set_timed_undo *undo);

#endif
