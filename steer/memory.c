// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What an instance takes of the kernel's memory, as the kernel itself counts it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "generation.h"

/* Of a map: `memlock` of its fdinfo, which needs no limit and no other tool. */
static int map_bytes(int fd, uint64_t *out)
{
	char path[64], line[128];
	FILE *f;
	int r = -ENODATA;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return shunt_err(-errno, "cannot open '%s': %s", path, strerror(errno));
	while (r && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %" SCNu64, out) == 1)
			r = 0;
	fclose(f);
	return r ? shunt_err(r, "'%s' does not say how large the map is", path) : 0;
}

/* Of the cells that are in use. */
static uint64_t used_bytes(const struct arena *a)
{
	const uint64_t *bits = arena_at(a, arena_head(a)->bitmap_at[arena_gen(a)->side & 1]);
	uint64_t n = 0;

	for (uint32_t i = 0; i < a->n_cells / 64; i++)
		n += (uint64_t)__builtin_popcountll(bits[i]);
	return n * SHUNT_CELL;
}

static int read_generation(const struct shunt *s, struct shunt_memory *out)
{
	struct arena a;
	int r = generation_open(&a, s);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = map_bytes(a.fd, &out->rules);
	out->rules_used = used_bytes(&a);
	arena_release(&a);
	return r;
}

int shunt_memory_read(const struct shunt *s, struct shunt_memory *out)
{
	const int fds[] = {
#define MAP_FD(name) s->map.name,
		INSTANCE_MAPS(MAP_FD)
#undef MAP_FD
	};
	struct shunt_memory memory = {};
	uint64_t bytes = 0;
	int r = read_generation(s, &memory);

	memory.all = memory.rules;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) && !r; i++) {
		r = map_bytes(fds[i], &bytes);
		memory.all += bytes;
	}
	if (!r)
		*out = memory;
	return r;
}
