/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "peer_name.h"

#include <stdio.h>
#include <string.h>

/* What names of hosts are made of. All digits and dots was to be an address, and is none. */
static bool is_name(const char *text, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	return len > 0 && len <= PEER_NAME_MAX && strspn(text, letters) == len &&
	       text[0] != '.' && strspn(text, "0123456789.") != len;
}

bool peer_name_parse(struct peer_name *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct peer_name p = { 0 };

	if (!address_parse(&p.address, text)) {
		if (!colon || !is_name(text, (size_t)(colon - text)) ||
		    !address_parse_port(&p.address.port, colon + 1))
			return false;
		memcpy(p.name, text, (size_t)(colon - text));
	}
	*out = p;
	return true;
}

char *peer_name_str(char *buf, const struct peer_name *p)
{
	if (p->name[0])
		snprintf(buf, PEER_NAME_STR, "%s:%u", p->name, p->address.port);
	else
		address_str(buf, &p->address);
	return buf;
}
