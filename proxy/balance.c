/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "balance.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * Smooth weighted round robin, computed once: in each step each gains its weight, the richest
 * has its turn and pays the sum. 5, 1, 1 become a a b a c a a, not a a a a a b c.
 */
static int make_turns(struct balance *b)
{
	int32_t have[UPSTREAMS_MAX] = { 0 };
	uint32_t sum = 0, divisor = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		sum += b->weights[i];
		divisor = common_divisor(b->weights[i], divisor);
	}
	sum /= divisor;
	b->turns = malloc(sum);
	if (!b->turns)
		return -ENOMEM;
	for (b->n_turns = 0; b->n_turns < sum; b->n_turns++) {
		uint32_t best = 0;

		for (uint32_t i = 0; i < b->n; i++) {
			have[i] += (int32_t)(b->weights[i] / divisor);
			if (have[i] > have[best])
				best = i;
		}
		have[best] -= (int32_t)sum;
		b->turns[b->n_turns] = (uint8_t)best;
	}
	return 0;
}

static struct upstream *find(const struct balance *b, const struct address *address)
{
	for (uint32_t i = 0; b && i < b->n; i++)
		if (address_equal(&b->upstreams[i]->address, address))
			return b->upstreams[i];
	return NULL;
}

static struct upstream *get_upstream(const struct balance *before, const struct address *address)
{
	struct upstream *u = find(before, address);

	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return NULL;
		u->address = *address;
	}
	atomic_fetch_add(&u->users, 1);
	return u;
}

int balance_init(struct balance *b, const struct target_settings *s,
		 const struct balance *before)
{
	memset(b, 0, sizeof(*b));
	b->mode = (enum balance_mode)s->balance;
	b->fail_limit = s->fail_limit;
	b->fail_hold_ms = 1000 * s->fail_hold;
	b->checked = s->health_interval;
	for (; b->n < s->upstreams.n; b->n++) {
		b->upstreams[b->n] = get_upstream(before, &s->upstreams.v[b->n].address);
		if (!b->upstreams[b->n])
			goto out_release;
		b->weights[b->n] = s->upstreams.v[b->n].weight;
	}
	if (!b->n || !make_turns(b))
		return 0;
out_release:
	balance_release(b);
	return -ENOMEM;
}

void balance_release(struct balance *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (atomic_fetch_sub(&b->upstreams[i]->users, 1) == 1)
			free(b->upstreams[i]);
	free(b->turns);
	memset(b, 0, sizeof(*b));
}

/* ---- choosing ---- */

bool balance_is_in(const struct balance *b, int i, uint64_t now)
{
	struct upstream *u = b->upstreams[i];

	/* A verdict of settings before these may be there that nobody would take back now. */
	if (b->checked && atomic_load_explicit(&u->unhealthy, memory_order_relaxed))
		return false;
	return !b->fail_limit || atomic_load_explicit(&u->out_until, memory_order_relaxed) <= now;
}

/* The upstreams that may be chosen, as a mask. */
static uint64_t candidates(const struct balance *b, int family, uint64_t tried, uint64_t now)
{
	uint64_t all = 0, in = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t bit = 1ULL << i;

		if ((tried & bit) || (family != AF_UNSPEC &&
				      family != address_family(&b->upstreams[i]->address)))
			continue;
		all |= bit;
		if (balance_is_in(b, (int)i, now))
			in |= bit;
	}
	/* All out: a wrong verdict on all is likelier than that trying does harm. */
	return in ? in : all;
}

static int pick_turn(struct balance *b, uint64_t mask)
{
	uint32_t at = atomic_fetch_add_explicit(&b->turn, 1, memory_order_relaxed);

	for (uint32_t n = 0; n < b->n_turns; n++) {
		uint8_t i = b->turns[(at + n) % b->n_turns];

		if (mask & 1ULL << i)
			return i;
	}
	return -1;
}

/* The fewest flows for its weight; who is first among equals goes round. */
static int pick_least(struct balance *b, uint64_t mask)
{
	uint32_t at = atomic_fetch_add_explicit(&b->turn, 1, memory_order_relaxed);
	uint64_t best_flows = 0;
	int best = -1;

	for (uint32_t n = 0; n < b->n; n++) {
		uint32_t i = (at + n) % b->n;
		uint64_t flows;

		if (!(mask & 1ULL << i))
			continue;
		flows = atomic_load_explicit(&b->upstreams[i]->flows, memory_order_relaxed);
		if (best < 0 || flows * b->weights[best] < best_flows * b->weights[i]) {
			best = (int)i;
			best_flows = flows;
		}
	}
	return best;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 33);
}

/* Without a secret: the same after a restart, and on another host. */
static uint64_t hash_pair(const struct in6_addr *client, const struct address *upstream)
{
	uint64_t w[5] = { 0 }, h = 0x9e3779b97f4a7c15ULL;

	memcpy(&w[0], client, 16);
	memcpy(&w[2], &upstream->ip, 16);
	w[4] = upstream->port;
	for (int i = 0; i < 5; i++)
		h = mix(h ^ w[i]);
	return h;
}

/*
 * Rendezvous hashing: each upstream draws a number for the client, the highest wins. Without
 * one upstream only its clients move, each to the second highest. -weight / ln(u) makes shares
 * that follow the weights.
 */
static int pick_source(struct balance *b, const struct address *client, uint64_t mask)
{
	double best_score = -1;
	int best = -1;

	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t h = hash_pair(&client->ip, &b->upstreams[i]->address);
		double u = ((double)(h >> 11) + 0.5) / (double)(1ULL << 53);
		double score = -(double)b->weights[i] / log(u);

		if ((mask & 1ULL << i) && score > best_score) {
			best = (int)i;
			best_score = score;
		}
	}
	return best;
}

int balance_pick(struct balance *b, const struct address *client, int family, uint64_t tried,
		 uint64_t now)
{
	uint64_t mask = candidates(b, family, tried, now);
	int i = -1;

	if (!mask)
		return -1;
	switch (b->mode) {
	case BALANCE_ROUNDROBIN:
		i = pick_turn(b, mask);
		break;
	case BALANCE_LEASTCONN:
		i = pick_least(b, mask);
		break;
	case BALANCE_SOURCE:
		i = pick_source(b, client, mask);
		break;
	}
	if (i < 0)
		return i;
	atomic_fetch_add_explicit(&b->upstreams[i]->flows, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&b->upstreams[i]->total, 1, memory_order_relaxed);
	return i;
}

void balance_leave(struct balance *b, int i)
{
	atomic_fetch_sub_explicit(&b->upstreams[i]->flows, 1, memory_order_relaxed);
}

/* ---- learning ---- */

bool balance_failed(struct balance *b, int i, uint64_t now)
{
	struct upstream *u = b->upstreams[i];

	atomic_fetch_add_explicit(&u->failures, 1, memory_order_relaxed);
	if (!b->fail_limit || atomic_fetch_add(&u->failed, 1) + 1 < b->fail_limit)
		return false;
	/* In again after the hold, it has one chance: failed stays where it is. */
	return atomic_exchange(&u->out_until, now + b->fail_hold_ms) <= now;
}

void balance_worked(struct balance *b, int i)
{
	struct upstream *u = b->upstreams[i];

	if (atomic_load_explicit(&u->failed, memory_order_relaxed))
		atomic_store(&u->failed, 0);
}
