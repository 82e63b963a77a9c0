/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

/*
 * utime + stime of a thread. Their sum is the scheduler's own count, which schedstat gives in
 * nanoseconds; stat, in ticks, is for kernels without it.
 */
static int add_thread(uint64_t *sum, int pid, const char *tid)
{
	unsigned long long user, system;
	char path[320], line[1024];
	const char *rest;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, tid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &user) == 1 && user) {
		*sum += user;
		return fclose(f);
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	rest = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			    &user, &system) != 2)
		return -EIO;
	*sum += ticks_to_ns(user + system);
	return 0;
}

static int add_cpu(uint64_t *sum, int pid)
{
	struct dirent *entry;
	char path[64];
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!r && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = add_thread(sum, pid, entry->d_name);
	closedir(dir);
	return r;
}

static int add_memory(uint64_t *sum, int pid)
{
	char path[64], line[256];
	unsigned long long kb;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %llu", &kb) == 1 ||
		    sscanf(line, "RssShmem: %llu", &kb) == 1)
			*sum += kb * 1024;
	fclose(f);
	return 0;
}

/* All but idle and waiting for disks. */
static int read_machine(uint64_t *sum)
{
	unsigned long long t[8];
	FILE *f = fopen("/proc/stat", "re");
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
		   &t[4], &t[5], &t[6], &t[7]);
	fclose(f);
	if (n != 8)
		return -EIO;
	*sum = ticks_to_ns(t[0] + t[1] + t[2] + t[5] + t[6]);
	return 0;
}

int usage_read(struct usage *u, const int *pids, uint32_t n_pids)
{
	int r;

	memset(u, 0, sizeof(*u));
	r = read_machine(&u->machine_ns);
	for (uint32_t i = 0; !r && i < n_pids; i++) {
		r = add_cpu(&u->cpu_ns, pids[i]);
		if (!r)
			r = add_memory(&u->memory_bytes, pids[i]);
	}
	if (r)
		fprintf(stderr, "relay-load: cannot read what the proxy uses: %s\n", strerror(-r));
	return r;
}
