// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe_run.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- what names stand for --------------------------------- */

static int device_slot(void *ctx, const char *name)
{
	(void)ctx;
	return strncmp(name, "dev", 3) ? -ENODEV : atoi(name + 3);
}

static int target_index(void *ctx, const char *name)
{
	(void)ctx;
	return name[0] ? 1 : -ENOENT;
}

static int stat_index(void *ctx, uint32_t priority)
{
	(void)ctx;
	return (int)(priority % SHUNT_MAX_RULES);
}

/* FNV-1a of the path: stands for the inode. */
static uint64_t cgroup_id(const char *path, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * 0x100000001b3ULL;
	return h | 1;
}

static int cgroup_level(void *ctx, const char *path, uint64_t *id)
{
	int level = 0;

	(void)ctx;
	for (const char *at = path; *at; at++)
		level += *at == '/';
	*id = cgroup_id(path, strlen(path));
	return level;
}

const struct names probe_names = {
	.device = device_slot,
	.target = target_index,
	.stat = stat_index,
	.cgroup = cgroup_level,
};

/* ---- packets --------------------------------- */

static void words_of(__u64 out[2], const struct in6_addr *a)
{
	out[0] = out[1] = 0;
	for (int i = 0; i < 16; i++)
		out[i / 8] = out[i / 8] << 8 | a->s6_addr[i];
}

void probe_from_packet(struct probe *out, const struct ref_packet *p, uint32_t after)
{
	memset(out, 0, sizeof(*out));
	words_of(out->dst, &p->dst);
	words_of(out->src, &p->src);
	out->dport = p->dport;
	out->sport = p->sport;
	out->device = p->device[0] ? (__u16)device_slot(NULL, p->device) : 0;
	out->bits = (p->dir == SHUNT_DIR_IN ? SHUNT_BIT_IN : SHUNT_BIT_OUT) |
		    (p->proto == SHUNT_PROTO_TCP ? SHUNT_BIT_TCP : SHUNT_BIT_UDP) |
		    (p->v6 ? SHUNT_BIT_V6 : SHUNT_BIT_V4);
	out->has_uid = p->has_uid;
	out->uid = p->uid;
	out->after = after;
	if (!p->cgroup[0])
		return;
	out->cgroup[0] = 1; /* the root */
	for (size_t i = 1, level = 1; level < SHUNT_CGROUP_LEVELS; i++) {
		if (p->cgroup[i] != '\0' && p->cgroup[i] != '/')
			continue;
		out->cgroup[level++] = cgroup_id(p->cgroup, i);
		if (p->cgroup[i] == '\0')
			break;
	}
}

/* ---- programs --------------------------------- */

static int program_fd(const struct probe_run *run, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(run->object, name);

	return p ? bpf_program__fd(p) : -ENOENT;
}

static void *map_memory(const struct probe_run *run, const char *name, size_t size)
{
	int fd = bpf_object__find_map_fd_by_name(run->object, name);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static size_t pages(size_t size)
{
	return (size + 4095) / 4096 * 4096;
}

int probe_open(struct probe_run *run, const char *object)
{
	int r;

	memset(run, 0, sizeof(*run));
	run->object = bpf_object__open_file(object, NULL);
	if (!run->object)
		return shunt_err(-errno, "cannot open '%s': %s", object, strerror(errno));
	r = bpf_object__load(run->object);
	if (r) {
		probe_close(run);
		return shunt_err(r, "cannot load '%s': %s", object, strerror(-r));
	}
	run->ruleset = bpf_object__find_map_fd_by_name(run->object, "ruleset");
	run->packet = program_fd(run, "packet");
	run->packet_only = program_fd(run, "packet_only");
	run->empty = program_fd(run, "empty");
	run->tuples = program_fd(run, "tuples");
	run->probes = map_memory(run, "probes", pages(PROBE_MAX * sizeof(struct probe)));
	run->control = map_memory(run, "control", 4096);
	if (!run->probes || !run->control) {
		probe_close(run);
		return shunt_err(-ENOMEM, "cannot map the maps of '%s'", object);
	}
	return 0;
}

void probe_close(struct probe_run *run)
{
	if (run->probes)
		munmap(run->probes, pages(PROBE_MAX * sizeof(struct probe)));
	if (run->control)
		munmap(run->control, 4096);
	bpf_object__close(run->object);
	memset(run, 0, sizeof(*run));
}

int probe_publish(struct probe_run *run, int generation)
{
	uint32_t slot = 0;

	return bpf_map_update_elem(run->ruleset, &slot, &generation, BPF_ANY);
}

int64_t probe_time(int program, const void *frame, size_t len, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)len,
		    .repeat = repeat);
	int r = bpf_prog_test_run_opts(program, &opts);

	return r ? r : (int64_t)opts.duration;
}

int probe_classify(struct probe_run *run, uint32_t n)
{
	uint8_t frame[64] = { [12] = 0x08, [14] = 0x45 };
	int64_t r;

	run->control->first = 0;
	run->control->n = n;
	r = probe_time(run->tuples, frame, sizeof(frame), 1);
	return r < 0 ? (int)r : 0;
}
