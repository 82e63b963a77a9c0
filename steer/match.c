// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The spans of a set and of its complement, by family. */
struct set_spans {
	const char *name;
	size_t index; /* of the set */
	const struct spans *v[2], *not[2];
};

#define LAST4 ((addr_t)0xffffffffU)
static const struct spans whole4 = { 1, { { 0, LAST4 } } }, whole6 = { 1, { { 0, ~(addr_t)0 } } },
			  whole_ports = { 1, { { 0, 65535 } } }, nothing = { .n = 0 };

addr_t dim_last(enum dim dim, bool v6)
{
	if (dim == DIM_PORT || dim == DIM_SPORT)
		return 65535;
	return dim == DIM_UID || !v6 ? LAST4 : ~(addr_t)0;
}

static const struct spans *whole(enum dim dim, bool v6)
{
	if (dim == DIM_PORT || dim == DIM_SPORT)
		return &whole_ports;
	return dim == DIM_UID || !v6 ? &whole4 : &whole6;
}

/* ---- spans ------------------------------------------------------------------------------------ */

/* Room for n spans, which m owns. */
static struct spans *new_spans(struct matches *m, size_t n)
{
	size_t room = m->room ? 2 * m->room : 256;
	struct spans **grown, *s;

	if (m->n_owned == m->room) {
		grown = reallocarray(m->owned, room, sizeof(*grown));
		if (!grown)
			return NULL;
		m->owned = grown;
		m->room = room;
	}
	s = malloc(sizeof(*s) + (n + 1) * sizeof(s->v[0]));
	if (s) {
		s->n = 0;
		m->owned[m->n_owned++] = s;
	}
	return s;
}

/* In ascending order of lo; what overlaps or touches becomes one. */
static void add_span(struct spans *s, addr_t lo, addr_t hi)
{
	struct span *last = s->n ? &s->v[s->n - 1] : NULL;

	if (last && (lo <= last->hi || lo == last->hi + 1)) {
		if (hi > last->hi)
			last->hi = hi;
		return;
	}
	s->v[s->n++] = (struct span){ lo, hi };
}

static const struct spans *of_prefixes(struct matches *m, const struct prefixes *p, bool v6)
{
	size_t n = prefixes_n(p, v6);
	struct spans *s = n ? new_spans(m, n) : NULL;

	if (!n)
		return &nothing;
	for (size_t i = 0; i < n && s; i++)
		add_span(s, prefix_first(p, i, v6), prefix_last(p, i, v6));
	return s;
}

static const struct spans *complement(struct matches *m, const struct spans *of, addr_t last)
{
	struct spans *s = new_spans(m, of->n + 1);
	addr_t next = 0;

	if (!s)
		return NULL;
	for (size_t i = 0; i < of->n; i++) {
		if (of->v[i].lo > next)
			add_span(s, next, of->v[i].lo - 1);
		if (of->v[i].hi == last)
			return s;
		next = of->v[i].hi + 1;
	}
	add_span(s, next, last);
	return s;
}

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static const struct spans *of_ports(struct matches *m, const struct shunt_ports *ports)
{
	struct spans *all, *s;

	if (!ports->n)
		return whole(DIM_PORT, false);
	all = new_spans(m, ports->n);
	s = new_spans(m, ports->n);
	if (!all || !s)
		return NULL;
	for (size_t i = 0; i < ports->n; i++)
		all->v[i] = (struct span){ ports->v[i].lo, ports->v[i].hi };
	qsort(all->v, ports->n, sizeof(all->v[0]), compare_spans);
	for (size_t i = 0; i < ports->n; i++)
		add_span(s, all->v[i].lo, all->v[i].hi);
	return s;
}

const struct span *spans_find(const struct spans *s, addr_t value)
{
	size_t lo = 0, hi = s->n, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (s->v[mid].hi < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->v[lo].lo <= value ? &s->v[lo] : NULL;
}

static bool spans_cover(const struct spans *a, const struct spans *b)
{
	const struct span *in;

	if (a == b)
		return true;
	for (size_t i = 0; i < b->n; i++) {
		in = spans_find(a, b->v[i].lo);
		if (!in || in->hi < b->v[i].hi)
			return false;
	}
	return true;
}

/* ---- sets --------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct set_spans *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int make_sets(struct matches *m, const struct shunt_sets *sets)
{
	m->sets = calloc(sets->n + 1, sizeof(*m->sets));
	if (!m->sets)
		return -ENOMEM;
	m->n_sets = sets->n;
	for (size_t i = 0; i < sets->n; i++)
		m->sets[i] = (struct set_spans){ .name = sets->v[i].name, .index = i };
	qsort(m->sets, m->n_sets, sizeof(*m->sets), by_name);
	return 0;
}

/* Both families of a list of prefixes, or of its complement. */
static int make_both(struct matches *m, const struct shunt_prefix *v, size_t n, bool negated,
		     const struct spans *out[2])
{
	struct prefixes p = {};
	int r = prefixes_make(&p, v, n);

	for (int v6 = 0; v6 < 2 && !r; v6++) {
		out[v6] = of_prefixes(m, &p, v6);
		if (out[v6] && negated)
			out[v6] = complement(m, out[v6], dim_last(DIM_TO, v6));
		if (!out[v6])
			r = -ENOMEM;
	}
	prefixes_clear(&p);
	return r;
}

/* Made when a rule first asks for it: most sets are large and most asked for in one way. */
static int find_set(struct matches *m, const struct shunt_config *config, const char *name,
		    bool negated, const struct spans *out[2], bool *open)
{
	struct set_spans key = { .name = name }, *set;
	const struct shunt_set *from;
	const struct spans **have;
	int r = 0;

	set = bsearch(&key, m->sets, m->n_sets, sizeof(*m->sets), by_name);
	if (!set)
		return -ENOENT;
	have = negated ? set->not : set->v;
	from = &config->sets.v[set->index];
	if (from->expires || from->n_timed) {
		*open = true;
		return 0;
	}
	if (!have[0])
		r = make_both(m, from->v, from->n, negated, have);
	out[0] = have[0];
	out[1] = have[1];
	return r;
}

/* ---- matches ------------------------------------------------------------------------------------ */

static int make_side(struct matches *m, struct match *match, const struct shunt_config *config,
		     enum dim dim, const struct shunt_addrs *addrs)
{
	const struct spans *both[2] = { whole(dim, false), whole(dim, true) };
	int r = 0;

	if (addrs->set[0])
		r = find_set(m, config, addrs->set, addrs->negated, both, &match->open);
	else if (addrs->n)
		r = make_both(m, addrs->v, addrs->n, addrs->negated, both);
	if (r == -ENOENT) {
		match->unknown = true;
		r = 0;
	}
	match->dim[0][dim] = both[0];
	match->dim[1][dim] = both[1];
	return r;
}

static int make_match(struct matches *m, struct match *match, const struct shunt_config *config,
		      const struct shunt_rule *rule)
{
	const struct spans *uid = whole(DIM_UID, false);
	struct spans *own;
	int r;

	match->rule = rule;
	match->dirs = shunt_rule_dirs(rule);
	match->protos = shunt_rule_protos(rule);
	r = make_side(m, match, config, DIM_TO, &rule->to);
	if (!r)
		r = make_side(m, match, config, DIM_FROM, &rule->from);
	if (r)
		return r;
	if (rule->has_uid) {
		own = new_spans(m, 1);
		if (!own)
			return -ENOMEM;
		add_span(own, rule->uid_lo, rule->uid_hi);
		uid = own;
	}
	match->dim[0][DIM_PORT] = of_ports(m, &rule->port);
	match->dim[0][DIM_SPORT] = of_ports(m, &rule->sport);
	match->dim[0][DIM_UID] = uid;
	for (enum dim d = DIM_PORT; d < DIM_MAX; d++)
		match->dim[1][d] = match->dim[0][d];
	if (!match->dim[0][DIM_PORT] || !match->dim[0][DIM_SPORT])
		return -ENOMEM;
	for (int v6 = 0; v6 < 2; v6++)
		if (match->dim[v6][DIM_TO]->n && match->dim[v6][DIM_FROM]->n)
			match->fams |= v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4;
	return 0;
}

int matches_make(struct matches *out, const struct shunt_config *config)
{
	struct matches m = {};
	int r = make_sets(&m, &config->sets);

	m.v = calloc(config->rules.n + 1, sizeof(*m.v));
	if (!m.v)
		r = -ENOMEM;
	for (; m.n < config->rules.n && !r; m.n++)
		r = make_match(&m, &m.v[m.n], config, &config->rules.v[m.n]);
	if (r) {
		matches_clear(&m);
		return shunt_err(r, "out of memory");
	}
	*out = m;
	return 0;
}

void matches_clear(struct matches *m)
{
	for (size_t i = 0; i < m->n_owned; i++)
		free(m->owned[i]);
	free(m->owned);
	free(m->sets);
	free(m->v);
	*m = (struct matches){};
}

/* ---- questions ---------------------------------------------------------------------------------- */

static bool has_device(const struct shunt_rule *rule, const char *name)
{
	for (size_t i = 0; i < rule->n_devices && name; i++)
		if (!strcmp(rule->devices[i], name))
			return true;
	return !rule->n_devices;
}

/* Is the cgroup at path this one or below it? Both begin with '/' and have no other than needed. */
static bool is_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	return !strncmp(path, above, n) && (!path[n] || path[n] == '/');
}

bool match_has_kind(const struct match *m, const struct point *p)
{
	const struct shunt_rule *rule = m->rule;

	if (m->unknown || !(m->dirs & p->dir) || !(m->protos & p->proto) ||
	    !(m->fams & (p->v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4)))
		return false;
	if (rule->has_uid && !p->has_uid)
		return false;
	if (rule->cgroup && (!p->cgroup || !is_below(p->cgroup, rule->cgroup)))
		return false;
	return has_device(rule, p->device);
}

bool match_has_point(const struct match *m, const struct point *p)
{
	if (!match_has_kind(m, p))
		return false;
	for (enum dim d = 0; d < DIM_MAX; d++)
		if (!spans_find(m->dim[p->v6][d], p->at[d]))
			return false;
	return true;
}

static bool kind_covers(const struct match *a, const struct match *b)
{
	const struct shunt_rule *x = a->rule, *y = b->rule;

	if ((b->dirs & ~a->dirs) || (b->protos & ~a->protos) || (b->fams & ~a->fams))
		return false;
	if (x->has_uid && !y->has_uid)
		return false;
	if (x->cgroup && (!y->cgroup || !is_below(y->cgroup, x->cgroup)))
		return false;
	if (x->n_devices && !y->n_devices)
		return false;
	for (size_t i = 0; i < y->n_devices; i++)
		if (!has_device(x, y->devices[i]))
			return false;
	return true;
}

bool match_covers(const struct match *a, const struct match *b)
{
	if (a->unknown || b->unknown || !kind_covers(a, b))
		return false;
	for (int v6 = 0; v6 < 2; v6++) {
		if (!(b->fams & (v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4)))
			continue;
		for (enum dim d = 0; d < DIM_MAX; d++)
			if (!spans_cover(a->dim[v6][d], b->dim[v6][d]))
				return false;
	}
	return true;
}
