/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a proxy on the way is to connect to: an address, or a name that it looks up itself. */
#ifndef SHUNT_PROXY_PEER_NAME_H
#define SHUNT_PROXY_PEER_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"

enum { PEER_NAME_MAX = 253 }; /* of a name in DNS */

struct peer_name {
	char name[PEER_NAME_MAX + 1]; /* "": address is it */
	struct address address;	      /* its port is that of a name, too */
};

/* "example.net:80", "192.0.2.1:80" or "[2001:db8::1]:80"; the whole of text. */
bool peer_name_parse(struct peer_name *out, const char *text);

enum { PEER_NAME_STR = PEER_NAME_MAX + 8 };
/* Likewise; buf has PEER_NAME_STR bytes. Returns buf. */
char *peer_name_str(char *buf, const struct peer_name *p);

#endif
