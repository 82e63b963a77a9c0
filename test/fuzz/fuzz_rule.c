/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as one rule and as a file of rules. Whatever is accepted must print to text that
 * parses to an equal rule and prints the same again; a message must be there, end, and be
 * printable. Seeds: corpus/rule.
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
	check(err[0] != '\0' && strlen(err) < 255);
	for (; *err; err++)
		check(isprint((unsigned char)*err));
}

static void check_round_trip(const struct shunt_rule *rule)
{
	struct shunt_rule again;
	char err[256], *text, *text_again;

	text = shunt_rule_format(rule);
	check(text && shunt_rule_parse(&again, text, err, sizeof(err)) == 0);
	check(shunt_rule_equal(rule, &again));
	text_again = shunt_rule_format(&again);
	check(text_again && !strcmp(text, text_again));
	free(text);
	free(text_again);
	shunt_rule_clear(&again);
}

static void try_rule(const uint8_t *data, size_t size)
{
	struct shunt_rule rule;
	char err[256] = "", *text;

	text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	if (shunt_rule_parse(&rule, text, err, sizeof(err)) == 0) {
		check_round_trip(&rule);
		shunt_rule_clear(&rule);
	} else {
		check_message(err);
	}
	free(text);
}

static void try_file(const uint8_t *data, size_t size)
{
	struct shunt_rules rules;
	char err[256] = "";
	FILE *in;

	in = fmemopen((void *)data, size, "r");
	check(in != NULL);
	if (shunt_rules_parse(&rules, in, "fuzz", err, sizeof(err)) == 0) {
		for (size_t i = 0; i < rules.n; i++) {
			check(i == 0 || rules.v[i - 1].priority < rules.v[i].priority);
			check_round_trip(&rules.v[i]);
		}
		shunt_rules_clear(&rules);
	} else {
		check_message(err);
	}
	fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	try_rule(data, size);
	try_file(data, size);
	return 0;
}
