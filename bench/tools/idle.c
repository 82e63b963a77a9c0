/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many connections, one exchange on each, then all are held: what they have cost the proxy in
 * memory. Opened a few at a time, as a burst would measure the backlog of the listener.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "exchange.h"
#include "load.h"
#include "watch.h"

enum { AT_ONCE = 64, PATIENCE_S = 30 };

static int open_another(struct exchange *x, struct exchange_end *e)
{
	(void)e; /* stays as it is */
	return x->n_opened < x->n_ends ? exchange_open(x, &x->ends[x->n_opened]) : 0;
}

static int open_all(struct exchange *x)
{
	uint64_t until = clock_now() + PATIENCE_S * NS_PER_S;
	int r = 0;

	for (uint32_t i = 0; !r && i < AT_ONCE && i < x->n_ends; i++)
		r = exchange_open(x, &x->ends[i]);
	while (!r && x->samples.n < x->n_ends) {
		r = exchange_step(x, 1000);
		if (!r && x->n_failed)
			r = x->last_error;
		if (!r && clock_now() > until)
			r = -ETIMEDOUT;
	}
	return r;
}

int idle_run(const struct load_options *o)
{
	struct usage before, after;
	struct exchange x;
	int r = exchange_init(&x, o, o->parallel, open_another);

	if (r < 0)
		return r;
	r = usage_read(&before, o->watched, o->n_watched);
	if (!r)
		r = open_all(&x);
	if (!r)
		r = usage_read(&after, o->watched, o->n_watched);
	if (!r)
		printf("{\"connections\":%u,\"memory_before\":%" PRIu64 ",\"memory_after\":%" PRIu64
		       "}\n", x.n_ends, before.memory_bytes, after.memory_bytes);
	exchange_release(&x);
	return r;
}
