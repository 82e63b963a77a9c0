/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The format of a generation: rules and sets as the classifier reads them.
 *
 * A generation lives in an arena, an ARRAY of pages of 65,536 cells of 64 bytes (BPF_F_MMAPABLE |
 * BPF_F_INNER_MAP) in slot 0 of the map `ruleset`. Places are cell numbers; 0 is no place.
 * Pages are large since each way from one to another is a call; what every search reads (gen,
 * tables, filters, the front of the IPv4 sets) stands on the first one, as nearly always.
 * Cell 0 is the arena's head; its word `root` says which of two struct shunt_gen cells is
 * live, and the store of that word publishes a change made inside the arena. What can be
 * reached from the live one is never written, except that filters get more bits.
 *
 * Addresses are two words in host byte order, IPv4 v4-mapped: 10.0.0.0 is {0, 0xffff0a000000}.
 */
#ifndef SHUNT_ARENA_H
#define SHUNT_ARENA_H

#include <linux/types.h>

#include "shunt/abi.h"

#define SHUNT_ARENA_MAGIC 0x53484152U /* "SHAR" */
#define SHUNT_ARENA_ABI 4

enum {
	SHUNT_CELL = 64,
	/* Value size of the map: a lookup costs more than what it finds. Linux 6.1 has no larger. */
	SHUNT_PAGE = 4 << 20,
	SHUNT_PAGE_CELLS = SHUNT_PAGE / SHUNT_CELL,
	SHUNT_BLOCK_CELLS = 64,	   /* aligned to as many: never in two pages */
	SHUNT_MAX_TABLES = 64,	   /* of one family: a block */
	SHUNT_BUCKET_SLOTS = 8,
	SHUNT_MAX_SETS = 65535,
	SHUNT_DIR4_SLOTS = 65536,
	SHUNT_DIR4_CELLS = SHUNT_DIR4_SLOTS * 4 / SHUNT_CELL,
};

/* Cell 0. Two of a kind alternate: the live generation uses the one that its header names. */
struct shunt_arena_head {
	__u32 magic;
	__u32 abi;
	__u32 root;	    /* cell of the live struct shunt_gen: 1 or 2 */
	__u32 n_cells;
	__u32 bitmap_at[2]; /* a bit per cell, set: in use */
	__u32 dir4_at[2];   /* IPv4 front of the set index */
	__u32 index_at[2];  /* cells of the rules, by priority */
	__u32 index_max;    /* rules that index_at has room for */
	__u32 reserved[5];
};

/* What the packet side must know before it can classify. */
enum shunt_needs {
	SHUNT_NEED_UID = 1 << 0,
	SHUNT_NEED_DST_CLASS = 1 << 1, /* some rule names a set for the destination */
	SHUNT_NEED_SRC_CLASS = 1 << 2,
	SHUNT_NEED_DEVICE = 1 << 3,    /* some rule names an interface */
};

struct shunt_gen {
	__u64 generation;
	__u32 n_rules;
	__u8 needs;	     /* enum shunt_needs */
	__u8 cgroup_levels;  /* bit n: some rule names a cgroup at level n */
	__u8 n_tables[2];    /* IPv4, IPv6 */
	__u32 tables_at[2];  /* struct shunt_table, best priority first; a block */
	__u32 filters_at[2]; /* which tables to ask, 0: all */
	__u32 tree6;	     /* IPv6 set index, a tagged place */
	__u32 sets_at;	     /* struct shunt_set_rec, two cells a set, by id - 1 */
	__u32 n_sets;
	__u32 classes_at;    /* array of the cells of all classes */
	__u32 n_classes;
	__u32 longest_chain; /* slots of the fullest bucket chain: the worst case's factor */
	__u32 side;	     /* which of the two copies of the head are live: 0 or 1 */
	__u32 timed_at;	     /* struct shunt_timed_ids, 0: no set has timed prefixes */
};

/* ---- rules ------------------------------------------------------------------------------ */

enum shunt_table_flag {
	SHUNT_TABLE_DEVICE = 1 << 0,  /* the key holds the device slot */
	SHUNT_TABLE_DST_SET = 1 << 1, /* the key holds a set of the destination */
	SHUNT_TABLE_SRC_SET = 1 << 2, /* or of the source, never both */
	SHUNT_TABLE_CGROUP = 1 << 3,  /* the key holds the cgroup at cgroup_level */
	SHUNT_TABLE_UID = 1 << 4,     /* packets without a uid need not look */
	SHUNT_TABLE_PORTS = 1 << 5,   /* the key holds a prefix of the destination port, of any
				       * length: packets look for each; never with a set */
};
enum { SHUNT_PORT_PREFIXES = 17 }; /* lengths that a port's prefix may have */

/* A hash table of the entries whose match is at least as narrow as its masks. */
struct shunt_table {
	__u64 dst_mask[2];
	__u64 src_mask[2];
	__u32 port_mask;   /* source port in the high half */
	__u32 uid_mask;
	__u32 best;	   /* lowest priority number in it */
	__u32 buckets_at;
	__u32 bucket_mask; /* number of buckets - 1 */
	__u32 n_slots;	   /* in use */
	__u8 flags;	   /* enum shunt_table_flag */
	__u8 cgroup_level;
	__u8 dst_len, src_len, dport_len, sport_len, uid_len; /* the masks as lengths */
	__u8 id;	   /* bit in the filters; stays while the arena does */
};

/*
 * Filters: for the destination and then for the source, a word of 64 tables for each value of
 * the address's beginning. A table whose bit is not set in both has nothing for the packet.
 * Bits are only ever added, in place: too many are harmless.
 */
enum {
	SHUNT_FILTER_SLOTS = 65536,
	SHUNT_FILTER_CELLS = SHUNT_FILTER_SLOTS * 8 / SHUNT_CELL, /* of one side */
};

/*
 * A bucket is a cell, and more by a link in its last slot. Over the whole chain slots are
 * ordered by priority, so the first match is the best.
 */
struct shunt_slot {
	__u32 hash;
	__u32 entry; /* cell of a struct shunt_entry2, 0 free, or SHUNT_SLOT_LINK | cell */
};
#define SHUNT_SLOT_LINK 0x80000000U

/* Bits of a packet, of which it has one each, and of an entry, which has all it accepts. */
enum shunt_bits {
	SHUNT_BIT_IN = 1 << 0,
	SHUNT_BIT_OUT = 1 << 1,
	SHUNT_BIT_TCP = 1 << 2,
	SHUNT_BIT_UDP = 1 << 3,
	SHUNT_BIT_V4 = 1 << 4,
	SHUNT_BIT_V6 = 1 << 5,
};

enum shunt_entry_flag {
	SHUNT_ENTRY_NOT_DST = 1 << 0, /* prefix or set of the destination must not hold it */
	SHUNT_ENTRY_NOT_SRC = 1 << 1,
	SHUNT_ENTRY_UID = 1 << 2,     /* uid_lo..uid_hi of the rule must hold the sender */
	SHUNT_ENTRY_CGROUP = 1 << 3,  /* cgroup of the rule must hold the sender */
};

struct shunt_entry2 {
	__u64 dst[2];
	__u64 src[2];
	__u32 priority;
	__u32 rule; /* cell of its struct shunt_rule2 */
	__u16 dport_lo, dport_hi;
	__u16 sport_lo, sport_hi;
	__u16 dst_set, src_set; /* id, 0 none */
	__u16 device;		/* slot in the map devices, 0 any */
	__u8 dst_len, src_len;	/* 0..128 */
	__u8 bits;		/* enum shunt_bits */
	__u8 flags;		/* enum shunt_entry_flag */
	/* Of dst_set, src_set: index in timed_sets plus 1, 0 none; may be set in a live entry. */
	__u8 dst_timed, src_timed;
	__u8 reserved[4];
};

/*
 * A rule: what it does, and the parts of its match that entries leave to it. The source is
 * the rule exactly as given, from which it is listed (steer/rule_pack.c).
 */
struct shunt_rule2 {
	__u32 priority;
	__u32 stat;	  /* index in the map rule_stats; stable for the life of the rule */
	__u8 action;	  /* enum shunt_action */
	__u8 flags;	  /* enum shunt_rule_flag */
	__u16 target;	  /* index in the map targets, 0 none */
	__u32 uid_lo;
	__u32 uid_hi;	  /* inclusive */
	__u8 cgroup_level;
	__u8 shadows;	  /* 1: the index leaves later rules out because of this one */
	__u16 reserved0;
	__u64 cgroup;	  /* cgroup v2 id (inode of its directory) */
	__u32 source_at;
	__u32 source_len; /* bytes */
	__u32 entries_at; /* n_entries cells in a row */
	__u32 n_entries;
	__u32 limit_rate;  /* new flows a second, 0 no limit */
	__u32 limit_burst; /* flows at once, not 0 with a limit */
	__u32 reserved[2];
};

/* ---- sets --------------------------------------------------------------------------------- */

/*
 * The set index gives the class of an address: the cell of a list of the sets that hold it.
 * Up to 31 sets are n ids in one cell. More are 2^k cells, n = 32 * 2^k - 1 places, of which
 * the unused are 0: a set stands in the cell of its id's low k bits, so that one cell tells
 * whether it is in the list.
 */
struct shunt_class {
	__u16 n;
	__u16 id[31];
};
enum { SHUNT_CLASS_MAX_CELLS = 256 };

/*
 * Tagged places of the set index. Without SHUNT_AT_NODE it is a class (0: in no set).
 * IPv4: a node of the 65536-way front's slot covers 16 bits: leaf = 32 u16 interval ends and
 * 32 u32 values; depth d = 32 ends and up to 32 nodes of depth d-1 in a row.
 * IPv6: leaf = 16 u64 ends and 16 u32 values; depth d = 8 ends and up to 8 nodes in a row.
 * An interval reaches from behind the end before it to its own end, which it holds. Missing
 * ends are all ones. Values are tagged places again.
 */
#define SHUNT_AT_NODE 0x80000000U
#define SHUNT_AT_LOW 0x40000000U /* IPv6: go on with the low half of the address */
#define SHUNT_AT_DEPTH_SHIFT 27
#define SHUNT_AT_DEPTH(at) (((at) >> SHUNT_AT_DEPTH_SHIFT) & 7)
#define SHUNT_AT_CELL(at) ((at) & 0x07ffffffU)

/* Cells of a full node of a depth. */
#define SHUNT_NODE4_CELLS(d) ((d) == 0 ? 3 : (d) == 1 ? 97 : (d) == 2 ? 3105 : 99361)
#define SHUNT_NODE6_CELLS(d) (((22U << (3 * (d))) - 1) / 7)

/*
 * Which sets of the generation have timed prefixes (maps timed, timed_sets), and of which rules
 * ask the destination, and the source: the others need not be looked at.
 */
struct shunt_timed_ids {
	__u32 asked[2]; /* bits by index in timed_sets; too many are harmless */
	__u16 id[SHUNT_MAX_TIMED_SETS]; /* by index in timed_sets, 0: no such set */
};

/* A set as given: the exact prefixes, ascending, in chunks. Two cells. */
struct shunt_set_rec {
	char name[32];	    /* "" for a set made from a rule's prefixes */
	__u32 n[2];	    /* prefixes: IPv4, IPv6 */
	__u32 chunks_at[2]; /* array of struct shunt_chunk */
	__u32 n_chunks[2];
	__u32 users;	    /* of an unnamed set: rules that name it */
	__u32 flags;	    /* 1: in use */
	__u32 reserved[16];
};

struct shunt_chunk {
	__u32 at;
	__u32 n;
};
enum { SHUNT_CHUNK_MAX = 384 }; /* prefixes of a chunk */

/* IPv4: 12 a cell; IPv6: 3 a cell. Addresses in host byte order. */
struct shunt_prefixes4 {
	__u32 addr[12];
	__u8 len[12]; /* 0..32 */
	__u8 reserved[4];
};
struct shunt_prefixes6 {
	__u64 addr[3][2];
	__u8 len[3];
	__u8 reserved[13];
};

/* ---- what both sides compute alike ------------------------------------------------------------ */

#define SHUNT_K1 0x9e3779b97f4a7c15ULL
#define SHUNT_K2 0xc2b2ae3d27d4eb4fULL
#define SHUNT_K3 0xd6e8feb86659fd93ULL
#define SHUNT_K4 0xa0761d6478bd642fULL
#define SHUNT_K5 0xe7037ed1a0b428dbULL
#define SHUNT_K6 0x8ebc6af09c88c6e3ULL
#define SHUNT_K7 0x589965cc75374cc3ULL

/* Never 0, which free slots and links have. Buckets are chosen by the low bits. */
static inline __attribute__((always_inline)) __u32 shunt_hash_end(__u64 h)
{
	h ^= h >> 29;
	h *= SHUNT_K7;
	return h >> 32 | 0x80000000U;
}

/* Of a table with SHUNT_TABLE_PORTS. */
static inline __attribute__((always_inline)) __u32 shunt_port_key(__u32 port, __u32 len)
{
	return len << 16 | port >> (16 - len);
}

static inline __attribute__((always_inline)) __u32 shunt_filter_slot4(__u64 low)
{
	return low >> 16 & 0xffff;
}

/* Of the first 32 bits. */
static inline __attribute__((always_inline)) __u32 shunt_filter_slot6(__u64 high)
{
	return (high >> 32) * SHUNT_K1 >> 48;
}

#ifndef __bpf__
#include <assert.h>
static_assert(sizeof(struct shunt_arena_head) == 64, "one cell");
static_assert(sizeof(struct shunt_gen) == 64, "one cell");
static_assert(sizeof(struct shunt_table) == 64, "one cell");
static_assert(sizeof(struct shunt_entry2) == 64, "one cell");
static_assert(sizeof(struct shunt_rule2) == 64, "one cell");
static_assert(sizeof(struct shunt_class) == 64, "one cell");
static_assert(sizeof(struct shunt_timed_ids) == 64, "one cell");
static_assert(sizeof(struct shunt_set_rec) == 128, "two cells");
static_assert(sizeof(struct shunt_prefixes4) == 64, "one cell");
static_assert(sizeof(struct shunt_prefixes6) == 64, "one cell");
#endif

#endif
