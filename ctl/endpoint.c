// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "endpoint.h"

#include <arpa/inet.h>
#include <string.h>

#include "command.h"

bool endpoint_parse(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint32_t port;

	memset(out, 0, sizeof(*out));
	if (!colon || !len || len >= sizeof(host) || !parse_u32(colon + 1, &port) || !port ||
	    port > 65535)
		goto bad;
	memcpy(host, text, len);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1)
			return true;
	} else {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &in->sin_addr) == 1)
			return true;
	}
bad:
	usage_error("'%s': not ADDRESS:PORT (IPv6: [ADDRESS]:PORT)", text);
	return false;
}

uint16_t endpoint_port(const struct sockaddr_storage *sa)
{
	return ntohs(sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
					       : ((const struct sockaddr_in *)sa)->sin_port);
}
