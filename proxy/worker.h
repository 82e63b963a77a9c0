/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The unprivileged process: one loop per thread, and a main thread that takes orders from the
 * supervisor. It ends when the supervisor does.
 */
#ifndef SHUNT_PROXY_WORKER_H
#define SHUNT_PROXY_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "message.h"
#include "settings.h"
#include "shunt/abi.h"

struct worker_config {
	struct settings *settings; /* in a worker: its own copy */
	uint32_t mark;
	uint32_t n_loops;
	uint32_t n_targets; /* as in settings */
	int (*listeners)[2]; /* fds of struct sockets */
	int channel;
};

/* Runs in the forked child and owns the descriptors of config. Returns its exit status. */
int worker_run(struct worker_config *config);

#endif
