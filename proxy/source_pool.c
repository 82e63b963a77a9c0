/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "source_pool.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nobody needs more, and the arithmetic stays in 64 bits. */
#define RANGE_MAX (1ULL << 32)

/* ---- making ---- */

static uint64_t count_of(const struct prefix *p)
{
	uint32_t host_bits = 128U - p->bits;

	return host_bits < 32 ? 1ULL << host_bits : RANGE_MAX;
}

static bool is_v4(const struct prefix *p)
{
	return IN6_IS_ADDR_V4MAPPED(&p->ip);
}

uint64_t source_pool_size(const struct prefix_list *list)
{
	uint64_t total[2] = { 0 };

	for (uint32_t i = 0; i < list->n; i++)
		total[is_v4(&list->v[i])] += count_of(&list->v[i]);
	return total[0] > total[1] ? total[0] : total[1];
}

static int init_family(struct source_family *f, const struct target_settings *s, bool v4)
{
	f->ranges = calloc(s->source_pool.n, sizeof(f->ranges[0]));
	if (!f->ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->source_pool.n; i++) {
		const struct prefix *p = &s->source_pool.v[i];

		if (is_v4(p) != v4)
			continue;
		f->ranges[f->n].first = p->ip;
		f->ranges[f->n].count = count_of(p);
		f->total += f->ranges[f->n++].count;
	}
	if (s->source_pick != PICK_LEASTCONN || !f->total)
		return 0;
	f->flows = calloc(f->total, sizeof(f->flows[0]));
	return f->flows ? 0 : -ENOMEM;
}

int source_pool_init(struct source_pool *p, const struct target_settings *s)
{
	memset(p, 0, sizeof(*p));
	if (s->source != SOURCE_POOL)
		return 0;
	for (int v6 = 0; v6 < 2; v6++) {
		if (init_family(&p->families[v6], s, !v6) < 0) {
			source_pool_release(p);
			return -ENOMEM;
		}
	}
	return 0;
}

void source_pool_release(struct source_pool *p)
{
	for (int v6 = 0; v6 < 2; v6++) {
		free(p->families[v6].ranges);
		free(p->families[v6].flows);
	}
	memset(p, 0, sizeof(*p));
}

/* ---- choosing ---- */

static void nth_address(const struct source_family *f, uint64_t n, struct in6_addr *ip)
{
	const struct source_range *r = f->ranges;
	uint64_t low;

	for (; n >= r->count; r++)
		n -= r->count;
	*ip = r->first;
	/* The bits below a prefix are 0, so nothing is carried out of the lower half. */
	memcpy(&low, &ip->s6_addr[8], sizeof(low));
	low = htobe64(be64toh(low) + n);
	memcpy(&ip->s6_addr[8], &low, sizeof(low));
}

static bool was_tried(const struct source_tried *tried, uint64_t n)
{
	for (uint32_t i = 0; i < tried->n; i++)
		if (tried->v[i] == n)
			return true;
	return false;
}

/* Who is first among equals goes round. */
static uint64_t least_used(struct source_family *f, uint64_t at, const struct source_tried *tried)
{
	uint32_t best_flows = UINT32_MAX;
	uint64_t best = at % f->total;

	for (uint64_t k = 0; k < f->total; k++) {
		uint64_t n = (at + k) % f->total;
		uint32_t flows = atomic_load_explicit(&f->flows[n], memory_order_relaxed);

		if (flows < best_flows && !was_tried(tried, n)) {
			best = n;
			best_flows = flows;
		}
	}
	return best;
}

bool source_pool_get(struct source_pool *p, bool v4, struct source_tried *tried,
		     struct in6_addr *ip, uint16_t *at)
{
	struct source_family *f = &p->families[!v4];
	uint64_t n;

	*at = 0;
	if (tried->n == SOURCE_POOL_TRIES || tried->n >= f->total)
		return false;
	/* Other threads take turns in between: the next one may be one that was tried. */
	do {
		n = atomic_fetch_add_explicit(&f->turn, 1, memory_order_relaxed);
		n = f->flows ? least_used(f, n, tried) : n % f->total;
	} while (was_tried(tried, n));
	tried->v[tried->n++] = n;
	nth_address(f, n, ip);
	if (f->flows) {
		atomic_fetch_add_explicit(&f->flows[n], 1, memory_order_relaxed);
		*at = (uint16_t)(n + 1);
	}
	return true;
}

void source_pool_put(struct source_pool *p, bool v4, uint16_t at)
{
	if (at)
		atomic_fetch_sub_explicit(&p->families[!v4].flows[at - 1], 1, memory_order_relaxed);
}
