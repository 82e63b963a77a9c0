// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What goes round a rule: flows that are the same but for the family or the protocol, and that no
 * rule deals with. Rules that pass flows keep nothing from going anywhere, so they are not asked.
 */
#include <string.h>

#include "check.h"

enum {
	PORT_HTTPS = 443,
	MAX_ASKED = 4096, /* rules of the other family that are asked about one rule */
};

struct gap {
	struct check *c;
	const struct match *m;
	struct point p;
	const struct match *first; /* TCP_ONLY: the rule that decides, NULL none */
	size_t asked;
};

static bool is_asked(const struct check *c, size_t i)
{
	const struct match *m = &c->matches.v[i];

	return m->fams && m->dirs && !m->unknown && !m->open && !c->dead[i] && !m->rule->audit &&
	       m->rule->action != SHUNT_ACT_PASS;
}

/* A flow that the rule takes, of family v6. */
static void choose_point(struct gap *g, bool v6)
{
	const struct shunt_rule *rule = g->m->rule;
	const struct spans *ports = g->m->dim[0][DIM_PORT];

	g->p = (struct point){
		.dir = g->m->dirs & SHUNT_DIR_IN ? SHUNT_DIR_IN : SHUNT_DIR_OUT,
		.proto = g->m->protos & SHUNT_PROTO_TCP ? SHUNT_PROTO_TCP : SHUNT_PROTO_UDP,
		.v6 = v6,
		.device = rule->n_devices ? rule->devices[0] : NULL,
		.cgroup = rule->cgroup,
		.has_uid = rule->has_uid,
	};
	for (enum dim d = 0; d < DIM_MAX; d++)
		if (g->m->dim[v6][d]->n)
			g->p.at[d] = g->m->dim[v6][d]->v[0].lo;
	if (spans_find(ports, PORT_HTTPS))
		g->p.at[DIM_PORT] = PORT_HTTPS;
}

/* ---- TCP but not UDP ---------------------------------------------------------------------------- */

static bool take_first(void *arg, uint32_t match)
{
	struct gap *g = arg;
	const struct match *m = &g->c->matches.v[match];

	if ((!g->first || m < g->first) && match_has_point(m, &g->p))
		g->first = m;
	return false;
}

/* Does a rule say what is to be with UDP? One that passes what is left, of TCP as well, does not. */
static bool udp_is_meant(struct gap *g, bool v6)
{
	choose_point(g, v6);
	g->p.proto = SHUNT_PROTO_UDP;
	g->first = NULL;
	match_index_find(&g->c->index, &g->p, take_first, g);
	return g->first && !(g->first->rule->action == SHUNT_ACT_PASS &&
			     g->first->protos & SHUNT_PROTO_TCP);
}

static int check_udp(struct gap *g, size_t rule)
{
	bool quic = spans_find(g->m->dim[0][DIM_PORT], PORT_HTTPS);
	char what[64] = "are left alone";
	bool meant = true;

	if (g->m->protos != SHUNT_PROTO_TCP)
		return 0;
	for (int v6 = 0; v6 < 2 && meant; v6++)
		if (g->m->fams & (v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4))
			meant = udp_is_meant(g, v6);
	if (meant)
		return 0;
	if (g->first)
		snprintf(what, sizeof(what), "go by rule %u, which passes them",
			 g->first->rule->priority);
	return check_add(g->c, SHUNT_FIND_TCP_ONLY, rule, NULL,
			 "UDP to the same destination is not covered%s: such flows %s; if they must "
			 "not bypass it, add a rule for udp, for example one that rejects them",
			 quic ? " (HTTP/3 is UDP)" : "", what);
}

/* ---- IPv4 but not IPv6 -------------------------------------------------------------------------- */

/* What a rule does, for this question: to drop and to reject is the same. */
enum deed { DEED_STOP, DEED_PROXY, DEED_ROUTE, DEED_MAX };

static enum deed deed_of(const struct match *m)
{
	if (m->rule->action == SHUNT_ACT_PROXY)
		return DEED_PROXY;
	return m->rule->action == SHUNT_ACT_ROUTE ? DEED_ROUTE : DEED_STOP;
}

static bool is_twin(void *arg, uint32_t match)
{
	struct gap *g = arg;
	const struct match *m = &g->c->matches.v[match];

	if (g->asked++ == MAX_ASKED)
		return true; /* nothing is said about what is not known */
	if (!match_has_kind(m, &g->p))
		return false;
	/* Addresses of the two families cannot be compared. */
	for (enum dim d = DIM_PORT; d < DIM_MAX; d++)
		if (!spans_find(m->dim[0][d], g->p.at[d]))
			return false;
	return true;
}

static int check_family(struct gap *g, const struct match_index *by_deed, size_t rule)
{
	bool v4 = g->m->fams == SHUNT_FAM_V4;
	const char *other = v4 ? "IPv6" : "IPv4";

	if (g->m->fams == (SHUNT_FAM_V4 | SHUNT_FAM_V6))
		return 0;
	choose_point(g, v4);
	g->asked = 0;
	if (match_index_find(&by_deed[deed_of(g->m)], &g->p, is_twin, g))
		return 0;
	return check_add(g->c, SHUNT_FIND_ONE_FAMILY, rule, NULL,
			 "covers %s only, and no rule does the same for any %s flow of these ports: "
			 "if %s is in use there, add its addresses to the rule or a rule for them",
			 v4 ? "IPv4" : "IPv6", other, other);
}

/* ---- both --------------------------------------------------------------------------------------- */

/* Indexes that do not look at addresses, one for each deed. */
static int fill(struct match_index *by_deed, const struct check *c)
{
	int r = 0;

	for (int i = 0; i < DEED_MAX && !r; i++) {
		r = match_index_init(&by_deed[i], c->matches.v);
		by_deed[i].levels_off[DIM_TO] = true;
		by_deed[i].levels_off[DIM_FROM] = true;
	}
	for (size_t i = 0; i < c->matches.n && !r; i++)
		if (is_asked(c, i))
			r = match_index_add(&by_deed[deed_of(&c->matches.v[i])], (uint32_t)i);
	return r;
}

int check_gaps(struct check *c)
{
	struct match_index by_deed[DEED_MAX] = {};
	struct gap g = { .c = c };
	int r = fill(by_deed, c);

	for (size_t i = 0; i < c->matches.n && !r; i++) {
		if (!is_asked(c, i))
			continue;
		g.m = &c->matches.v[i];
		r = check_family(&g, by_deed, i);
		if (!r)
			r = check_udp(&g, i);
	}
	for (int i = 0; i < DEED_MAX; i++)
		match_index_clear(&by_deed[i]);
	return r;
}
