/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "settings_file.h"
#include "shunt/shunt.h"

enum { OPTIONS_MAX = 64, OPTION_VERSION = 'V', OPTION_HELP = 'h', OPTION_BASE = 256 };

/* One getopt table from settings_table; val is OPTION_BASE + index. */
static void make_table(struct option *longs, char *shorts)
{
	size_t n = 0;

	*shorts++ = ':';
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];

		if (setting->scope == SETTING_KEY)
			continue;
		longs[n++] = (struct option){ setting->name,
					      setting->type == SETTING_FLAG ? no_argument
									    : required_argument,
					      NULL, OPTION_BASE + (int)i };
		if (setting->letter) {
			*shorts++ = setting->letter;
			if (setting->type != SETTING_FLAG)
				*shorts++ = ':';
		}
	}
	longs[n++] = (struct option){ "version", no_argument, NULL, OPTION_VERSION };
	longs[n++] = (struct option){ "help", no_argument, NULL, OPTION_HELP };
	memset(&longs[n], 0, sizeof(longs[n]));
	*shorts++ = OPTION_VERSION;
	*shorts++ = OPTION_HELP;
	*shorts = '\0';
}

static void print_option(char letter, const char *name, const char *argument, const char *help,
			 const char *initial)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, argument ? " " : "",
		 argument ? argument : "");
	printf("  %c%c%c %-28s %s", letter ? '-' : ' ', letter ? letter : ' ',
	       letter ? ',' : ' ', left, help);
	if (initial)
		printf(" (%s)", initial);
	putchar('\n');
}

static void print_keys(void)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];
		char left[64];

		if (s->scope != SETTING_KEY)
			continue;
		snprintf(left, sizeof(left), "%s %s", s->name, s->argument);
		printf("        %-26s %s\n", left, s->help);
	}
}

static void print_options(bool of_target)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];

		if (s->scope != SETTING_KEY && (s->scope == SETTING_TARGET) == of_target)
			print_option(s->letter, s->name, s->argument, s->help, s->initial);
	}
}

static void print_help(void)
{
	printf("Usage: shuntd [OPTION ...]\n\n"
	       "Accept the TCP flows that shunt's rules steer to a target, connect each to its\n"
	       "original destination and relay it. The instance is made by 'shuntctl up'; shuntd\n"
	       "waits for it.\n\nOptions (default in parentheses):\n");
	print_options(false);
	print_option(OPTION_VERSION, "version", NULL, "print the version", NULL);
	print_option(OPTION_HELP, "help", NULL, "print this text", NULL);
	printf("\nOptions of the target; with several in FILE, of all of them:\n");
	print_options(true);
	printf("\nIn FILE only, as others can see the command line:\n");
	print_keys();
	printf("\nThe keys of FILE are the long options, and 'targets'. SIGTERM drains (a second one ends at\n"
	       "once), SIGHUP reads FILE again, SIGUSR1 prints the counters to standard error,\n"
	       "SIGUSR2 starts the program that is installed now to take over.\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct setting *setting_of(int c)
{
	if (c >= OPTION_BASE)
		return &settings_table[c - OPTION_BASE];
	for (size_t i = 0; i < settings_count; i++)
		if (settings_table[i].letter == c)
			return &settings_table[i];
	return NULL;
}

/* One walk over the options: with only_config just -c is taken, else all but -c. */
static int walk(struct settings *s, int argc, char **argv, bool only_config)
{
	struct option longs[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX];
	char err[256];
	int c;

	make_table(longs, shorts);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct setting *setting = setting_of(c);

		if (c == OPTION_HELP || c == OPTION_VERSION) {
			if (c == OPTION_HELP)
				print_help();
			else
				puts("shuntd " SHUNT_VERSION);
			return 1;
		}
		if (c == ':')
			return shunt_err(-EINVAL, "'%s': needs a value", argv[optind - 1]);
		if (!setting)
			return shunt_err(-EINVAL, "'%s': unknown option, see --help",
					 argv[optind - 1]);
		if (only_config != (setting->scope == SETTING_OPTION))
			continue;
		if (settings_set(s, setting, optarg, err, sizeof(err)) < 0)
			return shunt_err(-EINVAL, "--%s", err);
	}
	if (optind < argc)
		return shunt_err(-EINVAL, "'%s': unexpected argument", argv[optind]);
	return 0;
}

static int load_from(struct settings *s, FILE *in)
{
	char err[512];
	int r = settings_load(s, in, s->config, err, sizeof(err));

	/* Not -EINVAL: a bad file is a failure, not wrong usage of the command line. */
	return r < 0 ? shunt_err(-EBADMSG, "%s", err) : 0;
}

static int load(struct settings *s)
{
	FILE *in = fopen(s->config, "re");
	int r = -errno;

	if (!in)
		return shunt_err(r, "cannot read '%s': %s", s->config, strerror(-r));
	r = load_from(s, in);
	fclose(in);
	return r;
}

static int check(const struct settings *s)
{
	const struct setting *at;
	char err[256];

	for (uint32_t i = 0; i < s->n_targets; i++)
		if (target_settings_check(s->targets[i], &at, err, sizeof(err)) < 0)
			return shunt_err(-EINVAL, "target '%s': %s", s->targets[i]->name, err);
	return 0;
}

/* in: the file, NULL to open it. */
static int parse(struct settings *s, int argc, char **argv, FILE *in)
{
	int r = walk(s, argc, argv, true);

	s->argc = argc;
	s->argv = argv;
	if (!r && s->config)
		r = in ? load_from(s, in) : load(s);
	if (!r)
		r = walk(s, argc, argv, false);
	return r ? r : check(s);
}

int options_parse(struct settings *s, int argc, char **argv)
{
	return parse(s, argc, argv, NULL);
}

int options_reread(struct settings *s, const struct settings *running, FILE *in)
{
	int r = settings_init(s);

	if (r < 0)
		return shunt_err(r, "out of memory");
	r = parse(s, running->argc, running->argv, in);
	if (r < 0)
		settings_release(s);
	return r;
}
