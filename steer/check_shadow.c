// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rules that no flow reaches, because earlier rules take all that they match. A point of the rule
 * that no earlier one holds shows that it is reached; most rules are done with the first point.
 * Else: does one of those that hold the point cover the rule? Else what they cover is cut off,
 * piece by piece, until a point is left over or nothing is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum {
	MAX_HELD = 1024,      /* earlier rules looked at for one point */
	MAX_BOXES = 512,      /* pieces that wait */
	MAX_STEPS = 4096,     /* points of one rule */
	MAX_ALL_STEPS = 1 << 20,
	MAX_LISTS = 256,      /* combinations of the lists of one rule */
	RANDOM_POINTS = 4,
	MAX_BY = 1024,	      /* rules that are named as the reason */
};

struct box {
	struct span v[DIM_MAX];
};

enum outcome { REACHED, COVERED, UNSURE };

struct shadow {
	struct check *c;
	const struct match *m; /* the rule that is looked at */
	uint32_t *seen;	       /* owned; by rule: number of the last question that found it */
	uint32_t question;
	uint32_t held[MAX_HELD]; /* earlier rules that hold the point */
	size_t n_held;
	bool cut;		 /* there are more */
	struct point p;
	struct box boxes[MAX_BOXES];
	size_t n_boxes;
	uint32_t by[MAX_BY];
	size_t n_by;
	size_t steps, all_steps;
	uint64_t random;
};

/* ---- points ------------------------------------------------------------------------------------- */

static bool hold(void *arg, uint32_t match)
{
	struct shadow *s = arg;

	if (s->seen[match] == s->question ||
	    !match_has_point(&s->c->matches.v[match], &s->p))
		return false;
	s->seen[match] = s->question;
	if (s->n_held == MAX_HELD) {
		s->cut = true;
		return true;
	}
	s->held[s->n_held++] = match;
	return false;
}

/* Which earlier rules hold the point? */
static void ask(struct shadow *s)
{
	s->n_held = 0;
	s->question++;
	s->steps++;
	s->all_steps++;
	match_index_find(&s->c->index, &s->p, hold, s);
}

static addr_t random_of(struct shadow *s, addr_t below)
{
	addr_t value = 0;

	for (int i = 0; i < 2; i++) {
		s->random = s->random * 6364136223846793005ULL + 1442695040888963407ULL;
		value = value << 64 | (s->random ^ s->random >> 29);
	}
	return below ? value % below : value;
}

static void first_point(struct shadow *s)
{
	for (enum dim d = 0; d < DIM_MAX; d++)
		s->p.at[d] = s->m->dim[s->p.v6][d]->v[0].lo;
}

static void random_point(struct shadow *s)
{
	const struct spans *spans;
	const struct span *span;

	for (enum dim d = 0; d < DIM_MAX; d++) {
		spans = s->m->dim[s->p.v6][d];
		span = &spans->v[random_of(s, spans->n)];
		s->p.at[d] = span->lo + random_of(s, span->hi - span->lo + 1);
	}
}

/* ---- one earlier rule --------------------------------------------------------------------------- */

/* The first of those held that covers the rule. */
static bool find_cover(const struct shadow *s, uint32_t *out)
{
	bool found = false;

	for (size_t i = 0; i < s->n_held; i++) {
		if ((!found || s->held[i] < *out) &&
		    match_covers(&s->c->matches.v[s->held[i]], s->m)) {
			*out = s->held[i];
			found = true;
		}
	}
	return found;
}

/* ---- several ------------------------------------------------------------------------------------ */

/* What the rule takes of the box around the point, and in how many dimensions that is all. */
static int clip(const struct shadow *s, uint32_t rule, const struct box *box, struct box *out)
{
	const struct match *m = &s->c->matches.v[rule];
	const struct span *span;
	int whole = 0;

	for (enum dim d = 0; d < DIM_MAX; d++) {
		span = spans_find(m->dim[s->p.v6][d], s->p.at[d]);
		out->v[d].lo = span->lo > box->v[d].lo ? span->lo : box->v[d].lo;
		out->v[d].hi = span->hi < box->v[d].hi ? span->hi : box->v[d].hi;
		whole += out->v[d].lo == box->v[d].lo && out->v[d].hi == box->v[d].hi;
	}
	return whole;
}

static bool push(struct shadow *s, const struct box *box, enum dim d, addr_t lo, addr_t hi)
{
	if (s->n_boxes == MAX_BOXES)
		return false;
	s->boxes[s->n_boxes] = *box;
	s->boxes[s->n_boxes++].v[d] = (struct span){ lo, hi };
	return true;
}

/* What is left of the box without the piece, as boxes. */
static bool push_rest(struct shadow *s, struct box box, const struct box *piece)
{
	for (enum dim d = 0; d < DIM_MAX; d++) {
		const struct span *p = &piece->v[d];

		if (p->lo > box.v[d].lo && !push(s, &box, d, box.v[d].lo, p->lo - 1))
			return false;
		if (p->hi < box.v[d].hi && !push(s, &box, d, p->hi + 1, box.v[d].hi))
			return false;
		box.v[d] = *p;
	}
	return true;
}

static void note_by(struct shadow *s, uint32_t rule)
{
	for (size_t i = 0; i < s->n_by; i++)
		if (s->by[i] == rule)
			return;
	if (s->n_by < MAX_BY)
		s->by[s->n_by++] = rule;
}

static enum outcome cover_boxes(struct shadow *s)
{
	struct box box, piece, best_piece;
	int whole, best;
	uint32_t rule;

	while (s->n_boxes) {
		if (s->steps >= MAX_STEPS || s->all_steps >= MAX_ALL_STEPS)
			return UNSURE;
		box = s->boxes[--s->n_boxes];
		for (enum dim d = 0; d < DIM_MAX; d++)
			s->p.at[d] = box.v[d].lo;
		ask(s);
		if (!s->n_held)
			return REACHED;
		best = -1;
		rule = 0;
		for (size_t i = 0; i < s->n_held; i++) {
			whole = clip(s, s->held[i], &box, &piece);
			if (whole <= best)
				continue;
			best = whole;
			best_piece = piece;
			rule = s->held[i];
		}
		note_by(s, rule);
		if (!push_rest(s, box, &best_piece))
			return UNSURE;
	}
	return COVERED;
}

static bool push_lists(struct shadow *s)
{
	size_t product = 1, at;

	for (enum dim d = 0; d < DIM_MAX; d++) {
		if (s->m->dim[s->p.v6][d]->n > MAX_LISTS / product)
			return false;
		product *= s->m->dim[s->p.v6][d]->n;
	}
	for (size_t i = 0; i < product; i++) {
		struct box *box = &s->boxes[s->n_boxes++];

		at = i;
		for (enum dim d = 0; d < DIM_MAX; d++) {
			const struct spans *spans = s->m->dim[s->p.v6][d];

			box->v[d] = spans->v[at % spans->n];
			at /= spans->n;
		}
	}
	return true;
}

/* All that the rule matches of one direction, protocol, family and interface. */
static enum outcome cover_part(struct shadow *s)
{
	for (int i = 0; i < RANDOM_POINTS; i++) {
		random_point(s);
		ask(s);
		if (!s->n_held)
			return REACHED;
	}
	s->n_boxes = 0;
	return push_lists(s) ? cover_boxes(s) : UNSURE;
}

/* ---- all parts ---------------------------------------------------------------------------------- */

/* Set the n-th part of the rule in s->p: false if there are not so many. */
static bool choose_part(struct shadow *s, size_t n)
{
	const struct shunt_rule *rule = s->m->rule;
	size_t devices = rule->n_devices ? rule->n_devices : 1, i = n / devices;

	if (i >= 8)
		return false;
	s->p.device = rule->n_devices ? rule->devices[n % devices] : NULL;
	s->p.cgroup = rule->cgroup;
	s->p.has_uid = rule->has_uid;
	s->p.dir = i & 1 ? SHUNT_DIR_OUT : SHUNT_DIR_IN;
	s->p.proto = i & 2 ? SHUNT_PROTO_UDP : SHUNT_PROTO_TCP;
	s->p.v6 = i & 4;
	return true;
}

static enum outcome cover_all(struct shadow *s)
{
	enum outcome o;

	for (size_t n = 0; choose_part(s, n); n++) {
		if (!match_has_kind(s->m, &s->p))
			continue;
		o = cover_part(s);
		if (o != COVERED)
			return o;
	}
	return COVERED;
}

static void first_part(struct shadow *s)
{
	size_t n = 0;

	while (choose_part(s, n) && !match_has_kind(s->m, &s->p))
		n++;
	first_point(s);
}

/* ---- findings ----------------------------------------------------------------------------------- */

static int tell_one(struct shadow *s, size_t rule, uint32_t by)
{
	const struct shunt_rule *a = s->c->matches.v[by].rule, *b = s->m->rule;
	int r;

	if (!shunt_rule_same_effect(a, b))
		r = check_add(s->c, SHUNT_FIND_SHADOWED, rule, NULL,
			      "rule %u takes all its flows first and does something else with them: "
			      "give it a priority below %u, or delete it", a->priority, a->priority);
	else if (!s->m->open && match_covers(s->m, &s->c->matches.v[by]))
		r = check_add(s->c, SHUNT_FIND_DUPLICATE, rule, NULL,
			      "rule %u takes the same flows first and does the same: delete one of "
			      "them", a->priority);
	else
		r = check_add(s->c, SHUNT_FIND_SHADOWED, rule, NULL,
			      "rule %u takes all its flows first and does the same: delete rule %u",
			      a->priority, b->priority);
	return r ? r : check_because(s->c, &by, 1);
}

static int compare_rules(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int tell_several(struct shadow *s, size_t rule)
{
	int r;

	qsort(s->by, s->n_by, sizeof(s->by[0]), compare_rules);
	r = check_add(s->c, SHUNT_FIND_SHADOWED, rule, NULL,
		      "%s%zu rules from %u to %u together take all its flows first: give it a "
		      "priority below %u, or delete it", s->n_by == MAX_BY ? "more than " : "", s->n_by,
		      s->c->matches.v[s->by[0]].rule->priority,
		      s->c->matches.v[s->by[s->n_by - 1]].rule->priority,
		      s->c->matches.v[s->by[0]].rule->priority);
	return r ? r : check_because(s->c, s->by, s->n_by);
}

/* 1: it is in the shadow of others, and told; 0: it is reached, or nobody knows. */
static int check_one(struct shadow *s, size_t rule)
{
	enum outcome o;
	uint32_t by = 0;
	int r;

	s->steps = 0;
	s->n_by = 0;
	s->cut = false;
	first_part(s);
	ask(s);
	if (!s->n_held)
		return 0;
	if (find_cover(s, &by)) {
		r = tell_one(s, rule, by);
		return r ? r : 1;
	}
	o = cover_all(s);
	if (o == UNSURE || (o == REACHED && s->cut))
		s->c->found.unsure++;
	if (o != COVERED)
		return 0;
	r = tell_several(s, rule);
	return r ? r : 1;
}

int check_shadows(struct check *c)
{
	struct shadow *s = calloc(1, sizeof(*s));
	int r = 0;

	if (s)
		s->seen = calloc(c->matches.n + 1, sizeof(*s->seen));
	if (!s || !s->seen) {
		free(s);
		return shunt_err(-ENOMEM, "out of memory");
	}
	s->c = c;
	for (size_t i = 0; i < c->matches.n && r >= 0; i++) {
		s->m = &c->matches.v[i];
		if (!s->m->fams || !s->m->dirs || s->m->unknown)
			continue;
		r = check_one(s, i);
		c->dead[i] |= r > 0;
		/* What an unreachable rule holds, those that are in front of it hold. */
		if (!r && !s->m->rule->audit && !s->m->open)
			r = match_index_add(&c->index, (uint32_t)i);
	}
	free(s->seen);
	free(s);
	return r < 0 ? r : 0;
}
