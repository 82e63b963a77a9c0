/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "http_connect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_AT = 9, STATUS_END = 12 }; /* in "HTTP/1.1 200 OK" */

/* ---- the request ---- */

static size_t put_base64(char *out, const uint8_t *in, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = 0;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = (uint32_t)in[i] << 16;

		three |= i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0;
		three |= i + 2 < n ? in[i + 2] : 0;
		out[len++] = digits[three >> 18];
		out[len++] = digits[three >> 12 & 63];
		out[len++] = i + 1 < n ? digits[three >> 6 & 63] : '=';
		out[len++] = i + 2 < n ? digits[three & 63] : '=';
	}
	return len;
}

static size_t put_account(char *out, const char *user, const char *password)
{
	static const char head[] = "Proxy-Authorization: Basic ";
	char account[2 * HTTP_CONNECT_FIELD + 2];
	size_t len = sizeof(head) - 1;
	int n = snprintf(account, sizeof(account), "%.*s:%.*s", HTTP_CONNECT_FIELD, user,
			 HTTP_CONNECT_FIELD, password ? password : "");

	memcpy(out, head, len);
	len += put_base64(out + len, (uint8_t *)account, (size_t)n);
	memcpy(out + len, "\r\n", 2);
	return len + 2;
}

size_t http_connect_begin(struct http_connect *h, const char *user, const char *password,
			  const struct peer_name *to, char *out)
{
	char host[PEER_NAME_STR];
	size_t len;

	*h = (struct http_connect){ .first_line = true };
	peer_name_str(host, to);
	len = (size_t)snprintf(out, HTTP_CONNECT_OUT,
			       "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", host, host);
	if (user)
		len += put_account(out + len, user, password);
	memcpy(out + len, "\r\n", 2);
	return len + 2;
}

/* ---- the answer ---- */

/* "HTTP/1.", a digit, a space, three digits, and a space or the end of the line. */
static int first_line_byte(struct http_connect *h, uint8_t c)
{
	static const char head[] = "HTTP/1.";
	bool digit = c >= '0' && c <= '9';
	uint32_t at = h->column;

	if (at < sizeof(head) - 1)
		return c == head[at] ? 0 : -EPROTO;
	if (at == STATUS_AT - 1 || at == STATUS_END)
		return c == ' ' ? 0 : -EPROTO;
	if (at > STATUS_END)
		return 0;
	if (!digit)
		return -EPROTO;
	if (at >= STATUS_AT)
		h->status = (uint16_t)(10 * h->status + (c - '0'));
	return 0;
}

/* At the end of the last header. */
static int verdict(struct http_connect *h)
{
	if (h->status >= 100 && h->status < 200 && h->status != 101) {
		*h = (struct http_connect){ .first_line = true, .seen = h->seen };
		return 0; /* the answer proper is still to come */
	}
	if (h->status >= 200 && h->status < 300)
		return 1;
	return h->status == 407 ? -EKEYREJECTED : -EREMOTEIO;
}

static int end_of_line(struct http_connect *h)
{
	bool first = h->first_line;
	uint32_t column = h->column;

	h->first_line = false;
	h->column = 0;
	if (first)
		return column < STATUS_END ? -EPROTO : 0;
	return column ? 0 : verdict(h);
}

static int next_byte(struct http_connect *h, uint8_t c)
{
	int r = 0;

	if (!c || ++h->seen > HTTP_CONNECT_IN_MAX)
		return -EPROTO;
	if (c == '\n') {
		h->cr = false;
		return end_of_line(h);
	}
	if (h->cr) /* not the end of a line */
		return -EPROTO;
	if (c == '\r') {
		h->cr = true;
		return 0;
	}
	if (h->first_line)
		r = first_line_byte(h, c);
	h->column++;
	return r;
}

int http_connect_feed(struct http_connect *h, const char *in, size_t n, size_t *used)
{
	int r = 0;

	for (*used = 0; !r && *used < n; ++*used)
		r = next_byte(h, (uint8_t)in[*used]);
	return r;
}
