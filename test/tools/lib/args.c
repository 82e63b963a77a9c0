/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "args.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void complain(const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(1);
}

void die_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(2);
}

uint64_t arg_u64(const char *what, const char *text, uint64_t max)
{
	unsigned int shift = 0;
	uint64_t v;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		die_usage("%s '%s': not a number", what, text);
	errno = 0;
	v = strtoull(text, &end, 0);
	switch (*end) {
	case 'K': shift = 10; end++; break;
	case 'M': shift = 20; end++; break;
	case 'G': shift = 30; end++; break;
	}
	if (*end || errno)
		die_usage("%s '%s': not a number", what, text);
	if (v > max >> shift)
		die_usage("%s '%s': larger than %llu", what, text, (unsigned long long)max);
	return v << shift;
}

socklen_t sockaddr_len(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

uint16_t sockaddr_port(const struct sockaddr_storage *a)
{
	/* The port is at the same place in both families. */
	return ntohs(((const struct sockaddr_in *)a)->sin_port);
}

void sockaddr_set_port(struct sockaddr_storage *a, uint16_t port)
{
	((struct sockaddr_in *)a)->sin_port = htons(port);
}

void arg_address(struct sockaddr_storage *out, const char *text)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	char copy[ADDR_STR];
	char *scope;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		out->ss_family = AF_INET;
		return;
	}
	if (strlen(text) >= sizeof(copy))
		die_usage("address '%s': too long", text);
	strcpy(copy, text);
	scope = strchr(copy, '%');
	if (scope) {
		*scope++ = '\0';
		six->sin6_scope_id = if_nametoindex(scope);
		if (!six->sin6_scope_id)
			die_usage("address '%s': no such interface", text);
	}
	memset(&four->sin_addr, 0, sizeof(four->sin_addr));
	if (inet_pton(AF_INET6, copy, &six->sin6_addr) != 1)
		die_usage("address '%s': neither IPv4 nor IPv6", text);
	out->ss_family = AF_INET6;
}

void arg_sockaddr(struct sockaddr_storage *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[ADDR_STR];
	size_t n;

	if (!colon) {
		arg_address(out, "::");
		sockaddr_set_port(out, arg_u64("port", text, 65535));
		return;
	}
	n = (size_t)(colon - text);
	if (text[0] == '[' && n > 2 && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host))
		die_usage("address '%s': too long", text);
	memcpy(host, text, n);
	host[n] = '\0';
	arg_address(out, host);
	sockaddr_set_port(out, arg_u64("port", colon + 1, 65535));
}

char *sockaddr_str(char *buf, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in *four = (const struct sockaddr_in *)a;
	char host[INET6_ADDRSTRLEN];

	if (a->ss_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
	snprintf(buf, ADDR_STR, a->ss_family == AF_INET ? "%s:%u" : "[%s]:%u", host,
		 sockaddr_port(a));
	return buf;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
