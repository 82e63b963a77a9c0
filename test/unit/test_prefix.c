/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses and prefixes as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_good(void **state)
{
	static const struct {
		const char *text, *printed;
		uint8_t len;
		bool v4;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", 104, true },
		{ "0.0.0.0/0", "0.0.0.0/0", 96, true },
		{ "10.1.2.3", "10.1.2.3", 128, true },
		{ "10.1.2.3/32", "10.1.2.3", 128, true },
		{ "128.0.0.0/1", "128.0.0.0/1", 97, true },
		{ "10.1.2.2/31", "10.1.2.2/31", 127, true },
		{ "255.255.255.255", "255.255.255.255", 128, true },
		{ "::/0", "::/0", 0, false },
		{ "::", "::", 128, false },
		{ "2001:db8::/32", "2001:db8::/32", 32, false },
		{ "2001:DB8:0:0::1/128", "2001:db8::1", 128, false },
		{ "8000::/1", "8000::/1", 1, false },
		{ "2001:db8::8/125", "2001:db8::8/125", 125, false },
		{ "64:ff9b::/96", "64:ff9b::/96", 96, false },
		{ "::1.2.3.4", "::1.2.3.4", 128, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct shunt_prefix p;
		char buf[SHUNT_PREFIX_STR];
		const char *why = NULL;

		assert_int_equal(shunt_prefix_parse(&p, cases[i].text, &why), 0);
		assert_int_equal(p.len, cases[i].len);
		assert_int_equal(shunt_prefix_is_v4(&p), cases[i].v4);
		assert_ptr_equal(shunt_prefix_str(buf, &p), buf);
		assert_string_equal(buf, cases[i].printed);
	}
}

static void test_bytes(void **state)
{
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 0 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct shunt_prefix p;
	const char *why;

	(void)state;
	assert_int_equal(shunt_prefix_parse(&p, "192.0.2.0/24", &why), 0);
	assert_memory_equal(p.addr.s6_addr, v4, 16);
	assert_int_equal(shunt_prefix_parse(&p, "2001:db8::1", &why), 0);
	assert_memory_equal(p.addr.s6_addr, v6, 16);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "not an address" },
		{ "/8", "not an address" },
		{ "10", "not an address" },
		{ "10.0.0", "not an address" },
		{ "10.0.0.0.0", "not an address" },
		{ "10.0.0.256", "not an address" },
		{ "10.0.0.01", "not an address" },
		{ " 10.0.0.1", "not an address" },
		{ "10.0.0.1 ", "not an address" },
		{ "10.0.0.1x", "not an address" },
		{ "example.org", "not an address" },
		{ "2001:db8::g", "not an address" },
		{ "2001:db8::1::2", "not an address" },
		{ "fe80::1%eth0", "not an address" },
		{ "[::1]", "not an address" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", "not an address" },
		{ "10.0.0.0/", "the prefix length is not 0..32" },
		{ "10.0.0.0/33", "the prefix length is not 0..32" },
		{ "10.0.0.0/08", "the prefix length is not 0..32" },
		{ "10.0.0.0/-1", "the prefix length is not 0..32" },
		{ "10.0.0.0/8/8", "the prefix length is not 0..32" },
		{ "10.0.0.0/255.0.0.0", "the prefix length is not 0..32" },
		{ "10.0.0.0/4294967304", "the prefix length is not 0..32" },
		{ "::/129", "the prefix length is not 0..128" },
		{ "::/ 8", "the prefix length is not 0..128" },
		{ "10.0.0.1/8", "host bits are set" },
		{ "10.0.0.1/31", "host bits are set" },
		{ "0.0.0.1/0", "host bits are set" },
		{ "::1/127", "host bits are set" },
		{ "::1/0", "host bits are set" },
		{ "2001:db8:8000::/32", "host bits are set" },
		{ "::ffff:10.0.0.1", "write a v4-mapped address as IPv4" },
		{ "::ffff:a00:0/104", "write a v4-mapped address as IPv4" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct shunt_prefix p, before;
		const char *why = NULL;

		memset(&p, 0x5a, sizeof(p));
		before = p;
		assert_int_equal(shunt_prefix_parse(&p, cases[i].text, &why), -EINVAL);
		assert_string_equal(why, cases[i].why);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

/* Only len bytes count: what follows belongs to someone else. */
static void test_scan_stops(void **state)
{
	struct shunt_prefix p;
	char buf[SHUNT_PREFIX_STR];
	const char *why;

	(void)state;
	assert_int_equal(shunt_prefix_scan(&p, "10.0.0.0/8,x", 10, &why), 0);
	assert_string_equal(shunt_prefix_str(buf, &p), "10.0.0.0/8");
	assert_int_equal(shunt_prefix_scan(&p, "10.0.0.1/32", 10, &why), 0);
	assert_int_equal(p.len, 99);
	assert_true(shunt_prefix_mask(&p));
	assert_string_equal(shunt_prefix_str(buf, &p), "0.0.0.0/3");
	assert_false(shunt_prefix_mask(&p));
	assert_int_equal(shunt_prefix_scan(&p, "1.2.3.4\0", 8, &why), -EINVAL);
}

/* Each length of random addresses: mask, print and parse agree with arithmetic of bits. */
static void test_all_lengths(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (unsigned int len = 0; len <= 128; len++) {
			struct shunt_prefix p = { .len = (uint8_t)len }, back;
			char buf[SHUNT_PREFIX_STR];
			const char *why;

			for (int i = 0; i < 16; i++)
				p.addr.s6_addr[i] = (uint8_t)(rand_r(&seed) >> 7);
			p.addr.s6_addr[0] |= 0x20; /* not v4-mapped */
			if (len < 3)
				p.addr.s6_addr[0] = 0;
			shunt_prefix_mask(&p);
			for (unsigned int bit = len; bit < 128; bit++)
				assert_false(p.addr.s6_addr[bit / 8] >> (7 - bit % 8) & 1);
			assert_int_equal(shunt_prefix_parse(&back, shunt_prefix_str(buf, &p), &why),
					 0);
			assert_int_equal(back.len, len);
			assert_memory_equal(&back.addr, &p.addr, 16);
		}
	}
}

static void test_longest(void **state)
{
	static const char text[] = "2001:1db8:1111:2222:3333:4444:5555:6666/127";
	struct shunt_prefix p;
	char buf[SHUNT_PREFIX_STR];
	const char *why;

	(void)state;
	assert_int_equal(shunt_prefix_parse(&p, text, &why), 0);
	assert_string_equal(shunt_prefix_str(buf, &p), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_bad),	   cmocka_unit_test(test_scan_stops),
		cmocka_unit_test(test_all_lengths), cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
