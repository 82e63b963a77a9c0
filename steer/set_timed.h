/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of what sets hold for a time (timed.h), as parts of changes of sets. Under the lock,
 * private to libshunt; messages are given.
 */
#ifndef SHUNT_STEER_SET_TIMED_H
#define SHUNT_STEER_SET_TIMED_H

#include "instance.h"

/* The place of the set, which is there; the generation in force knows of it. */
int set_timed_prepare(struct shunt *s, const char *name);
/* The set has a place that generations made from now on know of, if it has set->timed. */
int set_timed_announce(struct shunt *s, const struct shunt_set *set);
/* -EEXIST if the set holds one of set->timed for good. */
int set_timed_check(struct shunt *s, const struct shunt_set *set);
/* set->timed into the set of that name. On failure those before stay. */
int set_timed_add(struct shunt *s, const struct shunt_set *set);
/* set->v out of what the set of that name holds for a time; what it does not is no error. */
int set_timed_drop(struct shunt *s, const struct shunt_set *set);
/* All that it holds for a time. */
int set_timed_clear(struct shunt *s, const char *name);
/*
 * Those of set->v that it holds for good; -ENOENT if it holds one neither so nor for a time.
 * lasting is empty, and the caller's to clear in any case.
 */
int set_timed_split(struct shunt *s, const struct shunt_set *set, struct shunt_set *lasting);

#endif
