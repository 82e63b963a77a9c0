// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "timing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arena.h"
#include "generation.h"

enum { REPEAT = 65536, PROGRAM = 0 };

static int read_device(struct timing *t, const char *device)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	r = ioctl(fd, SIOCGIFHWADDR, &ifr) ? -errno : 0;
	close(fd);
	if (r)
		return shunt_err(r, "cannot read the address of '%s': %s", device, strerror(-r));
	memcpy(t->mac, ifr.ifr_hwaddr.sa_data, 6);
	t->run.ifindex = t->run.ingress_ifindex = if_nametoindex(device);
	return 0;
}

int timing_open(struct timing *t, const char *device)
{
	int r;

	memset(t, 0, sizeof(*t));
	r = read_device(t, device);
	if (!r)
		r = shunt_open(&t->s, &(struct shunt_where){});
	if (r)
		return r;
	r = batch_open(&t->batch, t->s->map.explain);
	if (!r)
		r = batch_set_program(&t->batch, PROGRAM, t->s->prog[PROG_IN_ETH]);
	if (r) {
		timing_close(t);
		return shunt_err(r, "cannot load the driver: %s", strerror(-r));
	}
	return 0;
}

void timing_close(struct timing *t)
{
	batch_close(&t->batch);
	shunt_close(t->s);
}

/* A segment whose addresses and ports the driver fills in. */
static void make_frame(struct timing *t, bool v6, bool syn)
{
	struct ethhdr eth = { .h_proto = htons(v6 ? ETH_P_IPV6 : ETH_P_IP) };
	struct ipv6hdr ip6 = { .version = 6, .nexthdr = IPPROTO_TCP, .hop_limit = 64,
			       .payload_len = htons(sizeof(struct tcphdr)) };
	struct iphdr ip4 = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
			     .tot_len = htons(sizeof(ip4) + sizeof(struct tcphdr)) };
	struct tcphdr tcp = { .doff = 5, .syn = syn, .ack = !syn, .window = 0xffff };
	size_t head = v6 ? sizeof(ip6) : sizeof(ip4);

	memcpy(eth.h_dest, t->mac, 6);
	memcpy(t->frame, &eth, sizeof(eth));
	memcpy(t->frame + sizeof(eth), v6 ? (void *)&ip6 : (void *)&ip4, head);
	memcpy(t->frame + sizeof(eth) + head, &tcp, sizeof(tcp));
	t->run.frame = t->frame;
	t->run.len = sizeof(eth) + head + sizeof(tcp);
}

/* The first packet that a rule decides to the first place: what is hot is no exception. */
static int find_hot(struct timing *t, uint32_t n)
{
	struct batch_packet p;
	int r = batch_ask(&t->batch, &t->run, 0, n);
	uint32_t i = 0;

	if (r)
		return shunt_err(r, "cannot run the program: %s", strerror(-r));
	while (i < n - 1 && !t->batch.answers[i].priority)
		i++;
	p = t->batch.packets[i];
	t->batch.packets[i] = t->batch.packets[0];
	t->batch.packets[0] = p;
	return 0;
}

static double decided(const struct timing *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BATCH_MAX; i++)
		n += t->batch.answers[i].priority != 0;
	return (double)n / BATCH_MAX;
}

/* 0 or -errno. */
static int one_round(struct timing *t, bool v6)
{
	struct batch_run empty;
	int times[4];

	make_frame(t, v6, true);
	empty = t->run;
	empty.program = BATCH_EMPTY;
	times[0] = batch_time(&t->batch, &empty, 1, REPEAT);
	times[1] = batch_time(&t->batch, &t->run, 1, REPEAT);
	times[2] = batch_time(&t->batch, &empty, BATCH_MAX, REPEAT);
	times[3] = batch_time(&t->batch, &t->run, BATCH_MAX, REPEAT);
	for (int i = 0; i < 4; i++)
		if (times[i] < 0)
			return times[i];
	printf("{\"empty\":%d,\"hot\":%d,\"empty_varied\":%d,\"varied\":%d,", times[0], times[1],
	       times[2], times[3]);
	make_frame(t, v6, false);
	times[0] = batch_time(&t->batch, &t->run, 1, REPEAT);
	printf("\"established\":%d}", times[0]);
	return times[0] < 0 ? times[0] : 0;
}

int timing_run(struct timing *t, struct bench_case *c, unsigned int rounds)
{
	int r;

	for (uint32_t i = 0; i < BATCH_MAX; i++)
		bench_packet(c, &t->batch.packets[i]);
	make_frame(t, c->v6, true);
	r = find_hot(t, BATCH_MAX);
	if (r)
		return r;
	printf("{\"decided\":%.3f,\"rounds\":[", decided(t));
	for (unsigned int i = 0; i < rounds && !r; i++) {
		fputs(i ? "," : "", stdout);
		r = one_round(t, c->v6);
	}
	puts("]}");
	return r < 0 ? shunt_err(r, "cannot run the program: %s", strerror(-r)) : 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint32_t cells_used(const struct arena *a)
{
	const struct shunt_arena_head *head = arena_head(a);
	const uint64_t *bits = arena_at(a, head->bitmap_at[arena_gen(a)->side & 1]);
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n_cells / 64; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n;
}

int timing_memory(void)
{
	const struct shunt_gen *gen;
	struct shunt *s = NULL;
	struct arena a;
	int r = shunt_open(&s, &(struct shunt_where){});

	if (r)
		return r;
	r = generation_open(&a, s);
	if (r) {
		shunt_close(s);
		return shunt_err(r, "no rules are in force");
	}
	gen = arena_gen(&a);
	printf("{\"map_bytes\":%zu,\"used_bytes\":%zu,\"tables4\":%u,\"tables6\":%u,"
	       "\"longest_chain\":%u}\n",
	       (size_t)a.n_cells * SHUNT_CELL, (size_t)cells_used(&a) * SHUNT_CELL,
	       gen->n_tables[0], gen->n_tables[1], gen->longest_chain);
	arena_release(&a);
	shunt_close(s);
	return 0;
}
