/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Requests of the control socket: what is taken, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_request.h"
#include "inspect.h"
#include "reply.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int parse(struct control_request *r, const char *text, char *err, size_t size)
{
	return control_request_parse(r, text, strlen(text), err, size);
}

static void test_good(void **state)
{
	struct control_request r;
	char err[128];

	(void)state;
	assert_int_equal(parse(&r, "1 status", err, sizeof(err)), 0);
	assert_int_equal(r.verb, CONTROL_STATUS);
	assert_int_equal(parse(&r, "1 upstreams", err, sizeof(err)), 0);
	assert_int_equal(r.verb, CONTROL_UPSTREAMS);
	assert_int_equal(parse(&r, "1  list  client=10.0.0.0/8 destination=fd00::/8", err,
			       sizeof(err)), 0);
	assert_int_equal(r.verb, CONTROL_LIST);
	assert_true(r.filter.has_client && r.filter.has_destination && !r.filter.id);
	assert_int_equal(r.filter.client.len, 104);
	assert_int_equal(r.filter.destination.len, 8);
	assert_int_equal(parse(&r, "1 kill id=4711.12", err, sizeof(err)), 0);
	assert_int_equal(r.verb, CONTROL_KILL);
	assert_int_equal(r.filter.worker, 4711);
	assert_int_equal(r.filter.id, 12);
	assert_int_equal(parse(&r, "1 kill all", err, sizeof(err)), 0);
	assert_true(r.all);
	assert_int_equal(parse(&r, "1 drain", err, sizeof(err)), 0);
	assert_false(r.has_timeout);
	assert_int_equal(parse(&r, "1 drain timeout=0", err, sizeof(err)), 0);
	assert_true(r.has_timeout);
	assert_int_equal(r.timeout, 0);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *err;
	} cases[] = {
		{ "", "speaks version 1" },
		{ "0 status", "speaks version 1" },
		{ "01 status", "speaks version 1" },
		{ "1", "needs a verb" },
		{ "1 ", "needs a verb" },
		{ "1 stat", "'stat': unknown request" },
		{ "1 status all", "'all': 'status' does not take that" },
		{ "1 upstreams all", "'all': 'upstreams' does not take that" },
		{ "1 list all", "'all': 'list' does not take that" },
		{ "1 list =", "'=': 'list' does not take that" },
		{ "1 list client", "'client': needs a value" },
		{ "1 list client=", "client: ''" },
		{ "1 list client=10.0.0.1/8", "client: '10.0.0.1/8'" },
		{ "1 list client=10.0.0.0/8 client=10.0.0.0/8", "'client': given twice" },
		{ "1 kill", "needs either a filter or 'all'" },
		{ "1 kill all id=1.1", "needs either a filter or 'all'" },
		{ "1 kill all=yes", "'all' takes no value" },
		{ "1 kill id=1", "id: '1'" },
		{ "1 kill id=.1", "id: '.1'" },
		{ "1 kill id=0.1", "id: '0.1'" },
		{ "1 kill id=1.0", "id: '1.0'" },
		{ "1 kill id=1.1.1", "id: '1.1.1'" },
		{ "1 kill id=1.99999999999999999999", "id: '1.9" },
		{ "1 kill id=9999999999.1", "id: '9" },
		{ "1 drain timeout=-1", "timeout: '-1'" },
		{ "1 drain timeout=86401", "timeout: '86401'" },
		{ "1 drain timeout=", "timeout: ''" },
		{ "1 list\tall", "not printable" },
		{ "1 status\r", "not printable" },
		{ "1 \xc3\xa4", "not printable" },
	};
	struct control_request r = { .timeout = 77 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char err[128] = "";

		if (parse(&r, cases[i].text, err, sizeof(err)) != -EINVAL ||
		    !strstr(err, cases[i].err))
			fail_msg("'%s': '%s'", cases[i].text, err);
		assert_int_equal(r.timeout, 77); /* untouched */
	}
}

static void test_too_long(void **state)
{
	char text[600], err[128];
	struct control_request r;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "1 status", 8);
	assert_int_equal(control_request_parse(&r, text, 511, err, sizeof(err)), 0);
	assert_int_equal(control_request_parse(&r, text, 512, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "longer than"));
}

static struct address address_of(const char *text)
{
	struct address a = {};
	struct shunt_prefix p;
	const char *why;

	assert_int_equal(shunt_prefix_parse(&p, text, &why), 0);
	a.ip = p.addr;
	return a;
}

static void test_filter(void **state)
{
	static const struct {
		const char *filter, *client, *destination;
		uint64_t id;
		bool matches;
	} cases[] = {
		{ "1 list", "10.0.0.1", "10.0.0.2", 5, true },
		{ "1 list client=10.0.0.0/8", "10.255.0.1", "11.0.0.2", 5, true },
		{ "1 list client=10.0.0.0/8", "11.0.0.1", "10.0.0.2", 5, false },
		{ "1 list client=10.1.2.0/23", "10.1.3.255", "::", 5, true },
		{ "1 list client=10.1.2.0/23", "10.1.4.0", "::", 5, false },
		{ "1 list client=10.1.2.3", "10.1.2.3", "::", 5, true },
		{ "1 list client=10.1.2.3", "10.1.2.2", "::", 5, false },
		{ "1 list client=0.0.0.0/0", "10.1.2.2", "::", 5, true },
		{ "1 list client=0.0.0.0/0", "fd00::1", "::", 5, false },
		{ "1 list client=::/0", "fd00::1", "::", 5, true },
		{ "1 list destination=fc00::/7", "fd00::1", "fdff::2", 5, true },
		{ "1 list destination=fd00::/8", "fd00::1", "fc00::2", 5, false },
		{ "1 list id=1.5", "fd00::1", "fc00::2", 5, true },
		{ "1 list id=1.5", "fd00::1", "fc00::2", 6, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address client = address_of(cases[i].client);
		struct address destination = address_of(cases[i].destination);
		struct control_request r;
		char err[128] = "";

		assert_int_equal(parse(&r, cases[i].filter, err, sizeof(err)), 0);
		if (flow_filter_matches(&r.filter, cases[i].id, &client, &destination) !=
		    cases[i].matches)
			fail_msg("case %zu: %s", i, cases[i].filter);
	}
}

static void test_reply(void **state)
{
	char got[64] = "";
	struct reply r = {};
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	reply_add_string(&r, "a\"b\\c\nd\x01\xc3\xa4");
	reply_add(&r, "%d", 7);
	assert_int_equal(reply_send(&r, fds[0]), 1);
	assert_true(read(fds[1], got, sizeof(got) - 1) > 0);
	assert_string_equal(got, "\"a\\\"b\\\\c\\u000ad\\u0001\xc3\xa4\"7");
	/* More than may be held is lost as a whole, and said to be. */
	for (int i = 0; i < REPLY_MAX; i++)
		reply_add(&r, "xx");
	assert_true(r.lost);
	reply_release(&r);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_filter),
		cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
