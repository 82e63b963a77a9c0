/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that must not be made: bad destinations, the listener itself, loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "address.h"
#include "guard.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct address address(const char *ip, uint16_t port)
{
	struct address a = { .port = port };

	if (strchr(ip, ':')) {
		assert_int_equal(inet_pton(AF_INET6, ip, &a.ip), 1);
	} else {
		a.ip.s6_addr32[2] = htonl(0xffff);
		assert_int_equal(inet_pton(AF_INET, ip, &a.ip.s6_addr32[3]), 1);
	}
	return a;
}

static void test_destinations(void **state)
{
	static const struct {
		const char *client, *destination;
		uint16_t port;
		bool bad;
	} cases[] = {
		{ "10.0.0.1", "192.0.2.1", 80, false },
		{ "10.0.0.1", "192.0.2.1", 0, true },
		{ "10.0.0.1", "0.0.0.0", 80, true },
		{ "10.0.0.1", "0.1.2.3", 80, true },
		{ "10.0.0.1", "1.0.0.0", 80, false },
		{ "10.0.0.1", "127.0.0.1", 80, true },
		{ "10.0.0.1", "127.255.255.255", 80, true },
		{ "127.0.0.1", "127.0.0.2", 80, false },
		{ "10.0.0.1", "128.0.0.1", 80, false },
		{ "10.0.0.1", "223.255.255.255", 80, false },
		{ "10.0.0.1", "224.0.0.1", 80, true },
		{ "10.0.0.1", "240.0.0.1", 80, true },
		{ "10.0.0.1", "255.255.255.255", 80, true },
		{ "2001:db8::1", "2001:db8::2", 80, false },
		{ "2001:db8::1", "fe80::1", 80, false },
		{ "2001:db8::1", "::", 80, true },
		{ "2001:db8::1", "::1", 80, true },
		{ "::1", "::1", 80, false },
		{ "2001:db8::1", "::1.2.3.4", 80, true },
		{ "2001:db8::1", "::ffff:192.0.2.1", 80, true },
		{ "2001:db8::1", "ff02::1", 80, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address c = address(cases[i].client, 1234);
		struct address d = address(cases[i].destination, cases[i].port);

		assert_int_equal(guard_is_bad_destination(&c, &d), cases[i].bad);
	}
}

static enum flow_reason check_as(struct guard *g, bool own_source,
				 const struct address *client,
				 const struct address *destination)
{
	static struct guard_cache cache;

	memset(&cache, 0, sizeof(cache));
	return guard_check(g, &cache, 1, own_source, client, destination);
}

static enum flow_reason check(struct guard *g, const struct address *client,
			      const struct address *destination)
{
	return check_as(g, true, client, destination);
}

static void test_own_listener(void **state)
{
	struct address client = address("127.0.0.1", 1234);
	struct address here = address("127.0.0.1", 4000);
	struct address other_port = address("127.0.0.1", 4001);
	struct address far = address("192.0.2.1", 4000);
	struct address from_far = address("192.0.2.9", 1234);
	struct guard g;

	(void)state;
	assert_int_equal(guard_init(&g), 0);
	guard_add_port(&g, 4000);
	assert_int_equal(check(&g, &client, &here), FLOW_END_SELF);
	assert_int_equal(check(&g, &client, &other_port), FLOW_END_FIN);
	assert_int_equal(check(&g, &from_far, &far), FLOW_END_FIN);
	guard_release(&g);
}

static void test_arming(void **state)
{
	struct address far = address("192.0.2.9", 1234);
	struct address near = address("127.0.0.1", 1234);
	struct address to = address("192.0.2.1", 80);
	struct guard g;

	(void)state;
	guard_init(&g);
	assert_int_equal(check(&g, &far, &to), FLOW_END_FIN);
	assert_false(guard_is_armed(&g));
	assert_int_equal(check(&g, &near, &to), FLOW_END_FIN);
	assert_true(guard_is_armed(&g));
	guard_release(&g);
}

static void test_loop_with_own_address(void **state)
{
	struct address near = address("127.0.0.1", 1234);
	struct address source = address("192.0.2.9", 5555);
	struct address neighbour = address("192.0.2.9", 5556);
	struct address to = address("192.0.2.1", 80);
	struct guard g;

	(void)state;
	guard_init(&g);
	assert_int_equal(check(&g, &near, &to), FLOW_END_FIN);
	assert_true(guard_is_armed(&g));
	assert_true(guard_note(&g, &source, &to));
	assert_int_equal(check(&g, &source, &to), FLOW_END_SELF);
	assert_int_equal(check(&g, &neighbour, &to), FLOW_END_FIN);
	guard_forget(&g, &source, &to);
	assert_int_equal(check(&g, &source, &to), FLOW_END_FIN);
	guard_release(&g);
}

/* The client may have the very port that the kernel gave us: no proof, even for its own host. */
static void test_client_address_is_no_proof(void **state)
{
	struct address near = address("127.0.0.1", 1234);
	struct address source = address("192.0.2.9", 5555);
	struct address to = address("192.0.2.1", 80);
	struct address here = address("127.0.0.1", 4000);
	struct guard g;

	(void)state;
	guard_init(&g);
	guard_add_port(&g, 4000);
	assert_int_equal(check_as(&g, false, &near, &to), FLOW_END_FIN);
	assert_false(guard_is_armed(&g));
	assert_true(guard_note(&g, &source, &to));
	assert_int_equal(check_as(&g, false, &source, &to), FLOW_END_FIN);
	assert_int_equal(check_as(&g, false, &near, &here), FLOW_END_SELF);
	guard_release(&g);
}

static void test_many(void **state)
{
	struct address to = address("2001:db8::1", 80);
	struct address from = address("2001:db8::2", 0);
	struct guard g;
	int noted = 0;

	(void)state;
	guard_init(&g);
	for (uint32_t i = 1; i <= 20000; i++) {
		from.port = (uint16_t)i;
		noted += guard_note(&g, &from, &to);
	}
	assert_true(noted > 19990); /* a bucket may be full, rarely */
	for (uint32_t i = 30000; i <= 60000; i++) {
		from.port = (uint16_t)i;
		assert_false(guard_knows(&g, &from, &to));
	}
	for (uint32_t i = 1; i <= 20000; i++) {
		from.port = (uint16_t)i;
		guard_forget(&g, &from, &to);
		assert_false(guard_knows(&g, &from, &to));
	}
	for (int i = 0; i < GUARD_SLOTS; i++)
		assert_int_equal(g.slots[i], 0);
	guard_release(&g);
}

static void test_address_text(void **state)
{
	struct address link_local = address("fe80::1", 443);
	struct address v4 = address("192.0.2.1", 80), back;
	struct sockaddr_storage sa;
	char buf[ADDRESS_STR];

	(void)state;
	link_local.scope = 3;
	assert_string_equal(address_str(buf, &v4), "192.0.2.1:80");
	assert_string_equal(address_str(buf, &link_local), "[fe80::1%3]:443");
	assert_int_equal(address_to_sockaddr(&sa, &v4), sizeof(struct sockaddr_in));
	address_from_sockaddr(&back, &sa);
	assert_true(address_equal(&v4, &back));
	assert_int_equal(address_to_sockaddr(&sa, &link_local), sizeof(struct sockaddr_in6));
	address_from_sockaddr(&back, &sa);
	assert_true(address_equal(&link_local, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_own_listener),
		cmocka_unit_test(test_arming),
		cmocka_unit_test(test_loop_with_own_address),
		cmocka_unit_test(test_client_address_is_no_proof),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_address_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
