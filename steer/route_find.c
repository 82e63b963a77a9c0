// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "route_find.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>

#include "rtnl.h"

struct reply {
	struct shunt_route route;
	bool done;
};

static void take_addr(struct in6_addr *out, struct nlattr *attr)
{
	static const struct in6_addr v4_mapped = { { { [10] = 0xff, [11] = 0xff } } };

	*out = v4_mapped;
	if (nla_len(attr) == 4)
		memcpy(&out->s6_addr[12], nla_data(attr), 4);
	else if (nla_len(attr) == 16)
		memcpy(out, nla_data(attr), 16);
}

static int take_route(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct reply *reply = arg;
	struct shunt_route *route = &reply->route;
	struct nlattr *tb[RTA_MAX + 1];
	struct rtmsg *rtm;

	if (header->nlmsg_type != RTM_NEWROUTE ||
	    nlmsg_parse(header, sizeof(*rtm), tb, RTA_MAX, NULL))
		return NL_SKIP;
	rtm = nlmsg_data(header);
	reply->done = true;
	route->local = rtm->rtm_type == RTN_LOCAL;
	if (rtm->rtm_type == RTN_UNREACHABLE || rtm->rtm_type == RTN_BLACKHOLE ||
	    rtm->rtm_type == RTN_PROHIBIT)
		route->error = EHOSTUNREACH;
	if (tb[RTA_OIF])
		if_indextoname(nla_get_u32(tb[RTA_OIF]), route->device);
	if (tb[RTA_GATEWAY]) {
		route->has_via = true;
		take_addr(&route->via, tb[RTA_GATEWAY]);
	}
	if (tb[RTA_PREFSRC]) {
		route->has_source = true;
		take_addr(&route->source, tb[RTA_PREFSRC]);
	}
	return NL_OK;
}

/* The error as the kernel says it: libnl knows fewer. */
static int take_error(struct sockaddr_nl *nla, struct nlmsgerr *error, void *arg)
{
	struct reply *reply = arg;

	(void)nla;
	reply->route.error = -error->error;
	reply->done = true;
	return NL_STOP;
}

static struct nl_msg *build(const struct route_question *q)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(&q->dst);
	int at = v4 ? 12 : 0, len = v4 ? 4 : 16, r = 0;
	struct rtmsg rtm = { .rtm_family = v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(len * 8),
			     .rtm_src_len = q->has_src ? (uint8_t)(len * 8) : 0 };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);

	if (!msg)
		return NULL;
	r = nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO);
	r |= nla_put(msg, RTA_DST, len, &q->dst.s6_addr[at]);
	if (q->has_src)
		r |= nla_put(msg, RTA_SRC, len, &q->src.s6_addr[at]);
	if (q->iif)
		r |= nla_put_u32(msg, RTA_IIF, q->iif);
	if (q->mark)
		r |= nla_put_u32(msg, RTA_MARK, q->mark);
	if (q->has_uid)
		r |= nla_put_u32(msg, RTA_UID, q->uid);
	if (r) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

int route_find(const struct route_question *q, struct shunt_route *out)
{
	_cleanup_nl_ struct nl_sock *sk = NULL;
	struct nl_msg *msg = build(q);
	struct reply reply = {};
	int r = msg ? rtnl_open(&sk) : shunt_err(-ENOMEM, "out of memory");

	if (!r) {
		nl_socket_disable_auto_ack(sk);
		nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, take_route, &reply);
		nl_socket_modify_err_cb(sk, NL_CB_CUSTOM, take_error, &reply);
		r = nl_send_auto(sk, msg);
		while (r >= 0 && !reply.done)
			r = nl_recvmsgs_default(sk);
		r = reply.done ? 0 : shunt_err(rtnl_errno(r), "cannot ask for the route: %s",
					       nl_geterror(r));
	}
	nlmsg_free(msg);
	if (!r)
		*out = reply.route;
	return r;
}
