/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "window.h"

#include <inttypes.h>

#include "clock.h"

void window_plan(struct window *w, const struct load_options *o)
{
	uint64_t now = clock_now();

	*w = (struct window){ .options = o };
	w->opens = now + (uint64_t)(o->warm_up * 1e9);
	w->closes = w->opens + (uint64_t)(o->seconds * 1e9);
}

bool window_go_on(struct window *w, uint64_t now, bool *just_opened)
{
	const struct load_options *o = w->options;

	*just_opened = false;
	if (!w->is_open && now >= w->opens) {
		w->error = usage_read(&w->before, o->watched, o->n_watched);
		w->opened = clock_now();
		w->is_open = *just_opened = true;
	} else if (now >= w->closes) {
		w->closed = now;
		if (!w->error)
			w->error = usage_read(&w->after, o->watched, o->n_watched);
		return false;
	}
	return !w->error;
}

int window_timeout(const struct window *w, uint64_t now)
{
	uint64_t edge = w->is_open ? w->closes : w->opens;

	return edge <= now ? 0 : (int)((edge - now) / 1000000) + 1;
}

void window_print(const struct window *w)
{
	printf("\"seconds\":%.6f,\"cpu_ns\":%" PRIu64 ",\"machine_ns\":%" PRIu64,
	       (double)(w->closed - w->opened) / 1e9, w->after.cpu_ns - w->before.cpu_ns,
	       w->after.machine_ns - w->before.machine_ns);
}
