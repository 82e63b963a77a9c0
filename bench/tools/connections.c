/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two loads for a fixed time: connections (connect, request, response, close, and again; the
 * clock starts before connect()) and requests (again and again on the same connections).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "awake.h"
#include "clock.h"
#include "exchange.h"
#include "load.h"
#include "window.h"

static int open_next(struct exchange *x, struct exchange_end *e)
{
	exchange_close(e);
	return exchange_open(x, e);
}

static int loop(struct exchange *x, struct window *w)
{
	bool just_opened;
	uint64_t now;
	int r = 0;

	while (!r) {
		now = clock_now();
		if (!window_go_on(w, now, &just_opened))
			return w->error;
		if (just_opened) {
			samples_forget(&x->samples);
			x->n_failed = 0;
			x->longest_gap = 0;
		}
		r = exchange_step(x, window_timeout(w, now));
	}
	return r;
}

static void print(struct exchange *x, const struct window *w)
{
	printf("{\"failed\":%" PRIu64 ",", x->n_failed);
	if (x->n_failed)
		printf("\"error\":\"%s\",", strerror(-x->last_error));
	printf("\"gap_ns\":%" PRIu64 ",", x->longest_gap);
	samples_print(&x->samples);
	putchar(',');
	window_print(w);
	printf("}\n");
}

static int run(const struct load_options *o, exchange_next next)
{
	struct exchange x;
	struct window w;
	int r = o->keep_awake ? awake_start() : 0;

	if (!r)
		r = exchange_init(&x, o, o->parallel, next);
	if (r < 0)
		return r;
	window_plan(&w, o);
	for (uint32_t i = 0; !r && i < o->parallel; i++)
		r = exchange_open(&x, &x.ends[i]);
	if (!r)
		r = loop(&x, &w);
	if (!r && !x.samples.n)
		r = x.n_failed ? x.last_error : -ETIMEDOUT;
	if (!r)
		print(&x, &w);
	exchange_release(&x);
	return r;
}

int connections_run(const struct load_options *o)
{
	return run(o, open_next);
}

int requests_run(const struct load_options *o)
{
	return run(o, exchange_again);
}
