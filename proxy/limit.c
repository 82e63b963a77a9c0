/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SECOND 1000000000ULL

enum {
	COUNT_BITS = 20,
	BURST_PART = 8, /* of a second's bytes may come at once */
	QUANTUM_PART = 32,
	QUANTUM_MIN = 1460,
	QUANTUM_MAX = 65536,
};

#define COUNT_MASK ((1ULL << COUNT_BITS) - 1)

/* ---- tokens ---- */

/*
 * Take n of per_second, if no more than allowed ns of it are owed after that; burst ns of what
 * was not taken in the past are left. *owed: how much is, or would be.
 */
static bool take(struct tokens *t, uint64_t n, uint32_t per_second, uint64_t now, uint64_t burst,
		 uint64_t allowed, uint64_t *owed)
{
	uint64_t paid = atomic_load_explicit(&t->paid, memory_order_relaxed), next;

	do {
		uint64_t from = paid + burst < now ? now - burst : paid;

		next = from + n * SECOND / per_second;
		*owed = next > now ? next - now : 0;
		if (*owed > allowed)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&t->paid, &paid, next,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

/* One more in this second? As many may come at once. */
static bool take_one(struct tokens *t, uint32_t per_second, uint64_t now)
{
	uint64_t owed;

	return !per_second || take(t, 1, per_second, now, 0, SECOND, &owed);
}

/* They are taken, whatever is owed then. */
static uint64_t take_bytes(struct tokens *t, uint64_t n, uint32_t per_second, uint64_t now)
{
	uint64_t owed = 0;

	if (per_second)
		take(t, n, per_second, now, SECOND / BURST_PART, UINT64_MAX, &owed);
	return owed;
}

/* ---- sources ---- */

static bool wants_sources(const struct target_settings *s)
{
	return s->limit_source_connections || s->limit_source_rate || s->limit_source_bytes;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 33);
}

/* 44 bits in their place, never 0; the bucket is chosen by the others. */
static uint64_t fingerprint(const struct limit_state *l, const struct in6_addr *ip,
			    struct limit_source **bucket)
{
	uint64_t w[2], h;

	memcpy(w, ip, sizeof(w));
	h = mix(mix(l->key ^ w[0]) ^ w[1]);
	*bucket = &l->sources[h % (LIMIT_SLOTS / LIMIT_BUCKET) * LIMIT_BUCKET];
	h &= ~COUNT_MASK;
	return h ? h : 1ULL << COUNT_BITS;
}

/* Nobody is there, and what was taken is paid for: another source may have the place. */
static bool is_idle(const struct limit_source *src, uint64_t word, uint64_t now)
{
	return !(word & COUNT_MASK) && src->rate.paid <= now && src->bytes[0].paid <= now &&
	       src->bytes[1].paid <= now;
}

enum place { PLACE_TAKEN, PLACE_OVER, PLACE_OTHER };

/* A connection more, if the place is that source's. */
static enum place join(struct limit_source *src, uint64_t print, uint32_t limit)
{
	uint64_t word = atomic_load(&src->word);
	uint64_t most = limit && limit < COUNT_MASK ? limit : COUNT_MASK;

	do {
		if ((word & ~COUNT_MASK) != print)
			return PLACE_OTHER;
		if ((word & COUNT_MASK) >= most)
			return PLACE_OVER;
	} while (!atomic_compare_exchange_weak(&src->word, &word, word + 1));
	return PLACE_TAKEN;
}

/* The first connection of a source that has no place. */
static bool settle(struct limit_source *src, uint64_t print, uint64_t now)
{
	uint64_t word = atomic_load(&src->word);

	if (!is_idle(src, word, now))
		return false;
	return atomic_compare_exchange_strong(&src->word, &word, print + 1);
}

static enum place find_place(struct limit_state *l, const struct target_settings *s,
			     const struct in6_addr *ip, uint64_t now, struct limit_source **out)
{
	struct limit_source *bucket;
	uint64_t print = fingerprint(l, ip, &bucket);

	for (int i = 0; i < LIMIT_BUCKET; i++) {
		enum place p = join(&bucket[i], print, s->limit_source_connections);

		*out = &bucket[i];
		if (p != PLACE_OTHER)
			return p;
	}
	for (int i = 0; i < LIMIT_BUCKET; i++) {
		enum place p;

		*out = &bucket[i];
		if (settle(&bucket[i], print, now))
			return PLACE_TAKEN;
		/* Another thread may have settled this very source meanwhile. */
		p = join(&bucket[i], print, s->limit_source_connections);
		if (p != PLACE_OTHER)
			return p;
	}
	return PLACE_OTHER;
}

static enum flow_reason enter_source(struct limit_state *l, const struct target_settings *s,
				     const struct in6_addr *ip, uint64_t now,
				     struct limit_pass *pass, bool *full)
{
	struct limit_source *src;

	switch (find_place(l, s, ip, now, &src)) {
	case PLACE_OVER:
		return FLOW_END_SOURCE_CONNECTIONS;
	case PLACE_OTHER:
		*full = true;
		return FLOW_END_FIN;
	case PLACE_TAKEN:
		break;
	}
	if (!take_one(&src->rate, s->limit_source_rate, now)) {
		atomic_fetch_sub(&src->word, 1);
		return FLOW_END_SOURCE_RATE;
	}
	pass->source = (uint32_t)(src - l->sources) + 1;
	return FLOW_END_FIN;
}

/* ---- a connection ---- */

static enum flow_reason enter_target(struct limit_state *l, const struct target_settings *s,
				     uint64_t now)
{
	if (atomic_fetch_add(&l->connections, 1) >= s->limit_connections && s->limit_connections) {
		atomic_fetch_sub(&l->connections, 1);
		return FLOW_END_CONNECTIONS;
	}
	if (!take_one(&l->rate, s->limit_rate, now)) {
		atomic_fetch_sub(&l->connections, 1);
		return FLOW_END_RATE;
	}
	return FLOW_END_FIN;
}

static void leave_source(struct limit_state *l, struct limit_pass *pass)
{
	if (pass->source)
		atomic_fetch_sub(&l->sources[pass->source - 1].word, 1);
	pass->source = 0;
}

/* A source over its own limit takes nothing from the others of the target. */
enum flow_reason limit_enter(struct limit_state *l, const struct target_settings *s,
			     const struct in6_addr *source, uint64_t now, struct limit_pass *pass,
			     bool *full)
{
	enum flow_reason r = FLOW_END_FIN;

	now *= SECOND / 1000;
	*full = false;
	if (wants_sources(s))
		r = enter_source(l, s, source, now, pass, full);
	if (r != FLOW_END_FIN)
		return r;
	r = enter_target(l, s, now);
	if (r != FLOW_END_FIN)
		leave_source(l, pass);
	else
		pass->counted = true;
	return r;
}

void limit_leave(struct limit_state *l, struct limit_pass *pass)
{
	leave_source(l, pass);
	if (pass->counted)
		atomic_fetch_sub(&l->connections, 1);
	pass->counted = false;
}

uint32_t limit_bytes(struct limit_state *l, const struct target_settings *s,
		     const struct limit_pass *pass, int side, uint64_t n, uint64_t now)
{
	uint64_t owed, owed_by_source = 0;

	now *= SECOND / 1000;
	owed = take_bytes(&l->bytes[side], n, s->limit_bytes, now);
	if (pass->source)
		owed_by_source = take_bytes(&l->sources[pass->source - 1].bytes[side], n,
					    s->limit_source_bytes, now);
	if (owed < owed_by_source)
		owed = owed_by_source;
	owed = (owed + SECOND / 1000 - 1) / (SECOND / 1000);
	return owed < UINT32_MAX ? (uint32_t)owed : UINT32_MAX;
}

uint32_t limit_quantum(const struct target_settings *s)
{
	uint32_t rate = s->limit_bytes;
	uint32_t quantum, least;

	if (s->limit_source_bytes && (!rate || s->limit_source_bytes < rate))
		rate = s->limit_source_bytes;
	quantum = rate / QUANTUM_PART;
	/* A packet, but no more than a second's worth. */
	least = rate < QUANTUM_MIN ? rate : QUANTUM_MIN;
	if (quantum > QUANTUM_MAX)
		return QUANTUM_MAX;
	return quantum < least ? least : quantum;
}

/* ---- life ---- */

static int make_sources(struct limit_state *l)
{
	void *p = mmap(NULL, LIMIT_SLOTS * sizeof(*l->sources), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	l->sources = p;
	return 0;
}

/* Flows of the old settings look at the sources only if those had a limit of them. */
int limit_init(struct limit_state **out, const struct target_settings *s,
	       struct limit_state *before)
{
	struct limit_state *l = before ? before : calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return -ENOMEM;
	atomic_fetch_add(&l->users, 1);
	if (!before && getrandom(&l->key, sizeof(l->key), 0) != sizeof(l->key))
		r = -EIO;
	if (!r && wants_sources(s) && !l->sources)
		r = make_sources(l);
	if (r < 0) {
		limit_put(l);
		return r;
	}
	*out = l;
	return 0;
}

void limit_put(struct limit_state *l)
{
	if (atomic_fetch_sub(&l->users, 1) > 1)
		return;
	if (l->sources)
		munmap(l->sources, LIMIT_SLOTS * sizeof(*l->sources));
	free(l);
}
