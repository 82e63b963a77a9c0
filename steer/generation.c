// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "generation.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "device.h"
#include "target.h"

static struct shunt_gen_header *header_of(const struct generation *g)
{
	return (struct shunt_gen_header *)g->cells;
}

static struct shunt_rule_rec *rule_at(const struct generation *g, size_t i)
{
	return (struct shunt_rule_rec *)&g->cells[header_of(g)->rules_at + i];
}

static struct shunt_entry *entry_at(const struct generation *g, size_t i)
{
	return (struct shunt_entry *)&g->cells[header_of(g)->entries_at + i];
}

static char *text_of(const struct generation *g)
{
	return (char *)&g->cells[header_of(g)->text_at];
}

/* ---- the map ------------------------------------------------------------------------------ */

void generation_release(struct generation *g)
{
	if (g->cells)
		munmap(g->cells, g->n_cells * sizeof(*g->cells));
	if (g->fd >= 0)
		close(g->fd);
	g->cells = NULL;
	g->fd = -1;
}

static int map_cells(struct generation *g, int prot)
{
	void *cells = mmap(NULL, g->n_cells * sizeof(*g->cells), prot, MAP_SHARED, g->fd, 0);

	if (cells == MAP_FAILED)
		return shunt_err(-errno, "cannot map the rules: %s", strerror(errno));
	g->cells = cells;
	return 0;
}

int generation_open(struct generation *out, const struct shunt *s)
{
	struct generation g = { .fd = -1 };
	struct bpf_map_info info = {};
	__u32 zero = 0, id, len = sizeof(info);
	int r;

	do { /* it may be replaced between the two calls */
		if (bpf_map_lookup_elem(s->map.ruleset, &zero, &id))
			return -ENOENT;
		g.fd = bpf_map_get_fd_by_id(id);
	} while (g.fd < 0 && errno == ENOENT);
	if (g.fd < 0 || bpf_obj_get_info_by_fd(g.fd, &info, &len)) {
		r = shunt_err(-errno, "cannot open the rules: %s", strerror(errno));
		generation_release(&g);
		return r;
	}
	g.n_cells = info.max_entries;
	r = map_cells(&g, PROT_READ);
	if (r) {
		generation_release(&g);
		return r;
	}
	*out = g;
	return 0;
}

static int create_map(struct generation *g, size_t n_cells)
{
	DECLARE_LIBBPF_OPTS(bpf_map_create_opts, opts,
			    .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);

	g->n_cells = n_cells;
	g->fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "shunt_rules", sizeof(__u32),
			       sizeof(struct shunt_cell), (__u32)n_cells, &opts);
	if (g->fd < 0)
		return shunt_err(-errno, "cannot make a map of %zu cells: %s", n_cells,
				 strerror(errno));
	return map_cells(g, PROT_READ | PROT_WRITE);
}

int generation_publish(struct shunt *s, const struct generation *g)
{
	__u32 zero = 0;

	if (bpf_map_update_elem(s->map.ruleset, &zero, &g->fd, BPF_ANY))
		return shunt_err(-errno, "cannot publish the rules: %s", strerror(errno));
	return 0;
}

/* ---- compile -------------------------------------------------------------------------------- */

static size_t at_least_one(size_t n)
{
	return n ? n : 1;
}

/* False if they are more than a generation may have. */
static bool count_entries(const struct shunt_rule *r, size_t *total)
{
	const size_t factors[] = { r->from.n, r->to.n, r->port.n, r->sport.n, r->n_devices };
	size_t n = 1;

	for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
		n *= at_least_one(factors[i]); /* each is below 2^16: a rule has 64 KiB of text */
		if (n > SHUNT_MAX_ENTRIES)
			return false;
	}
	*total += n;
	return *total <= SHUNT_MAX_ENTRIES;
}

static int check_rule(const struct shunt_rule *r)
{
	const char *what = NULL;

	if (r->action == SHUNT_ACT_ROUTE)
		what = "route";
	else if (r->cgroup)
		what = "cgroup";
	else if (r->from.set[0] || r->to.set[0])
		what = "a set";
	else if ((r->from.negated && r->from.n > 1) || (r->to.negated && r->to.n > 1))
		what = "'not' before a list";
	if (what)
		return shunt_err(-EOPNOTSUPP, "rule %u: %s is not supported by this version",
				 r->priority, what);
	if (r->action == SHUNT_ACT_PROXY && !(r->protos & SHUNT_PROTO_TCP))
		return shunt_err(-EOPNOTSUPP, "rule %u: proxy carries tcp only in this version",
				 r->priority);
	return 0;
}

static uint8_t families_of(const struct shunt_addrs *a, size_t i)
{
	if (a->negated || !a->n)
		return SHUNT_FAM_V4 | SHUNT_FAM_V6;
	return shunt_prefix_is_v4(&a->v[i]) ? SHUNT_FAM_V4 : SHUNT_FAM_V6;
}

static void fill_addr(const struct shunt_addrs *a, size_t i, __u8 *addr, __u8 *len)
{
	if (!a->n)
		return;
	memcpy(addr, &a->v[i].addr, 16);
	*len = a->v[i].len;
}

static struct shunt_port_range range_of(const struct shunt_ports *p, size_t i)
{
	return p->n ? p->v[i] : (struct shunt_port_range){ 0, 65535 };
}

struct combination {
	size_t to, from, port, sport, device;
};

/* Count on like an odometer; false after the last. */
static bool next_combination(const struct shunt_rule *r, struct combination *c)
{
	if (++c->device < at_least_one(r->n_devices))
		return true;
	c->device = 0;
	if (++c->sport < at_least_one(r->sport.n))
		return true;
	c->sport = 0;
	if (++c->port < at_least_one(r->port.n))
		return true;
	c->port = 0;
	if (++c->from < at_least_one(r->from.n))
		return true;
	c->from = 0;
	return ++c->to < at_least_one(r->to.n);
}

/* False if the combination can match nothing: one family from, the other to. */
static bool fill_entry(struct shunt_entry *e, const struct shunt_rule *r, uint32_t rule,
		       const struct combination *c, const int *devices)
{
	struct shunt_port_range port = range_of(&r->port, c->port),
				sport = range_of(&r->sport, c->sport);

	memset(e, 0, sizeof(*e));
	e->families = families_of(&r->to, c->to) & families_of(&r->from, c->from);
	if (!e->families)
		return false;
	fill_addr(&r->to, c->to, e->dst, &e->dst_len);
	fill_addr(&r->from, c->from, e->src, &e->src_len);
	if (r->to.negated)
		e->negate |= SHUNT_NEG_DST |
			     (shunt_prefix_is_v4(&r->to.v[c->to]) ? 0 : SHUNT_NEG_DST_V6);
	if (r->from.negated)
		e->negate |= SHUNT_NEG_SRC |
			     (shunt_prefix_is_v4(&r->from.v[c->from]) ? 0 : SHUNT_NEG_SRC_V6);
	e->dirs = r->dirs;
	e->protos = r->action == SHUNT_ACT_PROXY ? SHUNT_PROTO_TCP : r->protos;
	e->device = r->n_devices ? (__u16)devices[c->device] : 0;
	e->dport_lo = port.lo;
	e->dport_hi = port.hi;
	e->sport_lo = sport.lo;
	e->sport_hi = sport.hi;
	e->rule = rule;
	return true;
}

static int compile_entries(struct generation *g, struct shunt *s, const struct shunt_rule *r,
			   uint32_t rule)
{
	struct shunt_gen_header *h = header_of(g);
	_cleanup_free_ int *devices = calloc(at_least_one(r->n_devices), sizeof(*devices));
	struct combination c = {};

	if (!devices)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n_devices; i++) {
		devices[i] = device_slot(s, r->devices[i]);
		if (devices[i] < 0)
			return devices[i];
	}
	do {
		if (fill_entry(entry_at(g, h->n_entries), r, rule, &c, devices)) {
			h->n_entries++;
			rule_at(g, rule)->n_entries++;
		}
	} while (next_combination(r, &c));
	return 0;
}

static void fill_text(struct generation *g, struct shunt_rule_rec *rec, const char *text)
{
	struct shunt_gen_header *h = header_of(g);

	rec->text_at = h->text_len;
	rec->text_len = (__u32)strlen(text);
	memcpy(text_of(g) + rec->text_at, text, rec->text_len);
	h->text_len += rec->text_len;
}

static int compile_rule(struct generation *g, struct shunt *s, const struct shunt_rule *r,
			uint32_t rule, const char *text)
{
	struct shunt_rule_rec *rec = rule_at(g, rule);
	int target = 0;

	if (r->action == SHUNT_ACT_PROXY) {
		target = target_get_locked(s, r->target);
		if (target < 0)
			return target;
	}
	rec->priority = r->priority;
	rec->action = r->action;
	rec->flags = (r->fail == SHUNT_FAIL_CLOSED ? SHUNT_RULE_FAIL_CLOSED : 0) |
		     (r->has_uid ? SHUNT_RULE_UID : 0) | (r->log ? SHUNT_RULE_LOG : 0) |
		     (r->audit ? SHUNT_RULE_AUDIT : 0) |
		     (r->limit_per == SHUNT_LIMIT_PER_SRC ? SHUNT_RULE_LIMIT_SRC : 0);
	if (r->limit_per != SHUNT_LIMIT_NONE) {
		rec->limit_rate = r->limit_rate;
		rec->limit_burst = shunt_rule_burst(r);
	}
	rec->target = (__u16)target;
	rec->uid_lo = r->uid_lo;
	rec->uid_hi = r->uid_hi;
	fill_text(g, rec, text);
	return compile_entries(g, s, r, rule);
}

static void free_texts(char **texts, size_t n)
{
	while (n)
		free(texts[--n]);
	free(texts);
}

static int layout(struct shunt_gen_header *h, const struct shunt_rules *rules, char **texts,
		  size_t *n_cells)
{
	size_t entries = 0, text = 0;

	for (size_t i = 0; i < rules->n; i++) {
		if (!count_entries(&rules->v[i], &entries))
			return shunt_err(-E2BIG,
					 "rule %u: with it the rules come to more than %d "
					 "combinations of addresses, ports and interfaces",
					 rules->v[i].priority, SHUNT_MAX_ENTRIES);
		text += strlen(texts[i]);
	}
	h->magic = SHUNT_MAGIC;
	h->abi = SHUNT_ABI_VERSION;
	h->n_rules = (__u32)rules->n;
	h->rules_at = 1;
	h->entries_at = h->rules_at + h->n_rules;
	h->text_at = h->entries_at + (__u32)entries;
	*n_cells = h->text_at + text / sizeof(struct shunt_cell) + 1;
	return 0;
}

/* The rules as they are listed; n strings, freed with free_texts(). */
static int format_rules(char ***out, const struct shunt_rules *rules)
{
	char **texts = calloc(at_least_one(rules->n), sizeof(*texts));

	for (size_t i = 0; texts && i < rules->n; i++) {
		texts[i] = shunt_rule_format(&rules->v[i]);
		if (!texts[i]) {
			free_texts(texts, i);
			texts = NULL;
		}
	}
	if (!texts)
		return shunt_err(-ENOMEM, "out of memory");
	*out = texts;
	return 0;
}

/* ---- counters stay with their rules --------------------------------------------------------- */

static int clear_stat(struct shunt *s, uint32_t stat)
{
	struct shunt_rule_stat none = {};

	if (bpf_map_update_elem(s->map.rule_stats, &stat, &none, BPF_ANY))
		return shunt_err(-errno, "cannot clear the counters of a rule: %s",
				 strerror(errno));
	return 0;
}

/*
 * Give each rule its index in rule_stats: that of the same rule in `old`, else a free one,
 * cleared. Both lists are ordered by priority.
 */
static int assign_stats(struct generation *g, struct shunt *s, const struct shunt_rules *rules,
			const struct shunt_rules *old_rules, const struct generation *old)
{
	_cleanup_free_ bool *used = calloc(SHUNT_MAX_RULES, sizeof(*used));
	size_t next = 0;
	int r;

	if (!used)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < old_rules->n; i++)
		used[rule_at(old, i)->stat] = true;
	for (size_t i = 0, o = 0; i < rules->n; i++) {
		while (o < old_rules->n && old_rules->v[o].priority < rules->v[i].priority)
			o++;
		if (o < old_rules->n && shunt_rule_equal(&old_rules->v[o], &rules->v[i])) {
			rule_at(g, i)->stat = rule_at(old, o)->stat;
			continue;
		}
		while (next < SHUNT_MAX_RULES && used[next])
			next++;
		if (next == SHUNT_MAX_RULES)
			return shunt_err(-ENOSPC, "no room for the counters of a rule");
		used[next] = true;
		rule_at(g, i)->stat = (__u32)next;
		r = clear_stat(s, (uint32_t)next);
		if (r)
			return r;
	}
	return 0;
}

static int check_rules(const struct shunt_rules *rules)
{
	size_t audits = 0;

	if (rules->n > SHUNT_MAX_RULES / 2)
		return shunt_err(-E2BIG, "%zu rules are too many: at most %d", rules->n,
				 SHUNT_MAX_RULES / 2);
	for (size_t i = 0; i < rules->n; i++) {
		int r = check_rule(&rules->v[i]);

		if (r)
			return r;
		audits += rules->v[i].audit;
	}
	/* The program looks at so many; behind one more nothing would be in force. */
	if (audits > SHUNT_MAX_AUDITS)
		return shunt_err(-E2BIG, "%zu rules with audit are too many: at most %d", audits,
				 SHUNT_MAX_AUDITS);
	return 0;
}

static int fill(struct generation *g, struct shunt *s, const struct shunt_rules *rules,
		char **texts, const struct generation *old)
{
	struct shunt_rules old_rules = {};
	int r = old ? generation_decompile(&old_rules, s, old) : 0;

	for (size_t i = 0; i < rules->n && !r; i++)
		r = compile_rule(g, s, &rules->v[i], (uint32_t)i, texts[i]);
	if (!r)
		r = assign_stats(g, s, rules, &old_rules, old);
	shunt_rules_clear(&old_rules);
	return r;
}

int generation_compile(struct generation *out, struct shunt *s, const struct shunt_rules *rules,
		       const struct generation *old)
{
	struct generation g = { .fd = -1 };
	struct shunt_gen_header h = { .generation = old ? header_of(old)->generation + 1 : 1 };
	char **texts = NULL;
	size_t n_cells = 0;
	int r = check_rules(rules);

	if (!r)
		r = format_rules(&texts, rules);
	if (r)
		return r;
	r = layout(&h, rules, texts, &n_cells);
	if (!r)
		r = create_map(&g, n_cells);
	if (!r) {
		*header_of(&g) = h;
		r = fill(&g, s, rules, texts, old);
	}
	free_texts(texts, rules->n);
	if (r)
		generation_release(&g);
	else
		*out = g;
	return r;
}

/* ---- decompile -------------------------------------------------------------------------------- */

/* Entries are an index; the rule itself stands in the text, as it is listed. */
static int decompile_rule(struct shunt_rule *out, struct shunt *s, const struct generation *g,
			  const struct shunt_rule_rec *rec)
{
	_cleanup_free_ char *text = strndup(text_of(g) + rec->text_at, rec->text_len);
	char err[256];
	int r;

	if (!text)
		return shunt_err(-ENOMEM, "out of memory");
	r = shunt_rule_parse(out, text, err, sizeof(err));
	if (r)
		return shunt_err(r, "cannot read rule %u back: %s", rec->priority, err);
	if (bpf_map_lookup_elem(s->map.rule_stats, &rec->stat, &out->stat))
		return shunt_err(-errno, "cannot read the map 'rule_stats': %s", strerror(errno));
	return 0;
}

int generation_decompile(struct shunt_rules *out, struct shunt *s, const struct generation *g)
{
	struct shunt_rules rules = {};
	size_t n = header_of(g)->n_rules;
	int r = 0;

	rules.v = calloc(at_least_one(n), sizeof(*rules.v));
	if (!rules.v)
		return shunt_err(-ENOMEM, "out of memory");
	for (; rules.n < n && !r; rules.n += !r)
		r = decompile_rule(&rules.v[rules.n], s, g, rule_at(g, rules.n));
	if (r)
		shunt_rules_clear(&rules);
	else
		*out = rules;
	return r;
}
