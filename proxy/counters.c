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

static uint64_t sum(const struct counters *const *threads, size_t n, size_t at)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		const _Atomic uint64_t *c = (const void *)((const char *)threads[i] + at);

		total += atomic_load_explicit(c, memory_order_relaxed);
	}
	return total;
}

size_t counters_format(char *buf, size_t size, const struct counters *const *threads, size_t n)
{
	uint64_t accepted = sum(threads, n, offsetof(struct counters, v[COUNT_ACCEPTED]));
	uint64_t ended[FLOW_REASON_MAX];
	uint64_t active = accepted;
	size_t len = 0;

	for (int i = 0; i < FLOW_REASON_MAX; i++) {
		ended[i] = sum(threads, n, offsetof(struct counters, ended[i]));
		active -= ended[i];
	}
	len += (size_t)snprintf(buf, size, "active=%llu", (unsigned long long)active);
	for (int i = 0; i < COUNTER_MAX && len < size; i++)
		len += (size_t)snprintf(
			buf + len, size - len, " %s=%llu", counter_names[i],
			(unsigned long long)sum(threads, n, offsetof(struct counters, v[i])));
	for (int i = 0; i < FLOW_REASON_MAX && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, " ended_%s=%llu", reason_names[i],
					(unsigned long long)ended[i]);
	return len < size ? len : size - 1;
}
