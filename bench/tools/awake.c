/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "awake.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

static void *spin(void *arg)
{
	const struct sched_param none = {};
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET((int)(intptr_t)arg, &only);
	/* Without these two it would be one more load: rather none. */
	if (sched_setaffinity(0, sizeof(only), &only) < 0 ||
	    sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		return NULL;
	for (;;)
		__asm__ volatile("" ::: "memory");
}

int awake_start(void)
{
	pthread_t thread;
	cpu_set_t all;
	int r;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		r = pthread_create(&thread, NULL, spin, (void *)(intptr_t)cpu);
		if (r)
			return -r;
		pthread_detach(thread);
	}
	return 0;
}
