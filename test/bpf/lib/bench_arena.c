// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench_arena.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

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

void bench_arena_make(struct bench_arena *b, uint64_t seed, size_t rules)
{
	world_make(&b->w, b->p, seed, rules);
	bench_arena_build(b);
}

void bench_arena_release(struct bench_arena *b)
{
	arena_release(&b->a);
	world_release(&b->w);
}

int bench_arena_change(struct bench_arena *b, const struct world_change *change)
{
	const struct names names = names_of(b);

	switch (change->kind) {
	case WORLD_RULE_ADD:
		return change_rule_add(&b->a, -1, &change->rule, &names);
	case WORLD_RULE_DEL:
		return change_rule_del(&b->a, -1, change->priority);
	default:
		return -ENOSPC;
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

void bench_arena_tell(const struct bench_arena *b)
{
	for (int kind = 0; kind < WORLD_KINDS; kind++)
		print_message("# %-20s %5u inside, %5u by a new generation\n",
			      world_kind_name(kind), b->inside[kind], b->anew[kind]);
}
