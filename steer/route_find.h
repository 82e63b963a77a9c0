/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking the kernel for a route, as `ip route get` does. Private to libshunt. */
#ifndef SHUNT_ROUTE_FIND_H
#define SHUNT_ROUTE_FIND_H

#include "shunt/shunt.h"

struct route_question {
	struct in6_addr src, dst;  /* v4-mapped if IPv4 */
	bool has_src;
	unsigned int iif;	   /* it arrives there; 0: it is sent by this host */
	uint32_t mark;
	bool has_uid;
	uint32_t uid;
};

/* A host without such a route is an answer, too: out->error. Else -errno with a message. */
int route_find(const struct route_question *q, struct shunt_route *out);

#endif
