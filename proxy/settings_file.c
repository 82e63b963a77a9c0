/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings_file.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "settings_value.h"
#include "shunt/abi.h"

/* The one key that is no setting. */
#define TARGETS "targets"

/* More than there are settings or targets. */
enum { MAPPING_MAX = 256 };

struct file {
	struct settings *s;
	yaml_document_t document;
	const char *name;
	char *err;
	size_t err_size;
};

static int __attribute__((format(printf, 3, 4)))
file_error(struct file *f, const yaml_mark_t *at, const char *fmt, ...)
{
	char text[384];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(f->err, f->err_size, "%s:%zu:%zu: %s", f->name, at->line + 1, at->column + 1,
		 text);
	return -EINVAL;
}

/* The text of a node, NULL with a message if it is no plain value. */
static const char *text_of(struct file *f, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	if (node->type != YAML_SCALAR_NODE)
		file_error(f, &node->start_mark, "expected a value, not a %s",
			   node->type == YAML_MAPPING_NODE ? "mapping" : "list");
	else if (strlen(text) != node->data.scalar.length)
		file_error(f, &node->start_mark, "a value holds a NUL byte");
	else
		return text;
	return NULL;
}

static yaml_node_t *node_at(struct file *f, int index)
{
	return yaml_document_get_node(&f->document, index);
}

/* ---- a mapping of settings: at the top, or of a target ---- */

/* NULL with a message. */
static const struct setting *setting_of(struct file *f, const yaml_node_t *key, bool in_target)
{
	const char *word = text_of(f, key);
	const struct setting *setting = word ? settings_find(word) : NULL;
	char shown[SETTING_SHOWN];

	if (!word)
		return NULL;
	if (!setting || setting->scope == SETTING_OPTION)
		file_error(f, &key->start_mark, "'%s': unknown setting",
			   setting_shown(shown, word));
	else if (in_target && (setting->scope == SETTING_PROCESS || setting->scope == SETTING_ALONE))
		file_error(f, &key->start_mark, "'%s': not a setting of a target", word);
	else if (setting->scope == SETTING_ALONE && f->s->named_targets)
		file_error(f, &key->start_mark, "'%s': there are targets below '" TARGETS "'",
			   word);
	else
		return setting;
	return NULL;
}

static int set_list(struct file *f, struct target_settings *t, const struct setting *setting,
		    const yaml_node_t *list)
{
	const yaml_node_item_t *item = list->data.sequence.items.start;
	void *field = (char *)t + setting->at;
	char err[256];

	setting_clear(setting, field);
	for (; item < list->data.sequence.items.top; item++) {
		const yaml_node_t *node = node_at(f, *item);
		const char *text = text_of(f, node);

		if (!text)
			return -EINVAL;
		if (setting_append(setting, field, text, err, sizeof(err)) < 0)
			return file_error(f, &node->start_mark, "%s", err);
	}
	return 0;
}

/* t NULL: set what is the process's; else what is the target's. */
static int set_value(struct file *f, struct target_settings *t, const struct setting *setting,
		     const yaml_node_t *value)
{
	char err[256];
	const char *text;
	int r;

	if ((setting->scope == SETTING_PROCESS) == (t != NULL))
		return 0;
	if (setting_is_list(setting) && value->type == YAML_SEQUENCE_NODE)
		return set_list(f, t, setting, value);
	text = text_of(f, value);
	if (!text)
		return -EINVAL;
	r = t ? target_settings_set(t, setting, text, err, sizeof(err))
	      : settings_set(f->s, setting, text, err, sizeof(err));
	return r < 0 ? file_error(f, &value->start_mark, "%s", err) : 0;
}

/* Apply the pairs of a mapping; see set_value() for t. */
static int set_values(struct file *f, const yaml_node_t *mapping, struct target_settings *t,
		      bool in_target)
{
	const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;

	for (; pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = node_at(f, pair->key);
		const struct setting *setting;
		int r;

		if (!in_target && key->type == YAML_SCALAR_NODE &&
		    !strcmp((const char *)key->data.scalar.value, TARGETS))
			continue;
		setting = setting_of(f, key, in_target);
		if (!setting)
			return -EINVAL;
		r = set_value(f, t, setting, node_at(f, pair->value));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Neither a setting nor a target may be there twice: which one counts? */
static int check_twice(struct file *f, const yaml_node_t *mapping)
{
	const yaml_node_pair_t *a, *b;

	if (mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start > MAPPING_MAX)
		return file_error(f, &mapping->start_mark, "more than %d entries", MAPPING_MAX);
	for (a = mapping->data.mapping.pairs.start; a < mapping->data.mapping.pairs.top; a++) {
		const char *word = text_of(f, node_at(f, a->key));
		char shown[SETTING_SHOWN];

		if (!word)
			return -EINVAL;
		for (b = mapping->data.mapping.pairs.start; b < a; b++)
			if (!strcmp(word, (char *)node_at(f, b->key)->data.scalar.value))
				return file_error(f, &node_at(f, a->key)->start_mark,
						  "'%s': given twice", setting_shown(shown, word));
	}
	return 0;
}

/* ---- targets ---- */

/* Where a mapping says something about a setting; NULL nowhere. */
static const yaml_node_t *find_key(struct file *f, const yaml_node_t *mapping, const char *word)
{
	const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;

	for (; pair < mapping->data.mapping.pairs.top; pair++)
		if (!strcmp((char *)node_at(f, pair->key)->data.scalar.value, word))
			return node_at(f, pair->key);
	return NULL;
}

static int check_target(struct file *f, const struct target_settings *t, const yaml_node_t *top,
			const yaml_node_t *values)
{
	const struct setting *setting;
	const yaml_node_t *at = NULL;
	char err[256];

	if (!target_settings_check(t, &setting, err, sizeof(err)))
		return 0;
	if (values && values->type == YAML_MAPPING_NODE)
		at = find_key(f, values, setting->name);
	if (!at)
		at = find_key(f, top, setting->name);
	return file_error(f, at ? &at->start_mark : &top->start_mark, "%s", err);
}

static int read_target(struct file *f, const yaml_node_t *top, const yaml_node_t *key,
		       const yaml_node_t *values)
{
	const struct setting *setting = settings_find("target");
	struct target_settings *t;
	char err[192];
	int r;

	r = target_settings_new(&t, setting->initial);
	if (r < 0)
		return file_error(f, &key->start_mark, "out of memory");
	r = settings_add_target(f->s, t);
	if (r < 0) {
		target_settings_put(t);
		return file_error(f, &key->start_mark, "out of memory");
	}
	r = target_settings_set(t, setting, (char *)key->data.scalar.value, err, sizeof(err));
	if (r < 0)
		return file_error(f, &key->start_mark, "%s", err);
	r = set_values(f, top, t, false);
	if (r < 0)
		return r;
	/* `web:` with nothing below is a target that is as the top says. */
	if (values->type == YAML_MAPPING_NODE) {
		r = check_twice(f, values);
		if (!r)
			r = set_values(f, values, t, true);
	} else if (values->type != YAML_SCALAR_NODE || values->data.scalar.length) {
		r = file_error(f, &values->start_mark, "expected settings of target '%s'",
			       t->name);
	}
	return r < 0 ? r : check_target(f, t, top, values);
}

static int read_targets(struct file *f, const yaml_node_t *top, const yaml_node_t *targets)
{
	const yaml_node_pair_t *pair;
	int r;

	if (targets->type != YAML_MAPPING_NODE ||
	    targets->data.mapping.pairs.start == targets->data.mapping.pairs.top)
		return file_error(f, &targets->start_mark, "expected 'NAME:' of a target");
	r = check_twice(f, targets);
	pair = targets->data.mapping.pairs.start;
	if (r < 0)
		return r;
	if (targets->data.mapping.pairs.top - pair >= SHUNT_MAX_TARGETS)
		return file_error(f, &targets->start_mark, "more than %d targets",
				  SHUNT_MAX_TARGETS - 1);
	target_settings_put(f->s->targets[0]); /* the default one */
	f->s->n_targets = 0;
	f->s->named_targets = true;
	for (; pair < targets->data.mapping.pairs.top && !r; pair++)
		r = read_target(f, top, node_at(f, pair->key), node_at(f, pair->value));
	return r;
}

static const yaml_node_t *find_targets(struct file *f, const yaml_node_t *top)
{
	const yaml_node_pair_t *pair = top->data.mapping.pairs.start;

	for (; pair < top->data.mapping.pairs.top; pair++)
		if (!strcmp((char *)node_at(f, pair->key)->data.scalar.value, TARGETS))
			return node_at(f, pair->value);
	return NULL;
}

static int read_only_target(struct file *f, const yaml_node_t *top)
{
	struct target_settings *t = f->s->targets[0];
	int r = set_values(f, top, t, false);

	return r < 0 ? r : check_target(f, t, top, NULL);
}

/* ---- the file ---- */

static int read_top(struct file *f)
{
	const yaml_node_t *top = yaml_document_get_root_node(&f->document);
	const yaml_node_t *targets;
	int r;

	/* A file of comments only has no node, or an empty one. */
	if (!top || (top->type == YAML_SCALAR_NODE && !top->data.scalar.length))
		return 0;
	if (top->type != YAML_MAPPING_NODE)
		return file_error(f, &top->start_mark, "expected 'setting: value'");
	r = check_twice(f, top);
	if (r < 0)
		return r;
	targets = find_targets(f, top);
	r = targets ? read_targets(f, top, targets) : read_only_target(f, top);
	return r < 0 ? r : set_values(f, top, NULL, false);
}

static int yaml_error(struct file *f, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		snprintf(f->err, f->err_size, "%s: out of memory", f->name);
		return -ENOMEM;
	}
	return file_error(f, &parser->problem_mark, "%s",
			  parser->problem ? parser->problem : "cannot be read");
}

static int read_documents(struct file *f, yaml_parser_t *parser)
{
	const yaml_node_t *second;
	int r;

	if (!yaml_parser_load(parser, &f->document))
		return yaml_error(f, parser);
	r = read_top(f);
	yaml_document_delete(&f->document);
	if (r < 0)
		return r;
	if (!yaml_parser_load(parser, &f->document))
		return yaml_error(f, parser);
	second = yaml_document_get_root_node(&f->document);
	if (second)
		r = file_error(f, &second->start_mark, "a second document");
	yaml_document_delete(&f->document);
	return r;
}

int settings_load(struct settings *s, FILE *in, const char *name, char *err, size_t err_size)
{
	struct file f = { .s = s, .name = name, .err = err, .err_size = err_size };
	yaml_parser_t parser;
	int r;

	if (!yaml_parser_initialize(&parser)) {
		snprintf(err, err_size, "%s: out of memory", name);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&parser, in);
	r = read_documents(&f, &parser);
	yaml_parser_delete(&parser);
	return r;
}
