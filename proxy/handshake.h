/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is said on the connection to the server before the client's bytes: to a SOCKS5 or HTTP
 * proxy on the way, and a PROXY protocol header to whoever is at the end. Nothing that follows
 * the last answer is read.
 */
#ifndef SHUNT_PROXY_HANDSHAKE_H
#define SHUNT_PROXY_HANDSHAKE_H

#include <stdbool.h>

#include "settings.h"

struct flow;
struct handshake;

static inline bool handshake_is_wanted(const struct target_settings *s)
{
	return s->via != VIA_NONE || s->proxy_protocol != HEADER_NONE;
}

/* For a flow whose connection stands, or is opened by handshake_greet(). NULL: out of memory. */
struct handshake *handshake_new(const struct flow *f);
/* Send what can be sent before the connection stands. 0 or -errno. */
int handshake_greet(struct handshake *h, struct flow *f);
/*
 * Go on as far as it goes. 0: it is done; -EAGAIN: wait for an event of the server's end (also
 * for room, if *room is set); or another -errno.
 */
int handshake_run(struct handshake *h, struct flow *f, bool *room);
/* It failed by the word of the proxy, which would be the same again. */
bool handshake_is_final(const struct handshake *h);

#endif
