/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void ip_str(char *buf, const struct address *a)
{
	if (address_is_v4(a))
		inet_ntop(AF_INET, &a->ip.s6_addr32[3], buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &a->ip, buf, INET6_ADDRSTRLEN);
}

size_t proxy_header_v1(char *out, const struct address *client,
		       const struct address *destination)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	ip_str(from, client);
	ip_str(to, destination);
	return (size_t)snprintf(out, PROXY_HEADER_MAX + 1, "PROXY %s %s %s %u %u\r\n",
				address_is_v4(client) ? "TCP4" : "TCP6", from, to, client->port,
				destination->port);
}

size_t proxy_header_v2(char *out, const struct address *client,
		       const struct address *destination)
{
	static const char head[] = "\r\n\r\n\0\r\nQUIT\n\x21"; /* version 2, command PROXY */
	bool v4 = address_is_v4(client);
	size_t ip_len = v4 ? 4 : 16, skip = 16 - ip_len, len = sizeof(head) - 1;
	uint16_t ports[2] = { htons(client->port), htons(destination->port) };

	memcpy(out, head, len);
	out[len++] = v4 ? 0x11 : 0x21; /* TCP over IPv4, over IPv6 */
	out[len++] = 0;
	out[len++] = (char)(2 * ip_len + sizeof(ports));
	memcpy(out + len, &client->ip.s6_addr[skip], ip_len);
	len += ip_len;
	memcpy(out + len, &destination->ip.s6_addr[skip], ip_len);
	len += ip_len;
	memcpy(out + len, ports, sizeof(ports));
	return len + sizeof(ports);
}
