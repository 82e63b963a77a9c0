/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shunt/abi.h"

static const char *const source_words[] = {
	[SOURCE_PROXY] = "proxy",
	[SOURCE_CLIENT] = "client",
	[SOURCE_CLIENT_PORT] = "client-port",
	NULL,
};

static const char *const splice_words[] = {
	[SPLICE_AUTO] = "auto",
	[SPLICE_NEVER] = "never",
	[SPLICE_ALWAYS] = "always",
	NULL,
};

enum { DAY = 86400 };

#define AT(field) .at = offsetof(struct settings, field)

const struct setting settings_table[] = {
	{ "config", 'c', true, SETTING_TEXT, AT(config), .argument = "FILE",
	  .help = "read settings from a YAML file; options win" },
	{ "target", 't', false, SETTING_NAME, AT(target), .argument = "TARGET",
	  .initial = "default", .help = "name under which rules refer to this proxy" },
	{ "instance", 0, false, SETTING_NAME, AT(instance), .argument = "NAME",
	  .initial = "default", .help = "instance of the steering to register with" },
	{ "netns", 0, false, SETTING_TEXT, AT(netns), .argument = "NAME|PATH",
	  .help = "network namespace to work in" },
	{ "source", 0, false, SETTING_CHOICE, AT(source), .words = source_words,
	  .argument = "MODE", .initial = "proxy",
	  .help = "address the server sees: proxy, client or client-port" },
	{ "splice", 0, false, SETTING_CHOICE, AT(splice), .words = splice_words,
	  .argument = "WHEN", .initial = "auto",
	  .help = "move bytes in the kernel: auto (thick streams), never or always" },
	{ "log-flows", 0, false, SETTING_FLAG, AT(log_flows),
	  .help = "print a line for each flow at its end" },
	{ "workers", 0, false, SETTING_NUMBER, AT(workers), .min = 1, .max = SHUNT_TARGET_SLOTS,
	  .argument = "N", .help = "threads that relay; default: one per CPU" },
	{ "port", 0, false, SETTING_NUMBER, AT(port), .min = 1, .max = 65535, .argument = "N",
	  .help = "port of the first worker's listeners, the others follow; default: any" },
	{ "connect-timeout", 0, false, SETTING_NUMBER, AT(connect_timeout), .min = 1,
	  .max = DAY, .argument = "S", .initial = "10",
	  .help = "seconds a server has to accept" },
	{ "idle-timeout", 0, false, SETTING_NUMBER, AT(idle_timeout), .min = 1, .max = 100 * DAY,
	  .argument = "S", .initial = "7440", .help = "seconds a flow may be silent" },
	{ "half-closed-timeout", 0, false, SETTING_NUMBER, AT(half_closed_timeout), .min = 1,
	  .max = DAY, .argument = "S", .initial = "60",
	  .help = "seconds of silence after one side has finished" },
	{ "drain-timeout", 0, false, SETTING_NUMBER, AT(drain_timeout), .min = 0, .max = DAY,
	  .argument = "S", .initial = "30",
	  .help = "seconds open flows have to finish after SIGTERM" },
	{ "max-connections", 0, false, SETTING_NUMBER, AT(max_connections), .min = 1,
	  .max = 100000000, .argument = "N",
	  .help = "flows at once; default: what the descriptor limit allows" },
	{ "user", 0, false, SETTING_TEXT, AT(user), .argument = "USER", .initial = "nobody",
	  .help = "user the worker process runs as" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

static void *setting_field(struct settings *s, const struct setting *setting)
{
	return (char *)s + setting->at;
}

const struct setting *settings_find(const char *name)
{
	for (size_t i = 0; i < settings_count; i++)
		if (!strcmp(settings_table[i].name, name))
			return &settings_table[i];
	return NULL;
}

int settings_init(struct settings *s)
{
	char err[128];

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];

		if (!setting->initial)
			continue;
		if (settings_set(s, setting, setting->initial, err, sizeof(err)) < 0) {
			settings_release(s);
			return -ENOMEM;
		}
	}
	return 0;
}

void settings_release(struct settings *s)
{
	for (size_t i = 0; i < settings_count; i++) {
		enum setting_type type = settings_table[i].type;

		if (type == SETTING_TEXT || type == SETTING_NAME)
			free(*(char **)setting_field(s, &settings_table[i]));
	}
	memset(s, 0, sizeof(*s));
}

static int set_text(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* The names libshunt takes; checked here so that the message names the setting. */
static bool is_name(const char *value)
{
	size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.");

	return len > 0 && len < SHUNT_NAME_LEN && !value[len] && value[0] != '.';
}

static bool parse_number(uint32_t *out, const char *value, uint32_t min, uint32_t max)
{
	unsigned long long n;
	size_t len = strlen(value);

	if (!len || len > 10 || strspn(value, "0123456789") != len)
		return false;
	n = strtoull(value, NULL, 10);
	if (n < min || n > max)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool parse_choice(uint32_t *out, const char *value, const char *const *words)
{
	for (uint32_t i = 0; words[i]; i++) {
		if (!strcmp(words[i], value)) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool parse_flag(bool *out, const char *value)
{
	if (!value || !strcmp(value, "true") || !strcmp(value, "yes"))
		*out = true;
	else if (!strcmp(value, "false") || !strcmp(value, "no"))
		*out = false;
	else
		return false;
	return true;
}

int settings_set(struct settings *s, const struct setting *setting, const char *value, char *err,
		 size_t err_size)
{
	void *field = setting_field(s, setting);
	const char *name = setting->name;

	switch (setting->type) {
	case SETTING_TEXT:
		if (!*value) {
			snprintf(err, err_size, "%s: needs a value", name);
			return -EINVAL;
		}
		return set_text(field, value);
	case SETTING_NAME:
		if (!is_name(value)) {
			snprintf(err, err_size,
				 "%s: '%.64s': not 1 to %d letters, digits, '-', '_' or '.'", name,
				 value, SHUNT_NAME_LEN - 1);
			return -EINVAL;
		}
		return set_text(field, value);
	case SETTING_NUMBER:
		if (parse_number(field, value, setting->min, setting->max))
			return 0;
		snprintf(err, err_size, "%s: '%.64s': not a number from %u to %u", name, value,
			 setting->min, setting->max);
		return -EINVAL;
	case SETTING_CHOICE:
		if (parse_choice(field, value, setting->words))
			return 0;
		snprintf(err, err_size, "%s: '%.64s': unknown, see --help", name, value);
		return -EINVAL;
	case SETTING_FLAG:
		if (parse_flag(field, value))
			return 0;
		snprintf(err, err_size, "%s: '%.64s': neither true nor false", name, value);
		return -EINVAL;
	}
	return -EINVAL;
}

/* ---- the file: one flat YAML mapping ---- */

struct reader {
	struct settings *s;
	const char *name;
	char *err;
	size_t err_size;
	uint32_t seen; /* bit i: settings_table[i] was given */
	const struct setting *key; /* NULL: a key comes next */
};

static int reader_error(struct reader *r, const yaml_mark_t *at, const char *text)
{
	snprintf(r->err, r->err_size, "%s:%zu: %s", r->name, at->line + 1, text);
	return -EINVAL;
}

static int reader_key(struct reader *r, const yaml_event_t *event)
{
	const char *word = (const char *)event->data.scalar.value;
	const struct setting *setting = settings_find(word);
	char text[128];
	uint32_t bit;

	if (!setting || setting->only_option) {
		snprintf(text, sizeof(text), "'%.64s': unknown setting", word);
		return reader_error(r, &event->start_mark, text);
	}
	bit = 1U << (setting - settings_table);
	if (r->seen & bit) {
		snprintf(text, sizeof(text), "'%s': given twice", setting->name);
		return reader_error(r, &event->start_mark, text);
	}
	r->seen |= bit;
	r->key = setting;
	return 0;
}

static int reader_scalar(struct reader *r, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	char text[192];
	int ret;

	if (strlen(value) != event->data.scalar.length)
		return reader_error(r, &event->start_mark, "a value holds a NUL byte");
	if (!r->key)
		return reader_key(r, event);
	ret = settings_set(r->s, r->key, value, text, sizeof(text));
	r->key = NULL;
	if (ret == -ENOMEM)
		return reader_error(r, &event->start_mark, "out of memory");
	return ret < 0 ? reader_error(r, &event->start_mark, text) : 0;
}

/* Handle one event. 1 at the end of the file. */
static int reader_event(struct reader *r, const yaml_event_t *event, int *depth)
{
	switch (event->type) {
	case YAML_STREAM_END_EVENT:
		return 1;
	case YAML_MAPPING_START_EVENT:
		if ((*depth)++)
			return reader_error(r, &event->start_mark,
					    "expected a value, not a mapping");
		return 0;
	case YAML_MAPPING_END_EVENT:
		(*depth)--;
		return 0;
	case YAML_SCALAR_EVENT:
		if (!*depth) {
			/* A file of comments only is an empty scalar. */
			if (!event->data.scalar.length)
				return 0;
			return reader_error(r, &event->start_mark, "expected 'setting: value'");
		}
		return reader_scalar(r, event);
	case YAML_SEQUENCE_START_EVENT:
		return reader_error(r, &event->start_mark, "expected a value, not a list");
	case YAML_ALIAS_EVENT:
		return reader_error(r, &event->start_mark, "aliases are not understood");
	case YAML_DOCUMENT_START_EVENT:
		if (r->seen)
			return reader_error(r, &event->start_mark, "a second document");
		return 0;
	default:
		return 0;
	}
}

int settings_load(struct settings *s, FILE *in, const char *name, char *err, size_t err_size)
{
	struct reader r = { .s = s, .name = name, .err = err, .err_size = err_size };
	yaml_parser_t parser;
	yaml_event_t event;
	int depth = 0;
	int ret;

	_Static_assert(sizeof(settings_table) / sizeof(settings_table[0]) <= 32, "bits of seen");
	if (!yaml_parser_initialize(&parser)) {
		snprintf(err, err_size, "%s: out of memory", name);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&parser, in);
	do {
		if (!yaml_parser_parse(&parser, &event)) {
			ret = reader_error(&r, &parser.problem_mark,
					   parser.problem ? parser.problem : "cannot be read");
			break;
		}
		ret = reader_event(&r, &event, &depth);
		yaml_event_delete(&event);
	} while (!ret);
	yaml_parser_delete(&parser);
	return ret < 0 ? ret : 0;
}
