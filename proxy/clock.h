/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SHUNT_PROXY_CLOCK_H
#define SHUNT_PROXY_CLOCK_H

#include <stdint.h>
#include <time.h>

/*
 * Milliseconds of CLOCK_MONOTONIC. The coarse clock costs no system call and is finer than any
 * timeout here.
 */
static inline uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
