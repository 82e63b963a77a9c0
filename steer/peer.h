/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other end of a veth pair, as `up --peer` uses it: packets are redirected into it, past what
 * stands at the egress of this end. Private to libshunt; messages are given.
 */
#ifndef SHUNT_PEER_H
#define SHUNT_PEER_H

#include <stddef.h>

/* Where the peer is. Only one elsewhere can be redirected into: the kernel drops what is not. */
enum peer_place {
	PEER_NONE, /* not a veth */
	PEER_HERE, /* in this network namespace */
	PEER_ELSEWHERE,
};

/* An enum peer_place or -errno. */
int peer_place(const char *device);

/*
 * What stands at the egress of this end (or any device) and does not see such packets: 1 and a word in *what, 0
 * nothing, or -errno.
 */
int peer_passed_by(const char *device, char *what, size_t size);

#endif
