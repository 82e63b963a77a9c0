/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files of rules: lines, order, messages with file and line, size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rule_grammar.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int parse_bytes(struct shunt_rules *out, const char *bytes, size_t len, char *err)
{
	FILE *in = tmpfile();
	int r;

	assert_non_null(in);
	assert_int_equal(fwrite(bytes, 1, len, in), len);
	rewind(in);
	r = shunt_rules_parse(out, in, "f", err, 256);
	fclose(in);
	return r;
}

static void assert_rules(const char *bytes, size_t len, const char *const *printed, size_t n)
{
	struct shunt_rules rules;
	char err[256];

	if (parse_bytes(&rules, bytes, len, err))
		fail_msg("%s", err);
	assert_int_equal(rules.n, n);
	for (size_t i = 0; i < n; i++) {
		char *text = shunt_rule_format(&rules.v[i]);

		assert_string_equal(text, printed[i]);
		free(text);
	}
	shunt_rules_clear(&rules);
	assert_null(rules.v);
	assert_int_equal(rules.n, 0);
}

static void assert_refused(const char *bytes, size_t len, const char *message)
{
	struct shunt_rules rules = { (struct shunt_rule *)(void *)"untouched", 77 }, before = rules;
	char err[256];

	assert_int_equal(parse_bytes(&rules, bytes, len, err), -EINVAL);
	assert_string_equal(err, message);
	assert_memory_equal(&rules, &before, sizeof(rules));
}

#define RULES(text, ...)                                                                       \
	do {                                                                                   \
		const char *const printed[] = { __VA_ARGS__ };                                 \
		assert_rules(text, sizeof(text) - 1, printed, COUNT(printed));                 \
	} while (0)
#define REFUSED(text, message) assert_refused(text, sizeof(text) - 1, message)

static void test_lines(void **state)
{
	(void)state;
	assert_rules("", 0, NULL, 0);
	assert_rules("\n\n# only\n  \t\n", 13, NULL, 0);
	RULES("1 pass", "1 pass");
	RULES("1 pass\n", "1 pass");
	RULES("\n # c\n 1 pass # d\n\t\n2 drop\n", "1 pass # d", "2 drop");
	RULES("1 pass\r\n\r\n2 drop # x\r\n#\r\n3 reject\r", "1 pass", "2 drop # x", "3 reject");
	RULES("\xef\xbb\xbf" "1 pass\n", "1 pass");
	assert_rules("\xef\xbb\xbf", 3, NULL, 0);
}

static void test_order(void **state)
{
	(void)state;
	RULES("30 pass\n10 pass\n20 pass\n", "10 pass", "20 pass", "30 pass");
	RULES("2 pass\n1 pass\n4 pass\n3 pass\n", "1 pass", "2 pass", "3 pass", "4 pass");
	RULES("2147483647 pass\n1 pass\n", "1 pass", "2147483647 pass");
}

static void test_messages(void **state)
{
	(void)state;
	REFUSED("1 pass\n2 port 80x pass\n", "f:2: port '80x': not a number");
	REFUSED("pass", "f:1: a rule begins with its priority, not 'pass'");
	REFUSED("1 pass\n\n# x\n1 drop\n", "f:4: priority '1' is already that of line 1");
	REFUSED("5 pass\n9 drop\n3 pass\n9 drop", "f:4: priority '9' is already that of line 2");
	REFUSED("1 pass\0\n", "f:1: there is a NUL byte in the line");
	REFUSED("1 pass\n# \0\n", "f:2: there is a NUL byte in the line");
	REFUSED("1 pass\r\r\n", "f:1: unknown word 'pass\\x0d', did you mean 'pass'");
	REFUSED("1 pass\n\xef\xbb\xbf" "2 pass\n",
		"f:2: a rule begins with its priority, not '\\xef\\xbb\\xbf2'");
	REFUSED("\xef\xbb\xbf\xef\xbb\xbf" "2 pass\n",
		"f:1: a rule begins with its priority, not '\\xef\\xbb\\xbf2'");
	REFUSED("1 pass\n2 pass # \x1b[2J\n", "f:2: comment '\\x1b[2J': not printable UTF-8");
}

/* Lines around the limit, at every place in the reader's buffer that such a line can take. */
static void test_long_lines(void **state)
{
	static const size_t before[] = { 0, 1, 65530, 65536, 131072, 196600, 196609, 262100 };
	static const char *const ends[] = { "", "\n", "\r\n" };
	char *bytes = malloc(1 << 20);

	(void)state;
	for (size_t i = 0; i < COUNT(before) * COUNT(ends) * 2; i++) {
		size_t skip = before[i / 6], len = RULE_TEXT_MAX + i % 2;
		const char *end = ends[i / 2 % 3];
		char message[64];

		memset(bytes, '\n', skip);
		memset(bytes + skip, 'x', len);
		memcpy(bytes + skip, "7 pass # ", 9);
		strcpy(bytes + skip + len, end);
		if (i % 2 == 0) {
			struct shunt_rules rules;

			assert_int_equal(parse_bytes(&rules, bytes, skip + len + strlen(end),
						     message), 0);
			assert_int_equal(rules.n, 1);
			assert_int_equal(strlen(rules.v[0].comment), len - 9);
			shunt_rules_clear(&rules);
			continue;
		}
		snprintf(message, sizeof(message), "f:%zu: longer than 65536 bytes", skip + 1);
		assert_refused(bytes, skip + len + strlen(end), message);
	}
	free(bytes);
}

/* No newline in sight: refused when the line is too long, not when memory is out. */
static void test_endless_line(void **state)
{
	struct shunt_rules rules;
	FILE *in = fopen("/dev/zero", "r");
	char err[256];

	(void)state;
	assert_non_null(in);
	assert_int_equal(shunt_rules_parse(&rules, in, "/dev/zero", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "/dev/zero:1: longer than 65536 bytes");
	fclose(in);
}

static void test_read_error(void **state)
{
	struct shunt_rules rules;
	FILE *in = fopen("/", "r");
	char err[256];

	(void)state;
	assert_non_null(in);
	assert_int_equal(shunt_rules_parse(&rules, in, "/", err, sizeof(err)), -EISDIR);
	assert_string_equal(err, "/: cannot read: Is a directory");
	fclose(in);
}

/* A pipe gives what it has in pieces of any size. */
static void test_pipe(void **state)
{
	static const char text[] = "20 pass\n10 drop # from a pipe\n";
	struct shunt_rules rules;
	char err[256];
	int fds[2];
	FILE *in;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, sizeof(text) - 1), sizeof(text) - 1);
	close(fds[1]);
	in = fdopen(fds[0], "r");
	assert_int_equal(shunt_rules_parse(&rules, in, "-", err, sizeof(err)), 0);
	assert_int_equal(rules.n, 2);
	assert_int_equal(rules.v[0].action, SHUNT_ACT_DROP);
	shunt_rules_clear(&rules);
	fclose(in);
}

static void test_long_name(void **state)
{
	struct shunt_rules rules;
	char name[5000], err[256];
	FILE *in;

	(void)state;
	memset(name, 'n', sizeof(name));
	strcpy(name + sizeof(name) - 12, "/the\nrules");
	for (size_t size = 0; size <= sizeof(err); size += 32) {
		in = fmemopen((char *)"1 pass\n2 xyzzy", 14, "r");
		memset(err, 'X', sizeof(err));
		assert_int_equal(shunt_rules_parse(&rules, in, name, err, size), -EINVAL);
		assert_true(size == 0 ? err[0] == 'X' : strnlen(err, size) < size);
		fclose(in);
	}
	assert_memory_equal(err, "...nnn", 6);
	assert_non_null(strstr(err, "n/the?rules:2: unknown word 'xyzzy'"));
}

enum { MANY = 300000 };

/* More than fits a generation, in an order that needs sorting; each rule ends in its place. */
static void test_many(void **state)
{
	struct shunt_rules rules;
	FILE *in = tmpfile();
	char err[256] = "";

	(void)state;
	assert_non_null(in);
	for (unsigned int i = 0; i < MANY; i++) {
		/* 7919 is prime to MANY: a permutation */
		unsigned int p = (unsigned int)((uint64_t)i * 7919 % MANY) + 1;

		fprintf(in, "%u tcp to 10.%u.%u.%u port %u proxy\n", p, p >> 16, p >> 8 & 255,
			p & 255, p % 65535 + 1);
	}
	rewind(in);
	assert_int_equal(shunt_rules_parse(&rules, in, "many", err, sizeof(err)), 0);
	assert_int_equal(rules.n, MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		const struct shunt_rule *r = &rules.v[i];
		const uint8_t *a = r->to.v[0].addr.s6_addr;

		assert_int_equal(r->priority, i + 1);
		assert_int_equal((unsigned int)a[13] << 16 | a[14] << 8 | a[15], i + 1);
		assert_int_equal(r->port.v[0].lo, (i + 1) % 65535 + 1);
	}
	shunt_rules_clear(&rules);
	fprintf(in, "%u drop\n", 4242);
	rewind(in);
	assert_int_equal(shunt_rules_parse(&rules, in, "many", err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "many:300001: priority '4242' is already that of line "));
	fclose(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	     cmocka_unit_test(test_order),
		cmocka_unit_test(test_messages),     cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_endless_line), cmocka_unit_test(test_read_error),
		cmocka_unit_test(test_pipe),	     cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
