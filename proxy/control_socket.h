/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files of the control socket, beside the locks of the targets. */
#ifndef SHUNT_PROXY_CONTROL_SOCKET_H
#define SHUNT_PROXY_CONTROL_SOCKET_H

#include <stdint.h>

#include "settings.h"
#include "shunt/abi.h"
#include "shunt/control.h"

struct control_socket {
	int fd; /* listening; -1 none */
	/* The first is the socket, the others lead to it. */
	char paths[SHUNT_MAX_TARGETS][SHUNT_RUN_PATH_MAX];
	uint32_t n_paths;
};

/*
 * One file for each target of the settings, in this network namespace. The locks of the targets
 * are held, so files that are there are leftovers. 0, or -errno with a message and nothing made.
 */
int control_socket_open(struct control_socket *s, const struct settings *settings);
/*
 * The same under the names of one that was taken over from, whose others are not its own any more:
 * it can still be asked about the flows that it finishes.
 */
int control_socket_open_draining(struct control_socket *s, const struct settings *settings);
/* Their paths alone; fd stays what it is. 0, or -errno with a message. */
int control_socket_name(struct control_socket *s, const struct settings *settings);
/* Remove the files, and close fd unless it is -1. */
void control_socket_remove(struct control_socket *s);

#endif
