/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * learn-adds N: put N addresses into a set for a time, as shuntd does, then renew them all; what one
 * of each took. The set is made; the instance is that of this network namespace.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shunt/shunt.h"

static const uint64_t hour = 3600ULL * 1000000000;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* ns of one, or 0 after a message */
static double add_all(struct shunt *s, uint32_t n)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
	uint64_t begun = now_ns();

	for (uint32_t i = 0; i < n; i++) {
		addr.s6_addr32[3] = htonl(0x14000000U + i);
		if (shunt_set_learn(s, "bench", &addr, hour))
			return 0;
	}
	return (double)(now_ns() - begun) / n;
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	struct shunt *s;
	double added, renewed;

	if (!n || n > SHUNT_MAX_TIMED) {
		fprintf(stderr, "usage: learn-adds N, 1 to %d\n", SHUNT_MAX_TIMED);
		return 2;
	}
	if (shunt_open(&s, &(struct shunt_where){}) || shunt_set_prepare(s, "bench"))
		return 1;
	added = add_all(s, n);
	renewed = added > 0 ? add_all(s, n) : 0;
	shunt_close(s);
	if (renewed <= 0)
		return 1;
	printf("{\"n\":%u,\"add_ns\":%.0f,\"renew_ns\":%.0f}\n", n, added, renewed);
	return 0;
}
