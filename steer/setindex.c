// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "setindex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int index_begin(struct index_builder *b, struct arena *a, bool v6)
{
	*b = (struct index_builder){ .a = a, .v6 = v6 };
	if (v6)
		return 0;
	b->slot = malloc(sizeof(*b->slot));
	if (!b->slot)
		return -ENOMEM;
	b->slot->n = 0;
	return 0;
}

static void add4(struct index_builder *b, uint32_t end, uint32_t value)
{
	uint32_t side = arena_gen(b->a)->side, *front;
	struct index4_slot *s = b->slot;
	uint64_t at = (uint64_t)b->next, last;

	front = arena_at(b->a, arena_head(b->a)->dir4_at[side]);
	for (; at <= end; at = last + 1) {
		last = at | 0xffff;
		if (last > end)
			last = end;
		s->ends[s->n] = (uint16_t)last;
		s->values[s->n++] = value;
		if ((last & 0xffff) == 0xffff) {
			front[last >> 16] = index4_write(b->a, s->ends, s->values, s->n, &b->err);
			s->n = 0;
		}
	}
}

static void note(struct index_builder *b, int r)
{
	if (r && !b->err)
		b->err = r;
}

static void end_low(struct index_builder *b, uint64_t high)
{
	uint32_t at = tree6_write(b->a, &b->low, &b->err);

	if (at & SHUNT_AT_NODE)
		at |= SHUNT_AT_LOW;
	note(b, tree6_add(&b->high, high, at));
	b->low.n = 0;
}

static void add6(struct index_builder *b, addr_t end, uint32_t value)
{
	uint64_t high = (uint64_t)(b->next >> 64), low = (uint64_t)b->next;
	uint64_t end_high = (uint64_t)(end >> 64), end_at = (uint64_t)end;

	if (low || (high == end_high && end_at != ~0ULL)) {
		note(b, tree6_add(&b->low, high == end_high ? end_at : ~0ULL, value));
		if (high == end_high && end_at != ~0ULL)
			return;
		end_low(b, high);
		if (high == end_high)
			return;
		high++;
	}
	if (end_at == ~0ULL) {
		note(b, tree6_add(&b->high, end_high, value));
		return;
	}
	if (high < end_high)
		note(b, tree6_add(&b->high, end_high - 1, value));
	note(b, tree6_add(&b->low, end_at, value));
}

int index_add(struct index_builder *b, addr_t end, uint32_t value)
{
	if (b->v6)
		add6(b, end, value);
	else
		add4(b, (uint32_t)end, value);
	b->next = end + 1;
	return b->err;
}

int index_end(struct index_builder *b)
{
	if (b->v6 && !b->err)
		arena_gen(b->a)->tree6 = tree6_write(b->a, &b->high, &b->err);
	free(b->slot);
	tree6_release(&b->high);
	tree6_release(&b->low);
	return b->err;
}
