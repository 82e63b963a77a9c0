/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void address_from_sockaddr(struct address *out, const struct sockaddr_storage *from)
{
	const struct sockaddr_in *v4 = (const void *)from;
	const struct sockaddr_in6 *v6 = (const void *)from;

	memset(out, 0, sizeof(*out));
	if (from->ss_family == AF_INET) {
		out->ip.s6_addr32[2] = htonl(0xffff);
		out->ip.s6_addr32[3] = v4->sin_addr.s_addr;
		out->port = ntohs(v4->sin_port);
	} else {
		out->ip = v6->sin6_addr;
		out->port = ntohs(v6->sin6_port);
		out->scope = v6->sin6_scope_id;
	}
}

socklen_t address_to_sockaddr(struct sockaddr_storage *out, const struct address *from)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (address_is_v4(from)) {
		v4->sin_family = AF_INET;
		v4->sin_addr.s_addr = from->ip.s6_addr32[3];
		v4->sin_port = htons(from->port);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_addr = from->ip;
	v6->sin6_port = htons(from->port);
	v6->sin6_scope_id = from->scope;
	return sizeof(*v6);
}

bool address_parse_ip(struct in6_addr *out, const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memset(out, 0, sizeof(*out));
		out->s6_addr32[2] = htonl(0xffff);
		out->s6_addr32[3] = v4.s_addr;
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1 || IN6_IS_ADDR_V4MAPPED(&v6))
		return false;
	*out = v6;
	return true;
}

bool address_parse_port(uint16_t *out, const char *text)
{
	size_t len = strlen(text);
	unsigned long n;

	if (!len || len > 5 || strspn(text, "0123456789") != len)
		return false;
	n = strtoul(text, NULL, 10);
	if (!n || n > UINT16_MAX)
		return false;
	*out = (uint16_t)n;
	return true;
}

bool address_parse(struct address *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	char ip[INET6_ADDRSTRLEN + 2];
	struct address a = { 0 };
	bool v6 = *text == '[';
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (len < 2 || len >= sizeof(ip) || (v6 && text[len - 1] != ']'))
		return false;
	memcpy(ip, text, len);
	ip[v6 ? len - 1 : len] = '\0';
	if (!address_parse_ip(&a.ip, ip + v6) || !address_parse_port(&a.port, colon + 1) ||
	    address_is_v4(&a) == v6)
		return false;
	*out = a;
	return true;
}

char *address_str(char *buf, const struct address *a)
{
	char ip[INET6_ADDRSTRLEN];

	if (address_is_v4(a)) {
		inet_ntop(AF_INET, &a->ip.s6_addr32[3], ip, sizeof(ip));
		snprintf(buf, ADDRESS_STR, "%s:%u", ip, a->port);
		return buf;
	}
	inet_ntop(AF_INET6, &a->ip, ip, sizeof(ip));
	if (a->scope)
		snprintf(buf, ADDRESS_STR, "[%s%%%u]:%u", ip, a->scope, a->port);
	else
		snprintf(buf, ADDRESS_STR, "[%s]:%u", ip, a->port);
	return buf;
}
