// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/netlink.h>

#include "shunt/shunt.h"

int rtnl_open(struct nl_sock **out)
{
	struct nl_sock *sk = nl_socket_alloc();
	int r;

	if (!sk)
		return shunt_err(-ENOMEM, "out of memory");
	r = nl_connect(sk, NETLINK_ROUTE);
	if (r) {
		nl_socket_free(sk);
		return shunt_err(rtnl_errno(r), "cannot open a route netlink socket: %s",
				 nl_geterror(r));
	}
	*out = sk;
	return 0;
}

int rtnl_errno(int nle)
{
	switch (nle < 0 ? -nle : nle) {
	case NLE_EXIST:
		return -EEXIST;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_NODEV:
		return -ENODEV;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	case NLE_INVAL:
		return -EINVAL;
	case NLE_BUSY:
		return -EBUSY;
	default:
		return -EIO;
	}
}
