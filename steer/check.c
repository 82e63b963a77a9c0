// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is odd about rules and sets: findings, collected from the parts and put in order. */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *help;
} kinds[] = {
#define FINDING_ROW(id, name_, help_) [SHUNT_FIND_##id] = { name_, help_ },
	SHUNT_FINDINGS(FINDING_ROW)
#undef FINDING_ROW
};

const char *shunt_finding_name(enum shunt_finding_kind kind)
{
	return kinds[kind].name;
}

const char *shunt_finding_help(enum shunt_finding_kind kind)
{
	return kinds[kind].help;
}

void shunt_findings_clear(struct shunt_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++) {
		free(findings->v[i].text);
		free(findings->v[i].by);
	}
	free(findings->v);
	*findings = (struct shunt_findings){};
}

static int reserve(struct check *c)
{
	size_t room = c->room ? 2 * c->room : 64;
	struct shunt_finding *grown;

	if (c->found.n < c->room)
		return 0;
	grown = reallocarray(c->found.v, room, sizeof(*grown));
	if (!grown)
		return shunt_err(-ENOMEM, "out of memory");
	c->found.v = grown;
	c->room = room;
	return 0;
}

int check_add(struct check *c, enum shunt_finding_kind kind, size_t rule, const char *set,
	      const char *fmt, ...)
{
	struct shunt_finding f = { .kind = kind };
	va_list args;
	int r = reserve(c);

	if (r)
		return r;
	if (set)
		memcpy(f.set, set, strnlen(set, sizeof(f.set) - 1));
	else
		f.rule = c->config->rules.v[rule].priority;
	va_start(args, fmt);
	r = vasprintf(&f.text, fmt, args);
	va_end(args);
	if (r < 0)
		return shunt_err(-ENOMEM, "out of memory");
	c->found.v[c->found.n++] = f;
	return 0;
}

int check_because(struct check *c, const uint32_t *rules, size_t n)
{
	struct shunt_finding *f = &c->found.v[c->found.n - 1];

	f->by = calloc(n + 1, sizeof(*f->by));
	if (!f->by)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		f->by[f->n_by++] = c->config->rules.v[rules[i]].priority;
	return 0;
}

/* Rules by priority, then sets by name; of one rule in the order of the kinds. */
static int in_order(const void *a, const void *b)
{
	const struct shunt_finding *x = a, *y = b;

	if (!x->rule != !y->rule)
		return x->rule ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (strcmp(x->set, y->set))
		return strcmp(x->set, y->set);
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static int run(struct check *c)
{
	int r = matches_make(&c->matches, c->config);

	if (!r)
		r = match_index_init(&c->index, c->matches.v);
	if (!r)
		r = check_sets(c);
	if (!r && c->s)
		r = check_place(c);
	if (!r)
		r = check_shadows(c);
	if (!r)
		r = check_gaps(c);
	if (!r && c->s)
		r = check_counters(c);
	return r;
}

int shunt_check(struct shunt *s, const struct shunt_config *config, struct shunt_findings *out)
{
	struct check c = { .s = s, .config = config };
	int r = 0;

	c.dead = calloc(config->rules.n + 1, sizeof(*c.dead));
	if (!c.dead)
		r = shunt_err(-ENOMEM, "out of memory");
	if (!r)
		r = run(&c);
	free(c.dead);
	match_index_clear(&c.index);
	matches_clear(&c.matches);
	if (r) {
		shunt_findings_clear(&c.found);
		return r;
	}
	if (c.found.n)
		qsort(c.found.v, c.found.n, sizeof(*c.found.v), in_order);
	*out = c.found;
	return 0;
}
