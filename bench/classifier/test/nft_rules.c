// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nft_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is written at the same time: sets stand before the chains that name them. */
struct script {
	FILE *sets;
	FILE *chains[2]; /* in, out */
	unsigned int n_sets;
};

enum covers { COVERS_NONE, COVERS_SOME, COVERS_ALL };

char *nft_device_name(char buf[IF_NAMESIZE], enum shunt_dir dir, const char *device)
{
	snprintf(buf, IF_NAMESIZE, "%s%d", dir == SHUNT_DIR_IN ? "i" : "o",
		 device[0] ? atoi(device + strlen("dev")) : 0);
	return buf;
}

/* ---- sets --------------------------------- */

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

static void write_set(struct script *s, const struct shunt_prefix *v, size_t n, bool v6)
{
	char buf[SHUNT_PREFIX_STR];
	const char *before = " elements = { ";

	fprintf(s->sets, "set s%u { type %s; flags interval; auto-merge;", ++s->n_sets,
		v6 ? "ipv6_addr" : "ipv4_addr");
	for (size_t i = 0; i < n; i++) {
		if (shunt_prefix_is_v4(&v[i]) == v6)
			continue;
		fprintf(s->sets, "%s%s", before, shunt_prefix_str(buf, &v[i]));
		before = ", ";
	}
	fprintf(s->sets, " } }\n");
}

/* ---- matches --------------------------------- */

/* false: the list holds no address of this family. */
static bool write_addrs(struct script *s, FILE *out, const struct shunt_addrs *list,
			const struct sets_in *sets, bool v6, const char *field)
{
	const struct set_in *set = list->set[0] ? reference_set(sets, list->set) : NULL;
	const struct shunt_prefix *v = set ? set->v : list->v;
	size_t n = set ? set->n : list->n;
	enum covers covers;

	if (!list->set[0] && !list->n)
		return true;
	covers = what_covers(v, n, v6);
	if (covers != COVERS_SOME)
		return (covers == COVERS_ALL) != list->negated;
	write_set(s, v, n, v6);
	fprintf(out, " %s %s %s@s%u", v6 ? "ip6" : "ip", field, list->negated ? "!= " : "",
		s->n_sets);
	return true;
}

static void write_ports(struct script *s, FILE *out, const struct shunt_ports *list,
			const char *field)
{
	if (!list->n)
		return;
	fprintf(s->sets, "set s%u { type inet_service; flags interval; auto-merge; elements = {",
		++s->n_sets);
	for (size_t i = 0; i < list->n; i++)
		fprintf(s->sets, "%s %u-%u", i ? "," : "", list->v[i].lo, list->v[i].hi);
	fprintf(s->sets, " } }\n");
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
static int write_rule(struct script *s, const struct shunt_rule *rule, const struct sets_in *sets,
		      bool v6, enum shunt_dir dir)
{
	char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);
	bool holds;

	if (!out)
		return -ENOMEM;
	fprintf(out, "meta protocol %s meta l4proto %s", v6 ? "ip6" : "ip",
		rule->protos == SHUNT_PROTO_TCP   ? "tcp"
		: rule->protos == SHUNT_PROTO_UDP ? "udp"
						  : "{ tcp, udp }");
	write_devices(out, rule, dir);
	holds = write_addrs(s, out, &rule->from, sets, v6, "saddr") &&
		write_addrs(s, out, &rule->to, sets, v6, "daddr");
	write_ports(s, out, &rule->sport, "sport");
	write_ports(s, out, &rule->port, "dport");
	if (fclose(out) || !line) {
		free(line);
		return -ENOMEM;
	}
	if (holds)
		fprintf(s->chains[dir == SHUNT_DIR_OUT], "%s meta mark set %u accept\n", line,
			rule->priority);
	free(line);
	return 0;
}

/* ---- the ruleset --------------------------------- */

static void write_hook(FILE *out, enum shunt_dir dir)
{
	char name[IF_NAMESIZE];

	fprintf(out, "chain %s { type filter hook egress devices = {",
		dir == SHUNT_DIR_IN ? "from_in" : "from_out");
	for (int i = 0; i < RANDOM_DEVICES; i++)
		fprintf(out, "%s %s", i ? "," : "", nft_device_name(name, dir, random_devices[i]));
	fprintf(out, " } priority 0; policy accept;\n");
}

static int write_rules(struct script *s, const struct shunt_rules *rules,
		       const struct sets_in *sets)
{
	static const enum shunt_dir dirs[] = { SHUNT_DIR_IN, SHUNT_DIR_OUT };
	int r = 0;

	write_hook(s->chains[0], SHUNT_DIR_IN);
	write_hook(s->chains[1], SHUNT_DIR_OUT);
	for (size_t i = 0; i < rules->n; i++)
		for (int which = 0; which < 4 && !r; which++)
			if (rules->v[i].dirs & dirs[which & 1])
				r = write_rule(s, &rules->v[i], sets, which & 2, dirs[which & 1]);
	return r;
}

int nft_rules_write(FILE *out, const struct shunt_rules *rules, const struct sets_in *sets)
{
	char *text[3] = { NULL, NULL, NULL };
	size_t len[3];
	struct script s = { .sets = open_memstream(&text[0], &len[0]),
			    .chains = { open_memstream(&text[1], &len[1]),
					open_memstream(&text[2], &len[2]) } };
	int r = s.sets && s.chains[0] && s.chains[1] ? 0 : -ENOMEM;

	if (!r)
		r = write_rules(&s, rules, sets);
	if (s.sets)
		fclose(s.sets);
	for (int i = 0; i < 2; i++)
		if (s.chains[i])
			fclose(s.chains[i]);
	if (!r)
		fprintf(out, "flush ruleset\ntable netdev t {\n%s%s}\n%s}\n}\n", text[0], text[1],
			text[2]);
	for (int i = 0; i < 3; i++)
		free(text[i]);
	return r;
}
