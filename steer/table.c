// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILTER_LEN_MIN = 6 }; /* IPv4 prefixes that are shorter count as any address */

/* ---- shapes --------------------------------------------------------------------------------- */

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

struct shape shape_meet(struct shape a, struct shape b)
{
	struct shape m = {
		.dst_len = smaller(a.dst_len, b.dst_len),
		.src_len = smaller(a.src_len, b.src_len),
		.dport_len = smaller(a.dport_len, b.dport_len),
		.sport_len = smaller(a.sport_len, b.sport_len),
		.uid_len = smaller(a.uid_len, b.uid_len),
		.flags = a.flags & b.flags,
	};

	if (a.level != b.level)
		m.flags &= (uint8_t)~SHUNT_TABLE_CGROUP;
	m.level = m.flags & SHUNT_TABLE_CGROUP ? a.level : 0;
	return m;
}

bool item_is_certain(const struct shape *table, const struct item *it)
{
	const struct shape *s = &it->shape;

	return !it->loose && table->dst_len == s->dst_len && table->src_len == s->src_len &&
	       (table->dport_len == s->dport_len || table->flags & SHUNT_TABLE_PORTS) &&
	       table->sport_len == s->sport_len && table->uid_len == s->uid_len &&
	       table->flags == s->flags;
}

static uint8_t common16(uint16_t lo, uint16_t hi)
{
	return lo == hi ? 16 : (uint8_t)(__builtin_clz((uint32_t)(lo ^ hi)) - 16);
}

static uint16_t mask16(uint8_t len)
{
	return len ? (uint16_t)(0xffffU << (16 - len)) : 0;
}

/* Is the range all that has its common prefix? */
static bool is_prefix(uint16_t lo, uint16_t hi)
{
	uint16_t host = (uint16_t)~mask16(common16(lo, hi));

	return !(lo & host) && (hi & host) == host;
}

static uint32_t mask32(uint8_t len)
{
	return len ? 0xffffffffU << (32 - len) : 0;
}

static void mask128(uint8_t len, __u64 *out)
{
	out[0] = len >= 64 ? ~0ULL : len ? ~0ULL << (64 - len) : 0;
	out[1] = len <= 64 ? 0 : ~0ULL << (128 - len);
}

/* ---- items ---------------------------------------------------------------------------------- */

static void fill_addrs(struct item *it, const struct shunt_entry2 *e)
{
	memcpy(it->dst, e->dst, 16);
	memcpy(it->src, e->src, 16);
	if (!(e->flags & SHUNT_ENTRY_NOT_DST)) {
		it->shape.dst_len = e->dst_set ? 0 : e->dst_len;
		it->dst_set = e->dst_set;
	}
	if (!(e->flags & SHUNT_ENTRY_NOT_SRC)) {
		it->shape.src_len = e->src_set ? 0 : e->src_len;
		it->src_set = e->src_set;
	}
	it->shape.flags |= (it->dst_set ? SHUNT_TABLE_DST_SET : 0) |
			   (it->src_set ? SHUNT_TABLE_SRC_SET : 0);
}

static void fill_owner(struct item *it, const struct shunt_entry2 *e,
		       const struct shunt_rule2 *rule)
{
	if (e->flags & SHUNT_ENTRY_UID) {
		it->uid = rule->uid_lo;
		it->shape.uid_len = rule->uid_lo == rule->uid_hi
			? 32 : (uint8_t)__builtin_clz(rule->uid_lo ^ rule->uid_hi);
		it->shape.flags |= SHUNT_TABLE_UID;
		it->loose |= rule->uid_lo == rule->uid_hi ? 0 : LOOSE_OTHER;
	}
	if (e->flags & SHUNT_ENTRY_CGROUP) {
		it->cgroup = rule->cgroup;
		it->shape.level = rule->cgroup_level;
		it->shape.flags |= SHUNT_TABLE_CGROUP;
	}
}

void item_of_entry(const struct arena *a, uint32_t entry, struct item *out)
{
	const struct shunt_entry2 *e = arena_at(a, entry);

	memset(out, 0, sizeof(*out));
	out->entry = entry;
	out->priority = e->priority;
	out->dport = e->dport_lo;
	out->sport = e->sport_lo;
	out->device = e->device;
	out->shape.dport_len = common16(e->dport_lo, e->dport_hi);
	out->shape.sport_len = common16(e->sport_lo, e->sport_hi);
	out->shape.flags = e->device ? SHUNT_TABLE_DEVICE : 0;
	out->bits = e->bits;
	out->loose = (is_prefix(e->dport_lo, e->dport_hi) ? 0 : LOOSE_DPORT) |
		     (is_prefix(e->sport_lo, e->sport_hi) ? 0 : LOOSE_SPORT) |
		     (e->flags & (SHUNT_ENTRY_NOT_DST | SHUNT_ENTRY_NOT_SRC) ? LOOSE_OTHER : 0);
	fill_addrs(out, e);
	fill_owner(out, e, arena_at(a, e->rule));
}

size_t port_prefixes(uint16_t lo, uint16_t hi, struct port_prefix *out)
{
	uint32_t at = lo, size;
	size_t n = 0;

	while (at <= hi) {
		size = at ? at & -at : 65536;
		while (at + size - 1 > hi)
			size /= 2;
		out[n].port = (uint16_t)at;
		out[n++].len = (uint8_t)(16 - __builtin_ctz(size));
		at += size;
	}
	return n;
}

size_t item_cut(const struct arena *a, const struct item *it, struct item *out, size_t max)
{
	const struct shunt_entry2 *e = arena_at(a, it->entry);
	struct port_prefix d[PORT_PREFIXES_MAX], s[PORT_PREFIXES_MAX];
	size_t n_d = port_prefixes(e->dport_lo, e->dport_hi, d);
	size_t n_s = port_prefixes(e->sport_lo, e->sport_hi, s), n = 0;

	if (n_d * n_s < 2 || n_d * n_s > max)
		return 0;
	for (size_t i = 0; i < n_d; i++) {
		for (size_t k = 0; k < n_s; k++, n++) {
			out[n] = *it;
			out[n].dport = d[i].port;
			out[n].shape.dport_len = d[i].len;
			out[n].sport = s[k].port;
			out[n].shape.sport_len = s[k].len;
			out[n].loose &= (uint8_t)~(LOOSE_DPORT | LOOSE_SPORT);
		}
	}
	return n;
}

size_t item_levels(const struct arena *a, const struct item *it, struct item *out)
{
	const struct shunt_entry2 *e = arena_at(a, it->entry);
	struct port_prefix d[PORT_PREFIXES_MAX] = { { it->dport, it->shape.dport_len } };
	size_t n = it->loose & LOOSE_DPORT ? port_prefixes(e->dport_lo, e->dport_hi, d) : 1;

	for (size_t i = 0; i < n; i++) {
		out[i] = *it;
		out[i].dport = d[i].port;
		out[i].shape.dport_len = d[i].len;
		out[i].shape.flags |= SHUNT_TABLE_PORTS;
		out[i].loose &= (uint8_t)~LOOSE_DPORT;
	}
	return n;
}

/* ---- tables --------------------------------------------------------------------------------- */

void table_init(struct shunt_table *t, const struct shape *s)
{
	memset(t, 0, sizeof(*t));
	mask128(s->dst_len, t->dst_mask);
	mask128(s->src_len, t->src_mask);
	t->port_mask = (uint32_t)mask16(s->sport_len) << 16 | mask16(s->dport_len);
	t->uid_mask = mask32(s->uid_len);
	t->best = ~0U;
	t->flags = s->flags;
	t->cgroup_level = s->level;
	t->dst_len = s->dst_len;
	t->src_len = s->src_len;
	t->dport_len = s->dport_len;
	t->sport_len = s->sport_len;
	t->uid_len = s->uid_len;
}

struct shape table_shape(const struct shunt_table *t)
{
	return (struct shape){
		.dst_len = t->dst_len, .src_len = t->src_len, .dport_len = t->dport_len,
		.sport_len = t->sport_len, .uid_len = t->uid_len, .flags = t->flags,
		.level = t->cgroup_level,
	};
}

/* The same as hash_common() and hash_rare() of bpf/classify.h. */
uint32_t table_hash(const struct shunt_table *t, const struct item *it, bool v6)
{
	uint32_t ports = (uint32_t)it->sport << 16 | it->dport;
	uint64_t h;

	h = (it->dst[1] & t->dst_mask[1]) * SHUNT_K1 + (it->src[1] & t->src_mask[1]) * SHUNT_K2;
	if (v6)
		h += (it->dst[0] & t->dst_mask[0]) * SHUNT_K3 +
		     (it->src[0] & t->src_mask[0]) * SHUNT_K4;
	h += (ports & t->port_mask) * SHUNT_K5;
	if (t->flags & SHUNT_TABLE_DEVICE)
		h += (uint64_t)it->device * SHUNT_K7;
	if (t->flags & SHUNT_TABLE_UID)
		h += (uint64_t)(it->uid & t->uid_mask) * SHUNT_K3;
	if (t->flags & SHUNT_TABLE_CGROUP)
		h += it->cgroup * SHUNT_K4;
	if (t->flags & SHUNT_TABLE_DST_SET)
		h += it->dst_set * SHUNT_K6;
	else if (t->flags & SHUNT_TABLE_SRC_SET)
		h += it->src_set * SHUNT_K6;
	else if (t->flags & SHUNT_TABLE_PORTS)
		h += (uint64_t)shunt_port_key(it->dport, it->shape.dport_len) * SHUNT_K6;
	return shunt_hash_end(h);
}

/* ---- filters -------------------------------------------------------------------------------- */

/* All of them, for an item that may be nearly anywhere: too many do no harm. */
static void filter_add_all(uint64_t *words, uint64_t bit)
{
	for (uint32_t i = 0; i < SHUNT_FILTER_SLOTS; i++)
		if (!(words[i] & bit))
			__atomic_fetch_or(&words[i], bit, __ATOMIC_RELAXED);
}

static void filter_add_side(uint64_t *words, uint64_t bit, const uint64_t *addr, uint8_t len,
			    bool v6, bool *all)
{
	uint32_t first = v6 ? shunt_filter_slot6(addr[0]) : shunt_filter_slot4(addr[1]), n = 1;

	if (*all)
		return;
	if (len < (v6 ? 32 : 96 + FILTER_LEN_MIN)) {
		filter_add_all(words, bit);
		*all = true;
		return;
	}
	if (!v6 && len < 112)
		n = 1U << (112 - len);
	for (uint32_t i = first; i < first + n; i++)
		if (!(words[i] & bit))
			__atomic_fetch_or(&words[i], bit, __ATOMIC_RELAXED);
}

void filter_add(struct arena *a, uint32_t filters_at, uint8_t id, const struct item *it, bool v6,
		bool *all)
{
	uint64_t *words = arena_at(a, filters_at);

	filter_add_side(words, 1ULL << id, it->dst, it->shape.dst_len, v6, &all[0]);
	filter_add_side(words + SHUNT_FILTER_SLOTS, 1ULL << id, it->src, it->shape.src_len, v6,
			&all[1]);
}

/* ---- chains --------------------------------------------------------------------------------- */

static uint32_t next_cell(const struct shunt_slot *slots)
{
	uint32_t last = slots[SHUNT_BUCKET_SLOTS - 1].entry;

	return last & SHUNT_SLOT_LINK ? last & ~SHUNT_SLOT_LINK : 0;
}

int chain_insert(struct chain *c, size_t i, struct shunt_slot slot)
{
	struct shunt_slot *grown;

	if (c->n == c->room) {
		grown = realloc(c->v, (c->room * 2 + 16) * sizeof(*c->v));
		if (!grown)
			return -ENOMEM;
		c->v = grown;
		c->room = c->room * 2 + 16;
	}
	memmove(&c->v[i + 1], &c->v[i], (c->n - i) * sizeof(*c->v));
	c->v[i] = slot;
	c->n++;
	return 0;
}

int chain_read(const struct arena *a, uint32_t bucket, struct chain *out)
{
	const struct shunt_slot *slots;
	int r;

	out->n = 0;
	for (; bucket; bucket = next_cell(slots)) {
		slots = arena_at(a, bucket);
		for (int i = 0; i < SHUNT_BUCKET_SLOTS; i++) {
			if (!slots[i].hash)
				continue;
			r = chain_insert(out, out->n, slots[i]);
			if (r)
				return r;
		}
	}
	return 0;
}

void chain_free_rest(struct arena *a, uint32_t bucket)
{
	uint32_t at = next_cell(arena_at(a, bucket)), next;

	for (; at; at = next) {
		next = next_cell(arena_at(a, at));
		arena_free(a, at, 1);
	}
}

int chain_write(struct arena *a, uint32_t bucket, const struct shunt_slot *v, size_t n)
{
	struct shunt_slot *slots = arena_at(a, bucket);
	uint32_t more;
	size_t here;

	memset(slots, 0, SHUNT_CELL);
	while (n > SHUNT_BUCKET_SLOTS) {
		here = SHUNT_BUCKET_SLOTS - 1;
		memcpy(slots, v, here * sizeof(*v));
		more = arena_alloc(a, 1);
		if (!more)
			return -ENOSPC;
		slots[here] = (struct shunt_slot){ .entry = SHUNT_SLOT_LINK | more };
		slots = arena_at(a, more);
		v += here;
		n -= here;
	}
	if (n)
		memcpy(slots, v, n * sizeof(*v));
	return 0;
}
