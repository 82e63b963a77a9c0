/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * docs/rules.md is true: it holds the grammar as the program shows it and every word of it,
 * and its blocks of rules, of rules as printed and of refused rules are what the parser says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "rule_grammar.h"

static char *docs;

static int read_docs(void **state)
{
	FILE *in = fopen(SHUNT_SOURCE_DIR "/docs/rules.md", "r");
	size_t size = 0;

	(void)state;
	if (!in || getdelim(&docs, &size, '\0', in) < 0)
		return -1;
	return fclose(in);
}

static int free_docs(void **state)
{
	(void)state;
	free(docs);
	return 0;
}

/* A copy of what stands between "```NAME" and "```", which the caller frees. */
static char *block(const char *name)
{
	char fence[32];
	const char *start, *end;

	snprintf(fence, sizeof(fence), "\n```%s\n", name);
	start = strstr(docs, fence);
	if (!start)
		fail_msg("no block '%s'", name);
	start += strlen(fence);
	end = strstr(start, "```\n");
	assert_non_null(end);
	return strndup(start, (size_t)(end - start));
}

static void test_grammar(void **state)
{
	char *text = block("text");

	(void)state;
	assert_string_equal(text, shunt_rule_grammar());
	free(text);
}

/* Outside of the grammar too: as `word`, `word VALUE` or `... word`, in a marked piece of text. */
static bool is_explained(const char *word)
{
	size_t len = strlen(word);
	bool marked = false;

	for (const char *at = docs; *at; at++) {
		if (*at == '\n')
			marked = false;
		else if (*at == '`')
			marked = !marked;
		if (marked && (*at == '`' || *at == ' ' || *at == '[') &&
		    !strncmp(at + 1, word, len) && at[len + 1] && strchr("` ]", at[len + 1]))
			return true;
	}
	return false;
}

static void test_every_word(void **state)
{
	(void)state;
	for (size_t i = 0; i < RULE_WORD_MAX; i++)
		if (!is_explained(rule_words[i].name))
			fail_msg("docs/rules.md does not explain '%s'", rule_words[i].name);
	assert_false(is_explained("xyzzy"));
}

static void test_rules(void **state)
{
	char *text = block("rules"), err[256] = "";
	FILE *in = fmemopen(text, strlen(text), "r");
	struct shunt_rules rules;

	(void)state;
	if (shunt_rules_parse(&rules, in, "docs/rules.md", err, sizeof(err)))
		fail_msg("%s", err);
	assert_in_range(rules.n, 5, 100);
	shunt_rules_clear(&rules);
	fclose(in);
	free(text);
}

/* The example of a file; the file that it names is not read. */
static void test_file(void **state)
{
	char *text = block("rulefile"), err[256] = "", *path = strstr(text, "blocked.txt");
	struct shunt_config config;
	FILE *in;

	(void)state;
	assert_non_null(path);
	memcpy(path, "/dev/null  ", strlen("blocked.txt"));
	in = fmemopen(text, strlen(text), "r");
	if (shunt_config_parse(&config, in, "docs/rules.md", ".", err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(config.sets.n, 3);
	assert_int_equal(config.rules.n, 3);
	shunt_config_clear(&config);
	fclose(in);
	free(text);
}

/* The lines of a block in pairs: given, expected. */
static void check_pairs(const char *name, void (*check)(const char *given, const char *expected))
{
	char *text = block(name), *save = NULL, *given, *expected;
	size_t n = 0;

	for (given = strtok_r(text, "\n", &save); given; given = strtok_r(NULL, "\n", &save)) {
		expected = strtok_r(NULL, "\n", &save);
		assert_non_null(expected);
		check(given, expected);
		n++;
	}
	assert_in_range(n, 3, 100);
	free(text);
}

static void check_printed(const char *given, const char *expected)
{
	struct shunt_rule rule;
	char err[256] = "", *text;

	if (shunt_rule_parse(&rule, given, err, sizeof(err)))
		fail_msg("\"%s\": %s", given, err);
	text = shunt_rule_format(&rule);
	assert_string_equal(text, expected);
	free(text);
	shunt_rule_clear(&rule);
}

static void check_refused(const char *given, const char *expected)
{
	struct shunt_rule rule;
	char err[256] = "";

	assert_int_not_equal(shunt_rule_parse(&rule, given, err, sizeof(err)), 0);
	assert_string_equal(err, expected);
}

static void test_printed(void **state)
{
	(void)state;
	check_pairs("printed", check_printed);
}

static void test_refused(void **state)
{
	(void)state;
	check_pairs("refused", check_refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar), cmocka_unit_test(test_every_word),
		cmocka_unit_test(test_rules),	cmocka_unit_test(test_printed),
		cmocka_unit_test(test_refused),	cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, read_docs, free_docs);
}
