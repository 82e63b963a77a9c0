/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "counters.h"

#include <stdio.h>

static const char *const reason_names[FLOW_REASON_MAX] = {
#define REASON_NAME(id, name, help) [FLOW_END_##id] = name,
	FLOW_REASONS(REASON_NAME)
#undef REASON_NAME
};

static const char *const counter_names[COUNTER_MAX] = {
#define COUNTER_NAME(id, name, help) [COUNT_##id] = name,
	COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

const char *flow_reason_name(enum flow_reason reason)
{
	return reason_names[reason];
}

const char *counter_name(enum counter counter)
{
	return counter_names[counter];
}

/* Who has ended was accepted before: so what has ended is read first. */
void counters_read(const struct counters *c, uint64_t v[COUNTER_MAX],
		   uint64_t ended[FLOW_REASON_MAX])
{
	for (int i = 0; i < FLOW_REASON_MAX; i++)
		ended[i] = atomic_load_explicit(&c->ended[i], memory_order_acquire);
	for (int i = 0; i < COUNTER_MAX; i++)
		v[i] = atomic_load_explicit(&c->v[i], memory_order_relaxed);
}

static void add(uint64_t *to, const uint64_t *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] += from[i];
}

size_t counters_format(char *buf, size_t size, const struct counters *const *threads, size_t n)
{
	uint64_t v[COUNTER_MAX] = {}, ended[FLOW_REASON_MAX] = {}, active;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t its_v[COUNTER_MAX], its_ended[FLOW_REASON_MAX];

		counters_read(threads[i], its_v, its_ended);
		add(v, its_v, COUNTER_MAX);
		add(ended, its_ended, FLOW_REASON_MAX);
	}
	active = v[COUNT_ACCEPTED];
	for (int i = 0; i < FLOW_REASON_MAX; i++)
		active -= ended[i];
	len += (size_t)snprintf(buf, size, "active=%llu", (unsigned long long)active);
	for (int i = 0; i < COUNTER_MAX && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, " %s=%llu", counter_names[i],
					(unsigned long long)v[i]);
	for (int i = 0; i < FLOW_REASON_MAX && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, " ended_%s=%llu", reason_names[i],
					(unsigned long long)ended[i]);
	return len < size ? len : size - 1;
}
