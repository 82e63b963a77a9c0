/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The span of time that is measured: after the warm-up, until the end. */
#ifndef SHUNT_BENCH_WINDOW_H
#define SHUNT_BENCH_WINDOW_H

#include "load.h"
#include "watch.h"

struct window {
	const struct load_options *options;
	uint64_t opens, opened, closes, closed; /* clock_now(): planned, as it was */
	struct usage before, after;
	bool is_open;
	int error; /* of reading the usage */
};

void window_plan(struct window *w, const struct load_options *o);
/* Call between events. Returns false when it is over; *just_opened: forget what was counted. */
bool window_go_on(struct window *w, uint64_t now, bool *just_opened);
/* Milliseconds until the next edge, for epoll_wait. */
int window_timeout(const struct window *w, uint64_t now);
/* The fields all modes print: "seconds":...,"cpu_ns":...,"machine_ns":... */
void window_print(const struct window *w);

#endif
