// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl: find the command in the table, read its options, run it. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const struct command *const commands[] = {
	&cmd_up,	&cmd_down,	  &cmd_status,	    &cmd_rule_add,   &cmd_rule_del,
	&cmd_rule_list, &cmd_rule_flush, &cmd_rule_check, &cmd_target_add, &cmd_target_list,
	&cmd_target_del, &cmd_set_add,	  &cmd_set_load,    &cmd_set_del,    &cmd_set_list,
	&cmd_hop_add,	&cmd_hop_del,	  &cmd_hop_list,
	&cmd_explain,	&cmd_log,
	&cmd_apply,	&cmd_confirm,
	&cmd_proxy_status, &cmd_proxy_list, &cmd_proxy_kill, &cmd_proxy_drain,
	&cmd_proxy_reload,
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]), MAX_OPTIONS = 24 };

static const struct option_row global_options[] = {
	{ "instance", 0, "NAME", "the instance (default: default)" },
	{ "netns", 0, "NAME|PATH", "work in this network namespace" },
	{ "json", 0, NULL, "print JSON" },
	{ "help", 'h', NULL, "show this help" },
	{ "version", 'V', NULL, "show the version" },
	{},
};

/* ---- shared helpers ----------------------------------------------------------------------- */

int usage_error(const char *fmt, ...)
{
	va_list ap;

	fputs("error: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\n", stderr);
	return EXIT_USAGE;
}

bool parse_u32(const char *text, uint32_t *out)
{
	bool hex = !strncmp(text, "0x", 2);
	unsigned long long value;
	char *end;

	if (text[hex ? 2 : 0] < '0' || text[hex ? 2 : 0] > (hex ? 'f' : '9'))
		return false;
	errno = 0;
	value = strtoull(text, &end, hex ? 16 : 10);
	if (errno || *end || value > UINT32_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

void print_json(struct json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
}

char *join_words(int argc, char **argv)
{
	size_t len = 1, at = 0;
	char *text;

	for (int i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	text[0] = '\0';
	for (int i = 0; i < argc; i++)
		at += (size_t)snprintf(text + at, len - at, "%s%s", i ? " " : "", argv[i]);
	return text;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_options(const struct option_row *options)
{
	for (; options && options->name; options++) {
		char left[64];
		int n = 0;

		if (options->letter)
			n = snprintf(left, sizeof(left), "-%c, ", options->letter);
		snprintf(left + n, sizeof(left) - (size_t)n, "--%s%s%s", options->name,
			 options->value ? " " : "", options->value ? options->value : "");
		printf("  %-26s %s\n", left, options->help);
	}
}

static void print_help(void)
{
	puts("usage: shuntctl [OPTION ...] COMMAND [ARGUMENT ...]\n\n"
	     "Steer chosen flows to local transparent sockets, with eBPF at tc.\n\ncommands:");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-14s %s\n", commands[i]->words, commands[i]->summary);
	puts("\noptions of every command:");
	print_options(global_options);
	printf("\na rule:\n%s", shunt_rule_grammar());
	puts("\n'shuntctl COMMAND --help' shows the options of a command.");
}

static void print_finding_kinds(void)
{
	puts("\nkinds of findings:");
	for (int i = 0; i < SHUNT_FIND_MAX; i++)
		printf("  %-13s %s\n", shunt_finding_name((enum shunt_finding_kind)i),
		       shunt_finding_help((enum shunt_finding_kind)i));
}

static void print_command_help(const struct command *c)
{
	printf("usage: shuntctl %s%s%s%s\n\n%s\n", c->words, c->options ? " [OPTION ...]" : "",
	       c->arguments[0] ? " " : "", c->arguments, c->summary);
	if (c->options) {
		puts("\noptions:");
		print_options(c->options);
	}
	puts("\noptions of every command:");
	print_options(global_options);
	if (!strcmp(c->words, "rule add"))
		printf("\na rule:\n%s", shunt_rule_grammar());
	if (!strcmp(c->words, "rule check"))
		print_finding_kinds();
}

/* ---- options ----------------------------------------------------------------------------------- */

/* A table for getopt_long: the value of an entry is its index in rows. */
struct parser {
	const struct option_row *rows[MAX_OPTIONS];
	struct option longs[MAX_OPTIONS + 1];
	char shorts[2 * MAX_OPTIONS + 3];
	int n, n_globals;
};

static void add_rows(struct parser *p, const struct option_row *rows)
{
	size_t at = strlen(p->shorts);

	for (; rows && rows->name && p->n < MAX_OPTIONS; rows++, p->n++) {
		p->rows[p->n] = rows;
		p->longs[p->n] = (struct option){ rows->name,
						  rows->value ? required_argument : no_argument,
						  NULL, 256 + p->n };
		if (rows->letter) {
			p->shorts[at++] = rows->letter;
			if (rows->value)
				p->shorts[at++] = ':';
		}
	}
}

/* The row of what getopt_long returned. */
static int row_of(const struct parser *p, int c)
{
	if (c >= 256)
		return c - 256;
	for (int i = 0; i < p->n; i++)
		if (p->rows[i]->letter == c)
			return i;
	return -1;
}

/* What reading the options comes to: go on, or stop with this exit status. */
enum { GO_ON = -1 };

static int take_global(struct globals *g, const char *name, const char *value,
		       const struct command *c)
{
	if (!strcmp(name, "instance")) {
		g->where.instance = value;
	} else if (!strcmp(name, "netns")) {
		g->where.netns = value;
	} else if (!strcmp(name, "json")) {
		g->json = true;
	} else if (!strcmp(name, "help")) {
		if (c)
			print_command_help(c);
		else
			print_help();
		return EXIT_DONE;
	} else {
		puts("shuntctl " SHUNT_VERSION);
		return EXIT_DONE;
	}
	return GO_ON;
}

/*
 * Read options up to the end (or, without a command, up to the first word). Words are moved
 * behind; *first is the index of the first.
 */
static int read_options(struct globals *g, const struct command *c, void *state, int argc,
			char **argv, int *first)
{
	struct parser p = {};
	int ch, r;

	strcpy(p.shorts, c ? ":" : "+:");
	add_rows(&p, global_options);
	p.n_globals = p.n;
	add_rows(&p, c ? c->options : NULL);
	optind = 0;
	opterr = 0;
	while ((ch = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
		int row = row_of(&p, ch);

		if (ch == ':')
			return usage_error("option '%s' needs a value", argv[optind - 1]);
		if (ch == '?' || row < 0)
			return usage_error("unknown option '%s'; try 'shuntctl%s%s --help'",
					   argv[optind - 1], c ? " " : "", c ? c->words : "");
		if (row < p.n_globals) {
			r = take_global(g, p.rows[row]->name, optarg, c);
			if (r != GO_ON)
				return r;
			continue;
		}
		r = c->set_option(state, p.rows[row]->name, optarg);
		if (r)
			return r;
	}
	*first = optind;
	return GO_ON;
}

/* ---- the command ---------------------------------------------------------------------------------- */

/* The command that argv begins with; *n is the number of its words. NULL: none. */
static const struct command *find_command(int argc, char **argv, int *n)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const char *words = commands[i]->words, *blank = strchr(words, ' ');
		size_t len = blank ? (size_t)(blank - words) : strlen(words);

		if (strlen(argv[0]) != len || strncmp(argv[0], words, len))
			continue;
		*n = blank ? 2 : 1;
		if (!blank || (argc > 1 && !strcmp(argv[1], blank + 1)))
			return commands[i];
	}
	return NULL;
}

static int no_command(int argc, char **argv)
{
	bool noun = false;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t len = strlen(argv[0]);

		if (strncmp(commands[i]->words, argv[0], len) || commands[i]->words[len] != ' ')
			continue;
		if (!noun)
			fprintf(stderr, "error: '%s' needs one of:", argv[0]);
		fprintf(stderr, " %s", commands[i]->words + len + 1);
		noun = true;
	}
	if (!noun)
		return usage_error("unknown command '%s'; try 'shuntctl --help'", argv[0]);
	if (argc > 1)
		fprintf(stderr, ", not '%s'", argv[1]);
	fputs("\n", stderr);
	return EXIT_USAGE;
}

static int run_command(struct globals *g, const struct command *c, int argc, char **argv)
{
	void *state = calloc(1, c->state_size ? c->state_size : 1);
	int first, r;

	if (!state)
		return exit_of(shunt_err(-ENOMEM, "out of memory"));
	r = read_options(g, c, state, argc, argv, &first);
	if (r == GO_ON && argc > first && !c->arguments[0])
		r = usage_error("'%s' takes no argument '%s'; try 'shuntctl %s --help'", c->words,
				argv[first], c->words);
	if (r == GO_ON)
		r = c->run(g, state, argc - first, argv + first);
	free(state);
	return r;
}

int main(int argc, char **argv)
{
	const struct command *c;
	struct globals g = {};
	int first, n, r;

	r = read_options(&g, NULL, NULL, argc, argv, &first);
	if (r != GO_ON)
		return r;
	if (first == argc)
		return usage_error("no command; try 'shuntctl --help'");
	c = find_command(argc - first, argv + first, &n);
	if (!c)
		return no_command(argc - first, argv + first);
	/* The last word of the command stands where getopt expects the program's name. */
	first += n - 1;
	r = run_command(&g, c, argc - first, argv + first);
	if (fflush(stdout) || ferror(stdout))
		return exit_of(shunt_err(-EIO, "cannot write to standard output"));
	return r;
}
