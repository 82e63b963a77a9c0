/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The PROXY protocol (haproxy.org, proxy-protocol.txt): who the client is, and where it meant to go. */
#ifndef SHUNT_PROXY_PROXY_HEADER_H
#define SHUNT_PROXY_PROXY_HEADER_H

#include <stddef.h>

#include "address.h"

enum { PROXY_HEADER_MAX = 107 }; /* of version 1; version 2 is shorter */

/*
 * Version 1 (text) or 2 (binary) into out, which has PROXY_HEADER_MAX + 1 bytes; returns its
 * length. Both addresses are of one family.
 */
size_t proxy_header_v1(char *out, const struct address *client,
		       const struct address *destination);
size_t proxy_header_v2(char *out, const struct address *client,
		       const struct address *destination);

#endif
