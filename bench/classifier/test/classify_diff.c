// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The classifier against the plain reference: random rules and sets, compiled, changed in place,
 * read back, and asked about packets at their borders by the loaded program.
 *
 *	classify_diff OBJECT [PAIRS [SEED]]
 *
 * Prints what was checked; status 1 at the first thing that differs, which it prints in words.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "probe_run.h"
#include "random_rules.h"

enum {
	FIRST_PACKETS = 24576, /* after a rule set was loaded */
	STEP_PACKETS = 1024,   /* after a change in place */
	STEPS = 8,
};

struct tally {
	uint64_t pairs, hits, again; /* again: asked on behind an audit rule */
	uint64_t cases, steps, rebuilt, read_back;
};

/* A case and its compiled form, in force in the kernel. */
struct bench {
	struct probe_run run;
	struct random_case c;
	struct arena arena;
	uint64_t generation, seed;
	struct ref_packet packets[FIRST_PACKETS];
	struct tally tally;
};

/* ---- words --------------------------------- */

static void print_rule(const char *what, const struct shunt_rule *rule)
{
	char *text = rule ? shunt_rule_format(rule) : NULL;

	printf("%s %s\n", what, text ? text : "none");
	free(text);
}

static const char *addr_text(char *buf, const struct in6_addr *a)
{
	return inet_ntop(AF_INET6, a, buf, INET6_ADDRSTRLEN);
}

static void print_packet(const struct ref_packet *p)
{
	char dst[INET6_ADDRSTRLEN], src[INET6_ADDRSTRLEN];

	printf("packet: %s %s on '%s' from %s sport %u to %s port %u",
	       p->dir == SHUNT_DIR_IN ? "in" : "out", p->proto == SHUNT_PROTO_TCP ? "tcp" : "udp",
	       p->device, addr_text(src, &p->src), p->sport, addr_text(dst, &p->dst), p->dport);
	if (p->has_uid)
		printf(" uid %u", p->uid);
	printf(" cgroup '%s'\n", p->cgroup);
}

static const struct shunt_rule *rule_of(const struct shunt_rules *rules, uint32_t priority)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->v[i].priority == priority)
			return &rules->v[i];
	return NULL;
}

static void print_sets_of(const struct random_case *c, const struct shunt_rule *rule)
{
	char buf[SHUNT_PREFIX_STR];
	const char *names[] = { rule ? rule->from.set : "", rule ? rule->to.set : "" };

	for (int i = 0; i < 2; i++) {
		const struct set_in *set = names[i][0] ? reference_set(&c->sets, names[i]) : NULL;

		if (!set)
			continue;
		printf("set %s:", set->name);
		for (size_t j = 0; j < set->n && j < 40; j++)
			printf(" %s", shunt_prefix_str(buf, &set->v[j]));
		printf("%s\n", set->n > 40 ? " ..." : "");
	}
}

static int differs(const struct bench *b, const struct probe *probe, const struct ref_packet *p,
		   const struct shunt_rule *want)
{
	const struct shunt_rule *got = probe->hit ? rule_of(&b->c.rules, probe->found) : NULL;

	printf("MISMATCH: seed %llu, %zu rules, %zu sets, from priority %u on\n",
	       (unsigned long long)b->seed, b->c.rules.n, b->c.sets.n, probe->after);
	print_packet(p);
	print_rule("expected:", want);
	print_rule("got:", got);
	if (probe->hit && !got)
		printf("(no rule has priority %u)\n", probe->found);
	print_sets_of(&b->c, want);
	print_sets_of(&b->c, got);
	return -EBADMSG;
}

/* ---- packets --------------------------------- */

static int check_answers(struct bench *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct probe *probe = &b->run.probes[i];
		const struct shunt_rule *want =
			reference_find(&b->c.rules, &b->c.sets, &b->packets[i], probe->after);

		if (probe->generation == 0)
			return shunt_err(-EIO, "the program did not run to packet %u", i);
		if ((want != NULL) != probe->hit || (want && want->priority != probe->found))
			return differs(b, probe, &b->packets[i], want);
		b->tally.pairs++;
		b->tally.hits += want != NULL;
	}
	return 0;
}

/* Go on behind audit rules, as the steering program does. Returns how many packets. */
static uint32_t ask_again(struct bench *b, uint32_t n)
{
	uint32_t m = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t found = b->run.probes[i].found;
		const struct shunt_rule *rule = NULL;

		if (b->run.probes[i].hit)
			rule = rule_of(&b->c.rules, found);
		if (!rule || !rule->audit)
			continue;
		b->packets[m] = b->packets[i];
		probe_from_packet(&b->run.probes[m], &b->packets[m], found + 1);
		m++;
	}
	b->tally.again += m;
	return m;
}

static int check_packets(struct bench *b, uint32_t n)
{
	int r;

	for (uint32_t i = 0; i < n; i++) {
		random_packet(&b->c, &b->packets[i]);
		probe_from_packet(&b->run.probes[i], &b->packets[i], 0);
	}
	for (int rounds = 0; n > 0 && rounds < SHUNT_MAX_AUDITS; rounds++) {
		r = probe_classify(&b->run, n);
		if (r)
			return shunt_err(r, "cannot run the program: %s", strerror(-r));
		r = check_answers(b, n);
		if (r)
			return r;
		n = ask_again(b, n);
	}
	return 0;
}

/* ---- reading back --------------------------------- */

static int compare_prefixes(const void *a, const void *b)
{
	const struct shunt_prefix *x = a, *y = b;
	int r = memcmp(&x->addr, &y->addr, sizeof(x->addr));

	return r ? r : (int)x->len - (int)y->len;
}

/* In order, nothing twice; on a copy. */
static struct shunt_prefix *sorted(const struct set_in *set, size_t *n)
{
	struct shunt_prefix *v = calloc(set->n + 1, sizeof(*v));

	*n = 0;
	if (!v)
		return NULL;
	for (size_t i = 0; i < set->n; i++)
		v[i] = set->v[i];
	qsort(v, set->n, sizeof(*v), compare_prefixes);
	for (size_t i = 0; i < set->n; i++)
		if (*n == 0 || compare_prefixes(&v[*n - 1], &v[i]))
			v[(*n)++] = v[i];
	return v;
}

static bool same_set(const struct set_in *a, const struct set_in *b)
{
	size_t n_a, n_b;
	struct shunt_prefix *x = sorted(a, &n_a), *y = sorted(b, &n_b);
	bool same = x && y && n_a == n_b;

	for (size_t i = 0; same && i < n_a; i++)
		same = !compare_prefixes(&x[i], &y[i]);
	free(x);
	free(y);
	return same;
}

static int compare_sets(const struct bench *b, const struct sets_in *got)
{
	if (got->n != b->c.sets.n) {
		printf("MISMATCH: seed %llu: %zu sets given, %zu read back\n",
		       (unsigned long long)b->seed, b->c.sets.n, got->n);
		return -EBADMSG;
	}
	for (size_t i = 0; i < got->n; i++) {
		const struct set_in *given = reference_set(&b->c.sets, got->v[i].name);

		if (given && same_set(given, &got->v[i]))
			continue;
		printf("MISMATCH: seed %llu: set '%s' is read back differently\n",
		       (unsigned long long)b->seed, got->v[i].name);
		return -EBADMSG;
	}
	return 0;
}

static int compare_rules(const struct bench *b, const struct shunt_rules *got)
{
	const struct shunt_rules *given = &b->c.rules;

	for (size_t i = 0; i < given->n && i < got->n; i++)
		if (!shunt_rule_equal(&given->v[i], &got->v[i])) {
			printf("MISMATCH: seed %llu: rule is read back differently\n",
			       (unsigned long long)b->seed);
			print_rule("given:", &given->v[i]);
			print_rule("read: ", &got->v[i]);
			return -EBADMSG;
		}
	if (given->n == got->n)
		return 0;
	printf("MISMATCH: seed %llu: %zu rules given, %zu read back\n",
	       (unsigned long long)b->seed, given->n, got->n);
	return -EBADMSG;
}

static int check_read_back(struct bench *b)
{
	struct shunt_rules rules = { 0 };
	struct sets_in sets = { 0 };
	int r = decompile_rules(&b->arena, &rules);

	if (!r)
		r = decompile_sets(&b->arena, &sets);
	if (r)
		shunt_err(r, "cannot read back: %s", strerror(-r));
	if (!r)
		r = compare_rules(b, &rules);
	if (!r)
		r = compare_sets(b, &sets);
	b->tally.read_back += !r;
	shunt_rules_clear(&rules);
	sets_clear(&sets);
	return r;
}

/* ---- generations --------------------------------- */

static int build(struct bench *b)
{
	int fd = compile(&b->c.rules, &b->c.sets, &probe_names, ++b->generation);
	int r;

	if (fd < 0)
		return shunt_err(fd, "cannot compile: %s", strerror(-fd));
	arena_release(&b->arena);
	r = arena_open_fd(&b->arena, fd);
	if (!r)
		r = probe_publish(&b->run, fd);
	close(fd);
	return r ? shunt_err(r, "cannot publish: %s", strerror(-r)) : 0;
}

/* What a change in place returned and should have. -ENOSPC: by a new generation instead. */
static int after_change(struct bench *b, const char *what, int got, int want)
{
	if (got == -ENOSPC) {
		b->tally.rebuilt++;
		return want ? 0 : build(b);
	}
	if (got == want)
		return 0;
	printf("MISMATCH: seed %llu: %s: %s, expected %s\n", (unsigned long long)b->seed, what,
	       got ? strerror(-got) : "done", want ? strerror(-want) : "done");
	return -EBADMSG;
}

static int step_add(struct bench *b)
{
	struct shunt_rule rule;
	int r = random_rule(&b->c, &rule), done;

	if (r)
		return r;
	done = change_rule_add(&b->arena, &rule, &probe_names);
	r = random_case_insert(&b->c, &rule);
	return r ? r : after_change(b, "rule add", done, 0);
}

static int step_add_twice(struct bench *b)
{
	const struct shunt_rule *rule = &b->c.rules.v[random_below(&b->c, (uint32_t)b->c.rules.n)];

	return after_change(b, "rule add of a taken priority",
			    change_rule_add(&b->arena, rule, &probe_names), -EEXIST);
}

static int step_del(struct bench *b)
{
	uint32_t i = random_below(&b->c, (uint32_t)b->c.rules.n);
	uint32_t priority = b->c.rules.v[i].priority;
	int done = change_rule_del(&b->arena, priority);

	random_case_remove(&b->c, i);
	return after_change(b, "rule del", done, 0);
}

static bool set_has(const struct set_in *set, const struct shunt_prefix *p)
{
	for (size_t i = 0; i < set->n; i++)
		if (!compare_prefixes(&set->v[i], p))
			return true;
	return false;
}

static int step_set_add(struct bench *b, struct set_in *set)
{
	size_t want = 1 + random_below(&b->c, random_percent(&b->c, 20) ? 20 : 3), old = set->n;
	struct shunt_prefix *v = realloc(set->v, (old + want) * sizeof(*v));
	int done;

	if (!v)
		return -ENOMEM;
	set->v = v;
	for (size_t i = 0; i < want; i++) {
		struct shunt_prefix p = random_prefix(&b->c);

		if (!set_has(set, &p))
			set->v[set->n++] = p;
	}
	if (set->n == old)
		return 0;
	done = change_set(&b->arena, set->name, set->v + old, set->n - old, true);
	return after_change(b, "set add", done, 0);
}

/* Some from the end, after they were mixed. */
static int step_set_del(struct bench *b, struct set_in *set)
{
	size_t n = 1 + random_below(&b->c, random_percent(&b->c, 20) ? (uint32_t)set->n : 1);
	int done;

	for (size_t i = set->n - 1; i > 0; i--) {
		size_t j = random_below(&b->c, (uint32_t)i + 1);
		struct shunt_prefix p = set->v[i];

		set->v[i] = set->v[j];
		set->v[j] = p;
	}
	set->n -= n;
	done = change_set(&b->arena, set->name, set->v + set->n, n, false);
	return after_change(b, "set del", done, 0);
}

static int step_set(struct bench *b)
{
	struct set_in *set = &b->c.sets.v[random_below(&b->c, (uint32_t)b->c.sets.n)];
	struct shunt_prefix fresh = random_prefix(&b->c);

	if (set->n && random_percent(&b->c, 10))
		return after_change(b, "set add of what it has",
				    change_set(&b->arena, set->name, set->v, 1, true), -EEXIST);
	if (random_percent(&b->c, 10) && !set_has(set, &fresh))
		return after_change(b, "set del of what it has not",
				    change_set(&b->arena, set->name, &fresh, 1, false), -ENOENT);
	return set->n && random_percent(&b->c, 45) ? step_set_del(b, set) : step_set_add(b, set);
}

static int step(struct bench *b)
{
	uint32_t kind = random_below(&b->c, 100);

	b->tally.steps++;
	if (b->c.sets.n && kind < 45)
		return step_set(b);
	if (b->c.rules.n && kind < 48)
		return step_add_twice(b);
	if (kind < 50)
		return after_change(b, "rule del of none",
				    change_rule_del(&b->arena, 2147483647), -ENOENT);
	return b->c.rules.n && kind < 75 ? step_del(b) : step_add(b);
}

static int check_case(struct bench *b)
{
	int r = build(b);

	if (!r)
		r = check_read_back(b);
	if (!r)
		r = check_packets(b, FIRST_PACKETS);
	for (int i = 0; i < STEPS && !r; i++) {
		r = step(b);
		if (!r)
			r = check_packets(b, STEP_PACKETS);
	}
	return r ? r : check_read_back(b);
}

static void print_tally(const struct bench *b, int r)
{
	const struct tally *t = &b->tally;
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("%s: %llu pairs (%llu with a rule, %llu behind an audit rule), %llu rule sets, "
	       "%llu changes (%llu by a new generation), %llu read back, last seed %llu, "
	       "%ld s CPU\n",
	       r ? "FAILED" : "no mismatch", (unsigned long long)t->pairs,
	       (unsigned long long)t->hits, (unsigned long long)t->again,
	       (unsigned long long)t->cases, (unsigned long long)t->steps,
	       (unsigned long long)t->rebuilt, (unsigned long long)t->read_back,
	       (unsigned long long)b->seed, (long)(u.ru_utime.tv_sec + u.ru_stime.tv_sec));
}

int main(int argc, char **argv)
{
	uint64_t pairs = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	struct random_options options = { 0 };
	struct bench *b = calloc(1, sizeof(*b));
	int r;

	if (argc < 2 || !b || probe_open(&b->run, argv[1]))
		return 2;
	b->arena.fd = -1;
	b->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	for (;;) {
		r = random_case_make(&b->c, b->seed, &options);
		if (!r)
			r = check_case(b);
		b->tally.cases++;
		random_case_clear(&b->c);
		if (r || b->tally.pairs >= pairs)
			break;
		b->seed++;
	}
	if (!r && b->tally.rebuilt * 2 > b->tally.steps) {
		printf("most changes were not made in place: that is not tested then\n");
		r = -ENOTSUP;
	}
	print_tally(b, r);
	arena_release(&b->arena);
	probe_close(&b->run);
	free(b);
	return r ? 1 : 0;
}
