/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The search for the first rule, by priority, that a packet matches.
 *
 *	struct search s = { .c = scratch }
 *	search_begin(&s, &ruleset)	-> 0, or -1: no rules are loaded
 *	... fill in the packet of *s.c; uid and cgroups are asked for by c->needs, c->cgroup_levels
 *	rule = search_run(&s, after)	-> its record, NULL if none matches
 *
 * Everything between begin and the last run sees one generation. To go on behind a rule that
 * does not decide (audit), run again with `after` set to its priority + 1.
 *
 * The state is in a map value: of that the verifier knows nothing, so it goes through each step
 * once, whatever is stored. The arena must be on the stack, since pointers cannot be in maps.
 */
#ifndef SHUNT_BPF_SEARCH_H
#define SHUNT_BPF_SEARCH_H

#include "sets.h"

/* More steps than any generation asks for: tables x sets of an address x chain. */
#define SEARCH_MAX_STEPS (1 << 22)
/* Returning from a step costs as much as a table where returns are not predicted. */
#define SEARCH_TABLES_AT_ONCE 4
/* Steps without a call; more would cost the verifier more than the few that need them. */
#define SEARCH_STEPS_INLINE 3
/* Places for the timed sets that hold an address; a power of two, for the verifier. */
#define TIMED_ROOM 32
/* What stands for a class where not sets but prefixes of the port are gone through. */
#define SEARCH_PORTS (~0U)

struct classify {
	/* The packet, filled in by the caller between begin and run. */
	__u64 dst[2], src[2]; /* host byte order, IPv4 v4-mapped */
	__u64 cgroup[SHUNT_CGROUP_LEVELS];
	__u16 dport, sport;   /* host byte order */
	__u16 device;
	__u8 bits;	      /* enum shunt_bits, one of each kind */
	__u8 has_uid;	      /* 0 or 1 */
	__u32 uid;
	/* What begin found. */
	__u8 needs;
	__u8 cgroup_levels;
	__u16 pad;
	__u32 ports;
	__u64 generation;
	__u64 tables_left; /* bits of those that may hold something */
	__u32 dir4, tree6;
	__u32 tables[2], n_tables[2], filters[2];
	/* The classes of its addresses. */
	/* The sets that hold the destination, the source, for a time. */
	__u32 timed_bits[2]; /* by index in timed_sets, plus 1: bit 0 is never set */
	__u32 n_timed[2];
	__u16 timed[2][TIMED_ROOM]; /* their ids */
	__u32 timed_at;	   /* cell of struct shunt_timed_ids, 0: there are none */
	__u32 timed_side, timed_set, timed_len; /* where the search for them is (timed.h) */
	__u32 side;	   /* that is looked for: 0 destination, 1 source, 2 all are found */
	__u32 class_at;	   /* IPv6: the tagged place to go on at */
	__u64 half;	   /* and the half of the address to compare */
	/* The search. */
	__u32 dst_class, src_class; /* cells, 0: in no set */
	__u32 n_dst, n_src;	    /* places in them */
	__u32 after, best, rule;
	__u32 table, end;	    /* cells: the next one, behind the last */
	__u32 set, n_sets;	    /* of the table's keyed side, or prefixes of the port: the
				     * next one, behind the last */
	__u32 key_class;
	__u32 key_n;		    /* of n_sets, those of the class; the others are timed */
	__u32 key_side;		    /* of the timed */
	__u32 bucket, hash;	    /* cell to look at next, 0: the chain is done */
	__u32 slots_at, hits;	    /* cell looked at, bits of its slots still to try */
	__u32 entry;		    /* of the first of them */
	__u32 buckets_at, bucket_mask;
	__u64 partial;		    /* hash of the key without the set */
};

struct search {
	struct classify *c;
	struct arena arena; /* the generation's */
	void *page;	    /* of the entry that was found: its rule is nearly always there, too */
	__u32 found;	    /* its cell */
};

static __always_inline void search_reset(struct classify *c)
{
	c->dst_class = 0;
	c->src_class = 0;
	c->n_dst = 0;
	c->n_src = 0;
	c->buckets_at = 0;
	c->bucket_mask = 0;
	c->slots_at = 0;
	c->entry = 0;
	c->hash = 0;
	c->partial = 0;
	c->key_class = 0;
	c->key_side = 0;
	c->n_timed[0] = 0;
	c->n_timed[1] = 0;
	c->timed_bits[0] = 0;
	c->timed_bits[1] = 0;
}

static __always_inline int search_begin(struct search *s, void *ruleset_map)
{
	struct classify *c = s->c;
	const struct shunt_arena_head *head;
	const struct shunt_gen *gen;
	__u32 slot = 0, root;

	s->arena.map = bpf_map_lookup_elem(ruleset_map, &slot);
	if (!s->arena.map)
		return -1;
	s->arena.first = bpf_map_lookup_elem(s->arena.map, &slot);
	head = s->arena.first;
	s->page = s->arena.first;
	s->found = 0;
	if (!head || head->magic != SHUNT_ARENA_MAGIC)
		return -1;
	/* The one read that chooses the generation. */
	root = *(const volatile __u32 *)&head->root;
	gen = cell_in((void *)head, root);
	search_reset(c);
	c->generation = gen->generation;
	c->needs = gen->needs;
	c->cgroup_levels = gen->cgroup_levels;
	c->tables[0] = gen->tables_at[0];
	c->tables[1] = gen->tables_at[1];
	c->n_tables[0] = gen->n_tables[0];
	c->n_tables[1] = gen->n_tables[1];
	c->filters[0] = gen->filters_at[0];
	c->filters[1] = gen->filters_at[1];
	c->tree6 = gen->tree6;
	c->timed_at = gen->timed_at;
	c->dir4 = head->dir4_at[gen->side & 1];
	return 0;
}

/* Begin with a side: 0 is the destination. */
static __always_inline void class_begin(struct classify *c, __u32 side)
{
	c->side = side;
	c->half = side ? c->src[0] : c->dst[0];
	c->class_at = c->tree6;
}

static __always_inline void class_end(const struct search *s, __u32 at)
{
	struct classify *c = s->c;
	const struct shunt_class *class = at ? cell_at(&s->arena, at) : 0;
	__u32 n = class ? class->n : 0;

	if (c->side) {
		c->src_class = at;
		c->n_src = n;
	} else {
		c->dst_class = at;
		c->n_dst = n;
	}
	class_begin(c, c->side + 1);
}

/* Go on to find the IPv6 class of a side, then that of the other one, for bpf_loop. */
static long class_step(__u32 i __attribute__((unused)), void *ctx)
{
	struct search *s = ctx;
	struct classify *c = s->c;
	__u64 low = c->side ? c->src[1] : c->dst[1];
	__u32 at;

	if (c->side > 1)
		return 1;
	if (!(c->needs & (c->side ? SHUNT_NEED_SRC_CLASS : SHUNT_NEED_DST_CLASS))) {
		class_end(s, 0);
		return 0;
	}
	at = set_steps6(&s->arena, c->class_at, &c->half, low);
	c->class_at = at;
	if (!(at & SHUNT_AT_NODE))
		class_end(s, at);
	return c->side > 1;
}

/* IPv4: no loop, since entering and leaving one takes as long as the search. */
static __always_inline void find_classes4(const struct search *s)
{
	struct classify *c = s->c;
	__u32 at;

	class_begin(c, 0);
	at = c->needs & SHUNT_NEED_DST_CLASS ? set_class4(&s->arena, c->dir4, c->dst[1]) : 0;
	class_end(s, at);
	at = c->needs & SHUNT_NEED_SRC_CLASS ? set_class4(&s->arena, c->dir4, c->src[1]) : 0;
	class_end(s, at);
}

/* Not 0 if a and b differ in their first len bits. */
static __always_inline __u64 prefix_differs(const __u64 *a, const __u64 *b, __u32 len)
{
	if (len > 64)
		return (a[0] ^ b[0]) | ((a[1] ^ b[1]) >> ((128 - len) & 63));
	if (len)
		return (a[0] ^ b[0]) >> ((64 - len) & 63);
	return 0;
}

static __always_inline int dst_matches(const struct search *s,
					const struct shunt_entry2 *e)
{
	const struct classify *c = s->c;
	int hit = e->dst_set ? class_has(&s->arena, c->dst_class, c->n_dst, e->dst_set)
			     : !prefix_differs(c->dst, e->dst, e->dst_len);

	hit |= c->timed_bits[0] >> (e->dst_timed & 31) & 1;
	return hit != (e->flags & SHUNT_ENTRY_NOT_DST);
}

static __always_inline int src_matches(const struct search *s,
					const struct shunt_entry2 *e)
{
	const struct classify *c = s->c;
	int hit = e->src_set ? class_has(&s->arena, c->src_class, c->n_src, e->src_set)
			     : !prefix_differs(c->src, e->src, e->src_len);

	hit |= c->timed_bits[1] >> (e->src_timed & 31) & 1;
	return hit != ((e->flags & SHUNT_ENTRY_NOT_SRC) >> 1);
}

static __always_inline int owner_matches(const struct search *s,
					const struct shunt_entry2 *e)
{
	const struct classify *c = s->c;
	const struct shunt_rule2 *rule = cell_at(&s->arena, e->rule);

	if (!rule)
		return 0;
	if ((e->flags & SHUNT_ENTRY_UID) &&
	    (!c->has_uid || c->uid < rule->uid_lo || c->uid > rule->uid_hi))
		return 0;
	return !(e->flags & SHUNT_ENTRY_CGROUP) ||
	       c->cgroup[rule->cgroup_level & (SHUNT_CGROUP_LEVELS - 1)] == rule->cgroup;
}

static __always_inline int entry_matches(const struct search *s,
					const struct shunt_entry2 *e)
{
	const struct classify *c = s->c;
	if ((e->bits & c->bits) != c->bits || e->priority < c->after)
		return 0;
	if (c->dport < e->dport_lo || c->dport > e->dport_hi || c->sport < e->sport_lo ||
	    c->sport > e->sport_hi)
		return 0;
	if (e->device && e->device != c->device)
		return 0;
	if (!dst_matches(s, e) || !src_matches(s, e))
		return 0;
	return !(e->flags & (SHUNT_ENTRY_UID | SHUNT_ENTRY_CGROUP)) || owner_matches(s, e);
}

/* The slots of the bucket cell that hold the hash, as bits; without a branch for each. */
static __always_inline __u32 slots_with(const struct shunt_slot *slots, __u32 hash)
{
	__u64 differs;
	__u32 hits = 0;
	int i;

	for (i = 0; i < SHUNT_BUCKET_SLOTS; i++) {
		differs = slots[i].hash ^ hash;
		differs--;
		asm volatile("" : "+r"(differs));
		hits |= (__u32)(differs >> 63) << i;
	}
	return hits;
}

/* Index of the lowest bit of 8, by a de Bruijn sequence: BPF has no such instruction. */
static __always_inline __u32 lowest_of_8(__u32 bits)
{
	__u32 lowest = bits & -bits;

	return (0x34572610U >> (((lowest * 0x1d) >> 5 & 7) * 4)) & 7;
}

/*
 * Read the bucket cell: which of its slots to try, the entry of the first of them, and the
 * next cell of the chain. Returns 0 if there is nothing to do here.
 */
static __always_inline int open_bucket(const struct search *s, __u32 at)
{
	struct classify *c = s->c;
	const struct shunt_slot *slots = cell_at(&s->arena, at);
	__u32 hits, last;

	if (!slots)
		return 0;
	hits = slots_with(slots, c->hash);
	last = slots[SHUNT_BUCKET_SLOTS - 1].entry;
	if (!hits && !(last & SHUNT_SLOT_LINK))
		return 0;
	c->slots_at = at;
	c->hits = hits;
	c->entry = slots[lowest_of_8(hits)].entry;
	c->bucket = last & SHUNT_SLOT_LINK ? last & ~SHUNT_SLOT_LINK : 0;
	return 1;
}

/* Look at one entry whose hash is right. A better one in this chain stands no further on. */
static __always_inline void try_entry(struct search *s)
{
	struct classify *c = s->c;
	void *page = page_at(&s->arena, c->entry);
	const struct shunt_entry2 *e = page ? cell_in(page, c->entry) : 0;
	const struct shunt_slot *slots;

	c->hits = c->hits & (c->hits - 1);
	if (e && e->priority < c->best) {
		if (entry_matches(s, e)) {
			c->best = e->priority;
			c->rule = e->rule;
			s->page = page;
			s->found = c->entry;
			c->hits = 0;
			c->bucket = 0;
		} else if (c->hits) {
			slots = cell_at(&s->arena, c->slots_at);
			if (slots)
				c->entry = slots[lowest_of_8(c->hits)].entry;
		}
		return;
	}
	c->hits = 0;
	c->bucket = 0;
}

/* The key's parts that few tables have. Returns how many values to try as the last part. */
static __always_inline __u32 hash_rare(struct classify *c, const struct shunt_table *t, __u64 *h)
{
	__u32 n = 1;

	c->key_n = ~0U;
	if (t->flags & SHUNT_TABLE_DEVICE)
		*h += (__u64)c->device * SHUNT_K7;
	if (t->flags & SHUNT_TABLE_UID) {
		n = c->has_uid;
		*h += (__u64)(c->uid & t->uid_mask) * SHUNT_K3;
	}
	if (t->flags & SHUNT_TABLE_CGROUP)
		*h += c->cgroup[t->cgroup_level & (SHUNT_CGROUP_LEVELS - 1)] * SHUNT_K4;
	if (t->flags & SHUNT_TABLE_DST_SET) {
		n *= c->n_dst + c->n_timed[0];
		c->key_class = c->dst_class;
		c->key_n = c->n_dst;
		c->key_side = 0;
	} else if (t->flags & SHUNT_TABLE_SRC_SET) {
		n *= c->n_src + c->n_timed[1];
		c->key_class = c->src_class;
		c->key_n = c->n_src;
		c->key_side = 1;
	} else if (t->flags & SHUNT_TABLE_PORTS) {
		n *= SHUNT_PORT_PREFIXES;
		c->key_class = SEARCH_PORTS;
	} else {
		c->key_class = 0;
	}
	return n;
}

static __always_inline __u64 hash_common(const struct classify *c, const struct shunt_table *t)
{
	__u64 h;

	h = (c->dst[1] & t->dst_mask[1]) * SHUNT_K1 + (c->src[1] & t->src_mask[1]) * SHUNT_K2;
	if (!(c->bits & SHUNT_BIT_V4))
		h += (c->dst[0] & t->dst_mask[0]) * SHUNT_K3 +
		     (c->src[0] & t->src_mask[0]) * SHUNT_K4;
	return h + (c->ports & t->port_mask) * SHUNT_K5;
}

/* The next set of the table whose key needs one; 1 if its bucket holds something to do. */
static __always_inline int next_set(const struct search *s)
{
	struct classify *c = s->c;
	__u64 h = c->partial;

	if (c->key_class == SEARCH_PORTS)
		h += (__u64)shunt_port_key(c->dport, c->set & 31) * SHUNT_K6;
	else if (c->set >= c->key_n)
		h += c->timed[c->key_side & 1][(c->set - c->key_n) & (TIMED_ROOM - 1)] * SHUNT_K6;
	else if (c->key_class)
		h += class_id(&s->arena, c->key_class, c->set) * SHUNT_K6;
	c->set = c->set + 1;
	c->hash = shunt_hash_end(h);
	return open_bucket(s, c->buckets_at + (c->hash & c->bucket_mask));
}

/*
 * Go through tables until one has something to try: 1; or some have been gone through: 0; or
 * none is left that could hold something better: -1.
 */
static __always_inline int next_tables(const struct search *s)
{
	struct classify *c = s->c;
	const struct shunt_table *t;
	void *page = page_at(&s->arena, c->table);
	__u64 h;
	int i;

	if (!page)
		return -1;
#pragma clang loop unroll(full)
	for (i = 0; i < SEARCH_TABLES_AT_ONCE; i++) {
		t = cell_in(page, c->table);
		if (c->table >= c->end || t->best >= c->best)
			return -1;
		c->table = c->table + 1;
		if (!(c->tables_left >> (t->id & 63) & 1))
			continue;
		h = hash_common(c, t);
		if (t->flags) {
			c->n_sets = hash_rare(c, t, &h);
			c->set = 0;
			c->partial = h;
			c->buckets_at = t->buckets_at;
			c->bucket_mask = t->bucket_mask;
			return 0;
		}
		c->hash = shunt_hash_end(h);
		if (open_bucket(s, t->buckets_at + (c->hash & t->bucket_mask)))
			return 1;
	}
	return 0;
}

static __always_inline int next_in_chain(const struct search *s)
{
	struct classify *c = s->c;
	__u32 at = c->bucket;

	c->bucket = 0;
	return open_bucket(s, at);
}

/*
 * One step of the search: to the next slot of this bucket, or cell of this chain, or set of this
 * table, or tables. 1 if it was the last.
 */
static __always_inline long step(struct search *s)
{
	struct classify *c = s->c;
	int found;

	if (!c->hits) {
		if (c->bucket)
			found = next_in_chain(s);
		else if (c->set < c->n_sets)
			found = next_set(s);
		else
			found = next_tables(s);
		if (found < 0)
			return 1;
		if (!found || !c->hits)
			return 0;
	}
	try_entry(s);
	return 0;
}

/* For bpf_loop: verified once, however many tables there are. */
static long search_step(__u32 i __attribute__((unused)), void *ctx)
{
	return step(ctx);
}

static __always_inline __u64 filter_word(const struct search *s, __u32 at, __u32 slot)
{
	const __u64 *words = cell_at(&s->arena, at + slot / 8);

	return words ? words[slot & 7] : 0;
}

static __always_inline __u64 filter_tables(const struct search *s, __u32 at, int v6)
{
	const struct classify *c = s->c;
	__u32 dst = v6 ? shunt_filter_slot6(c->dst[0]) : shunt_filter_slot4(c->dst[1]);
	__u32 src = v6 ? shunt_filter_slot6(c->src[0]) : shunt_filter_slot4(c->src[1]);

	if (!at)
		return ~0ULL;
	return filter_word(s, at, dst) & filter_word(s, at + SHUNT_FILTER_CELLS, src);
}

static __always_inline const struct shunt_rule2 *search_run(struct search *s, __u32 after)
{
	struct classify *c = s->c;
	int v6 = !(c->bits & SHUNT_BIT_V4);
	long done = 0;
	__u32 i;

	c->ports = (__u32)c->sport << 16 | c->dport;
	if (c->needs & (SHUNT_NEED_DST_CLASS | SHUNT_NEED_SRC_CLASS)) {
		if (v6) {
			class_begin(c, 0);
			bpf_loop(2 * SETS_MAX_STEPS / SETS_STEPS_AT_ONCE, class_step, s, 0);
		} else {
			find_classes4(s);
		}
	}
	c->after = after;
	c->best = ~0U;
	c->rule = 0;
	c->table = v6 ? c->tables[1] : c->tables[0];
	c->end = c->table + (v6 ? c->n_tables[1] : c->n_tables[0]);
	c->tables_left = filter_tables(s, v6 ? c->filters[1] : c->filters[0], v6);
	c->set = 0;
	c->n_sets = 0;
	c->bucket = 0;
	c->hits = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < SEARCH_STEPS_INLINE && !done; i++)
		done = step(s);
	if (!done)
		bpf_loop(SEARCH_MAX_STEPS, search_step, s, 0);
	return c->rule ? cell_from(&s->arena, s->page, s->found, c->rule) : 0;
}

#endif
