/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses and prefixes as text: the half of shunt_prefix_* (shunt/shunt.h) that only
 * libshunt needs. Texts are given with their length, for they are words of a longer line.
 * Addresses are v4-mapped if IPv4. On failure *out is untouched and *why a constant text.
 */
#ifndef SHUNT_STEER_PREFIX_H
#define SHUNT_STEER_PREFIX_H

#include "shunt/shunt.h"

/* As shunt_prefix_parse, but host bits may be set. */
int shunt_prefix_scan(struct shunt_prefix *out, const char *text, size_t len, const char **why);
/* Clear the host bits. True if one was set. */
bool shunt_prefix_mask(struct shunt_prefix *p);

/* An address without a length. */
int shunt_addr_scan(struct in6_addr *out, const char *text, size_t len, const char **why);
/* buf has INET6_ADDRSTRLEN bytes. Returns buf. */
char *shunt_addr_str(char *buf, const struct in6_addr *addr);

#endif
