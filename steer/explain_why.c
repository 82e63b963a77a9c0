// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "explain_why.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"
#include "rule_grammar.h"

enum {
	NOT_KNOWN = 65534, /* what the kernel says of a packet without a sender */
	LIST_SHOWN = 3,	   /* of the prefixes or ports of a rule */
	MAX_WORDS = 16,	   /* that a rule can miss */
};

/* Which prefix of a set holds the source, and the destination; looked for when a rule asks. */
struct asked_set {
	bool known[2];
	const struct shunt_prefix *holds[2];
};

/* ---- the packet ----------------------------------------------------------------------------- */

static void take_end(const struct sockaddr_storage *sa, struct in6_addr *addr, uint16_t *port)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	if (sa->ss_family == AF_INET6) {
		*addr = in6->sin6_addr;
		*port = ntohs(in6->sin6_port);
		return;
	}
	*addr = (struct in6_addr){ { { [10] = 0xff, [11] = 0xff } } };
	memcpy(&addr->s6_addr[12], &in->sin_addr, 4);
	*port = ntohs(in->sin_port);
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct shunt_set *sets = arg;

	return strcmp(sets[*(const uint16_t *)a].name, sets[*(const uint16_t *)b].name);
}

int asked_init(struct asked *out, const struct shunt_config *config,
	       const struct shunt_question *q, const char *device)
{
	const struct shunt_sets *sets = &config->sets;
	struct asked a = {
		.config = config,
		.dir = (uint8_t)q->dir,
		.proto = q->ipproto == IPPROTO_UDP ? SHUNT_PROTO_UDP : SHUNT_PROTO_TCP,
		.device = device,
		.has_uid = q->has_uid && q->uid != NOT_KNOWN,
		.uid = q->uid,
		.cgroup = q->cgroup,
	};

	take_end(&q->src, &a.src, &a.sport);
	take_end(&q->dst, &a.dst, &a.dport);
	a.sets = calloc(sets->n + 1, sizeof(*a.sets));
	a.by_name = calloc(sets->n + 1, sizeof(*a.by_name));
	if (!a.sets || !a.by_name) {
		asked_clear(&a);
		return shunt_err(-ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < sets->n; i++)
		a.by_name[i] = (uint16_t)i;
	qsort_r(a.by_name, sets->n, sizeof(*a.by_name), by_name, sets->v);
	*out = a;
	return 0;
}

void asked_clear(struct asked *a)
{
	free(a->sets);
	free(a->by_name);
	*a = (struct asked){};
}

/* ---- addresses ------------------------------------------------------------------------------ */

static bool holds(const struct shunt_prefix *p, const struct in6_addr *addr)
{
	uint8_t rest = p->len % 8, mask = (uint8_t)(0xff00 >> rest);

	/* ::/0 is all of IPv6, but not IPv4. */
	if (shunt_prefix_is_v4(p) != IN6_IS_ADDR_V4MAPPED(addr) ||
	    memcmp(&p->addr, addr, p->len / 8))
		return false;
	return !rest || !((p->addr.s6_addr[p->len / 8] ^ addr->s6_addr[p->len / 8]) & mask);
}

static const struct shunt_prefix *find_prefix(const struct shunt_prefix *v, size_t n,
					      const struct in6_addr *addr)
{
	for (size_t i = 0; i < n; i++)
		if (holds(&v[i], addr))
			return &v[i];
	return NULL;
}

static const struct shunt_prefix *find_in_set(struct asked *a, const char *name, bool source)
{
	const struct shunt_set *sets = a->config->sets.v;
	size_t lo = 0, hi = a->config->sets.n, mid;
	struct asked_set *set;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (strcmp(sets[a->by_name[mid]].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == a->config->sets.n || strcmp(sets[a->by_name[lo]].name, name))
		return NULL;
	set = &a->sets[a->by_name[lo]];
	if (!set->known[source]) {
		set->holds[source] = find_prefix(sets[a->by_name[lo]].v, sets[a->by_name[lo]].n,
						 source ? &a->src : &a->dst);
		for (size_t i = 0; i < sets[a->by_name[lo]].n_timed && !set->holds[source]; i++)
			set->holds[source] = find_prefix(&sets[a->by_name[lo]].timed[i].prefix, 1,
							 source ? &a->src : &a->dst);
		set->known[source] = true;
	}
	return set->holds[source];
}

/* The prefix of the rule's list or set that holds the address, NULL if none does. */
static const struct shunt_prefix *holder(struct asked *a, const struct shunt_addrs *addrs,
					 bool source)
{
	if (addrs->set[0])
		return find_in_set(a, addrs->set, source);
	return find_prefix(addrs->v, addrs->n, source ? &a->src : &a->dst);
}

static bool addrs_match(struct asked *a, const struct shunt_addrs *addrs, bool source)
{
	if (!addrs->set[0] && !addrs->n)
		return true;
	return !holder(a, addrs, source) == addrs->negated;
}

/* ---- the other words ------------------------------------------------------------------------ */

static bool ports_match(const struct shunt_ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->n; i++)
		if (port >= ports->v[i].lo && port <= ports->v[i].hi)
			return true;
	return !ports->n;
}

static bool device_matches(const struct asked *a, const struct shunt_rule *rule)
{
	for (size_t i = 0; i < rule->n_devices; i++)
		if (!strcmp(rule->devices[i], a->device))
			return true;
	return !rule->n_devices;
}

static bool uid_matches(const struct asked *a, const struct shunt_rule *rule)
{
	return !rule->has_uid || (a->dir == SHUNT_DIR_OUT && a->has_uid &&
				  a->uid >= rule->uid_lo && a->uid <= rule->uid_hi);
}

/* The path of a question may be written in other ways than that of a rule. */
static bool cgroup_matches(const struct asked *a, const struct shunt_rule *rule)
{
	const char *at = a->cgroup, *above = rule->cgroup;
	size_t n;

	if (!above)
		return true;
	if (a->dir != SHUNT_DIR_OUT || !at)
		return false;
	for (above += strspn(above, "/"); *above; above += strspn(above, "/")) {
		at += strspn(at, "/");
		n = strcspn(above, "/");
		if (strcspn(at, "/") != n || memcmp(at, above, n))
			return false;
		at += n;
		above += n;
	}
	return true;
}

/* Bits of the words that do not hold. */
static uint64_t missed(struct asked *a, const struct shunt_rule *rule)
{
	uint64_t words = 0;

	if (!(rule->dirs & a->dir))
		words |= rule->dirs == SHUNT_DIR_IN ? RULE_W(IN) : RULE_W(OUT);
	if (!device_matches(a, rule))
		words |= RULE_W(ON);
	if (!(rule->protos & a->proto))
		words |= rule->protos == SHUNT_PROTO_TCP ? RULE_W(TCP) : RULE_W(UDP);
	if (!addrs_match(a, &rule->from, true))
		words |= RULE_W(FROM);
	if (!ports_match(&rule->sport, a->sport))
		words |= RULE_W(SPORT);
	if (!addrs_match(a, &rule->to, false))
		words |= RULE_W(TO);
	if (!ports_match(&rule->port, a->dport))
		words |= RULE_W(PORT);
	if (!uid_matches(a, rule))
		words |= RULE_W(UID);
	if (!cgroup_matches(a, rule))
		words |= RULE_W(CGROUP);
	/* The words hold, but the action does not go with such flows. */
	if (!words && !(shunt_rule_protos(rule) & a->proto))
		words |= RULE_W(PROXY);
	if (!words && !(shunt_rule_dirs(rule) & a->dir))
		words |= RULE_W(ROUTE);
	return words;
}

unsigned int asked_misses(struct asked *a, const struct shunt_rule *rule)
{
	return (unsigned int)__builtin_popcountll(missed(a, rule));
}

/* ---- sentences ------------------------------------------------------------------------------ */

static void say_more(FILE *f, size_t n)
{
	if (n > LIST_SHOWN)
		fprintf(f, " or %zu more", n - LIST_SHOWN);
}

static void say_addrs(FILE *f, struct asked *a, const struct shunt_addrs *addrs, bool source)
{
	char addr[INET6_ADDRSTRLEN], prefix[SHUNT_PREFIX_STR];

	shunt_addr_str(addr, source ? &a->src : &a->dst);
	if (addrs->negated) {
		shunt_prefix_str(prefix, holder(a, addrs, source));
		fprintf(f, "%s is in %s", addr, prefix);
		if (addrs->set[0])
			fprintf(f, " of @%s", addrs->set);
		fputs(", which the rule leaves out", f);
		return;
	}
	fprintf(f, "%s is not in ", addr);
	if (addrs->set[0])
		fprintf(f, "@%s", addrs->set);
	for (size_t i = 0; i < addrs->n && i < LIST_SHOWN; i++)
		fprintf(f, "%s%s", i ? "," : "", shunt_prefix_str(prefix, &addrs->v[i]));
	say_more(f, addrs->n);
}

static void say_ports(FILE *f, const struct shunt_ports *ports, uint16_t port)
{
	fprintf(f, "%u is not %s", port, ports->n == 1 && ports->v[0].lo == ports->v[0].hi ? ""
											   : "in ");
	for (size_t i = 0; i < ports->n && i < LIST_SHOWN; i++) {
		fprintf(f, "%s%u", i ? "," : "", ports->v[i].lo);
		if (ports->v[i].lo != ports->v[i].hi)
			fprintf(f, "-%u", ports->v[i].hi);
	}
	say_more(f, ports->n);
}

static void say_devices(FILE *f, const struct asked *a, const struct shunt_rule *rule)
{
	fprintf(f, "%s is not %s", a->device, rule->n_devices > 1 ? "one of " : "");
	for (size_t i = 0; i < rule->n_devices && i < LIST_SHOWN; i++)
		fprintf(f, "%s%s", i ? "," : "", rule->devices[i]);
	say_more(f, rule->n_devices);
}

static void say_uid(FILE *f, const struct asked *a, const struct shunt_rule *rule)
{
	if (a->dir != SHUNT_DIR_OUT)
		fputs("who sends is known only of flows that start on this host", f);
	else if (!a->has_uid)
		fputs("the question names no user", f);
	else if (rule->uid_lo == rule->uid_hi)
		fprintf(f, "%u is not %u", a->uid, rule->uid_lo);
	else
		fprintf(f, "%u is not in %u-%u", a->uid, rule->uid_lo, rule->uid_hi);
}

static void say_cgroup(FILE *f, const struct asked *a, const struct shunt_rule *rule)
{
	if (a->dir != SHUNT_DIR_OUT)
		fputs("who sends is known only of flows that start on this host", f);
	else if (!a->cgroup)
		fputs("the question names no cgroup", f);
	else
		fprintf(f, "%s is not %s and not below it", a->cgroup, rule->cgroup);
}

static void say_word(FILE *f, struct asked *a, const struct shunt_rule *rule, enum rule_word_id id)
{
	fprintf(f, "%s: ", rule_words[id].name);
	switch (id) {
	case RULE_WORD_IN:
		fputs("the flow starts on this host", f);
		break;
	case RULE_WORD_OUT:
		fputs("the flow arrives at an interface", f);
		break;
	case RULE_WORD_ON:
		say_devices(f, a, rule);
		break;
	case RULE_WORD_FROM:
		say_addrs(f, a, &rule->from, true);
		break;
	case RULE_WORD_TO:
		say_addrs(f, a, &rule->to, false);
		break;
	case RULE_WORD_SPORT:
		say_ports(f, &rule->sport, a->sport);
		break;
	case RULE_WORD_PORT:
		say_ports(f, &rule->port, a->dport);
		break;
	case RULE_WORD_UID:
		say_uid(f, a, rule);
		break;
	case RULE_WORD_CGROUP:
		say_cgroup(f, a, rule);
		break;
	case RULE_WORD_PROXY:
		fputs("it carries TCP only", f);
		break;
	case RULE_WORD_ROUTE:
		fputs("it forwards flows that come in, not those that start on this host", f);
		break;
	default: /* the protocols */
		fprintf(f, "this is %s", a->proto == SHUNT_PROTO_TCP ? "TCP" : "UDP");
	}
}

static int add_why(struct shunt_candidate *c, struct asked *a, const struct shunt_rule *rule,
		   enum rule_word_id id)
{
	size_t size;
	FILE *f = open_memstream(&c->why[c->n_why], &size);

	if (!f)
		return -ENOMEM;
	/* The only rule that can be passed over although its words hold: its cgroup is another. */
	if (id == RULE_WORD_MAX && rule->cgroup)
		fprintf(f, "cgroup: %s was made anew since the rule was loaded: load it again",
			rule->cgroup);
	else if (id == RULE_WORD_MAX)
		fputs("all its words hold, but the program passed it over", f);
	else
		say_word(f, a, rule, id);
	c->n_why++;
	return fclose(f) ? -ENOMEM : 0;
}

int asked_candidate(struct asked *a, const struct shunt_rule *rule, struct shunt_candidate *out)
{
	struct shunt_candidate c = { .priority = rule->priority, .text = shunt_rule_format(rule),
				     .why = calloc(MAX_WORDS, sizeof(*c.why)) };
	uint64_t words = missed(a, rule);
	int r = c.text && c.why ? 0 : -ENOMEM;

	for (unsigned int id = 0; id < RULE_WORD_MAX && !r; id++)
		if (words >> id & 1)
			r = add_why(&c, a, rule, (enum rule_word_id)id);
	if (!r && !words && !rule->audit)
		r = add_why(&c, a, rule, RULE_WORD_MAX);
	if (r) {
		candidate_clear(&c);
		return shunt_err(r, "out of memory");
	}
	*out = c;
	return 0;
}

void candidate_clear(struct shunt_candidate *c)
{
	for (size_t i = 0; i < c->n_why; i++)
		free(c->why[i]);
	free(c->why);
	free(c->text);
	*c = (struct shunt_candidate){};
}
