// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nft_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SETS, CHAINS, WAYS };

enum covers { COVERS_NONE, COVERS_SOME, COVERS_ALL };

char *nft_device_name(char buf[IF_NAMESIZE], enum shunt_dir dir, const char *device)
{
	snprintf(buf, IF_NAMESIZE, "%s%d", dir == SHUNT_DIR_IN ? "i" : "o",
		 device[0] ? atoi(device + strlen("dev")) : 0);
	return buf;
}

/* ---- sets --------------------------------------------------------------------------------- */

/* nft has no interval for all addresses of a family, so that is told apart. */
static enum covers what_covers(const struct shunt_prefix *v, size_t n, bool v6)
{
	enum covers is = COVERS_NONE;

	for (size_t i = 0; i < n; i++) {
		if (shunt_prefix_is_v4(&v[i]) == v6)
			continue;
		if (v[i].len == (v6 ? 0 : 96))
			return COVERS_ALL;
		is = COVERS_SOME;
	}
	return is;
}

static void write_set(struct nft_script *s, const struct shunt_prefix *v, size_t n, bool v6)
{
	char buf[SHUNT_PREFIX_STR];
	const char *before = " elements = { ";

	fprintf(s->parts[SETS], "set s%u { type %s; flags interval; auto-merge;", ++s->n_sets,
		v6 ? "ipv6_addr" : "ipv4_addr");
	for (size_t i = 0; i < n; i++) {
		if (shunt_prefix_is_v4(&v[i]) == v6)
			continue;
		fprintf(s->parts[SETS], "%s%s", before, shunt_prefix_str(buf, &v[i]));
		before = ", ";
	}
	fprintf(s->parts[SETS], " } }\n");
}

/* ---- matches ------------------------------------------------------------------------------ */

/* false: the list holds no address of this family. */
static bool write_addrs(struct nft_script *s, FILE *out, const struct shunt_addrs *list,
			const struct shunt_sets *sets, bool v6, const char *field)
{
	const struct shunt_set *set = list->set[0] ? reference_set(sets, list->set) : NULL;
	const struct shunt_prefix *v = set ? set->v : list->v;
	size_t n = set ? set->n : list->n;
	char buf[SHUNT_PREFIX_STR];
	enum covers covers;

	if (!list->set[0] && !list->n)
		return true;
	covers = what_covers(v, n, v6);
	if (covers != COVERS_SOME)
		return (covers == COVERS_ALL) != list->negated;
	fprintf(out, " %s %s %s", v6 ? "ip6" : "ip", field, list->negated ? "!= " : "");
	if (n == 1) {
		fputs(shunt_prefix_str(buf, v), out);
		return true;
	}
	write_set(s, v, n, v6);
	fprintf(out, "@s%u", s->n_sets);
	return true;
}

static void write_ports(struct nft_script *s, FILE *out, const struct shunt_ports *list,
			const char *field)
{
	if (!list->n)
		return;
	if (list->n == 1) {
		fprintf(out, " th %s %u-%u", field, list->v[0].lo, list->v[0].hi);
		return;
	}
	fprintf(s->parts[SETS],
		"set s%u { type inet_service; flags interval; auto-merge; elements = {",
		++s->n_sets);
	for (size_t i = 0; i < list->n; i++)
		fprintf(s->parts[SETS], "%s %u-%u", i ? "," : "", list->v[i].lo, list->v[i].hi);
	fprintf(s->parts[SETS], " } }\n");
	fprintf(out, " th %s @s%u", field, s->n_sets);
}

static void write_devices(FILE *out, const struct shunt_rule *rule, enum shunt_dir dir)
{
	char name[IF_NAMESIZE];

	if (!rule->n_devices)
		return;
	fprintf(out, " oifname {");
	for (size_t i = 0; i < rule->n_devices; i++)
		fprintf(out, "%s \"%s\"", i ? "," : "",
			nft_device_name(name, dir, rule->devices[i]));
	fprintf(out, " }");
}

/* One family and direction of a rule; nothing if it has none of that family. */
static int write_rule(struct nft_script *s, const struct shunt_rule *rule,
		      const struct shunt_sets *sets, bool v6, enum shunt_dir dir)
{
	char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);
	bool holds;

	if (!out)
		return -ENOMEM;
	fprintf(out, "meta protocol %s", v6 ? "ip6" : "ip");
	if (rule->protos != (SHUNT_PROTO_TCP | SHUNT_PROTO_UDP))
		fprintf(out, " meta l4proto %s", rule->protos == SHUNT_PROTO_TCP ? "tcp" : "udp");
	write_devices(out, rule, dir);
	holds = write_addrs(s, out, &rule->from, sets, v6, "saddr") &&
		write_addrs(s, out, &rule->to, sets, v6, "daddr");
	write_ports(s, out, &rule->sport, "sport");
	write_ports(s, out, &rule->port, "dport");
	if (fclose(out) || !line) {
		free(line);
		return -ENOMEM;
	}
	/* What only says what it would do decides nothing. */
	if (holds && !rule->audit)
		fprintf(s->parts[CHAINS], "%s meta mark set %u accept\n", line,
			NFT_DECIDED | rule->priority);
	free(line);
	return 0;
}

/* ---- scripts ------------------------------------------------------------------------------- */

int nft_script_begin(struct nft_script *s)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 3; i++) {
		s->parts[i] = open_memstream(&s->text[i], &s->len[i]);
		if (!s->parts[i])
			return -ENOMEM;
	}
	return 0;
}

int nft_script_add(struct nft_script *s, const struct random_case *c, uint32_t number)
{
	static const enum shunt_dir dirs[] = { SHUNT_DIR_IN, SHUNT_DIR_OUT };
	int r = 0;

	for (int d = 0; d < 2; d++) {
		fprintf(s->parts[CHAINS], "chain c%u_%d {\n", number, d);
		for (size_t i = 0; i < c->rules.n; i++)
			for (int v6 = 0; v6 < 2 && !r; v6++)
				if (c->rules.v[i].dirs & dirs[d])
					r = write_rule(s, &c->rules.v[i], &c->sets, v6, dirs[d]);
		fprintf(s->parts[CHAINS], "}\n");
	}
	fprintf(s->parts[WAYS], "%u ", number);
	return r;
}

static void write_hook(const struct nft_script *s, FILE *out, enum shunt_dir dir)
{
	const char *at = s->text[WAYS];
	char name[IF_NAMESIZE], *end;
	unsigned long number;

	fprintf(out, "chain %s { type filter hook egress devices = {",
		dir == SHUNT_DIR_IN ? "from_in" : "from_out");
	for (int i = 0; i < RANDOM_DEVICES; i++)
		fprintf(out, "%s %s", i ? "," : "", nft_device_name(name, dir, random_devices[i]));
	fprintf(out, " } priority 0; policy accept;\nmeta mark vmap {");
	for (number = strtoul(at, &end, 10); end != at; number = strtoul(at, &end, 10)) {
		fprintf(out, "%s %lu : jump c%lu_%d", at == s->text[WAYS] ? "" : ",", number,
			number, dir == SHUNT_DIR_OUT);
		at = end;
	}
	fprintf(out, " }\n}\n");
}

void nft_script_end(struct nft_script *s, FILE *out)
{
	for (int i = 0; i < 3; i++)
		fclose(s->parts[i]);
	fprintf(out, "flush ruleset\ntable netdev t {\n%s%s", s->text[SETS], s->text[CHAINS]);
	write_hook(s, out, SHUNT_DIR_IN);
	write_hook(s, out, SHUNT_DIR_OUT);
	fprintf(out, "}\n");
	for (int i = 0; i < 3; i++)
		free(s->text[i]);
}
