// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recent_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shunt.skel.h"

enum { STEP = 1000, MAX_MAPS = 64 };

static void stay_on_this_cpu(struct recent_map *m)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	assert_true(cpu >= 0);
	m->cpu = (unsigned int)cpu;
	CPU_ZERO(&set);
	CPU_SET(m->cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* The kernel cuts names: "shunt_bp.bss" of the object's and the section's. */
static int find_map(const struct plane *p, const char *end, struct bpf_map_info *info)
{
	__u32 ids[MAX_MAPS], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info prog = { .nr_map_ids = MAX_MAPS, .map_ids = (uintptr_t)ids };

	assert_int_equal(bpf_obj_get_info_by_fd(p->s->prog[PROG_IN_ETH], &prog, &len), 0);
	assert_in_range(prog.nr_map_ids, 1, MAX_MAPS);
	for (__u32 i = 0; i < prog.nr_map_ids; i++) {
		int fd = bpf_map_get_fd_by_id(ids[i]);
		size_t n;

		assert_true(fd >= 0);
		memset(info, 0, sizeof(*info));
		len = sizeof(*info);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, info, &len), 0);
		n = strlen(info->name);
		if (n >= strlen(end) && !strcmp(info->name + n - strlen(end), end))
			return fd;
		close(fd);
	}
	fail_msg("the programs have no map '%s'", end);
	return -1;
}

void recent_open(struct recent_map *m, const struct plane *p)
{
	struct bpf_map_info info;
	int n = libbpf_num_possible_cpus();

	assert_true(n > 0);
	stay_on_this_cpu(m);
	m->n_cpus = (unsigned int)n;
	m->recent = find_map(p, "recent", &info);
	assert_int_equal(info.value_size, sizeof(struct shunt_recent));
	m->variables = find_map(p, ".bss", &info);
	m->bss_size = info.value_size;
	m->values = calloc(m->n_cpus, sizeof(struct shunt_recent));
	m->bss = calloc(1, m->bss_size);
	assert_true(m->values && m->bss && m->bss_size >= sizeof(struct shunt_bpf__bss));
}

void recent_close(struct recent_map *m)
{
	close(m->recent);
	close(m->variables);
	free(m->values);
	free(m->bss);
}

static struct shunt_recent *read_slot(struct recent_map *m, __u32 slot)
{
	assert_int_equal(bpf_map_lookup_elem(m->recent, &slot, m->values), 0);
	return (struct shunt_recent *)m->values + m->cpu;
}

int recent_find(struct recent_map *m, const struct shunt_tuple *t, struct shunt_recent *out)
{
	for (int slot = 0; slot < SHUNT_MAX_RECENT; slot++) {
		const struct shunt_recent *e = read_slot(m, (__u32)slot);

		if (e->since && !memcmp(&e->tuple, t, sizeof(*t))) {
			*out = *e;
			return slot;
		}
	}
	return -1;
}

void recent_write(struct recent_map *m, int slot, const struct shunt_recent *e)
{
	__u32 key = (__u32)slot;

	*read_slot(m, key) = *e;
	assert_int_equal(bpf_map_update_elem(m->recent, &key, m->values, BPF_EXIST), 0);
}

void recent_forget_all(struct recent_map *m)
{
	memset(m->values, 0, m->n_cpus * sizeof(struct shunt_recent));
	for (__u32 slot = 0; slot < SHUNT_MAX_RECENT; slot++)
		assert_int_equal(bpf_map_update_elem(m->recent, &slot, m->values, BPF_EXIST), 0);
}

/* ---- beginnings ------------------------------------------------------------------------- */

static struct shunt_bpf__bss *read_variables(struct recent_map *m)
{
	__u32 zero = 0;

	assert_int_equal(bpf_map_lookup_elem(m->variables, &zero, m->bss), 0);
	return m->bss;
}

void recent_number_buckets(struct recent_map *m)
{
	struct shunt_bpf__bss *v = read_variables(m);
	__u32 zero = 0;

	for (__u32 i = 0; i < SHUNT_RECENT_BUCKETS; i++)
		v->beginnings[i] = i * STEP;
	assert_int_equal(bpf_map_update_elem(m->variables, &zero, m->bss, BPF_EXIST), 0);
}

unsigned int recent_bucket(const struct shunt_recent *e)
{
	return e->beginnings / STEP;
}

bool recent_holds(struct recent_map *m, const struct shunt_recent *e)
{
	assert_in_range(recent_bucket(e), 0, SHUNT_RECENT_BUCKETS - 1);
	return read_variables(m)->beginnings[recent_bucket(e)] == e->beginnings;
}

bool recent_any_began(struct recent_map *m)
{
	const struct shunt_bpf__bss *v = read_variables(m);

	for (__u32 i = 0; i < SHUNT_RECENT_BUCKETS; i++)
		if (v->beginnings[i] != i * STEP)
			return true;
	return false;
}
