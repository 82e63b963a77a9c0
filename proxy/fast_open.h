/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP Fast Open towards servers: what is said first travels in the SYN, and saves a round trip.
 *
 * Where the kernel has a cookie of the server, connect() sends nothing yet and says 0; the first
 * send is the SYN. (Without a cookie connect() sends a SYN that asks for one.) So the SYN waits
 * for the client's first bytes, but not long: a client that stays silent listens first. The bytes
 * are looked at and not taken until the server has accepted, so another upstream can have them.
 */
#ifndef SHUNT_PROXY_FAST_OPEN_H
#define SHUNT_PROXY_FAST_OPEN_H

#include <stdbool.h>

#include "flow.h"
#include "settings.h"
#include "watch.h"

/* Flows of a loop whose SYN waits, the oldest first. */
struct fast_open {
	struct flow_queue waiting;
	struct alarm alarm;
};

void fast_open_init(struct fast_open *o);
/* Before connect(). A kernel that is told not to (net.ipv4.tcp_fastopen) opens as ever. */
void fast_open_prepare(int fd, const struct target_settings *s);
/*
 * connect() said 0: send the SYN, or wait. 0: it is under way; -EAGAIN: call again when the
 * client's end has an event, and flow_send_syn() will be when it must go; else what is wrong.
 */
int fast_open_send(struct flow *f);
/* No longer among those that wait. */
void fast_open_stop(struct flow *f);
/* The server has accepted: what it was given of the client's is taken. False: it cannot be. */
bool fast_open_settle(struct flow *f);

#endif
