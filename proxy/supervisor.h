/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The privileged process: opens the listening sockets, registers them as a target, starts a
 * worker process with them and starts another when that one dies or when the instance is made
 * anew. It reads nothing from the network.
 */
#ifndef SHUNT_PROXY_SUPERVISOR_H
#define SHUNT_PROXY_SUPERVISOR_H

#include "settings.h"

/* Runs until SIGTERM or SIGINT. 0 or -errno; messages are given. */
int supervisor_run(struct settings *settings);

#endif
