/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The route netlink socket, and cleanup of what libnl allocates. */
#ifndef SHUNT_RTNL_H
#define SHUNT_RTNL_H

#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/socket.h>

static inline void cleanup_nl(struct nl_sock **sk)
{
	nl_socket_free(*sk);
}

static inline void cleanup_cache(struct nl_cache **cache)
{
	if (*cache)
		nl_cache_free(*cache);
}

#define _cleanup_nl_ __attribute__((cleanup(cleanup_nl)))
#define _cleanup_cache_ __attribute__((cleanup(cleanup_cache)))

/* A connected route socket. Gives a message on failure. */
int rtnl_open(struct nl_sock **out);

/* -errno for libnl's -NLE_*. */
int rtnl_errno(int nle);

#endif
