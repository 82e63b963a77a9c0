/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "throttle.h"

#include <stddef.h>
#include <stdlib.h>

#include "limit.h"
#include "loop.h"

/* ---- the heap ---- */

static void put_at(struct throttle_heap *h, uint32_t i, struct throttle_pause *p)
{
	h->v[i] = p;
	p->at = i + 1;
}

static void sift_up(struct throttle_heap *h, uint32_t i, struct throttle_pause *p)
{
	while (i && h->v[(i - 1) / 2]->until > p->until) {
		put_at(h, i, h->v[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put_at(h, i, p);
}

static void sift_down(struct throttle_heap *h, uint32_t i, struct throttle_pause *p)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < h->n && h->v[child + 1]->until < h->v[child]->until)
			child++;
		if (child >= h->n || h->v[child]->until >= p->until)
			break;
		put_at(h, i, h->v[child]);
		i = child;
	}
	put_at(h, i, p);
}

static bool add(struct throttle_heap *h, struct throttle_pause *p)
{
	if (h->n == h->size) {
		uint32_t size = h->size ? 2 * h->size : 16;
		struct throttle_pause **v = reallocarray(h->v, size, sizeof(*v));

		if (!v)
			return false;
		h->v = v;
		h->size = size;
	}
	h->n++;
	sift_up(h, h->n - 1, p);
	return true;
}

static void take_out(struct throttle_heap *h, struct throttle_pause *p)
{
	uint32_t i = p->at - 1;
	struct throttle_pause *last = h->v[--h->n];

	p->at = 0;
	if (last == p)
		return;
	sift_down(h, i, last);
	sift_up(h, last->at - 1, last);
}

/* ---- time ---- */

static void set_alarm(struct loop *l)
{
	struct throttle_heap *h = &l->throttled;

	if (h->n)
		loop_set_alarm(l, &h->alarm, h->v[0]->until);
	else
		loop_stop_alarm(l, &h->alarm);
}

static void rang(struct alarm *a)
{
	struct loop *l = (void *)((char *)a - offsetof(struct loop, throttled.alarm));
	struct throttle_heap *h = &l->throttled;

	/* Their turn comes in the queue of the loop, after which they may be here again. */
	while (h->n && h->v[0]->until <= l->now) {
		struct throttle_pause *p = h->v[0];

		take_out(h, p);
		loop_later(l, p->flow);
	}
	set_alarm(l);
}

void throttle_init(struct throttle_heap *h)
{
	*h = (struct throttle_heap){ .alarm.ring = rang };
}

void throttle_release(struct throttle_heap *h)
{
	free(h->v);
	h->v = NULL;
}

/* ---- a flow ---- */

bool throttle_new(struct flow *f)
{
	const struct target_settings *s = f->target->settings;

	if (!s->limit_bytes && !s->limit_source_bytes)
		return true;
	f->throttle = calloc(1, sizeof(*f->throttle));
	if (!f->throttle)
		return false;
	f->throttle->quantum = limit_quantum(s);
	f->throttle->pauses[CLIENT].flow = f;
	f->throttle->pauses[SERVER].flow = f;
	return true;
}

void throttle_free(struct flow *f)
{
	struct throttle *t = f->throttle;

	for (int side = CLIENT; t && side <= SERVER; side++)
		if (t->pauses[side].at)
			take_out(&f->loop->throttled, &t->pauses[side]);
	free(t);
	f->throttle = NULL;
}

void throttle_read(struct flow *f, enum side side, uint64_t n)
{
	struct loop *l = f->loop;
	struct throttle_pause *p = &f->throttle->pauses[side];
	uint32_t ms = limit_bytes(f->target->target->limits, f->target->settings, &f->pass,
				  side, n, l->now);

	if (!ms)
		return;
	p->until = l->now + ms;
	/* Out of memory: it reads on, and pays the next time. */
	if (!add(&l->throttled, p))
		return;
	count_add(&l->counters.v[COUNT_BYTE_PAUSES], 1);
	set_alarm(l);
}
