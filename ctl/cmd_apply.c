// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl apply, shuntctl confirm */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

enum { MAX_CONFIRM = 86400 };

struct apply_state {
	bool dry_run;
	uint32_t confirm; /* seconds, 0: for good at once */
};

static const struct option_row apply_options[] = {
	{ "dry-run", 'n', NULL, "print the difference, change nothing" },
	{ "confirm", 0, "SECONDS", "take it back then unless 'shuntctl confirm' comes before" },
	{},
};

static int apply_set(void *state, const char *name, const char *value)
{
	struct apply_state *a = state;

	if (!strcmp(name, "dry-run")) {
		a->dry_run = true;
		return 0;
	}
	if (!parse_u32(value, &a->confirm) || !a->confirm || a->confirm > MAX_CONFIRM)
		return usage_error("--confirm '%s': not a number from 1 to %d", value,
				   MAX_CONFIRM);
	return 0;
}

/* What changes, collected before it is printed. */
struct difference {
	struct json_object *added, *removed; /* arrays of rules as text */
};

static int add_text(struct json_object *array, const struct shunt_rule *rule)
{
	char *text = shunt_rule_format(rule);

	if (!text)
		return shunt_err(-ENOMEM, "out of memory");
	json_object_array_add(array, json_object_new_string(text));
	free(text);
	return 0;
}

/* Both lists are ordered by priority. */
static int compare(struct difference *d, const struct shunt_rules *old,
		   const struct shunt_rules *new)
{
	size_t o = 0, n = 0;
	int r = 0;

	while (!r && (o < old->n || n < new->n)) {
		const struct shunt_rule *a = o < old->n ? &old->v[o] : NULL;
		const struct shunt_rule *b = n < new->n ? &new->v[n] : NULL;

		if (a && b && shunt_rule_equal(a, b)) {
			o++;
			n++;
		} else if (a && (!b || a->priority <= b->priority)) {
			r = add_text(d->removed, a);
			o++;
		} else {
			r = add_text(d->added, b);
			n++;
		}
	}
	return r;
}

static void print_difference(const struct globals *g, struct difference *d)
{
	size_t removed = json_object_array_length(d->removed),
	       added = json_object_array_length(d->added);

	if (g->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "removed", json_object_get(d->removed));
		json_object_object_add(o, "added", json_object_get(d->added));
		print_json(o);
		return;
	}
	for (size_t i = 0; i < removed; i++)
		printf("- %s\n",
		       json_object_get_string(json_object_array_get_idx(d->removed, i)));
	for (size_t i = 0; i < added; i++)
		printf("+ %s\n", json_object_get_string(json_object_array_get_idx(d->added, i)));
	if (!removed && !added)
		puts("no difference");
}

/* The rules as they are now are compared and replaced; the file has been read. */
static int apply(const struct globals *g, const struct apply_state *a, struct shunt *s,
		 const struct shunt_rules *new)
{
	struct difference d = { json_object_new_array(), json_object_new_array() };
	struct shunt_rules old = {};
	int r = shunt_rules_read(s, &old);

	if (!r)
		r = compare(&d, &old, new);
	if (!r && !a->dry_run)
		r = a->confirm ? shunt_rules_try(s, new, a->confirm)
			       : shunt_rules_replace(s, new);
	if (!r)
		print_difference(g, &d);
	if (!r && a->confirm && !a->dry_run)
		shunt_info("taken back in %u s unless 'shuntctl confirm' comes before",
			   a->confirm);
	json_object_put(d.added);
	json_object_put(d.removed);
	shunt_rules_clear(&old);
	return r;
}

static int apply_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_rules rules = {};
	struct shunt *s;
	int r;

	if (argc != 1)
		return usage_error("'apply' needs one file ('-': standard input)");
	r = read_rule_file(argv[0], &rules);
	if (r)
		return exit_of(r);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = apply(g, state, s, &rules);
		shunt_close(s);
	}
	shunt_rules_clear(&rules);
	return exit_of(r);
}

const struct command cmd_apply = {
	.words = "apply",
	.arguments = "FILE",
	.summary = "replace all rules in one step by those of a file; print the difference",
	.options = apply_options,
	.set_option = apply_set,
	.run = apply_run,
	.state_size = sizeof(struct apply_state),
};

static int confirm_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	(void)state;
	(void)argc;
	(void)argv;
	if (!r) {
		r = shunt_rules_confirm(s);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_confirm = {
	.words = "confirm",
	.arguments = "",
	.summary = "keep what 'apply --confirm' has put in force",
	.run = confirm_run,
};
