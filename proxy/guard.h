/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which connections must not be made, because they would lead back to the proxy or to no
 * single host. Shared by the threads of a worker; no locks.
 *
 * A loop through the network (a router that sends our own SYN back to us) is stopped by the tc
 * program: it does not steer a SYN that a socket of ours is sending at that moment (proxy_in()
 * in bpf/steer.h), whatever the source address. Here is the second line, and only where the
 * addresses alone are proof: client and destination are those of one of our upstream sockets.
 *
 *  - With our own source address nobody else can have that tuple: refused. Knowing the port of
 *    an upstream socket costs a system call per connection, which would be wasted where no
 *    client has an address of this host. So sockets are noted only from the first client on
 *    that has one ("armed"): the first turn of a loop arms, the second is refused.
 *  - With the client's address they prove nothing: the client itself may use the port that the
 *    kernel gave our socket, and among thousands of its connections to one server some do. So
 *    nothing is noted, and nothing refused for it.
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
	GUARD_CACHE = 256,
	GUARD_CACHE_MS = 5000, /* how long an address is known to be local or not */
};

struct guard {
	uint8_t ports[65536 / 8];     /* of our listeners; fixed before threads start */
	_Atomic uint64_t *slots;      /* fingerprints of upstream sockets, 0 free */
	uint64_t key[2];	      /* so that nobody can aim at a bucket */
	_Atomic bool armed;
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
int guard_init(struct guard *g);
void guard_release(struct guard *g);
/* A port one of our listeners has. */
void guard_add_port(struct guard *g, uint16_t port);

/* Is this one of our listeners? */
bool guard_is_listener(const struct guard *g, const struct address *a);

/*
 * May a connection from client to destination be made? FLOW_END_FIN if so, else
 * FLOW_END_SELF or FLOW_END_DESTINATION. May arm the guard. own_source: our socket would have an
 * address of this host.
 */
enum flow_reason guard_check(struct guard *g, struct guard_cache *cache, uint64_t now,
			     bool own_source, const struct address *client,
			     const struct address *destination);
/* No host can answer there, or only one that must not be asked on behalf of client. */
bool guard_is_bad_destination(const struct address *client, const struct address *destination);

/* Are upstream sockets to be noted? */
static inline bool guard_is_armed(struct guard *g)
{
	return atomic_load_explicit(&g->armed, memory_order_relaxed);
}

/* An upstream socket. False: no room, it is not known. */
bool guard_note(struct guard *g, const struct address *local, const struct address *remote);
void guard_forget(struct guard *g, const struct address *local, const struct address *remote);
bool guard_knows(struct guard *g, const struct address *local, const struct address *remote);

#endif
