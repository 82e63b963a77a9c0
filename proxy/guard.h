/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which connections must not be made, because they would lead back to the proxy or to no
 * single host. Shared by the threads of a worker; no locks.
 *
 * A loop through the network (a router that sends our own SYN back to us) is seen by its
 * addresses: client and destination are those of one of our own upstream sockets. One
 * connection of a client causes at most two dials:
 *
 *  - With our own source address the match is proof. Knowing the port of an upstream socket
 *    costs a system call per connection, which would be wasted where no client has an address
 *    of this host. So sockets are noted only from the first client on that has one ("armed"):
 *    the first turn of a loop arms, the second is refused.
 *  - With the client's address the client itself may happen to use the port that the kernel
 *    gave our socket. So a match is a hop: the flow may dial, and what comes back from that
 *    is refused.
 */
#ifndef SHUNT_PROXY_GUARD_H
#define SHUNT_PROXY_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "counters.h"

enum {
	GUARD_SLOTS = 1 << 17, /* of 8 bytes; pages are touched as they are used */
	GUARD_BUCKET = 8,
	GUARD_HOPS = 3, /* the lowest bits of a fingerprint hold the hops */
	GUARD_CACHE = 256,
	GUARD_CACHE_MS = 5000, /* how long an address is known to be local or not */
};

struct guard {
	uint8_t ports[65536 / 8];     /* of our listeners; fixed before threads start */
	_Atomic uint64_t *slots;      /* fingerprints of upstream sockets, 0 free */
	uint64_t key[2];	      /* so that nobody can aim at a bucket */
	_Atomic bool armed;
	uint8_t max_hops;	      /* a flow with more is refused */
};

/* Per thread: is this address one of this host's? */
struct guard_cache {
	struct guard_cache_entry {
		struct in6_addr ip;
		uint64_t until; /* ms, 0 unused */
		bool local;
	} v[GUARD_CACHE];
};

/* 0 or -errno. */
int guard_init(struct guard *g, uint8_t max_hops);
void guard_release(struct guard *g);
/* A port one of our listeners has. */
void guard_add_port(struct guard *g, uint16_t port);

/*
 * May a connection from client to destination be made? FLOW_END_FIN if so, else
 * FLOW_END_SELF or FLOW_END_DESTINATION. *hops: how many flows of ours led to this one.
 * May arm the guard.
 */
enum flow_reason guard_check(struct guard *g, struct guard_cache *cache, uint64_t now,
			     const struct address *client, const struct address *destination,
			     uint8_t *hops);
/* No host can answer there, or only one that must not be asked on behalf of client. */
bool guard_is_bad_destination(const struct address *client, const struct address *destination);

static inline bool guard_is_armed(struct guard *g)
{
	return atomic_load_explicit(&g->armed, memory_order_relaxed);
}
void guard_arm(struct guard *g);

/* An upstream socket of a flow with that many hops. False: no room, it is not known. */
bool guard_note(struct guard *g, const struct address *local, const struct address *remote,
		uint8_t hops);
void guard_forget(struct guard *g, const struct address *local, const struct address *remote);
/* 0: no socket of ours, else 1 + the hops of its flow. */
uint8_t guard_hops(struct guard *g, const struct address *local, const struct address *remote);

#endif
