/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client's part of HTTP CONNECT (RFC 9110) with basic authentication, without any I/O:
 * bytes of the proxy go in, in pieces of any size.
 */
#ifndef SHUNT_PROXY_HTTP_CONNECT_H
#define SHUNT_PROXY_HTTP_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "peer_name.h"

enum {
	HTTP_CONNECT_OUT = 2048,      /* a request fits, with the longest name and account */
	HTTP_CONNECT_IN_MAX = 16384,  /* an answer that is longer is none */
	HTTP_CONNECT_FIELD = 255,     /* the longest user or password */
};

struct http_connect {
	uint32_t seen;	 /* bytes of the answer */
	uint32_t column; /* in the line, without CR; of the first line up to its end */
	uint16_t status; /* 0: not read yet */
	uint8_t first_line : 1, cr : 1;
};

/* Returns the length of the request in out, which has HTTP_CONNECT_OUT bytes. */
size_t http_connect_begin(struct http_connect *h, const char *user, const char *password,
			  const struct peer_name *to, char *out);
/*
 * n bytes of the proxy. *used: how many of them belong to its answer; the others are the
 * server's. Returns 1 when the connection stands, 0 if more is to come, or
 *   -EPROTO	    this is no answer of HTTP/1
 *   -EKEYREJECTED  it wants another user and password
 *   -EREMOTEIO	    it says no: status tells
 */
int http_connect_feed(struct http_connect *h, const char *in, size_t n, size_t *used);

#endif
