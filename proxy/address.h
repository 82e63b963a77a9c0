/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One end of a flow: an IPv4 or IPv6 address and a port. IPv4 is v4-mapped, so there is one
 * path for both families; the port is in host byte order.
 */
#ifndef SHUNT_PROXY_ADDRESS_H
#define SHUNT_PROXY_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	struct in6_addr ip;
	uint32_t scope; /* of an IPv6 link-local address, else 0 */
	uint16_t port;
};

enum { ADDRESS_STR = 72 };

void address_from_sockaddr(struct address *out, const struct sockaddr_storage *from);
/* Returns the length of what was written. */
socklen_t address_to_sockaddr(struct sockaddr_storage *out, const struct address *from);
/* "10.0.0.1:80", "[fe80::1%2]:80"; buf has ADDRESS_STR bytes. Returns buf. */
char *address_str(char *buf, const struct address *a);

/* An IPv4 or IPv6 address without port and scope; the whole of text. */
bool address_parse_ip(struct in6_addr *out, const char *text);
/* "10.0.0.1:80", "[2001:db8::1]:80"; the whole of text, and a port that is not 0. */
bool address_parse(struct address *out, const char *text);
/* 1 to 65535 in decimal digits. */
bool address_parse_port(uint16_t *out, const char *text);

static inline bool address_is_v4(const struct address *a)
{
	return IN6_IS_ADDR_V4MAPPED(&a->ip);
}

static inline int address_family(const struct address *a)
{
	return address_is_v4(a) ? AF_INET : AF_INET6;
}

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->port == b->port && a->scope == b->scope && IN6_ARE_ADDR_EQUAL(&a->ip, &b->ip);
}

#endif
