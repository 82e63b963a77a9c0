/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
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
