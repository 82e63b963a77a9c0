// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl apply, shuntctl confirm */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "difference.h"
#include "unserved.h"

enum { MAX_CONFIRM = 86400 };

struct apply_state {
	bool dry_run;
	uint32_t confirm; /* seconds, 0: for good at once */
};

static const struct option_row apply_options[] = {
	{ "dry-run", 'n', NULL, "print the difference, change nothing" },
	{ "confirm", 0, "SECONDS", "roll back after that time unless 'shuntctl confirm' is given" },
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

static int apply(const struct globals *g, const struct apply_state *a, struct shunt *s,
		 struct shunt_config *config)
{
	const struct shunt_apply how = { .dry_run = a->dry_run, .confirm = a->confirm };
	struct shunt_config before;
	int r = shunt_apply(s, config, &how, &before);

	if (r)
		return r;
	r = print_difference(&before, config, g->json);
	if (!r && !a->dry_run)
		warn_unserved(s, config->rules.v, config->rules.n);
	if (!r && a->confirm && !a->dry_run)
		shunt_info("rolled back in %u s unless 'shuntctl confirm' is given",
			   a->confirm);
	shunt_config_clear(&before);
	return r;
}

static int apply_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_config config = {};
	struct shunt *s;
	int r;

	if (argc != 1)
		return usage_error("'apply' needs one file ('-': standard input)");
	r = read_rule_file(argv[0], &config);
	if (r)
		return exit_of(r);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = apply(g, state, s, &config);
		shunt_close(s);
	}
	shunt_config_clear(&config);
	return exit_of(r);
}

const struct command cmd_apply = {
	.words = "apply",
	.arguments = "FILE",
	.summary = "replace rules and sets in one step by those of a file; print the difference",
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
		r = shunt_confirm(s);
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
