// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a classification costs, by the number of rules and prefixes, and what a load and a change
 * cost. JSON, an object a case.
 *
 *	classify_bench OBJECT [quick | large]	quick: without the largest; large: only them
 *
 * syn_ns: one SYN of some rule, parsed, its socket looked up, classified; parse_ns: the same
 * without classifying; both over an empty program. hot_ns, cold_ns: classification alone, of one
 * tuple again and again, and of 65536 different ones in turn. Times are medians.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "classify_cases.h"
#include "test/probe_run.h"

enum {
	RUNS = 7,
	REPEAT = 50000,
	CHANGES = 21,
	CHECKED = 100, /* tuples of a case that are compared with the reference */
	FRAME = ETH_HLEN + sizeof(struct ip6_hdr) + sizeof(struct tcphdr),
};

struct result {
	double compile_ms, publish_ms, syn_ns, parse_ns, hot_ns, cold_ns;
	double rule_add_ms, rule_add_max_ms, prefix_add_ms, prefix_add_max_ms;
	uint32_t cells_used, cells, hits, rebuilds, tables[2];
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[n / 2];
}

/* ---- packets --------------------------------- */

static size_t put_syn(uint8_t *frame, const struct ref_packet *p)
{
	struct ethhdr eth = { .h_proto = htons(p->v6 ? ETH_P_IPV6 : ETH_P_IP) };
	struct tcphdr tcp = { .source = htons(p->sport), .dest = htons(p->dport), .doff = 5,
			      .syn = 1 };
	struct ip6_hdr ip6 = { .ip6_src = p->src, .ip6_dst = p->dst };
	struct iphdr ip4 = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
			     .tot_len = htons(40) };
	size_t head = p->v6 ? sizeof(ip6) : sizeof(ip4);

	ip6.ip6_flow = htonl(6U << 28);
	ip6.ip6_plen = htons(sizeof(tcp));
	ip6.ip6_nxt = IPPROTO_TCP;
	memcpy(&ip4.saddr, &p->src.s6_addr[12], 4);
	memcpy(&ip4.daddr, &p->dst.s6_addr[12], 4);
	memcpy(frame, &eth, ETH_HLEN);
	memcpy(frame + ETH_HLEN, p->v6 ? (void *)&ip6 : (void *)&ip4, head);
	memcpy(frame + ETH_HLEN + head, &tcp, sizeof(tcp));
	return ETH_HLEN + head + sizeof(tcp);
}

static double time_program(int program, const void *frame, size_t len)
{
	double v[RUNS];

	for (int i = 0; i < RUNS; i++)
		v[i] = (double)probe_time(program, frame, len, REPEAT);
	return median(v, RUNS);
}

static int time_tuples(struct probe_run *run, double *out)
{
	uint8_t frame[64] = { [12] = 0x08, [14] = 0x45 };
	double v[RUNS];

	run->control->first = 0;
	run->control->n = PROBE_MAX;
	for (int i = 0; i < RUNS; i++) {
		v[i] = (double)probe_time(run->tuples, frame, sizeof(frame), 1);
		if (v[i] < 0)
			return (int)v[i];
	}
	*out = median(v, RUNS) / PROBE_MAX;
	return 0;
}

/* The figures are of right answers. */
static int check_some(struct bench_case *c, struct probe_run *run, const struct ref_packet *p)
{
	for (uint32_t i = 0; i < CHECKED; i++) {
		const struct shunt_rule *want = reference_find(&c->rules, &c->sets, &p[i], 0);

		if (run->probes[i].found != (want ? want->priority : 0))
			return shunt_err(-EBADMSG, "tuple %u: rule %u instead of %u", i,
					 run->probes[i].found, want ? want->priority : 0);
	}
	return 0;
}

/* The first TCP flow that a rule is about; its place. */
static uint32_t hot_one(const struct probe_run *run, const struct ref_packet *p)
{
	for (uint32_t i = 0; i < CHECKED; i++)
		if (run->probes[i].hit && p[i].proto == SHUNT_PROTO_TCP)
			return i;
	return 0;
}

static int measure_packets(struct bench_case *c, struct probe_run *run, struct result *out)
{
	struct ref_packet first[CHECKED], p;
	uint8_t frame[FRAME];
	double empty;
	size_t len;
	int r;

	for (uint32_t i = 0; i < PROBE_MAX; i++) {
		bench_packet(c, &p);
		if (i < CHECKED)
			first[i] = p;
		probe_from_packet(&run->probes[i], &p, 0);
	}
	r = time_tuples(run, &out->cold_ns);
	if (!r)
		r = check_some(c, run, first);
	if (r)
		return r;
	for (uint32_t i = 0; i < PROBE_MAX; i++)
		out->hits += run->probes[i].hit;
	p = first[hot_one(run, first)];
	for (uint32_t i = 0; i < PROBE_MAX; i++)
		probe_from_packet(&run->probes[i], &p, 0);
	r = time_tuples(run, &out->hot_ns);
	len = put_syn(frame, &p);
	empty = time_program(run->empty, frame, len);
	out->parse_ns = time_program(run->packet_only, frame, len) - empty;
	out->syn_ns = time_program(run->packet, frame, len) - empty;
	return r;
}

/* ---- changes --------------------------------- */

/* Cells that the bitmap in force marks. */
static uint32_t cells_used(const struct arena *a)
{
	const struct shunt_arena_head *head = arena_head(a);
	const uint64_t *bits = arena_at(a, head->bitmap_at[arena_gen(a)->side & 1]);
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n_cells / 64; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	return n;
}

static int add_rule(struct bench_case *c, struct arena *a)
{
	struct shunt_rule rule;
	int r = bench_extra_rule(c, &rule);

	if (!r)
		r = change_rule_add(a, &rule, &probe_names);
	shunt_rule_clear(&rule);
	return r;
}

static int add_prefix(struct bench_case *c, struct arena *a)
{
	struct shunt_prefix p = bench_prefix(c);

	return change_set(a, c->sets.v[0].name, &p, 1, true);
}

/* Median and worst of some changes; those of what is there already do not count. */
static int measure_changes(struct bench_case *c, struct arena *a,
			   int (*change)(struct bench_case *, struct arena *), double *out,
			   double *worst, uint32_t *rebuilds)
{
	double v[CHANGES], begin;
	size_t n = 0;
	int r;

	for (int tries = 0; n < CHANGES && tries < 4 * CHANGES; tries++) {
		begin = now_ms();
		r = change(c, a);
		v[n] = now_ms() - begin;
		if (r == -ENOSPC)
			(*rebuilds)++;
		else if (r && r != -EEXIST)
			return shunt_err(r, "cannot change: %s", strerror(-r));
		n += !r;
	}
	*out = n ? median(v, n) : 0;
	*worst = n ? v[n - 1] : 0;
	return 0;
}

static int measure_arena(struct bench_case *c, int fd, struct result *out)
{
	struct arena a;
	int r = arena_open_fd(&a, fd);

	if (r)
		return r;
	out->cells = a.n_cells;
	out->cells_used = cells_used(&a);
	out->tables[0] = arena_gen(&a)->n_tables[0];
	out->tables[1] = arena_gen(&a)->n_tables[1];
	r = measure_changes(c, &a, add_rule, &out->rule_add_ms, &out->rule_add_max_ms,
			    &out->rebuilds);
	if (!r && c->sets.n)
		r = measure_changes(c, &a, add_prefix, &out->prefix_add_ms,
				    &out->prefix_add_max_ms, &out->rebuilds);
	arena_release(&a);
	return r;
}

/* ---- cases --------------------------------- */

static int measure(struct bench_case *c, struct probe_run *run, struct result *out)
{
	double begin = now_ms();
	int fd = compile(&c->rules, &c->sets, &probe_names, 1), r;

	if (fd < 0)
		return shunt_err(fd, "cannot compile: %s", strerror(-fd));
	out->compile_ms = now_ms() - begin;
	begin = now_ms();
	r = probe_publish(run, fd);
	out->publish_ms = now_ms() - begin;
	if (!r)
		r = measure_packets(c, run, out);
	if (!r)
		r = measure_arena(c, fd, out);
	close(fd);
	return r;
}

static void print_result(const struct result *x, enum bench_kind kind, bool v6, size_t n,
			 size_t set)
{
	static const char *comma = "";
	size_t things = n + set;

	printf("%s\n{\"rules\":%zu,\"by\":\"%s\",\"family\":%d,\"set\":%zu,\"syn_ns\":%.1f,"
	       "\"parse_ns\":%.1f,\"hot_ns\":%.1f,\"cold_ns\":%.1f,\"hits\":%.3f,",
	       comma, n, bench_kind_names[kind], v6 ? 6 : 4, set, x->syn_ns, x->parse_ns, x->hot_ns,
	       x->cold_ns, (double)x->hits / PROBE_MAX);
	printf("\"compile_ms\":%.1f,\"publish_ms\":%.1f,\"rule_add_ms\":%.3f,"
	       "\"rule_add_max_ms\":%.3f,\"prefix_add_ms\":%.3f,\"prefix_add_max_ms\":%.3f,"
	       "\"rebuilds\":%u,\"tables\":%u,",
	       x->compile_ms, x->publish_ms, x->rule_add_ms, x->rule_add_max_ms, x->prefix_add_ms,
	       x->prefix_add_max_ms, x->rebuilds, x->tables[v6]);
	printf("\"map_bytes\":%llu,\"used_bytes\":%llu,\"used_bytes_each\":%.1f}",
	       (unsigned long long)x->cells * SHUNT_CELL,
	       (unsigned long long)x->cells_used * SHUNT_CELL,
	       (double)x->cells_used * SHUNT_CELL / (double)(things ? things : 1));
	fflush(stdout);
	comma = ",";
}

static int bench_one(struct probe_run *run, enum bench_kind kind, bool v6, size_t n, size_t set)
{
	struct bench_case c;
	struct result x = { 0 };
	int r = bench_case_make(&c, kind, v6, n, set);

	if (r)
		return r;
	r = measure(&c, run, &x);
	bench_case_clear(&c);
	if (!r)
		print_result(&x, kind, v6, n, set);
	return r;
}

int main(int argc, char **argv)
{
	static const size_t rules[] = { 1, 10, 100, 1000, 10000, 100000 };
	static const size_t sets[] = { 1000, 100000, 1000000 };
	size_t drop = argc > 2 && !strcmp(argv[2], "quick") ? 1 : 0;
	bool large = argc > 2 && !strcmp(argv[2], "large");
	struct probe_run run;
	int r = 0;

	if (argc < 2 || probe_open(&run, argv[1]))
		return 2;
	printf("[");
	for (int v6 = 0; v6 < 2 && !r; v6++) {
		for (int kind = 0; kind < BENCH_KINDS && !r; kind++)
			for (size_t i = large ? 5 : 0; i < 6 - drop && !r; i++)
				r = bench_one(&run, (enum bench_kind)kind, v6, rules[i], 0);
		for (size_t i = large ? 2 : 0; i < 3 - drop && !r; i++)
			r = bench_one(&run, BENCH_DST, v6, 10, sets[i]);
		if (!drop && !r)
			r = bench_one(&run, BENCH_MIXED, v6, 100000, 1000000);
	}
	printf("\n]\n");
	probe_close(&run);
	return r ? 1 : 0;
}
