/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { V4_SKIP = 96 }; /* bits of a v4-mapped address before the IPv4 address */

int shunt_addr_scan(struct in6_addr *out, const char *text, size_t len, const char **why)
{
	static const struct in6_addr v4_mapped = { { { [10] = 0xff, [11] = 0xff } } };
	char buf[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	*why = "not an address";
	if (len == 0 || len >= sizeof(buf) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = '\0';
	if (!memchr(text, ':', len)) {
		addr = v4_mapped;
		if (inet_pton(AF_INET, buf, &addr.s6_addr[12]) != 1)
			return -EINVAL;
	} else {
		if (inet_pton(AF_INET6, buf, &addr) != 1)
			return -EINVAL;
		/* It would be printed as IPv4: what is typed should be what is meant. */
		if (IN6_IS_ADDR_V4MAPPED(&addr)) {
			*why = "write a v4-mapped address as IPv4";
			return -EINVAL;
		}
	}
	*out = addr;
	return 0;
}

char *shunt_addr_str(char *buf, const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		inet_ntop(AF_INET, &addr->s6_addr[12], buf, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, buf, INET6_ADDRSTRLEN);
	return buf;
}

/* The digits after '/': 0..max, without leading zeros. */
static int scan_length(unsigned int *out, const char *text, size_t len, unsigned int max)
{
	unsigned int value = 0;

	if (len == 0 || len > 3 || (len > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	if (value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

int shunt_prefix_scan(struct shunt_prefix *out, const char *text, size_t len, const char **why)
{
	const char *slash = memchr(text, '/', len);
	size_t addr_len = slash ? (size_t)(slash - text) : len;
	struct in6_addr addr;
	unsigned int skip, bits;
	int r;

	r = shunt_addr_scan(&addr, text, addr_len, why);
	if (r)
		return r;
	skip = IN6_IS_ADDR_V4MAPPED(&addr) ? V4_SKIP : 0;
	bits = 128 - skip;
	if (slash && scan_length(&bits, slash + 1, len - addr_len - 1, bits)) {
		*why = skip ? "the prefix length is not 0..32" : "the prefix length is not 0..128";
		return -EINVAL;
	}
	out->addr = addr;
	out->len = (uint8_t)(skip + bits);
	return 0;
}

bool shunt_prefix_mask(struct shunt_prefix *p)
{
	bool any = false;

	for (unsigned int i = p->len / 8; i < 16; i++) {
		uint8_t host = i == p->len / 8U ? 0xff >> p->len % 8 : 0xff;

		any |= p->addr.s6_addr[i] & host;
		p->addr.s6_addr[i] &= (uint8_t)~host;
	}
	return any;
}

int shunt_prefix_parse(struct shunt_prefix *out, const char *text, const char **why)
{
	struct shunt_prefix p;
	int r;

	r = shunt_prefix_scan(&p, text, strlen(text), why);
	if (r)
		return r;
	if (shunt_prefix_mask(&p)) {
		*why = "host bits are set";
		return -EINVAL;
	}
	*out = p;
	return 0;
}

char *shunt_prefix_str(char *buf, const struct shunt_prefix *p)
{
	unsigned int skip = shunt_prefix_is_v4(p) ? V4_SKIP : 0;
	size_t at;

	shunt_addr_str(buf, &p->addr);
	at = strlen(buf);
	if (p->len < 128)
		snprintf(buf + at, SHUNT_PREFIX_STR - at, "/%u", p->len - skip);
	return buf;
}
