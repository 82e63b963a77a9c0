/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files of prefixes and `set` lines of rule files: what is read, printed and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shunt/shunt.h"

static FILE *file_of(const char *bytes, size_t len)
{
	FILE *in = tmpfile();

	assert_non_null(in);
	assert_int_equal(fwrite(bytes, 1, len, in), len);
	rewind(in);
	return in;
}

/* The sets as lines of a rule file; free it. */
static char *printed(const struct shunt_sets *sets)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < sets->n; i++)
		shunt_set_print(out, &sets->v[i]);
	fclose(out);
	return text;
}

static void assert_sets(const char *bytes, const char *dir, const char *expected)
{
	FILE *in = file_of(bytes, strlen(bytes));
	struct shunt_config config;
	char err[256] = "", *text;

	if (shunt_config_parse(&config, in, "f", dir, err, sizeof(err)))
		fail_msg("%s", err);
	text = printed(&config.sets);
	assert_string_equal(text, expected);
	free(text);
	shunt_config_clear(&config);
	fclose(in);
}

static void assert_refused(const char *bytes, const char *dir, const char *message)
{
	struct shunt_config config, before;
	FILE *in = file_of(bytes, strlen(bytes));
	char err[256] = "";

	memset(&config, 0x5a, sizeof(config));
	before = config;
	assert_int_not_equal(shunt_config_parse(&config, in, "f", dir, err, sizeof(err)), 0);
	assert_string_equal(err, message);
	assert_memory_equal(&config, &before, sizeof(config));
	fclose(in);
}

static void test_lines(void **state)
{
	(void)state;
	assert_sets("1 pass\n", NULL, "");
	assert_sets("set a", NULL, "set a\n");
	assert_sets("set a 1.2.3.4\r\n1 to @a pass\nset b ::/0 # all\n\tset\ta fd00::/8,1.2.3.4",
		    NULL, "set a 1.2.3.4,fd00::/8,1.2.3.4\nset b ::/0\n");
	assert_sets("set b\nset a 10.0.0.0/8\nset b\nset file 1.1.1.1\nset set 2.2.2.2", NULL,
		    "set b\nset a 10.0.0.0/8\nset file 1.1.1.1\nset set 2.2.2.2\n");
	assert_refused("set", NULL, "f:1: 'set' needs a name");
	assert_refused("1 pass\n set # a", NULL, "f:2: 'set' needs a name");
	assert_refused("set a,b", NULL,
		       "f:1: set 'a,b': a name has letters, digits, '.', '_' and '-' only");
	assert_refused("set a 1.2.3.4,x", NULL, "f:1: prefix 'x': not an address");
	assert_refused("set a ,", NULL, "f:1: prefix '': not an address");
	assert_refused("set a 10.0.0.1/8", NULL, "f:1: prefix '10.0.0.1/8': host bits are set");
	assert_refused("set a @b", NULL, "f:1: prefix '@b': not an address");
	assert_refused("set a not 1.2.3.4", NULL, "f:1: prefix 'not': not an address");
	assert_refused("set a 1.2.3.4 port", NULL,
		       "f:1: a word too many: 'port'; prefixes are a list with commas, without blanks");
	assert_refused("set a file x", NULL, "f:1: file 'x': not possible here");
	assert_refused("set a file", NULL, "f:1: 'file' needs a path");
}

/* Only rules: then it is a rule that does not begin with a number. */
static void test_rules_only(void **state)
{
	FILE *in = file_of("set a\n", 6);
	struct shunt_rules rules;
	char err[256];

	(void)state;
	assert_int_equal(shunt_rules_parse(&rules, in, "f", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "f:1: a rule begins with its priority, not 'set'");
	fclose(in);
}

/* A file beside the rule file, several times and between lists. */
static void test_files(void **state)
{
	char dir[] = "/tmp/shunt-set-XXXXXX", path[64], line[128], expected[128];
	FILE *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/list", dir);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs("\xef\xbb\xbf# head\r\n\r\n 10.0.0.0/8\t# x\r\n2001:db8::/32#y\n", out);
	fclose(out);
	assert_sets("set a 1.2.3.4\nset a file list\nset b file list\nset a 5.6.7.8", dir,
		    "set a 1.2.3.4,10.0.0.0/8,2001:db8::/32,5.6.7.8\n"
		    "set b 10.0.0.0/8,2001:db8::/32\n");
	snprintf(line, sizeof(line), "set a file %s", path);
	assert_sets(line, "/nowhere", "set a 10.0.0.0/8,2001:db8::/32\n");
	assert_refused("set a file list", "/nowhere",
		       "f:1: file 'list': cannot open: No such file or directory");
	out = fopen(path, "a");
	fputs("1.2.3\n", out);
	fclose(out);
	assert_refused("\nset a file list", dir,
		       "f:2: list:5: prefix '1.2.3': not an address");
	snprintf(expected, sizeof(expected), "f:1: %s:5: prefix '1.2.3': not an address", path);
	assert_refused(line, dir, expected);
	unlink(path);
	rmdir(dir);
}

static int parse_set(struct shunt_set *set, const char *bytes, size_t len, char *err)
{
	FILE *in = file_of(bytes, len);
	int r = shunt_set_parse(set, in, "f", err, 256);

	fclose(in);
	return r;
}

static void test_set_messages(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *message;
	} rows[] = {
#define ROW(bytes, message) { bytes, sizeof(bytes) - 1, message }
		ROW("1.2.3.4\n1.2.3.4/33\n", "f:2: prefix '1.2.3.4/33': the prefix length is not 0..32"),
		ROW("1.2.3.4 1.2.3.5\n", "f:1: prefix '1.2.3.4': one prefix a line"),
		ROW("1.2.3.4,1.2.3.5\n", "f:1: prefix '1.2.3.4,1.2.3.5': not an address"),
		ROW("\n\n10.1.0.0/8", "f:3: prefix '10.1.0.0/8': host bits are set"),
		ROW("::ffff:1.2.3.4", "f:1: prefix '::ffff:1.2.3.4': write a v4-mapped address as IPv4"),
		ROW("1.2.3.4\0\n", "f:1: there is a NUL byte in the line"),
		ROW("\x1b[2J\n", "f:1: prefix '\\x1b[2J': not an address"),
#undef ROW
	};
	struct shunt_set set = {};
	char err[256];

	(void)state;
	assert_int_equal(parse_set(&set, "9.9.9.9", 7, err), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse_set(&set, rows[i].bytes, rows[i].len, err), -EINVAL);
		assert_string_equal(err, rows[i].message);
		assert_int_equal(set.n, 1);
	}
	assert_int_equal(parse_set(&set, "8.8.8.8\n", 8, err), 0);
	assert_int_equal(set.n, 2);
	shunt_set_clear(&set);
}

/* No newline in sight: refused when the line is too long, not when memory is out. */
static void test_endless_line(void **state)
{
	FILE *in = fopen("/dev/zero", "r");
	struct shunt_set set = {};
	char err[256];

	(void)state;
	assert_int_equal(shunt_set_parse(&set, in, "/dev/zero", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "/dev/zero:1: longer than 65536 bytes");
	fclose(in);
}

/* Of a long name the end is shown, and the message after it is whole. */
static void test_long_name(void **state)
{
	FILE *in = file_of("x", 1);
	struct shunt_set set = {};
	char name[5000], err[256];

	(void)state;
	memset(name, 'n', sizeof(name));
	strcpy(name + sizeof(name) - 10, "/the\nlist");
	assert_int_equal(shunt_set_parse(&set, in, name, err, sizeof(err)), -EINVAL);
	assert_memory_equal(err, "...nnn", 6);
	assert_non_null(strstr(err, "n/the?list:1: prefix 'x': not an address"));
	fclose(in);
}

enum { MANY = 1000000 };

/* The error in the last of a million lines is named, and the set is as it was. */
static void test_many(void **state)
{
	struct shunt_set set = {};
	FILE *in = tmpfile();
	char err[256];

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		fprintf(in, "%u.%u.%u.0/24\n", i >> 16 | 16, i >> 8 & 255, i & 255);
	rewind(in);
	assert_int_equal(shunt_set_parse(&set, in, "many", err, sizeof(err)), 0);
	assert_int_equal(set.n, MANY);
	fputs("1.2.3.x\n", in);
	rewind(in);
	assert_int_equal(shunt_set_parse(&set, in, "many", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "many:1000001: prefix '1.2.3.x': not an address");
	assert_int_equal(set.n, MANY);
	fclose(in);
	shunt_set_clear(&set);
}

/* Very many sets, each in two lines far from each other; and one too many. */
static void test_many_sets(void **state)
{
	struct shunt_config config;
	FILE *in = tmpfile();
	char err[256] = "";

	(void)state;
	for (unsigned int i = 0; i < 2 * 65535; i++)
		fprintf(in, "set s%u 10.%u.0.0/16\n", i % 65535, i / 65535);
	rewind(in);
	if (shunt_config_parse(&config, in, "f", NULL, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(config.sets.n, 65535);
	for (size_t i = 0; i < config.sets.n; i++) {
		assert_int_equal(config.sets.v[i].n, 2);
		assert_int_equal(atoi(config.sets.v[i].name + 1), i);
	}
	shunt_config_clear(&config);
	fputs("set more\n", in);
	rewind(in);
	assert_int_equal(shunt_config_parse(&config, in, "f", NULL, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "f:131071: more than 65535 sets");
	fclose(in);
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

/* Printed lines have a bounded length, and read back to the same set. */
static void test_print(void **state)
{
	struct shunt_config again;
	struct shunt_set set = { .name = "long" };
	char err[256] = "", *text;
	FILE *in = tmpfile();

	(void)state;
	for (unsigned int i = 0; i < 300; i++)
		fprintf(in, i % 3 ? "10.0.%u.%u\n" : "2001:db8::%u:%u\n", i / 100, i % 100);
	rewind(in);
	assert_int_equal(shunt_set_parse(&set, in, "f", err, sizeof(err)), 0);
	fclose(in);
	assert_int_equal(shunt_set_sort(&set), 0);
	text = printed(&(struct shunt_sets){ &set, 1 });
	for (const char *at = text, *end; *at; at = end + 1) {
		end = strchr(at, '\n');
		assert_in_range(end - at, end[1] ? 60 : 10, 100); /* the last one: what is left */
		assert_memory_equal(at, "set long ", 9);
	}
	in = file_of(text, strlen(text));
	assert_int_equal(shunt_config_parse(&again, in, "f", NULL, err, sizeof(err)), 0);
	assert_int_equal(again.sets.n, 1);
	assert_int_equal(again.sets.v[0].n, 300);
	assert_true(same_prefixes(&again.sets.v[0], &set));
	shunt_config_clear(&again);
	shunt_set_clear(&set);
	free(text);
	fclose(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	     cmocka_unit_test(test_rules_only),
		cmocka_unit_test(test_files),	     cmocka_unit_test(test_set_messages),
		cmocka_unit_test(test_endless_line), cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_many),	     cmocka_unit_test(test_many_sets),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
