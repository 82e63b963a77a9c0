/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How much a target, and each source address at it, may have: connections, new ones in a
 * second, bytes in a second and direction. Shared by the loops of a worker without locks; what
 * is counted outlives new settings of the target.
 */
#ifndef SHUNT_PROXY_LIMIT_H
#define SHUNT_PROXY_LIMIT_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "settings.h"

enum {
	LIMIT_SLOTS = 1 << 16, /* sources of a target; pages are touched as they are used */
	LIMIT_BUCKET = 8,
};

/* A token bucket as one number: when all that was taken from it is paid for, in ns. */
struct tokens {
	_Atomic uint64_t paid;
};

/* A source address. */
struct limit_source {
	_Atomic uint64_t word; /* upper 44 bits: fingerprint; lower 20: connections; 0: free */
	struct tokens rate;
	struct tokens bytes[2]; /* by enum side */
};

/* What is counted for a target. */
struct limit_state {
	_Atomic uint32_t users; /* generations of the target */
	_Atomic uint32_t connections;
	struct tokens rate;
	struct tokens bytes[2];
	struct limit_source *sources; /* NULL until settings have a limit of a source */
	uint64_t key;		      /* so that nobody can aim at a bucket */
};

/* Part of a flow. Zeroed: not counted. */
struct limit_pass {
	uint32_t source;  /* place in sources, plus 1; 0: none */
	bool counted;
};

/* before: what to go on with, or NULL. 0 or -errno. */
int limit_init(struct limit_state **out, const struct target_settings *s,
	       struct limit_state *before);
void limit_put(struct limit_state *l);

static inline bool limit_is_wanted(const struct target_settings *s)
{
	return s->limit_connections || s->limit_rate || s->limit_bytes ||
	       s->limit_source_connections || s->limit_source_rate || s->limit_source_bytes;
}

/*
 * May a connection from source begin? FLOW_END_FIN, and pass is for limit_leave(); or which
 * limit it is over. now: ms. *full is set if there is no room to count the source.
 */
enum flow_reason limit_enter(struct limit_state *l, const struct target_settings *s,
			     const struct in6_addr *source, uint64_t now, struct limit_pass *pass,
			     bool *full);
void limit_leave(struct limit_state *l, struct limit_pass *pass);
/* n bytes were read from side. Returns for how many ms no more may be. */
uint32_t limit_bytes(struct limit_state *l, const struct target_settings *s,
		     const struct limit_pass *pass, int side, uint64_t n, uint64_t now);
/* How much to read at once, so that pauses are short. */
uint32_t limit_quantum(const struct target_settings *s);

#endif
