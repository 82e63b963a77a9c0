// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/pkt_sched.h>
#include <netlink/route/classifier.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/tc.h>
#include <string.h>

#include "cleanup.h"
#include "rtnl.h"

/* linux/bpf.h of Debian 12 (Linux 6.1) does not name them yet. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };

static enum bpf_attach_type tcx_type(enum attach_point point)
{
	return (enum bpf_attach_type)(point == ATTACH_IN ? TCX_INGRESS : TCX_EGRESS);
}

static enum bpf_tc_attach_point tc_point(enum attach_point point)
{
	return point == ATTACH_IN ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

static const char *point_name(enum attach_point point)
{
	return point == ATTACH_IN ? "ingress" : "egress";
}

static __u32 prog_id(int prog_fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog_fd, &info, &len) ? 0 : info.id;
}

/* ---- tcx -------------------------------------------------------------------------------- */

static char *link_path(char *buf, size_t size, const struct attach *at)
{
	snprintf(buf, size, "%s/link_%d_%s", at->pin_dir, at->slot,
		 at->point == ATTACH_IN ? "in" : "out");
	return buf;
}

bool attach_has_tcx(unsigned int ifindex, int prog_fd)
{
	int fd = bpf_link_create(prog_fd, (int)ifindex, tcx_type(ATTACH_IN), NULL);

	if (fd < 0)
		return false;
	close(fd); /* an unpinned link goes with its descriptor */
	return true;
}

int attach_tcx_is_set(const struct attach *at)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	/* struct { ifindex, attach_type } of the union, not in Debian 12's headers. */
	__u32 ifindex;

	fd = bpf_obj_get(link_path(path, sizeof(path), at));
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	memcpy(&ifindex, &info.raw_tracepoint, sizeof(ifindex));
	return ifindex == at->ifindex; /* 0: the device is gone, the link is a husk */
}

int attach_tcx(const struct attach *at, int prog_fd)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	if (attach_tcx_is_set(at))
		return 0;
	detach_tcx(at);
	fd = bpf_link_create(prog_fd, (int)at->ifindex, tcx_type(at->point), NULL);
	if (fd < 0)
		return shunt_err(-errno, "cannot attach to %s of '%s' by tcx: %s",
				 point_name(at->point), at->device, strerror(errno));
	r = bpf_obj_pin(fd, link_path(path, sizeof(path), at));
	if (r)
		return shunt_err(-errno, "cannot pin '%s': %s", path, strerror(errno));
	return 0;
}

int detach_tcx(const struct attach *at)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	fd = bpf_obj_get(link_path(path, sizeof(path), at));
	if (fd >= 0)
		bpf_link_detach(fd);
	if (unlink(path) && errno != ENOENT)
		return shunt_err(-errno, "cannot remove '%s': %s", path, strerror(errno));
	return 0;
}

int attach_count_foreign_tcx(unsigned int ifindex, enum attach_point point, int prog_fd)
{
	__u32 ids[64], n = 64, flags, ours = prog_id(prog_fd);

	if (bpf_prog_query((int)ifindex, tcx_type(point), 0, &flags, ids, &n))
		return 0;
	for (__u32 i = 0; i < n; i++)
		if (ids[i] == ours)
			return (int)i;
	return (int)n;
}

/* ---- clsact ------------------------------------------------------------------------------ */

int attach_has_clsact(unsigned int ifindex)
{
	_cleanup_cache_ struct nl_cache *cache = NULL;
	_cleanup_nl_ struct nl_sock *sk = NULL;
	struct rtnl_qdisc *qdisc;
	bool is_clsact;
	int r = rtnl_open(&sk);

	if (r)
		return r;
	r = rtnl_qdisc_alloc_cache(sk, &cache);
	if (r)
		return shunt_err(rtnl_errno(r), "cannot list qdiscs: %s", nl_geterror(r));
	qdisc = rtnl_qdisc_get_by_parent(cache, (int)ifindex, TC_H_CLSACT);
	if (!qdisc)
		return 0;
	is_clsact = !strcmp(rtnl_tc_get_kind(TC_CAST(qdisc)), "clsact");
	rtnl_qdisc_put(qdisc);
	if (!is_clsact) /* an ingress qdisc has the same parent */
		return shunt_err(-EBUSY, "interface %u has an ingress qdisc, which excludes clsact: "
					 "use --hook tcx, or remove it", ifindex);
	return 1;
}

/* libbpf's call for our filter; opts tell which program stands there. */
static int query(const struct attach *at, struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
{
	hook->sz = sizeof(*hook);
	hook->ifindex = (int)at->ifindex;
	hook->attach_point = tc_point(at->point);
	opts->sz = sizeof(*opts);
	opts->handle = ATTACH_TC_HANDLE;
	opts->priority = ATTACH_TC_PRIORITY;
	return bpf_tc_query(hook, opts);
}

int attach_clsact_is_set(const struct attach *at, int prog_fd)
{
	struct bpf_tc_hook hook = {};
	struct bpf_tc_opts opts = {};

	return !query(at, &hook, &opts) && opts.prog_id == prog_id(prog_fd);
}

int attach_clsact(const struct attach *at, int prog_fd)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)at->ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = ATTACH_TC_HANDLE,
			    .priority = ATTACH_TC_PRIORITY, .prog_fd = prog_fd);
	struct bpf_tc_hook hook = {};
	struct bpf_tc_opts found = {};
	int r;

	if (!query(at, &hook, &found)) {
		if (found.prog_id == prog_id(prog_fd))
			return 0;
		return shunt_err(-EEXIST,
				 "tc filter priority %d handle %d at %s of '%s' is someone else's",
				 ATTACH_TC_PRIORITY, ATTACH_TC_HANDLE, point_name(at->point),
				 at->device);
	}
	r = bpf_tc_hook_create(&both);
	if (r && r != -EEXIST)
		return shunt_err(r, "cannot add a clsact qdisc to '%s': %s", at->device,
				 strerror(-r));
	r = bpf_tc_attach(&hook, &opts);
	if (r)
		return shunt_err(r, "cannot attach to %s of '%s' by clsact: %s",
				 point_name(at->point), at->device, strerror(-r));
	return 0;
}

int detach_clsact(const struct attach *at, int prog_fd)
{
	struct bpf_tc_hook hook = {};
	struct bpf_tc_opts opts = {};
	int r;

	if (query(at, &hook, &opts) || opts.prog_id != prog_id(prog_fd))
		return 0;
	opts.prog_fd = 0;
	opts.prog_id = 0;
	opts.flags = 0;
	r = bpf_tc_detach(&hook, &opts);
	if (r && r != -ENOENT)
		return shunt_err(r, "cannot detach from %s of '%s': %s", point_name(at->point),
				 at->device, strerror(-r));
	return 0;
}

static int count_filters(struct nl_sock *sk, unsigned int ifindex, uint32_t minor)
{
	_cleanup_cache_ struct nl_cache *cache = NULL;

	if (rtnl_cls_alloc_cache(sk, (int)ifindex, TC_H_MAKE(TC_H_CLSACT, minor), &cache))
		return 1; /* not known: take it as in use */
	return nl_cache_nitems(cache);
}

int detach_clsact_qdisc(unsigned int ifindex, const char *device)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	_cleanup_nl_ struct nl_sock *sk = NULL;
	int r = rtnl_open(&sk);

	if (r)
		return r;
	if (count_filters(sk, ifindex, TC_H_MIN_INGRESS) ||
	    count_filters(sk, ifindex, TC_H_MIN_EGRESS))
		return 0;
	r = bpf_tc_hook_destroy(&both);
	if (r && r != -ENOENT && r != -EINVAL)
		return shunt_err(r, "cannot remove the clsact qdisc of '%s': %s", device,
				 strerror(-r));
	return 0;
}
