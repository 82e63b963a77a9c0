/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every command of shuntctl has: a row in the table of main.c, its options as data, and
 * one way to print. Exit status: 0 done, 1 failed, 2 usage.
 */
#ifndef SHUNTCTL_COMMAND_H
#define SHUNTCTL_COMMAND_H

#include <json-c/json.h>

#include "shunt/shunt.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Options every command takes. */
struct globals {
	struct shunt_where where;
	bool json;
};

/* An option of a command; a table of them ends with an empty name. */
struct option_row {
	const char *name; /* long, without dashes */
	char letter;	  /* 0: none */
	const char *value; /* name of its value in help, NULL: a switch */
	const char *help;
};

struct command {
	const char *words;	/* "up", "rule add" */
	const char *arguments;	/* behind the options, as help shows them; "" none */
	const char *summary;
	const struct option_row *options; /* NULL none */
	/*
	 * Called for each option of the table that was given, in order; 0 or EXIT_USAGE after a
	 * message. NULL if there are none.
	 */
	int (*set_option)(void *state, const char *name, const char *value);
	/* argc words are left, argv ends with NULL. Returns an exit status. */
	int (*run)(const struct globals *g, void *state, int argc, char **argv);
	size_t state_size; /* of the zeroed block that both get */
};

extern const struct command cmd_up, cmd_down, cmd_status, cmd_rule_add, cmd_rule_del,
	cmd_rule_list, cmd_rule_flush, cmd_rule_check, cmd_target_add, cmd_target_list, cmd_target_del,
	cmd_hop_add, cmd_hop_del, cmd_hop_list,
	cmd_set_add, cmd_set_load, cmd_set_del, cmd_set_list, cmd_explain, cmd_log, cmd_apply,
	cmd_confirm, cmd_proxy_status, cmd_proxy_list, cmd_proxy_kill, cmd_proxy_drain,
	cmd_proxy_reload;

/* "error: TEXT" on stderr; returns EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* EXIT_DONE for 0, else EXIT_FAILED: the message has been given. */
static inline int exit_of(int r)
{
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* A whole number in base 10 or, with 0x, 16. False if the text is anything else. */
bool parse_u32(const char *text, uint32_t *out);

/* Print and free a JSON value, with a newline. */
void print_json(struct json_object *value);
/* A prefix that a set holds for a time. */
struct json_object *timed_json(const struct shunt_timed *t);

/* Rules and sets of a rule file, "-" is standard input. Message and -errno on failure. */
int read_rule_file(const char *path, struct shunt_config *out);

/* Join words with blanks; malloc'ed. */
char *join_words(int argc, char **argv);

#endif
