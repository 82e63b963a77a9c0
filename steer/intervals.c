// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A sweep over the addresses: each set is a list of borders at which it begins or ceases to
 * hold; a heap of the sets gives the next border of all.
 */
#include "intervals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

struct cursor {
	addr_t border;	/* next one */
	addr_t last;	/* where the interval it is in, or comes to, ends */
	size_t next;	/* prefix behind that interval */
	uint32_t set;	/* id - 1 */
	bool inside;
};

struct sweep {
	const struct prefixes *sets;
	bool v6;
	addr_t top;	      /* last address of the family */
	struct cursor *heap;  /* owned; the first has the next border */
	size_t n;
	uint16_t *active;     /* owned: sets that hold, ascending */
	size_t n_active;
	uint64_t hash;	      /* of active */
};

/* The next interval of the set; prefixes that overlap or touch make one. False: no more. */
static bool next_interval(const struct sweep *s, struct cursor *c)
{
	const struct prefixes *p = &s->sets[c->set];
	size_t n = prefixes_n(p, s->v6);
	addr_t last;

	if (c->next == n)
		return false;
	c->inside = false;
	c->border = prefix_first(p, c->next, s->v6);
	c->last = prefix_last(p, c->next++, s->v6);
	while (c->next < n && c->last < s->top &&
	       prefix_first(p, c->next, s->v6) <= c->last + 1) {
		last = prefix_last(p, c->next++, s->v6);
		if (last > c->last)
			c->last = last;
	}
	if (c->last == s->top)
		c->next = n;
	return true;
}

/* Go behind the border. False: the set has no more. */
static bool step(const struct sweep *s, struct cursor *c)
{
	if (c->inside)
		return next_interval(s, c);
	if (c->last == s->top)
		return false;
	c->inside = true;
	c->border = c->last + 1;
	return true;
}

static void sift_down(struct sweep *s, size_t i)
{
	struct cursor c = s->heap[i];
	size_t child;

	for (; (child = 2 * i + 1) < s->n; i = child) {
		if (child + 1 < s->n && s->heap[child + 1].border < s->heap[child].border)
			child++;
		if (s->heap[child].border >= c.border)
			break;
		s->heap[i] = s->heap[child];
	}
	s->heap[i] = c;
}

static void toggle(struct sweep *s, uint16_t id, bool on)
{
	size_t lo = 0, hi = s->n_active, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (s->active[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (on) {
		memmove(s->active + lo + 1, s->active + lo, (s->n_active - lo) * sizeof(id));
		s->active[lo] = id;
		s->n_active++;
		s->hash += class_hash_of(id);
	} else {
		s->n_active--;
		memmove(s->active + lo, s->active + lo + 1, (s->n_active - lo) * sizeof(id));
		s->hash -= class_hash_of(id);
	}
}

/* All that happens at this border. */
static void pass_border(struct sweep *s, addr_t border)
{
	while (s->n && s->heap[0].border == border) {
		struct cursor *c = &s->heap[0];

		toggle(s, (uint16_t)(c->set + 1), !c->inside);
		if (!step(s, c))
			s->heap[0] = s->heap[--s->n];
		if (s->n)
			sift_down(s, 0);
	}
}

static void start(struct sweep *s, size_t n_sets)
{
	for (size_t i = 0; i < n_sets; i++) {
		struct cursor c = { .set = (uint32_t)i };

		if (next_interval(s, &c))
			s->heap[s->n++] = c;
	}
	for (size_t i = s->n; i-- > 0;)
		sift_down(s, i);
}

static int run(struct sweep *s, struct index_builder *b, struct classes *classes)
{
	uint32_t class;
	addr_t border;
	int r = 0;

	while (s->n && !r) {
		border = s->heap[0].border;
		if (border) {
			r = classes_get(classes, s->active, s->n_active, s->hash, &class);
			if (!r)
				r = index_add(b, border - 1, class);
		}
		pass_border(s, border);
	}
	if (!r)
		r = classes_get(classes, s->active, s->n_active, s->hash, &class);
	return r ? r : index_add(b, s->top, class);
}

int intervals_index(struct index_builder *b, struct classes *classes, const struct prefixes *sets,
		    size_t n_sets)
{
	struct sweep s = { .sets = sets, .v6 = b->v6 };
	_cleanup_free_ struct cursor *heap = calloc(n_sets + 1, sizeof(*heap));
	_cleanup_free_ uint16_t *active = calloc(n_sets + 1, sizeof(*active));

	if (!heap || !active)
		return -ENOMEM;
	s.top = b->v6 ? ~(addr_t)0 : 0xffffffffU;
	s.heap = heap;
	s.active = active;
	start(&s, n_sets);
	return run(&s, b, classes);
}
