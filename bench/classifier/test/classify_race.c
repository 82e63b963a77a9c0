// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Packets are classified while one thread changes the rules in place as fast as it can, to and
 * fro between two states. Each answer says which generation gave it, and must be that of the
 * plain reference for this generation: never a mixture, never half a change.
 *
 *	classify_race OBJECT [CASES [SEED]]
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe_run.h"
#include "random_rules.h"

enum { PACKETS = 4096, ROUNDS = 200, PREFIXES = 12 };

/* State 0 is the case as it is, state 1 has one rule or some prefixes more. */
struct race {
	struct probe_run run;
	struct random_case c;
	struct shunt_rules rules[2]; /* share what they hold with the case */
	struct sets_in sets[2];
	struct shunt_rule rule;	     /* the one more */
	const struct shunt_prefix *more; /* or these, of the last set */
	size_t n_more;
	struct arena arena;
	uint64_t generation; /* the writer's */
	bool stop;
	int failed;
	uint64_t changes, rebuilt, pairs, seen[2], seed;
	struct ref_packet packets[PACKETS];
	uint32_t want[2][PACKETS];
};

/* ---- the writer --------------------------------- */

static int build(struct race *w, int state)
{
	int fd = compile(&w->rules[state], &w->sets[state], &probe_names, w->generation), r;

	if (fd < 0)
		return fd;
	arena_release(&w->arena);
	r = arena_open_fd(&w->arena, fd);
	if (!r)
		r = probe_publish(&w->run, fd);
	close(fd);
	return r;
}

static int change(struct race *w, int to)
{
	if (w->n_more)
		return change_set(&w->arena, w->sets[0].v[w->sets[0].n - 1].name, w->more,
				  w->n_more, to);
	return to ? change_rule_add(&w->arena, &w->rule, &probe_names)
		  : change_rule_del(&w->arena, w->rule.priority);
}

/* Even generations are of state 0, odd ones of state 1. */
static void *writer(void *arg)
{
	struct race *w = arg;
	int r = 0;

	while (!r && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		int to = ++w->generation & 1;

		r = change(w, to);
		if (r == -ENOSPC) {
			r = build(w, to);
			w->rebuilt++;
		}
		w->changes++;
	}
	w->failed = r;
	return NULL;
}

/* ---- the two states --------------------------------- */

/* A copy of the list, one longer; what is in it stays the case's. */
static void *longer(const void *v, size_t n, size_t size)
{
	char *copy = calloc(n + 1, size);

	if (copy && n)
		memcpy(copy, v, n * size);
	return copy;
}

static int more_prefixes(struct race *w)
{
	struct set_in *last = &w->sets[1].v[w->sets[1].n - 1];
	struct shunt_prefix *all = calloc(last->n + PREFIXES, sizeof(*all));
	size_t n = last->n;

	if (!all)
		return -ENOMEM;
	if (n)
		memcpy(all, last->v, n * sizeof(*all));
	for (int i = 0; i < PREFIXES; i++) {
		struct shunt_prefix p = random_prefix(&w->c);
		bool twice = false;

		for (size_t j = 0; j < n; j++)
			twice |= all[j].len == p.len && !memcmp(&all[j].addr, &p.addr, 16);
		if (!twice)
			all[n++] = p;
	}
	w->more = all + last->n;
	w->n_more = n - last->n;
	if (!w->n_more) {
		free(all);
		return 0;
	}
	last->v = all;
	last->n = n;
	return 0;
}

static int make_states(struct race *w)
{
	int r = random_rule(&w->c, &w->rule);

	for (int i = 0; i < 2 && !r; i++) {
		w->rules[i].n = w->c.rules.n;
		w->rules[i].v = longer(w->c.rules.v, w->c.rules.n, sizeof(*w->c.rules.v));
		w->sets[i].n = w->c.sets.n;
		w->sets[i].v = longer(w->c.sets.v, w->c.sets.n, sizeof(*w->c.sets.v));
		if (!w->rules[i].v || !w->sets[i].v)
			r = -ENOMEM;
	}
	if (!r && w->c.sets.n && random_percent(&w->c, 50))
		r = more_prefixes(w);
	if (!r && !w->n_more) {
		size_t at = w->rules[1].n++;

		for (; at > 0 && w->rules[1].v[at - 1].priority > w->rule.priority; at--)
			w->rules[1].v[at] = w->rules[1].v[at - 1];
		w->rules[1].v[at] = w->rule;
	}
	return r;
}

static void drop_states(struct race *w)
{
	if (w->n_more)
		free(w->sets[1].v[w->sets[1].n - 1].v);
	for (int i = 0; i < 2; i++) {
		free(w->rules[i].v);
		free(w->sets[i].v);
	}
	shunt_rule_clear(&w->rule);
	w->n_more = 0;
	memset(w->rules, 0, sizeof(w->rules));
	memset(w->sets, 0, sizeof(w->sets));
}

/* ---- the reader --------------------------------- */

static void make_packets(struct race *w)
{
	for (uint32_t i = 0; i < PACKETS; i++) {
		random_packet(&w->c, &w->packets[i]);
		for (int s = 0; s < 2; s++) {
			const struct shunt_rule *rule = reference_find(
				&w->rules[s], &w->sets[s], &w->packets[i], 0);

			w->want[s][i] = rule ? rule->priority : 0;
		}
		probe_from_packet(&w->run.probes[i], &w->packets[i], 0);
	}
}

static int read_once(struct race *w)
{
	int r = probe_classify(&w->run, PACKETS);

	for (uint32_t i = 0; i < PACKETS && !r; i++) {
		const struct probe *p = &w->run.probes[i];
		int state = p->generation & 1;

		w->pairs++;
		w->seen[state]++;
		if (p->found == w->want[state][i])
			continue;
		printf("MISMATCH: seed %llu, generation %llu: rule %u, expected %u (%u in the "
		       "other state)\n",
		       (unsigned long long)w->seed, (unsigned long long)p->generation, p->found,
		       w->want[state][i], w->want[!state][i]);
		r = -EBADMSG;
	}
	return r;
}

static int check_case(struct race *w)
{
	pthread_t thread;
	int r = make_states(w);

	w->generation = 2;
	w->stop = false;
	if (!r)
		r = build(w, 0);
	if (!r)
		make_packets(w);
	if (!r)
		r = -pthread_create(&thread, NULL, writer, w);
	if (r)
		return r;
	for (int i = 0; i < ROUNDS && !r; i++)
		r = read_once(w);
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (w->failed)
		return shunt_err(w->failed, "seed %llu: cannot change: %s",
				 (unsigned long long)w->seed, strerror(-w->failed));
	return r;
}

int main(int argc, char **argv)
{
	uint64_t cases = argc > 2 ? strtoull(argv[2], NULL, 10) : 30;
	struct random_options options = { .max_rules = 300 };
	struct race *w = calloc(1, sizeof(*w));
	int r = 0;

	if (argc < 2 || !w || probe_open(&w->run, argv[1]))
		return 2;
	w->arena.fd = -1;
	w->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	for (uint64_t i = 0; i < cases && !r; i++, w->seed++) {
		r = random_case_make(&w->c, w->seed, &options);
		if (!r)
			r = check_case(w);
		drop_states(w);
		random_case_clear(&w->c);
	}
	if (!r && w->rebuilt * 2 > w->changes) {
		printf("most changes were not made in place: that is not tested then\n");
		r = -ENOTSUP;
	}
	printf("%s: %llu answers (%llu and %llu of the two states) during %llu changes (%llu by a "
	       "new generation)\n",
	       r ? "FAILED" : "no mixture", (unsigned long long)w->pairs,
	       (unsigned long long)w->seen[0], (unsigned long long)w->seen[1],
	       (unsigned long long)w->changes, (unsigned long long)w->rebuilt);
	arena_release(&w->arena);
	probe_close(&w->run);
	free(w);
	return r ? 1 : 0;
}
