// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rule_write.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "rule_pack.h"
#include "timed.h"

enum {
	WRITE_LIST_MAX = 16,	/* prefixes of a list that are written as entries */
	WRITE_ENTRIES_MAX = 64, /* entries above which lists become sets */
	WRITE_MOST = (1 << 22) - 1, /* entries of a rule, which are one piece of the arena */
	BITS_FAMILIES = SHUNT_BIT_V4 | SHUNT_BIT_V6,
};

/* One alternative of a rule's `from` or `to`. */
struct side {
	uint64_t addr[2];
	uint16_t set;
	uint8_t timed; /* the set's place, plus 1 */
	uint8_t len;
	uint8_t bits; /* families */
	bool negated;
};

struct sides {
	struct side *v; /* owned */
	size_t n;
};

static size_t at_least_one(size_t n)
{
	return n ? n : 1;
}

/* ---- addresses ---------------------------------------------------------------------------------- */

static struct side side_of_prefix(const struct shunt_prefix *p, bool negated)
{
	struct side s = { .len = p->len, .negated = negated };

	memcpy(s.addr, &p->addr, 16);
	s.addr[0] = be64toh(s.addr[0]);
	s.addr[1] = be64toh(s.addr[1]);
	s.bits = shunt_prefix_is_v4(p) ? SHUNT_BIT_V4 : SHUNT_BIT_V6;
	if (negated)
		s.bits = BITS_FAMILIES;
	else if (p->len == 96 && s.bits == SHUNT_BIT_V4)
		s.len = 0; /* 0.0.0.0/0: the family says it all */
	return s;
}

/* Does an IPv6 prefix hold the v4-mapped addresses, of which IPv4 packets' are compared? */
static bool holds_v4(const struct shunt_prefix *p)
{
	static const struct in6_addr v4 = { { { [10] = 0xff, [11] = 0xff } } };
	unsigned int bytes = p->len / 8, bits = p->len % 8;

	if (p->len >= 96 || memcmp(&p->addr, &v4, bytes))
		return false;
	return !bits || !((p->addr.s6_addr[bytes] ^ v4.s6_addr[bytes]) >> (8 - bits));
}

static void fill_prefixes(struct sides *out, const struct shunt_addrs *a)
{
	if (!a->n) {
		out->v[out->n++] = (struct side){ .bits = BITS_FAMILIES };
		return;
	}
	for (size_t i = 0; i < a->n; i++)
		out->v[out->n++] = side_of_prefix(&a->v[i], a->negated);
	if (a->negated && holds_v4(&a->v[0])) {
		out->v[0].bits = SHUNT_BIT_V6;
		out->v[out->n++] = (struct side){ .bits = SHUNT_BIT_V4 };
	}
}

static bool must_be_set(const struct shunt_addrs *a)
{
	return a->n > WRITE_LIST_MAX || (a->negated && a->n > 1);
}

static int fill_sides(struct sides *out, const struct rule_writer *w, const struct shunt_addrs *a,
		      bool as_set)
{
	int set = 0;

	out->v = calloc(a->n + 2, sizeof(*out->v));
	out->n = 0;
	if (!out->v)
		return -ENOMEM;
	if (a->set[0])
		set = w->set_find(w->ctx, a->set);
	else if (as_set)
		set = w->set_make(w->ctx, a->v, a->n);
	/* A list can do without a set, if there are no more ids. */
	if (set == -ENOSPC && !a->negated && !a->set[0] && a->n <= 4096)
		set = 0;
	if (set < 0)
		return set;
	if (!set) {
		fill_prefixes(out, a);
		return 0;
	}
	out->v[out->n++] = (struct side){
		.set = (uint16_t)set, .bits = BITS_FAMILIES, .negated = a->negated,
		.timed = a->set[0] ? timed_place_of(w->a, (uint16_t)set) : 0,
	};
	return 0;
}

static int fill_both(struct sides *to, struct sides *from, const struct rule_writer *w,
		     const struct shunt_rule *r)
{
	size_t others = at_least_one(r->n_devices) * at_least_one(r->port.n) *
			at_least_one(r->sport.n);
	bool to_set = must_be_set(&r->to), from_set = must_be_set(&r->from);
	size_t n_to = to_set ? 1 : at_least_one(r->to.n);
	size_t n_from = from_set ? 1 : at_least_one(r->from.n);
	int e;

	if (n_to * n_from * others > WRITE_ENTRIES_MAX) {
		to_set |= n_to >= n_from && n_to > 1;
		from_set |= n_from > n_to && n_from > 1;
	}
	e = fill_sides(to, w, &r->to, to_set);
	return e ? e : fill_sides(from, w, &r->from, from_set);
}

/* ---- entries ------------------------------------------------------------------------------------- */

static uint8_t bits_of_rule(const struct shunt_rule *r)
{
	uint8_t protos = shunt_rule_protos(r), dirs = shunt_rule_dirs(r);

	return (dirs & SHUNT_DIR_IN ? SHUNT_BIT_IN : 0) |
	       (dirs & SHUNT_DIR_OUT ? SHUNT_BIT_OUT : 0) |
	       (protos & SHUNT_PROTO_TCP ? SHUNT_BIT_TCP : 0) |
	       (protos & SHUNT_PROTO_UDP ? SHUNT_BIT_UDP : 0);
}

static void fill_addresses(struct shunt_entry2 *e, const struct side *to, const struct side *from)
{
	memcpy(e->dst, to->addr, 16);
	memcpy(e->src, from->addr, 16);
	e->dst_len = to->len;
	e->src_len = from->len;
	e->dst_set = to->set;
	e->src_set = from->set;
	e->dst_timed = to->timed;
	e->src_timed = from->timed;
	e->flags |= (to->negated ? SHUNT_ENTRY_NOT_DST : 0) |
		    (from->negated ? SHUNT_ENTRY_NOT_SRC : 0);
	e->bits |= to->bits & from->bits;
}

static void fill_ports(struct shunt_entry2 *e, const struct shunt_rule *r, size_t port,
		       size_t sport)
{
	e->dport_hi = e->sport_hi = 65535;
	if (r->port.n) {
		e->dport_lo = r->port.v[port].lo;
		e->dport_hi = r->port.v[port].hi;
	}
	if (r->sport.n) {
		e->sport_lo = r->sport.v[sport].lo;
		e->sport_hi = r->sport.v[sport].hi;
	}
}

/* All combinations of the rule's other lists with this destination and source. */
static size_t write_pair(struct shunt_entry2 *e, const struct shunt_entry2 *base,
			 const struct shunt_rule *r, const int *devices)
{
	size_t n = 0;

	for (size_t port = 0; port < at_least_one(r->port.n); port++) {
		for (size_t sport = 0; sport < at_least_one(r->sport.n); sport++) {
			for (size_t d = 0; d < at_least_one(r->n_devices); d++, n++) {
				e[n] = *base;
				fill_ports(&e[n], r, port, sport);
				e[n].device = r->n_devices ? (uint16_t)devices[d] : 0;
			}
		}
	}
	return n;
}

static void write_entries(struct shunt_entry2 *e, const struct shunt_entry2 *base,
			  const struct shunt_rule *r, const struct sides *to,
			  const struct sides *from, const int *devices, uint32_t *n)
{
	struct shunt_entry2 pair;

	*n = 0;
	for (size_t i = 0; i < to->n; i++) {
		for (size_t k = 0; k < from->n; k++) {
			pair = *base;
			fill_addresses(&pair, &to->v[i], &from->v[k]);
			/* One family from, the other to: nothing can match. */
			if (pair.bits & BITS_FAMILIES)
				*n += (uint32_t)write_pair(e + *n, &pair, r, devices);
		}
	}
}

static int find_devices(int *out, const struct rule_writer *w, const struct shunt_rule *r)
{
	for (size_t i = 0; i < r->n_devices; i++) {
		out[i] = w->names->device(w->names->ctx, r->devices[i]);
		if (out[i] < 0)
			return out[i];
	}
	return 0;
}

static void note_needs(struct shunt_gen *gen, const struct shunt_rule *r, const struct sides *to,
		       const struct sides *from, uint8_t cgroup_level)
{
	gen->needs |= (r->has_uid ? SHUNT_NEED_UID : 0) |
		      (r->n_devices ? SHUNT_NEED_DEVICE : 0) |
		      (to->v[0].set ? SHUNT_NEED_DST_CLASS : 0) |
		      (from->v[0].set ? SHUNT_NEED_SRC_CLASS : 0);
	if (r->cgroup)
		gen->cgroup_levels |= (uint8_t)(1 << cgroup_level);
}

static int write_all_entries(const struct rule_writer *w, const struct shunt_rule *r,
			     uint32_t cell, struct sides *to, struct sides *from)
{
	struct shunt_entry2 base = {
		.priority = r->priority, .rule = cell, .bits = bits_of_rule(r),
		.flags = (r->has_uid ? SHUNT_ENTRY_UID : 0) |
			 (r->cgroup ? SHUNT_ENTRY_CGROUP : 0),
	};
	_cleanup_free_ int *devices = calloc(at_least_one(r->n_devices), sizeof(*devices));
	struct shunt_rule2 *rec = arena_at(w->a, cell);
	size_t max;
	int e;

	if (!devices)
		return -ENOMEM;
	e = find_devices(devices, w, r);
	if (!e)
		e = fill_both(to, from, w, r);
	if (e)
		return e;
	max = to->n * from->n * at_least_one(r->port.n) * at_least_one(r->sport.n) *
	      at_least_one(r->n_devices);
	if (max > WRITE_MOST)
		return shunt_err(-E2BIG, "rule %u has %zu combinations of addresses, ports and "
				 "interfaces: at most %d are possible: make several rules of it",
				 r->priority, max, WRITE_MOST);
	rec->entries_at = arena_alloc(w->a, (uint32_t)max);
	if (!rec->entries_at)
		return -ENOSPC;
	write_entries(arena_at(w->a, rec->entries_at), &base, r, to, from, devices,
		      &rec->n_entries);
	/* Freed are n_entries cells. */
	arena_free(w->a, rec->entries_at + rec->n_entries, (uint32_t)max - rec->n_entries);
	note_needs(arena_gen(w->a), r, to, from, rec->cgroup_level);
	timed_note_asked(w->a, to->v[0].timed, 0);
	timed_note_asked(w->a, from->v[0].timed, 1);
	return 0;
}

/* ---- the record ----------------------------------------------------------------------------------- */

static int fill_names(struct shunt_rule2 *rec, const struct names *names,
		      const struct shunt_rule *r)
{
	uint64_t cgroup = 0;
	int n;

	if (r->action == SHUNT_ACT_PROXY) {
		n = names->target(names->ctx, r->target);
		if (n < 0)
			return n;
		rec->target = (uint16_t)n;
	}
	if (r->has_via || r->via_group[0] || r->route_dev[0]) {
		n = names->hops(names->ctx, r);
		if (n < 0)
			return n;
		rec->target = (uint16_t)n;
	}
	n = names->stat(names->ctx, r->priority);
	if (n < 0)
		return n;
	rec->stat = (uint32_t)n;
	if (!r->cgroup)
		return 0;
	n = names->cgroup(names->ctx, r->cgroup, &cgroup);
	if (n >= SHUNT_CGROUP_LEVELS)
		return shunt_err(-EINVAL, "rule %u: cgroup '%s' is more than %d below the root",
				 r->priority, r->cgroup, SHUNT_CGROUP_LEVELS - 1);
	if (n < 0)
		return n;
	rec->cgroup_level = (uint8_t)n;
	rec->cgroup = cgroup;
	return 0;
}

static void fill_record(struct shunt_rule2 *rec, const struct shunt_rule *r)
{
	rec->priority = r->priority;
	rec->action = r->action;
	rec->flags = (r->fail == SHUNT_FAIL_CLOSED ? SHUNT_RULE_FAIL_CLOSED : 0) |
		     (r->log ? SHUNT_RULE_LOG : 0) | (r->audit ? SHUNT_RULE_AUDIT : 0) |
		     (r->has_uid ? SHUNT_RULE_UID : 0) | (r->cgroup ? SHUNT_RULE_CGROUP : 0) |
		     (r->limit_per == SHUNT_LIMIT_PER_SRC ? SHUNT_RULE_LIMIT_SRC : 0);
	rec->uid_lo = r->uid_lo;
	rec->uid_hi = r->uid_hi;
	if (r->limit_per != SHUNT_LIMIT_NONE) {
		rec->limit_rate = r->limit_rate;
		rec->limit_burst = shunt_rule_burst(r);
	}
}

static int write_source(const struct rule_writer *w, struct shunt_rule2 *rec,
			const struct shunt_rule *r)
{
	size_t size = rule_pack(r, NULL);

	rec->source_at = size < 1 << 30 ? arena_alloc(w->a, cells_for(size)) : 0;
	if (!rec->source_at)
		return -ENOSPC;
	rec->source_len = (uint32_t)size;
	rule_pack(r, arena_at(w->a, rec->source_at));
	return 0;
}

int rule_write(const struct rule_writer *w, const struct shunt_rule *rule, uint32_t *cell)
{
	struct sides to = {}, from = {};
	uint32_t at = arena_alloc(w->a, 1);
	struct shunt_rule2 *rec = arena_at(w->a, at);
	int r;

	if (!at)
		return -ENOSPC;
	fill_record(rec, rule);
	r = fill_names(rec, w->names, rule);
	if (!r)
		r = write_source(w, rec, rule);
	if (!r)
		r = write_all_entries(w, rule, at, &to, &from);
	free(to.v);
	free(from.v);
	if (!r)
		*cell = at;
	return r;
}
