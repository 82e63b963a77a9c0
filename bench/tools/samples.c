/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int samples_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 1 << 20;
		uint32_t *bigger = realloc(s->ns, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->ns = bigger;
		s->room = room;
	}
	s->ns[s->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
	return 0;
}

void samples_forget(struct samples *s)
{
	s->n = 0;
}

void samples_release(struct samples *s)
{
	free(s->ns);
	*s = (struct samples){};
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The smallest that a share of all does not exceed. */
static uint32_t percentile(const struct samples *s, double share)
{
	size_t at = (size_t)(share * (double)s->n);

	return s->ns[at < s->n ? at : s->n - 1];
}

void samples_print(struct samples *s)
{
	printf("\"n\":%zu", s->n);
	if (!s->n)
		return;
	qsort(s->ns, s->n, sizeof(*s->ns), compare);
	printf(",\"p50_ns\":%u,\"p90_ns\":%u,\"p99_ns\":%u,\"max_ns\":%u", percentile(s, 0.5),
	       percentile(s, 0.9), percentile(s, 0.99), s->ns[s->n - 1]);
}
