/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client's part of SOCKS5 (RFC 1928) with user and password (RFC 1929), without any I/O:
 * bytes of the server go in, in pieces of any size, bytes for it come out.
 */
#ifndef SHUNT_PROXY_SOCKS5_H
#define SHUNT_PROXY_SOCKS5_H

#include <stddef.h>
#include <stdint.h>

#include "peer_name.h"

enum {
	SOCKS5_OUT = 520,  /* the longest message: user and password */
	SOCKS5_FIELD = 255, /* the longest user, password or name */
};

enum socks5_state { SOCKS5_METHOD, SOCKS5_AUTH, SOCKS5_REPLY, SOCKS5_DONE };

struct socks5 {
	const char *user, *password; /* NULL: none. At most SOCKS5_FIELD bytes; not owned */
	const struct peer_name *to;  /* not owned */
	enum socks5_state state;
	uint32_t have, want;	     /* bytes of the message that is being read */
	uint8_t in[4 + 1 + 255 + 2]; /* it */
	uint8_t code;		     /* the server's last word: method, status or reply */
};

/* Returns the length of the first message in out, which has SOCKS5_OUT bytes. */
size_t socks5_begin(struct socks5 *s, const char *user, const char *password,
		    const struct peer_name *to, uint8_t *out);
/*
 * n bytes of the server. *used: how many of them were part of the handshake; the others are
 * not. *out_len bytes in out are to be sent, if any, before more is read. Returns 1 when the
 * connection stands, 0 if it goes on, or
 *   -EPROTO	    the server does not speak SOCKS5
 *   -EKEYREJECTED  it wants another user and password
 *   -ECONNREFUSED, -EHOSTUNREACH, -EREMOTEIO  it says that it cannot connect
 */
int socks5_feed(struct socks5 *s, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
		size_t *out_len);
/* What an error of socks5_feed() was about, for a message. */
const char *socks5_reason(const struct socks5 *s);

#endif
