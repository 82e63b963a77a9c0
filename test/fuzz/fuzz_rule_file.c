/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as a rule file with sets. Whatever is accepted, written out as `rule list --sets`
 * does, must be accepted again and be the same; a message must be there, end, and be printable.
 * Files that a line names are not read. Seeds: corpus/rule_file.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_message(const char *err)
{
	check(err[0] != '\0' && strlen(err) < 256);
	for (; *err; err++)
		check(isprint((unsigned char)*err));
}

static bool parse(struct shunt_config *out, const void *data, size_t size)
{
	FILE *in = fmemopen((void *)data, size, "r");
	char err[256] = "";
	int r;

	check(in != NULL);
	r = shunt_config_parse(out, in, "fuzz", NULL, err, sizeof(err));
	fclose(in);
	if (r)
		check_message(err);
	return !r;
}

static char *print(const struct shunt_config *config, size_t *size)
{
	char *text = NULL, *rule;
	FILE *out = open_memstream(&text, size);

	check(out != NULL);
	for (size_t i = 0; i < config->sets.n; i++)
		shunt_set_print(out, &config->sets.v[i]);
	for (size_t i = 0; i < config->rules.n; i++) {
		rule = shunt_rule_format(&config->rules.v[i]);
		check(rule != NULL);
		fprintf(out, "%s\n", rule);
		free(rule);
	}
	fclose(out);
	return text;
}

/* Prefixes have padding. */
static bool same_prefixes(const struct shunt_set *a, const struct shunt_set *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].len != b->v[i].len ||
		    memcmp(&a->v[i].addr, &b->v[i].addr, sizeof(a->v[i].addr)))
			return false;
	return true;
}

static void check_same(const struct shunt_config *a, const struct shunt_config *b)
{
	check(a->rules.n == b->rules.n && a->sets.n == b->sets.n);
	for (size_t i = 0; i < a->rules.n; i++) {
		check(i == 0 || a->rules.v[i - 1].priority < a->rules.v[i].priority);
		check(shunt_rule_equal(&a->rules.v[i], &b->rules.v[i]));
	}
	for (size_t i = 0; i < a->sets.n; i++) {
		check(!strcmp(a->sets.v[i].name, b->sets.v[i].name));
		check(a->sets.v[i].n == b->sets.v[i].n);
		check(same_prefixes(&a->sets.v[i], &b->sets.v[i]));
		check(a->sets.v[i].n_timed == b->sets.v[i].n_timed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shunt_config config, again;
	size_t printed;
	char *text;

	if (!size || !parse(&config, data, size))
		return 0;
	text = print(&config, &printed);
	if (printed) {
		check(parse(&again, text, printed));
		check_same(&config, &again);
		shunt_config_clear(&again);
	}
	free(text);
	shunt_config_clear(&config);
	return 0;
}
