/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listening sockets: the supervisor opens and registers them, a loop accepts on them.
 * Accepting is bounded per turn and pauses where descriptors or memory are short.
 */
#ifndef SHUNT_PROXY_LISTENER_H
#define SHUNT_PROXY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"
#include "watch.h"

struct loop;

/*
 * A listening TCP socket of family, IP_TRANSPARENT, with mark, on the address that the mode
 * wants. port 0: any. Returns the descriptor or -errno; nothing is printed.
 */
int listener_open(int family, uint16_t port, uint32_t mark, uint32_t backlog,
		  enum destination_mode mode);
/* Is that a listener as this mode wants it? */
bool listener_fits(int fd, enum destination_mode mode);

struct target_loop;

struct listener {
	struct loop *loop;
	struct target_loop *target; /* of what is accepted; the loop's */
	struct watch watch;
	struct alarm resume;
	struct loop *next;    /* the loop whose listener next_fd is */
	int fd;		      /* -1: none of this family, or closed */
	int next_fd;	      /* likewise */
	uint32_t batch;	      /* how many to accept in one turn */
	uint32_t filled;      /* turns in a row that found as many */
	bool paused;
};

/* Takes over fd; -1: none of this family. */
int listener_attach(struct listener *ln, struct loop *l, struct target_loop *target, int fd);
/*
 * Before the loops start: while its loop has fewer flows, it accepts from that one of the same
 * target, too. 0 or -errno.
 */
int listener_help(struct listener *ln, const struct listener *next);
/* For what is accepted from now on. */
void listener_set_target(struct listener *ln, struct target_loop *target);
/* Accept what is waiting, then close. */
void listener_drain(struct listener *ln);
void listener_close(struct listener *ln);

#endif
