// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* shuntctl set add|load|del|list */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static bool take_name(struct shunt_set *set, const char *name)
{
	/* What else is wrong with a name the library says. */
	if (strlen(name) >= sizeof(set->name)) {
		usage_error("set '%s': the name is longer than %zu", name, sizeof(set->name) - 1);
		return false;
	}
	strcpy(set->name, name);
	return true;
}

/* NAME PREFIX... as a set; EXIT_DONE, or another status after a message. */
static int read_words(struct shunt_set *set, int argc, char **argv)
{
	const char *why;

	if (!take_name(set, argv[0]))
		return EXIT_USAGE;
	set->v = calloc((size_t)argc, sizeof(*set->v));
	if (!set->v)
		return exit_of(shunt_err(-ENOMEM, "out of memory"));
	for (int i = 1; i < argc; i++) {
		if (shunt_prefix_parse(&set->v[set->n], argv[i], &why))
			return usage_error("prefix '%s': %s", argv[i], why);
		set->n++;
	}
	return EXIT_DONE;
}

static int change(const struct globals *g, const struct shunt_set *set,
		  int (*how)(struct shunt *s, const struct shunt_set *set))
{
	struct shunt *s;
	int r = shunt_open(&s, &g->where);

	if (!r) {
		r = how(s, set);
		shunt_close(s);
	}
	return exit_of(r);
}

static int change_words(const struct globals *g, int argc, char **argv,
			int (*how)(struct shunt *s, const struct shunt_set *set))
{
	struct shunt_set set = {};
	int status = read_words(&set, argc, argv);

	if (status == EXIT_DONE)
		status = change(g, &set, how);
	shunt_set_clear(&set);
	return status;
}

/* The prefixes of a set are for a time. */
static int make_timed(struct shunt_set *set, const char *time)
{
	const char *why;
	uint64_t ns;

	if (shunt_time_parse(&ns, time, &why))
		return usage_error("timeout '%s': %s", time, why);
	if (!set->n)
		return usage_error("'timeout' needs prefixes before it");
	set->timed = calloc(set->n, sizeof(*set->timed));
	if (!set->timed)
		return exit_of(shunt_err(-ENOMEM, "out of memory"));
	for (; set->n_timed < set->n; set->n_timed++)
		set->timed[set->n_timed] = (struct shunt_timed){ set->v[set->n_timed], ns };
	set->n = 0;
	return EXIT_DONE;
}

static int add_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_set set = {};
	const char *time = NULL;
	int status;

	(void)state;
	if (argc < 1)
		return usage_error("'set add' needs a name, and prefixes unless it is to be empty");
	if (!strcmp(argv[argc - 1], "timeout"))
		return usage_error("'timeout' needs a time");
	if (argc > 2 && !strcmp(argv[argc - 2], "timeout")) {
		time = argv[argc - 1];
		argc -= 2;
	}
	status = read_words(&set, argc, argv);
	if (status == EXIT_DONE && time)
		status = make_timed(&set, time);
	if (status == EXIT_DONE)
		status = change(g, &set, shunt_set_add);
	shunt_set_clear(&set);
	return status;
}

const struct command cmd_set_add = {
	.words = "set add",
	.arguments = "NAME [PREFIX ... [timeout TIME]]",
	.summary = "add prefixes, for good or a time, to a set, which is made if new",
	.run = add_run,
};

static int read_file(struct shunt_set *set, const char *path)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	char err[512];
	int r;

	if (!f)
		return shunt_err(-errno, "cannot open '%s': %s", path, strerror(errno));
	r = shunt_set_parse(set, f, is_stdin ? "standard input" : path, err, sizeof(err));
	if (!is_stdin)
		fclose(f);
	return r ? shunt_err(r, "%s", err) : 0;
}

static int load_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_set set = {};
	int status;

	(void)state;
	if (argc != 2)
		return usage_error("'set load' needs a name and a file");
	if (!take_name(&set, argv[0]))
		return EXIT_USAGE;
	status = exit_of(read_file(&set, argv[1]));
	if (status == EXIT_DONE)
		status = change(g, &set, shunt_set_load);
	shunt_set_clear(&set);
	return status;
}

const struct command cmd_set_load = {
	.words = "set load",
	.arguments = "NAME FILE|-",
	.summary = "let a set hold just the prefixes of a file, one a line",
	.run = load_run,
};

static int del_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt *s;
	int r;

	(void)state;
	if (argc < 1)
		return usage_error("'set del' needs a name");
	if (argc > 1)
		return change_words(g, argc, argv, shunt_set_take);
	r = shunt_open(&s, &g->where);
	if (!r) {
		r = shunt_set_del(s, argv[0]);
		shunt_close(s);
	}
	return exit_of(r);
}

const struct command cmd_set_del = {
	.words = "set del",
	.arguments = "NAME [PREFIX ...]",
	.summary = "delete prefixes from a set, or a set that no rule uses",
	.run = del_run,
};

/* ---- list ----------------------------------------------------------------------------------- */

struct json_object *timed_json(const struct shunt_timed *t)
{
	struct json_object *o = json_object_new_object();
	char text[SHUNT_PREFIX_STR];

	json_object_object_add(o, "prefix",
			       json_object_new_string(shunt_prefix_str(text, &t->prefix)));
	/* Rounded up, so that 0 never stands here. */
	json_object_object_add(o, "expires",
			       json_object_new_int64((int64_t)((t->left + 999999999) / 1000000000)));
	return o;
}

static void print_names(const struct shunt_sets *sets, bool json)
{
	struct json_object *array = json_object_new_array(), *o;

	for (size_t i = 0; i < sets->n; i++) {
		if (!json) {
			printf("%s: %zu %s", sets->v[i].name, sets->v[i].n,
			       shunt_plural(sets->v[i].n, "prefix", "prefixes"));
			if (sets->v[i].n_timed)
				printf(", %zu with a timeout", sets->v[i].n_timed);
			putchar('\n');
			continue;
		}
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(sets->v[i].name));
		json_object_object_add(o, "prefixes",
				       json_object_new_int64((int64_t)sets->v[i].n));
		json_object_object_add(o, "timed",
				       json_object_new_int64((int64_t)sets->v[i].n_timed));
		json_object_array_add(array, o);
	}
	if (json)
		print_json(array);
	else
		json_object_put(array);
}

static void print_timed(const struct shunt_timed *t, struct json_object *array)
{
	char text[SHUNT_PREFIX_STR], time[SHUNT_TIME_STR];

	if (array)
		json_object_array_add(array, timed_json(t));
	else
		printf("%s timeout %s\n", shunt_prefix_str(text, &t->prefix),
		       shunt_time_str(time, t->left));
}

static void print_set(const struct shunt_set *set, bool json)
{
	struct json_object *array = json_object_new_array();
	char text[SHUNT_PREFIX_STR];

	for (size_t i = 0; i < set->n; i++) {
		shunt_prefix_str(text, &set->v[i]);
		if (json)
			json_object_array_add(array, json_object_new_string(text));
		else
			puts(text);
	}
	for (size_t i = 0; i < set->n_timed; i++)
		print_timed(&set->timed[i], json ? array : NULL);
	if (json)
		print_json(array);
	else
		json_object_put(array);
}

static int print_one(const struct shunt_sets *sets, const char *name, bool json)
{
	for (size_t i = 0; i < sets->n; i++) {
		if (strcmp(sets->v[i].name, name))
			continue;
		print_set(&sets->v[i], json);
		return 0;
	}
	return shunt_err(-ENOENT, "there is no set '%s'", name);
}

static int list_run(const struct globals *g, void *state, int argc, char **argv)
{
	struct shunt_sets sets;
	struct shunt *s;
	int r;

	(void)state;
	if (argc > 1)
		return usage_error("'set list' takes one name at most");
	r = shunt_open(&s, &g->where);
	if (r)
		return exit_of(r);
	r = shunt_sets_read(s, &sets);
	shunt_close(s);
	if (r)
		return exit_of(r);
	if (argc)
		r = print_one(&sets, argv[0], g->json);
	else
		print_names(&sets, g->json);
	shunt_sets_clear(&sets);
	return exit_of(r);
}

const struct command cmd_set_list = {
	.words = "set list",
	.arguments = "[NAME]",
	.summary = "print the sets, or the prefixes of one as 'set load' reads them",
	.run = list_run,
};
