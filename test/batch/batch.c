// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "batch.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>

#include "batch.skel.h"

static void *map_memory(const struct bpf_map *map, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int open_driver(struct batch *b, int explain)
{
	int r;

	b->driver = batch_bpf__open();
	if (!b->driver)
		return -errno;
	r = bpf_map__reuse_fd(b->driver->maps.explain, explain);
	if (!r)
		r = batch_bpf__load(b->driver);
	if (r)
		return r;
	b->packets = map_memory(b->driver->maps.packets, BATCH_MAX * sizeof(*b->packets));
	b->answers = map_memory(b->driver->maps.answers, BATCH_MAX * sizeof(*b->answers));
	return b->packets && b->answers ? 0 : -ENOMEM;
}

int batch_set_program(struct batch *b, uint32_t number, int fd)
{
	if (bpf_map_update_elem(bpf_map__fd(b->driver->maps.programs), &number, &fd, BPF_ANY))
		return -errno;
	return 0;
}

int batch_open(struct batch *b, int explain)
{
	int r;

	memset(b, 0, sizeof(*b));
	r = open_driver(b, explain);
	if (!r)
		r = batch_set_program(b, BATCH_EMPTY, bpf_program__fd(b->driver->progs.empty));
	if (r)
		batch_close(b);
	return r;
}

void batch_close(struct batch *b)
{
	if (b->packets)
		munmap(b->packets, BATCH_MAX * sizeof(*b->packets));
	if (b->answers)
		munmap(b->answers, BATCH_MAX * sizeof(*b->answers));
	batch_bpf__destroy(b->driver);
	memset(b, 0, sizeof(*b));
}

static bool is_v6(const struct batch_run *run)
{
	const struct ethhdr *eth = run->frame;

	return eth->h_proto == __builtin_bswap16(ETH_P_IPV6);
}

/* Returns the mean time, or -errno. */
static int test_run(const struct bpf_program *driver, const struct batch_run *run,
		    struct __sk_buff *skb, uint32_t repeat)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = run->frame,
			    .data_size_in = (__u32)run->len, .ctx_in = skb,
			    .ctx_size_in = sizeof(*skb), .repeat = (int)repeat);

	skb->ifindex = run->ifindex;
	skb->ingress_ifindex = run->ingress_ifindex;
	skb->cb[BATCH_CB_HOW] |= run->program | (is_v6(run) ? BATCH_HOW_V6 : 0);
	if (bpf_prog_test_run_opts(bpf_program__fd(driver), &opts))
		return -errno;
	return (int)opts.duration;
}

int batch_ask(struct batch *b, const struct batch_run *run, uint32_t first, uint32_t n)
{
	struct __sk_buff skb = {
		.cb = { SHUNT_EXPLAIN_CB0, SHUNT_EXPLAIN_CB1, 0, first,
			(first + n) << BATCH_N_SHIFT },
	};
	int r;

	memset(b->answers + first, 0, n * sizeof(*b->answers));
	r = test_run(b->driver->progs.driver_ask, run, &skb, n + 1);
	if (r < 0)
		return r;
	for (uint32_t i = first; i < first + n; i++)
		if (!b->answers[i].ran)
			return -EIO;
	return 0;
}

int batch_time(struct batch *b, const struct batch_run *run, uint32_t n, uint32_t repeat)
{
	struct __sk_buff skb = { .cb[BATCH_CB_HOW] = n << BATCH_N_SHIFT };

	return test_run(b->driver->progs.driver_time, run, &skb, repeat);
}
