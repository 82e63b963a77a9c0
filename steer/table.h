/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hash tables in which the classifier finds entries: keys, buckets, filters. Which masks
 * tables have is decided in plan.c.
 */
#ifndef SHUNT_STEER_TABLE_H
#define SHUNT_STEER_TABLE_H

#include "arena.h"

/* What of an entry, or of a table's key, is fixed: lengths of prefixes, enum shunt_table_flag. */
struct shape {
	uint8_t dst_len, src_len, dport_len, sport_len, uid_len;
	uint8_t flags;
	uint8_t level;
	uint8_t reserved;
};

/* A place that an entry takes: one for most; some for ranges that were cut into prefixes. */
struct item {
	uint64_t dst[2], src[2], cgroup;
	uint32_t entry, priority, uid;
	uint16_t dport, sport, device, dst_set, src_set;
	uint8_t bits;  /* enum shunt_bits of the entry */
	uint8_t loose; /* enum item_loose */
	struct shape shape;
};

/* What a packet with the item's key, whole, may still fail at. */
enum item_loose {
	LOOSE_DPORT = 1 << 0, /* a range that is no prefix */
	LOOSE_SPORT = 1 << 1,
	LOOSE_OTHER = 1 << 2, /* `not`, a range of uids */
};

struct port_prefix {
	uint16_t port;
	uint8_t len;
};
enum { PORT_PREFIXES_MAX = 30 };

/* The entry as one item. */
void item_of_entry(const struct arena *a, uint32_t entry, struct item *out);
/* A range of ports as prefixes, in order; returns how many. */
size_t port_prefixes(uint16_t lo, uint16_t hi, struct port_prefix *out);
/*
 * The item cut at the prefixes of its ranges of ports: how many items, 0 if it cannot be cut or
 * only into more than max. `out` has room for max.
 */
size_t item_cut(const struct arena *a, const struct item *it, struct item *out, size_t max);
enum { ITEM_CUT_MAX = 16 };
/* The item's pieces for a table with SHUNT_TABLE_PORTS; `out` has room for PORT_PREFIXES_MAX. */
size_t item_levels(const struct arena *a, const struct item *it, struct item *out);

static inline bool shape_covers(const struct shape *table, const struct shape *item)
{
	return table->dst_len <= item->dst_len && table->src_len <= item->src_len &&
	       table->dport_len <= item->dport_len && table->sport_len <= item->sport_len &&
	       table->uid_len <= item->uid_len && !(table->flags & ~item->flags) &&
	       !((table->flags ^ item->flags) & SHUNT_TABLE_PORTS) &&
	       (!(table->flags & SHUNT_TABLE_CGROUP) || table->level == item->level);
}

/* Does a packet with the table's key of the item match it for certain? */
bool item_is_certain(const struct shape *table, const struct item *it);
/* The finest shape that covers both, where both or neither are for SHUNT_TABLE_PORTS. */
struct shape shape_meet(struct shape a, struct shape b);

/* A table without buckets. */
void table_init(struct shunt_table *t, const struct shape *shape);
struct shape table_shape(const struct shunt_table *t);
uint32_t table_hash(const struct shunt_table *t, const struct item *it, bool v6);

/*
 * Bits of the table in the filters at filters_at for one more item. all[] is the caller's and at
 * first false: whether the destination's, and the source's, are all set already.
 */
void filter_add(struct arena *a, uint32_t filters_at, uint8_t id, const struct item *it, bool v6,
		bool *all);

/* ---- chains, as a list of their slots in order -------------------------------------------------- */

struct chain {
	struct shunt_slot *v; /* owned */
	size_t n, room;
};
int chain_read(const struct arena *a, uint32_t bucket, struct chain *out);
int chain_insert(struct chain *c, size_t i, struct shunt_slot slot);
/* Into the bucket's cell and new cells behind it. -ENOSPC. */
int chain_write(struct arena *a, uint32_t bucket, const struct shunt_slot *v, size_t n);
/* Give the cells behind the bucket's back. */
void chain_free_rest(struct arena *a, uint32_t bucket);

/* plan.c: room for tables and filters, first of all that is large (shunt/arena.h). */
int plan_lay_out(struct arena *a);
/* Tables, with buckets and filters, for all items of a family; into the generation. */
int plan_tables(struct arena *a, struct item *items, size_t n, bool v6);

#endif
