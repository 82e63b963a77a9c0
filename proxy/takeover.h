/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One shuntd takes over from another that runs: an upgrade that loses no connection.
 *
 * The new process asks on the control socket, as root, and is given copies of all that makes a
 * shuntd the one of its targets: the locks, the control socket and the listening sockets. Those
 * are the same sockets, not others on the same port: what is in their queues, and handshakes
 * under way, are for whichever process accepts next. When the workers of the new process accept,
 * it says so; the old one then lets go, finishes its flows and ends. If the new one fails before
 * that, its copies go with it, and nothing has happened.
 */
#ifndef SHUNT_PROXY_TAKEOVER_H
#define SHUNT_PROXY_TAKEOVER_H

#include "supervisor_state.h"

enum { TAKEOVER_VERSION = 1 };

/* On the connection, behind the request: one of these for each descriptor, then the end. */
enum takeover_kind {
	TAKEOVER_CONTROL,
	TAKEOVER_LOCK,	   /* of target n */
	TAKEOVER_LISTENER, /* of target n, thread and family */
	TAKEOVER_END,	   /* no descriptor; n, threads: how many there are; mark of the sockets */
};

struct takeover_item {
	uint32_t version;
	uint32_t kind;
	uint32_t n;
	uint32_t thread;
	uint32_t v6;
	uint32_t mark;
	char target[SHUNT_NAME_LEN];
};

/* What the new process says when it serves. */
#define TAKEOVER_DONE 'r'

/* The old process: give copies away. peer is made blocking. 0 or -errno. */
int takeover_give(const struct supervisor *s, int peer);
/*
 * The new process: ask for them. 1: *s has locks, sockets and the connection, s->predecessor;
 * 0: nobody serves the target; -errno with a message.
 */
int takeover_take(struct supervisor *s);
/* The new process: the old one may go. */
void takeover_finish(struct supervisor *s);

#endif
