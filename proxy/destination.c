/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "destination.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { ORIGINAL_DST6 = 80 }; /* IP6T_SO_ORIGINAL_DST, whose header does not go with netinet/in.h */

/*
 * What REDIRECT or DNAT has replaced. The socket's own family decides whom to ask; the listeners
 * for IPv6 are for IPv6 only.
 */
static int ask_conntrack(int fd, struct sockaddr_storage *sa, socklen_t *len)
{
	int family;
	socklen_t size = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
		return -errno;
	if (family == AF_INET)
		return getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, sa, len) < 0 ? -errno : 0;
	return getsockopt(fd, SOL_IPV6, ORIGINAL_DST6, sa, len) < 0 ? -errno : 0;
}

int destination_of(int fd, enum destination_mode mode, struct address *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int r = 0;

	/*
	 * A steered socket is bound to the address in the packet. Conntrack is not asked about it
	 * as well, to be sure: it may know nothing of it, or of another flow with these addresses.
	 */
	if (mode == DESTINATION_CONNTRACK)
		r = ask_conntrack(fd, &sa, &len);
	else if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		r = -errno;
	if (!r)
		address_from_sockaddr(out, &sa);
	return r;
}
