// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "peer.h"

#include <errno.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>

#include "rtnl.h"
#include "shunt/shunt.h"

static void cleanup_link(struct rtnl_link **link)
{
	rtnl_link_put(*link);
}

#define _cleanup_link_ __attribute__((cleanup(cleanup_link)))

static int get_link(const char *device, struct rtnl_link **out)
{
	_cleanup_nl_ struct nl_sock *sk = NULL;
	int r = rtnl_open(&sk);

	if (r)
		return r;
	r = rtnl_link_get_kernel(sk, 0, device, out);
	return r ? shunt_err(rtnl_errno(r), "cannot look at '%s': %s", device, nl_geterror(r)) : 0;
}

int peer_place(const char *device)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	const char *kind;
	int32_t netns;
	int r = get_link(device, &link);

	if (r)
		return r;
	kind = rtnl_link_get_type(link);
	if (!kind || strcmp(kind, "veth"))
		return PEER_NONE;
	/* The kernel says it of a link only if its other end is elsewhere. */
	return rtnl_link_get_link_netnsid(link, &netns) ? PEER_HERE : PEER_ELSEWHERE;
}

int peer_passed_by(const char *device, char *what, size_t size)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	const char *qdisc;
	int r = get_link(device, &link);

	if (r)
		return r;
	qdisc = rtnl_link_get_qdisc(link);
	if (!qdisc || !strcmp(qdisc, "noqueue") || !strcmp(qdisc, "noop"))
		return 0;
	snprintf(what, size, "qdisc '%s'", qdisc);
	return 1;
}
