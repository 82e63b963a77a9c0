/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection to the server: to which one, from whose address, and another where it fails.
 * The server is the original destination, or one of the target's upstreams; then, as long as
 * nothing of the client's has been sent, another one can be tried.
 */
#ifndef SHUNT_PROXY_UPSTREAM_H
#define SHUNT_PROXY_UPSTREAM_H

#include <stdbool.h>

#include "counters.h"
#include "flow.h"

struct target_settings;

/* Of a flow that is not yet connected to one of several upstreams, or shakes hands. */
struct dial {
	uint64_t tried; /* bit i: upstream i */
	uint32_t attempts;
	int error;	/* of the last one */
	uint32_t early; /* bytes of the client's that its SYN had: they are still to be read */
	bool connected;
	struct handshake *handshake; /* once connected, if there is one */
};

/*
 * Open the server's end of f and begin to connect. 0 connected, -EINPROGRESS, or another
 * -errno with no descriptor left. f->source is filled if anybody will want it.
 */
int upstream_connect(struct flow *f);
/* What a connection that is no longer in progress has come to: 0 or -errno. */
int upstream_result(struct flow *f);
/*
 * The connection failed with error (-errno, -ETIMEDOUT if it took too long). True: the server's
 * end is closed and upstream_connect() may be called again, which takes another one.
 */
bool upstream_failed(struct flow *f, int error);
/* It has room for what a connection needs until it stands. False: out of memory. */
bool upstream_need_dial(struct flow *f);
/* Say the first of it already with the SYN: see fast_open.h. 0 or -errno. */
int upstream_greet(struct flow *f);
/*
 * Say what is to be said before the client's bytes. 0: done, -EAGAIN: more events of the
 * server's end are needed, another -errno: see upstream_failed().
 */
int upstream_handshake(struct flow *f);
/* It is there, and bytes may flow. */
void upstream_connected(struct flow *f);
/* f ends, in whatever state. */
void upstream_release(struct flow *f);

/* Where f is connected to, or tries. */
const struct address *upstream_address(const struct flow *f);
/* Can this kernel do what the settings say? 0 or -errno with a message. */
int upstream_check_kernel(const struct target_settings *s);
/* Do its connections have an address of this host, as opposed to the client's? */
bool upstream_has_own_source(const struct target_settings *s);
/* What an error of upstream_connect() means for the flow. */
enum flow_reason upstream_reason(int error);

#endif
