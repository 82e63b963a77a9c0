/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prefixes that sets hold for a time: the maps timed and timed_sets (shunt/abi.h). A set that has
 * had such prefixes has a place in timed_sets, of which generations know (struct
 * shunt_timed_ids); it keeps it until the set is gone. Private to libshunt.
 *
 * Under the lock, but for those that read, timed_put() and timed_collect(). Messages are given
 * unless it says otherwise.
 */
#ifndef SHUNT_STEER_TIMED_H
#define SHUNT_STEER_TIMED_H

#include "arena.h"
#include "instance.h"

/* The set's place, or -ENOENT without a message. */
int timed_find(struct shunt *s, const char *set);
/* The same in two steps: s->timed_names anew, then from these. */
int timed_names_read(struct shunt *s);
int timed_name_place(const struct shunt *s, const char *set);
/* The same; it gets one if it has none. */
int timed_take(struct shunt *s, const char *set);
/* -E2BIG with a message: there is none left for it. */
int timed_no_place(const char *set);
/* Its place and all its prefixes go. The generation in force must not know of it. */
int timed_release(struct shunt *s, int place);
/* Those of sets that are not in the generation in force. */
int timed_purge(struct shunt *s);

/* Prefixes of this length may come. */
int timed_use_length(struct shunt *s, int place, const struct shunt_prefix *p);
/* A prefix of a length that is in use, until then. -E2BIG, without a message: there is no room. */
int timed_put(struct shunt *s, int place, const struct shunt_prefix *p, uint64_t until);
/* When it expires, or has; 0: it is not there. */
uint64_t timed_until(const struct shunt *s, int place, const struct shunt_prefix *p);
/* Is it in the set now? */
bool timed_holds(const struct shunt *s, int place, const struct shunt_prefix *p);
/* Is the place this set's now? */
bool timed_is_named(const struct shunt *s, int place, const char *set);
/* Out of the set, if it is in it. */
void timed_drop(struct shunt *s, int place, const struct shunt_prefix *p);
int timed_drop_all(struct shunt *s, int place);
/* All but set->timed, and the lengths that none of these has. */
int timed_drop_others(struct shunt *s, int place, const struct shunt_set *set);
/* How many there are now, but those of one place (-1: of none). */
int timed_count(struct shunt *s, int except, size_t *out);
/* All that has expired goes. */
int timed_collect(struct shunt *s);

/* Fill in what the sets hold for a time. */
int timed_read(const struct shunt *s, struct shunt_sets *sets);

/* ns of CLOCK_MONOTONIC, the clock of the program */
uint64_t timed_now(void);

/* ---- in a generation --------------------------------------------------------------------- */

/* The set's place plus 1, 0: it has none here. */
uint8_t timed_place_of(const struct arena *a, uint16_t id);
/* A rule asks it about the destination (side 0) or the source; place as of the function above. */
void timed_note_asked(struct arena *a, uint8_t place, int side);
/* In a generation that is made: it has this place. -ENOSPC, without a message. */
int timed_note_set(struct arena *a, uint16_t id, int place);
/* In a change: the set goes. -ENOSPC, without a message. */
int timed_forget_set(struct arena *a, uint16_t id);

#endif
