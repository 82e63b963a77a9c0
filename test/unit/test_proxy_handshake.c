/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said to proxies, byte by byte, and what is made of their answers in any pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http_connect.h"
#include "peer_name.h"
#include "proxy_header.h"
#include "socks5.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct peer_name peer(const char *text)
{
	struct peer_name p;

	assert_true(peer_name_parse(&p, text));
	return p;
}

/* ---- names ---- */

static void test_peer_names(void **state)
{
	static const char *const good[] = {
		"example.net:443", "a:1", "192.0.2.1:80", "[2001:db8::1]:65535", "x-1_y.z.:80",
	};
	static const char *const bad[] = {
		"", ":80", "a", "a:", "a:0", "a:65536", "a b:80", "a/b:80", ".a:80", "192.0.2:80",
		"1.2.3.4.5:80", "2001:db8::1:80", "[a]:80", "a:80\n", "\xc3\xa9:80",
	};
	char text[PEER_NAME_STR], longest[PEER_NAME_MAX + 16];
	struct peer_name p;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		p = peer(good[i]);
		assert_string_equal(peer_name_str(text, &p), good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(peer_name_parse(&p, bad[i]));
	memset(longest, 'a', PEER_NAME_MAX);
	strcpy(longest + PEER_NAME_MAX, ":65535");
	p = peer(longest);
	assert_string_equal(peer_name_str(text, &p), longest);
	memset(longest, 'a', PEER_NAME_MAX + 1);
	strcpy(longest + PEER_NAME_MAX + 1, ":80");
	assert_false(peer_name_parse(&p, longest));
}

/* ---- SOCKS5 ---- */

/* Feed in pieces of size; returns the result, and what was sent is added to out. */
static int feed_socks5(struct socks5 *s, const uint8_t *in, size_t n, size_t piece, size_t *used,
		       uint8_t *out, size_t *out_len)
{
	uint8_t message[SOCKS5_OUT];
	size_t taken, len;
	int r = 0;

	for (*used = 0; !r && *used < n; *used += taken) {
		size_t size = n - *used < piece ? n - *used : piece;

		r = socks5_feed(s, in + *used, size, &taken, message, &len);
		assert_true(taken <= size && (taken || r));
		memcpy(out + *out_len, message, len);
		*out_len += len;
	}
	return r;
}

/* A whole dialogue, in pieces of 1, 2, 3 and all bytes, followed by bytes of the server. */
static void dialogue(const char *user, const char *password, const char *to, const char *in,
		     size_t in_len, const char *want, size_t want_len)
{
	static const size_t pieces[] = { 1, 2, 3, 4096 };
	struct peer_name name = peer(to);

	for (size_t i = 0; i < COUNT(pieces); i++) {
		uint8_t out[2 * SOCKS5_OUT], text[1024];
		struct socks5 s;
		size_t out_len = socks5_begin(&s, user, password, &name, out), used;

		memcpy(text, in, in_len);
		memcpy(text + in_len, "hello", 5);
		assert_int_equal(feed_socks5(&s, text, in_len + 5, pieces[i], &used, out,
					     &out_len), 1);
		assert_int_equal(used, in_len);
		assert_int_equal(out_len, want_len);
		assert_memory_equal(out, want, want_len);
	}
}

#define DIALOGUE(user, password, to, in, want)                                                  \
	dialogue(user, password, to, in, sizeof(in) - 1, want, sizeof(want) - 1)

static void test_socks5(void **state)
{
	(void)state;
	DIALOGUE(NULL, NULL, "192.0.2.1:258", "\5\0\5\0\0\1\0\0\0\0\0\0",
		 "\5\1\0\5\1\0\1\xc0\0\2\1\1\2");
	DIALOGUE(NULL, NULL, "[2001:db8::1]:80", "\5\0\5\0\0\4abcdefghijklmnopqr",
		 "\5\1\0\5\1\0\4\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x50");
	DIALOGUE(NULL, NULL, "example.net:443", "\5\0\5\0\0\3\4nameXY",
		 "\5\1\0\5\1\0\3\13example.net\1\xbb");
	DIALOGUE(NULL, NULL, "a:1", "\5\0\5\0\0\3\0XY", "\5\1\0\5\1\0\3\1a\0\1");
	DIALOGUE("me", "secret", "a:1", "\5\2\1\0\5\0\0\1aaaapp",
		 "\5\2\0\2\1\2me\6secret\5\1\0\3\1a\0\1");
	/* It has an account, but the server wants none. */
	DIALOGUE("me", "secret", "a:1", "\5\0\5\0\0\1aaaapp", "\5\2\0\2\5\1\0\3\1a\0\1");
	DIALOGUE("me", NULL, "a:1", "\5\2\1\0\5\0\0\1aaaapp", "\5\2\0\2\1\2me\0\5\1\0\3\1a\0\1");
}

static void test_socks5_refusals(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		int r;
		const char *reason;
	} cases[] = {
		{ "\4\0", 2, -EPROTO, "no way to log in, or not SOCKS5" },
		{ "HTTP/1.1", 8, -EPROTO, "no way to log in, or not SOCKS5" },
		{ "\5\xff", 2, -EKEYREJECTED, "no way to log in, or not SOCKS5" },
		{ "\5\1", 2, -EPROTO, "no way to log in, or not SOCKS5" },
		{ "\5\2\1\1", 4, -EKEYREJECTED, "wrong user or password" },
		{ "\5\2\5\0", 4, -EPROTO, "wrong user or password" },
		{ "\5\0\5\1", 4, -EREMOTEIO, "general failure" },
		{ "\5\0\5\2\0\1", 6, -EREMOTEIO, "not allowed by its rules" },
		{ "\5\0\5\3", 4, -EHOSTUNREACH, "network unreachable" },
		{ "\5\0\5\4", 4, -EHOSTUNREACH, "host unreachable" },
		{ "\5\0\5\5\0\1\0\0\0\0\0\0", 12, -ECONNREFUSED, "connection refused" },
		{ "\5\0\5\6", 4, -EHOSTUNREACH, "TTL expired" },
		{ "\5\0\5\10", 4, -EREMOTEIO, "address type not supported" },
		{ "\5\0\5\x63", 4, -EREMOTEIO, "unknown reply" },
		{ "\5\0\4\0\0\1\0\0\0\0\0\0", 12, -EPROTO, "succeeded" },
		{ "\5\0\5\0\0\2\0\0\0\0\0\0", 12, -EPROTO, "succeeded" },
	};
	struct peer_name to = peer("a:1");
	uint8_t out[2 * SOCKS5_OUT];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct socks5 s;
		size_t len = socks5_begin(&s, "u", "p", &to, out), used;

		assert_int_equal(feed_socks5(&s, (const uint8_t *)cases[i].in, cases[i].len, 1,
					     &used, out, &len), cases[i].r);
		assert_string_equal(socks5_reason(&s), cases[i].reason);
	}
	/* Asked for an account that is not there. */
	{
		struct socks5 s;
		size_t len = socks5_begin(&s, NULL, NULL, &to, out), used;

		assert_int_equal(feed_socks5(&s, (const uint8_t *)"\5\2", 2, 1, &used, out, &len),
				 -EKEYREJECTED);
		assert_string_equal(socks5_reason(&s), "it wants user and password");
	}
}

static void test_socks5_longest(void **state)
{
	char user[SOCKS5_FIELD + 1], password[SOCKS5_FIELD + 1], name[PEER_NAME_MAX + 8];
	uint8_t out[4 * SOCKS5_OUT];
	struct peer_name to;
	struct socks5 s;
	size_t len, used;

	(void)state;
	memset(user, 'u', SOCKS5_FIELD);
	memset(password, 'p', SOCKS5_FIELD);
	user[SOCKS5_FIELD] = password[SOCKS5_FIELD] = '\0';
	memset(name, 'n', PEER_NAME_MAX);
	strcpy(name + PEER_NAME_MAX, ":1");
	to = peer(name);
	len = socks5_begin(&s, user, password, &to, out);
	assert_int_equal(feed_socks5(&s, (const uint8_t *)"\5\2\1\0\5\0\0\3\xff", 9, 9, &used, out,
				     &len), 0);
	assert_int_equal(len, 4 + 513 + 4 + 1 + PEER_NAME_MAX + 2);
	memset(out, 0, 300);
	assert_int_equal(socks5_feed(&s, out, 300, &used, out + 300, &len), 1);
	assert_int_equal(used, 255 + 2);
}

/* ---- CONNECT ---- */

static int feed_http(const char *in, size_t piece, size_t *used)
{
	struct peer_name to = peer("a:1");
	char out[HTTP_CONNECT_OUT];
	struct http_connect h;
	size_t n = strlen(in), taken;
	int r = 0;

	http_connect_begin(&h, NULL, NULL, &to, out);
	for (*used = 0; !r && *used < n; *used += taken) {
		size_t size = n - *used < piece ? n - *used : piece;

		r = http_connect_feed(&h, in + *used, size, &taken);
		assert_true(taken <= size && taken);
	}
	return r;
}

static void test_connect_requests(void **state)
{
	char out[HTTP_CONNECT_OUT + 1], user[256], password[256], name[PEER_NAME_MAX + 8];
	struct peer_name to = peer("[2001:db8::1]:443");
	struct http_connect h;
	size_t len;

	(void)state;
	len = http_connect_begin(&h, NULL, NULL, &to, out);
	out[len] = '\0';
	assert_string_equal(out, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
				 "Host: [2001:db8::1]:443\r\n\r\n");
	to = peer("example.net:80");
	len = http_connect_begin(&h, "Aladdin", "open sesame", &to, out);
	out[len] = '\0';
	assert_string_equal(out, "CONNECT example.net:80 HTTP/1.1\r\nHost: example.net:80\r\n"
				 "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	len = http_connect_begin(&h, "ab", "c", &to, out);
	out[len] = '\0';
	assert_non_null(strstr(out, " YWI6Yw==\r\n"));
	len = http_connect_begin(&h, "ab", "cd\xff", &to, out);
	out[len] = '\0';
	assert_non_null(strstr(out, " YWI6Y2T/\r\n"));
	/* The longest of all fits. */
	memset(user, 'u', 255);
	memset(password, 'p', 255);
	user[255] = password[255] = '\0';
	memset(name, 'n', PEER_NAME_MAX);
	strcpy(name + PEER_NAME_MAX, ":65535");
	to = peer(name);
	assert_true(http_connect_begin(&h, user, password, &to, out) < HTTP_CONNECT_OUT);
}

static void test_connect_answers(void **state)
{
	static const struct {
		const char *in;
		int r;
		size_t used;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\n\r\nhello", 1, 19 },
		{ "HTTP/1.0 200\r\n\r\nhello", 1, 16 },
		{ "HTTP/1.1 200 Connection established\nVia: x\n\n\n", 1, 44 },
		{ "HTTP/1.1 201 \r\nContent-Length: 5\r\n\r\nhello", 1, 36 },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nX", 1, 44 },
		{ "HTTP/1.1 407 Proxy Authentication Required\r\nA: b\r\n\r\n", -EKEYREJECTED, 52 },
		{ "HTTP/1.1 101 Switching\r\n\r\n", -EREMOTEIO, 26 },
		{ "HTTP/1.1 301 Moved\r\n\r\n", -EREMOTEIO, 22 },
		{ "HTTP/1.1 503 No\r\n\r\n", -EREMOTEIO, 19 },
		{ "HTTP/1.1 000 No\r\n\r\n", -EREMOTEIO, 19 },
		{ "HTTP/2.0 200 OK\r\n\r\n", -EPROTO, 6 },
		{ "HTTP/1.x 200 OK\r\n\r\n", -EPROTO, 8 },
		{ "HTTP/1.1 20 OK\r\n\r\n", -EPROTO, 12 },
		{ "HTTP/1.1 2000\r\n\r\n", -EPROTO, 13 },
		{ "HTTP/1.1 20\r\n\r\n", -EPROTO, 13 },
		{ "HTTP/1.1  200 OK\r\n\r\n", -EPROTO, 10 },
		{ "\r\n\r\n", -EPROTO, 2 },
		{ "SSH-2.0-x\r\n", -EPROTO, 1 },
		{ "HTTP/1.1 200 OK\r\rX", -EPROTO, 17 },
		{ "HTTP/1.1 200 OK\r\nHead", 0, 21 },
		{ "HTTP/1.1 200 OK\r\n\r", 0, 18 },
	};
	static const size_t pieces[] = { 1, 2, 7, 4096 };
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t k = 0; k < COUNT(pieces); k++) {
			assert_int_equal(feed_http(cases[i].in, pieces[k], &used), cases[i].r);
			assert_int_equal(used, cases[i].used);
		}
	}
}

static void test_connect_bounds(void **state)
{
	static char in[HTTP_CONNECT_IN_MAX + 64];
	struct peer_name to = peer("a:1");
	char out[HTTP_CONNECT_OUT];
	struct http_connect h;
	size_t used;

	(void)state;
	strcpy(in, "HTTP/1.1 200 OK\r\nX: ");
	memset(in + strlen(in), 'x', HTTP_CONNECT_IN_MAX);
	assert_int_equal(feed_http(in, 1000, &used), -EPROTO);
	assert_int_equal(used, HTTP_CONNECT_IN_MAX + 1);
	http_connect_begin(&h, NULL, NULL, &to, out);
	assert_int_equal(http_connect_feed(&h, "HTTP/1.1 200 O\0K\r\n", 18, &used), -EPROTO);
}

/* ---- PROXY ---- */

static void test_proxy_headers(void **state)
{
	struct address c4, d4, c6, d6, longest;
	char out[PROXY_HEADER_MAX + 1];
	size_t len;

	(void)state;
	assert_true(address_parse(&c4, "192.0.2.1:1025") && address_parse(&d4, "198.51.100.2:80"));
	assert_true(address_parse(&c6, "[2001:db8::1]:1025") &&
		    address_parse(&d6, "[2001:db8::2]:443"));
	len = proxy_header_v1(out, &c4, &d4);
	assert_int_equal(len, strlen(out));
	assert_string_equal(out, "PROXY TCP4 192.0.2.1 198.51.100.2 1025 80\r\n");
	proxy_header_v1(out, &c6, &d6);
	assert_string_equal(out, "PROXY TCP6 2001:db8::1 2001:db8::2 1025 443\r\n");
	assert_true(address_parse(&longest, "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"));
	len = proxy_header_v1(out, &longest, &longest);
	assert_true(len <= PROXY_HEADER_MAX && !strcmp(out + len - 2, "\r\n"));
	len = proxy_header_v2(out, &c4, &d4);
	assert_int_equal(len, 28);
	assert_memory_equal(out, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\1\0\x50",
			    28);
	len = proxy_header_v2(out, &c6, &d6);
	assert_int_equal(len, 52);
	assert_memory_equal(out + 12, "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
				      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\4\1\1\xbb", 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer_names),
		cmocka_unit_test(test_socks5),
		cmocka_unit_test(test_socks5_refusals),
		cmocka_unit_test(test_socks5_longest),
		cmocka_unit_test(test_connect_requests),
		cmocka_unit_test(test_connect_answers),
		cmocka_unit_test(test_connect_bounds),
		cmocka_unit_test(test_proxy_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
