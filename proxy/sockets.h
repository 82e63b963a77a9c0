/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The listening sockets of all targets, as the supervisor holds them: a pair (IPv4, IPv6) for
 * each target and thread. It never accepts on them. That it keeps them open while workers come
 * and go is what lets a connection in the middle of its handshake outlive a worker.
 */
#ifndef SHUNT_PROXY_SOCKETS_H
#define SHUNT_PROXY_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"
#include "shunt/shunt.h"

struct sockets {
	int (*fds)[2]; /* [target * n_loops + loop][IPv6], -1 none; NULL: not open. Owned. */
	uint32_t n_targets; /* as in the settings */
	uint32_t n_loops;
	uint32_t mark; /* that they have */
	bool registered; /* they are in the targets of the instance */
};

/* Room for sockets, none of them open. 0 or -ENOMEM. */
int sockets_init(struct sockets *s, uint32_t n_targets, uint32_t n_loops);
/*
 * On the port of the settings and those that follow, 0: any. IPv6 may be missing on this host.
 * On failure nothing is open; -errno with a message.
 */
int sockets_open(struct sockets *s, const struct settings *settings, uint32_t n_loops,
		 uint32_t mark);
void sockets_close(struct sockets *s);
/* Only n_loops threads were meant: those behind are closed. */
void sockets_narrow(struct sockets *s, uint32_t n_loops);
/* Of the first, after which those of the others follow if they were asked for; 0 not known. */
uint16_t sockets_port(const struct sockets *s);
/* So many connections may wait from now on. */
void sockets_set_backlog(const struct sockets *s, uint32_t backlog);
/*
 * Put them into the targets, which are made where they are missing. -errno: said by libshunt, but
 * for the -EAGAIN of an impatient handle.
 */
int sockets_register(struct sockets *s, struct shunt *shunt, const struct settings *settings);
/*
 * Take all out of the targets, so that the fail mode of the rules holds. If the handle is too
 * impatient for that, it holds when the last copy of the sockets is closed.
 */
void sockets_unregister(struct sockets *s, struct shunt *shunt, const struct settings *settings);

static inline uint32_t sockets_count(const struct sockets *s)
{
	return s->n_targets * s->n_loops;
}

#endif
