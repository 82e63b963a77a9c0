/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The upstreams of a target: which are there, how they are, and which one the next connection
 * goes to. Shared by the loops of a worker; all that changes is atomic. An upstream outlives
 * new settings that name it again, with its count of flows and its health.
 */
#ifndef SHUNT_PROXY_BALANCE_H
#define SHUNT_PROXY_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "settings.h"

struct upstream {
	_Atomic uint32_t users;	     /* struct balance that name it */
	struct address address;
	_Atomic uint32_t flows;	     /* connected, or connecting */
	_Atomic uint32_t failed;     /* connections in a row */
	_Atomic uint64_t total;	     /* connections that were begun */
	_Atomic uint64_t failures;   /* of these */
	_Atomic uint64_t out_until;  /* ms: taken out by those */
	_Atomic bool unhealthy;	     /* says the checker */
	/* The last check; of the main thread alone. */
	uint64_t checked;	     /* ms, when it ended; 0: none has */
	int check_error;	     /* 0: it was accepted; errno */
};

struct balance {
	enum balance_mode mode;
	uint32_t n;
	struct upstream *upstreams[UPSTREAMS_MAX];
	uint32_t weights[UPSTREAMS_MAX];
	uint8_t *turns;		     /* round robin: indices, spread by weight */
	uint32_t n_turns;
	_Atomic uint32_t turn;
	uint32_t fail_limit, fail_hold_ms;
	bool checked;		     /* there is a checker, whose word counts */
};

/* Upstreams are taken over from before, which may be NULL. 0 or -ENOMEM. */
int balance_init(struct balance *b, const struct target_settings *s,
		 const struct balance *before);
/* Also of a zeroed one. */
void balance_release(struct balance *b);

/*
 * An upstream for client, -1 none: not one in the mask tried, and one that is in if any is; of
 * the given family alone, or AF_UNSPEC. It has a flow more, until balance_leave().
 */
int balance_pick(struct balance *b, const struct address *client, int family, uint64_t tried,
		 uint64_t now);
void balance_leave(struct balance *b, int i);
/* How a connection to it went. True: it is taken out by this failure. */
bool balance_failed(struct balance *b, int i, uint64_t now);
void balance_worked(struct balance *b, int i);

bool balance_is_in(const struct balance *b, int i, uint64_t now);

#endif
