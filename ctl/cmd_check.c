// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl rule check */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum { SHOWN = 20 }; /* findings of a kind in text, unless kinds were chosen */

struct check_state {
	uint32_t kinds; /* bits of enum shunt_finding_kind, 0: all */
	bool strict;
};

static const struct option_row check_options[] = {
	{ "kind", 0, "KINDS", "only findings of these kinds, with commas, and all of them" },
	{ "strict", 0, NULL, "end with status 1 if there is a finding, never-hit aside" },
	{},
};

static int take_kind(struct check_state *c, const char *name, size_t len)
{
	for (int i = 0; i < SHUNT_FIND_MAX; i++) {
		const char *known = shunt_finding_name((enum shunt_finding_kind)i);

		if (strlen(known) == len && !memcmp(known, name, len)) {
			c->kinds |= 1U << i;
			return 0;
		}
	}
	fprintf(stderr, "error: --kind '%.*s': one of", (int)len, name);
	for (int i = 0; i < SHUNT_FIND_MAX; i++)
		fprintf(stderr, "%s %s", i ? "," : "",
			shunt_finding_name((enum shunt_finding_kind)i));
	fputs("\n", stderr);
	return EXIT_USAGE;
}

static int check_set(void *state, const char *name, const char *value)
{
	struct check_state *c = state;
	size_t len;
	int r;

	if (!strcmp(name, "strict")) {
		c->strict = true;
		return 0;
	}
	for (;; value += len + 1) {
		len = strcspn(value, ",");
		r = take_kind(c, value, len);
		if (r || !value[len])
			return r;
	}
}

static bool is_wanted(const struct check_state *c, const struct shunt_finding *f)
{
	return !c->kinds || c->kinds >> f->kind & 1;
}

static void print_text(const struct check_state *c, const struct shunt_findings *found)
{
	size_t n[SHUNT_FIND_MAX] = {}, all = 0;

	for (size_t i = 0; i < found->n; i++) {
		const struct shunt_finding *f = &found->v[i];

		if (!is_wanted(c, f))
			continue;
		all++;
		if (n[f->kind]++ >= SHOWN && !c->kinds)
			continue;
		if (f->rule)
			printf("rule %u: %s: %s\n", f->rule, shunt_finding_name(f->kind), f->text);
		else
			printf("set %s: %s: %s\n", f->set, shunt_finding_name(f->kind), f->text);
	}
	for (int i = 0; i < SHUNT_FIND_MAX && !c->kinds; i++)
		if (n[i] > SHOWN)
			printf("and %zu more that %s %s: --kind %s shows all\n", n[i] - SHOWN,
			       shunt_plural(n[i] - SHOWN, "is", "are"),
			       shunt_finding_name((enum shunt_finding_kind)i),
			       shunt_finding_name((enum shunt_finding_kind)i));
	if (!all)
		puts("nothing found");
}

static struct json_object *finding_json(const struct shunt_finding *f)
{
	struct json_object *o = json_object_new_object(), *by = json_object_new_array();

	for (size_t i = 0; i < f->n_by; i++)
		json_object_array_add(by, json_object_new_int64(f->by[i]));
	json_object_object_add(o, "kind", json_object_new_string(shunt_finding_name(f->kind)));
	json_object_object_add(o, "rule", f->rule ? json_object_new_int64(f->rule) : NULL);
	json_object_object_add(o, "set", f->set[0] ? json_object_new_string(f->set) : NULL);
	json_object_object_add(o, "by", by);
	json_object_object_add(o, "text", json_object_new_string(f->text));
	return o;
}

static void print_findings_json(const struct check_state *c, const struct shunt_findings *found)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < found->n; i++)
		if (is_wanted(c, &found->v[i]))
			json_object_array_add(array, finding_json(&found->v[i]));
	print_json(array);
}

static bool is_bad(const struct check_state *c, const struct shunt_findings *found)
{
	for (size_t i = 0; i < found->n; i++)
		if (is_wanted(c, &found->v[i]) && found->v[i].kind != SHUNT_FIND_NEVER_HIT)
			return true;
	return false;
}

/* A file by itself, or what is in force. */
static int find(const struct globals *g, const char *file, struct shunt_findings *out)
{
	struct shunt_config config = {};
	struct shunt *s = NULL;
	int r;

	if (file)
		r = read_rule_file(file, &config);
	else
		r = shunt_open(&s, &g->where);
	if (!r && !file)
		r = shunt_config_read(s, &config);
	if (!r)
		r = shunt_check(s, &config, out);
	shunt_config_clear(&config);
	shunt_close(s);
	return r;
}

static int check_run(const struct globals *g, void *state, int argc, char **argv)
{
	const struct check_state *c = state;
	struct shunt_findings found = {};
	int r;

	if (argc > 1)
		return usage_error("'rule check' takes one file at most ('-': standard input)");
	r = find(g, argv[0], &found);
	if (r)
		return exit_of(r);
	if (g->json)
		print_findings_json(c, &found);
	else
		print_text(c, &found);
	if (found.unsure)
		shunt_info("%zu %s so many others that it is not certain whether %s reached",
			   found.unsure,
			   shunt_plural(found.unsure, "rule overlaps", "rules overlap"),
			   shunt_plural(found.unsure, "it is", "they are"));
	r = c->strict && is_bad(c, &found) ? EXIT_FAILED : EXIT_DONE;
	shunt_findings_clear(&found);
	return r;
}

const struct command cmd_rule_check = {
	.words = "rule check",
	.arguments = "[FILE]",
	.summary = "report rules that are odd, in force or in a file: in the shadow of others, and more",
	.options = check_options,
	.set_option = check_set,
	.run = check_run,
	.state_size = sizeof(struct check_state),
};
