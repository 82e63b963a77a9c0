/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What rules match, as sets of values that can be compared: for `rule check`. Private to libshunt.
 *
 * A match is a product: which directions, protocols, families, interfaces and cgroup, and in each
 * of five dimensions a list of spans. Words that are not given are whole dimensions, so are the
 * complements that `not` asks for.
 */
#ifndef SHUNT_STEER_MATCH_H
#define SHUNT_STEER_MATCH_H

#include "setstore.h"
#include "shunt/shunt.h"

enum dim { DIM_TO, DIM_FROM, DIM_PORT, DIM_SPORT, DIM_UID, DIM_MAX };

struct span {
	addr_t lo, hi; /* inclusive; addresses of IPv4 are 32 bits */
};

/* Ascending, with something between each two. */
struct spans {
	size_t n;
	struct span v[];
};

struct match {
	const struct shunt_rule *rule;
	uint8_t dirs, protos, fams;	     /* fams 0: nothing matches */
	bool unknown;			     /* names a set that is not there */
	bool open;			     /* names one that may get more by itself: dim has all
					      * that it can ever match */
	const struct spans *dim[2][DIM_MAX]; /* by family: 0 IPv4, 1 IPv6 */
};

/* The matches of all rules, in their order, and what they own. */
struct matches {
	struct match *v;
	size_t n;
	struct spans **owned;
	size_t n_owned, room;
	struct set_spans *sets; /* of the config's sets, by name */
	size_t n_sets;
};

/* config stays and is not changed. -ENOMEM with a message. */
int matches_make(struct matches *out, const struct shunt_config *config);
void matches_clear(struct matches *m);

/* Values of a packet. */
struct point {
	uint8_t dir, proto; /* one bit */
	bool v6, has_uid;
	const char *device; /* NULL: one that no rule names */
	const char *cgroup; /* NULL: one that no rule names */
	addr_t at[DIM_MAX];
};

/* All but the dimensions. */
bool match_has_kind(const struct match *m, const struct point *p);
bool match_has_point(const struct match *m, const struct point *p);
/* The span that holds the value, NULL if there is none. */
const struct span *spans_find(const struct spans *s, addr_t value);
/* Does a match everything that b matches? b must match something. */
bool match_covers(const struct match *a, const struct match *b);

addr_t dim_last(enum dim dim, bool v6);

#endif
