// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench_arena.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "setindex.h"

/* ---- what names stand for ----------------------------------------------------------------------- */

static int find_device(void *ctx, const char *name)
{
	struct bench_arena *b = ctx;

	return device_slot(b->p->s, name);
}

static int find_target(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 1;
}

static int find_stat(void *ctx, uint32_t priority)
{
	(void)ctx;
	return (int)(priority % SHUNT_MAX_RULES);
}

static int find_cgroup(void *ctx, const char *path, uint64_t *id)
{
	(void)ctx;
	(void)path;
	(void)id;
	return -ENOENT;
}

static struct names names_of(struct bench_arena *b)
{
	return (struct names){ .ctx = b, .device = find_device, .target = find_target,
			       .stat = find_stat, .cgroup = find_cgroup };
}

/* ---- generations -------------------------------------------------------------------------------- */

void bench_arena_build(struct bench_arena *b)
{
	const struct names names = names_of(b);
	uint32_t zero = 0;
	int fd = compile(&b->w.config.rules, &b->w.config.sets, &names, ++b->generation);

	assert_true(fd >= 0);
	if (b->a.mem)
		arena_release(&b->a);
	assert_int_equal(arena_open_fd(&b->a, fd), 0);
	assert_int_equal(bpf_map_update_elem(b->p->s->map.ruleset, &zero, &fd, BPF_ANY), 0);
	close(fd);
}

void bench_arena_make(struct bench_arena *b, uint64_t seed, size_t rules, size_t members)
{
	world_make(&b->w, b->p, seed, rules, members);
	bench_arena_build(b);
}

void bench_arena_release(struct bench_arena *b)
{
	arena_release(&b->a);
	world_release(&b->w);
}

void bench_arena_reopen(struct bench_arena *b)
{
	struct arena again;

	assert_int_equal(arena_open_fd(&again, b->a.fd), 0);
	arena_release(&b->a);
	b->a = again;
}

int bench_arena_change(struct bench_arena *b, const struct world_change *change)
{
	const struct names names = names_of(b);

	switch (change->kind) {
	case WORLD_RULE_ADD:
		return change_rule_add(&b->a, -1, &change->rule, &names);
	case WORLD_RULE_DEL:
		return change_rule_del(&b->a, -1, change->priority);
	case WORLD_SET_ADD:
		return change_set_add(&b->a, -1, &change->set);
	case WORLD_SET_TAKE:
		return change_set_take(&b->a, -1, &change->set);
	default:
		return change_set_del(&b->a, -1, change->set.name);
	}
}

void bench_arena_do(struct bench_arena *b, struct world_change *change)
{
	enum world_kind kind = change->kind;
	int r = bench_arena_change(b, change);

	if (r && r != -ENOSPC)
		fail_msg("%s: %s", world_kind_name(kind), strerror(-r));
	world_do(&b->w, change);
	if (r)
		bench_arena_build(b);
	b->anew[kind] += !!r;
	b->inside[kind] += !r;
}

void bench_arena_step(struct bench_arena *b)
{
	struct world_change change;

	world_think(&b->w, &change);
	bench_arena_do(b, &change);
}

void bench_arena_read(struct bench_arena *b, struct shunt_config *out)
{
	*out = (struct shunt_config){};
	assert_int_equal(decompile_rules(&b->a, &out->rules), 0);
	assert_int_equal(decompile_sets(&b->a, &out->sets), 0);
}

void bench_arena_check_read_back(struct bench_arena *b)
{
	struct shunt_config is;

	bench_arena_read(b, &is);
	assert_true(world_same(&b->w.config, &is));
	shunt_config_clear(&is);
}

/* ---- the set index ------------------------------------------------------------------------------ */

/* All intervals of a family in order, those of the same sets as one. */
struct intervals {
	unsigned __int128 *ends; /* owned */
	uint64_t *sets;		 /* owned: a hash of their names */
	size_t n, room;
};

static uint64_t name_hash(const char *name)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211ULL;
	return h;
}

/* Ids are given anew by a compiler; unnamed sets are left out. */
static uint64_t class_hash(const struct arena *a, uint32_t cell)
{
	const struct shunt_set_rec *rec = arena_at(a, arena_gen(a)->sets_at);
	const uint16_t *places = arena_at(a, cell);
	uint64_t h = 0;

	for (int i = 1; cell && i <= places[0]; i++)
		if (places[i] && rec[places[i] - 1].name[0])
			h += name_hash(rec[places[i] - 1].name);
	return h;
}

static void add_interval(struct intervals *v, const struct arena *a, unsigned __int128 end,
			 uint32_t class)
{
	uint64_t hash = class_hash(a, class);

	if (v->n && v->sets[v->n - 1] == hash) {
		v->ends[v->n - 1] = end;
		return;
	}
	if (v->n == v->room) {
		v->room = v->room * 2 + 1024;
		v->ends = realloc(v->ends, v->room * sizeof(*v->ends));
		v->sets = realloc(v->sets, v->room * sizeof(*v->sets));
		assert_true(v->ends && v->sets);
	}
	v->ends[v->n] = end;
	v->sets[v->n++] = hash;
}

static void walk6(struct intervals *v, const struct arena *a, uint32_t at, unsigned __int128 high,
		  bool low, uint64_t last);

/* A leaf of 16; up to the interval that ends at `last`. */
static void walk6_leaf(struct intervals *v, const struct arena *a, uint32_t cell,
		       unsigned __int128 high, bool low, uint64_t last)
{
	const uint64_t *ends = arena_at(a, cell);
	const uint32_t *values = arena_at(a, cell + 2);

	for (int i = 0; i < 16; i++) {
		walk6(v, a, values[i], low ? high : (unsigned __int128)ends[i] << 64, low, ends[i]);
		if (ends[i] == last)
			return;
	}
}

static void walk6(struct intervals *v, const struct arena *a, uint32_t at, unsigned __int128 high,
		  bool low, uint64_t last)
{
	const uint64_t *top = arena_at(a, SHUNT_AT_CELL(at));

	if (!(at & SHUNT_AT_NODE)) {
		add_interval(v, a, low ? high | last
				       : (unsigned __int128)last << 64 | ~0ULL, at);
		return;
	}
	if (at & SHUNT_AT_LOW) {
		low = true;
		last = ~0ULL;
	}
	if (!SHUNT_AT_DEPTH(at)) {
		walk6_leaf(v, a, SHUNT_AT_CELL(at), high, low, last);
		return;
	}
	for (uint32_t i = 0; i < 8; i++) {
		walk6_leaf(v, a, SHUNT_AT_CELL(at) + 1 + 3 * i, high, low, top[i]);
		if (top[i] == last)
			return;
	}
}

static void walk4(struct intervals *v, const struct arena *a)
{
	const uint32_t *front = arena_at(a, arena_head(a)->dir4_at[arena_gen(a)->side]);
	struct index4_slot *slot = malloc(sizeof(*slot));

	assert_non_null(slot);
	for (uint32_t i = 0; i < SHUNT_DIR4_SLOTS; i++) {
		index4_read(a, front[i], slot);
		for (uint32_t k = 0; k < slot->n; k++)
			add_interval(v, a, i << 16 | slot->ends[k], slot->values[k]);
	}
	free(slot);
}

static void walk(struct intervals *v, const struct arena *a, bool v6)
{
	*v = (struct intervals){};
	if (v6)
		walk6(v, a, arena_gen(a)->tree6, 0, false, ~0ULL);
	else
		walk4(v, a);
}

static void check_same(const struct arena *a, const struct arena *b, bool v6)
{
	struct intervals x, y;

	walk(&x, a, v6);
	walk(&y, b, v6);
	assert_int_equal(x.n, y.n);
	assert_memory_equal(x.ends, y.ends, x.n * sizeof(*x.ends));
	assert_memory_equal(x.sets, y.sets, x.n * sizeof(*x.sets));
	free(x.ends);
	free(x.sets);
	free(y.ends);
	free(y.sets);
}

void bench_arena_check_index(struct bench_arena *b)
{
	const struct names names = names_of(b);
	int fd = compile(&b->w.config.rules, &b->w.config.sets, &names, 1);
	struct arena fresh;

	assert_true(fd >= 0);
	assert_int_equal(arena_open_fd(&fresh, fd), 0);
	close(fd);
	for (int v6 = 0; v6 < 2; v6++)
		check_same(&b->a, &fresh, v6);
	arena_release(&fresh);
}

void bench_arena_tell(const struct bench_arena *b)
{
	for (int kind = 0; kind < WORLD_KINDS; kind++)
		print_message("# %-20s %5u inside, %5u by a new generation\n",
			      world_kind_name(kind), b->inside[kind], b->anew[kind]);
}
