// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#define ok(call)                                                                               \
	do {                                                                                   \
		if ((call) < 0)                                                                \
			fail_msg("%s: %s", #call, strerror(errno));                            \
	} while (0)

/* ---- a place of our own ----------------------------------------------------------------- */

static void leave_host(void)
{
	if (geteuid())
		fail_msg("must be root: loads BPF programs");
	ok(unshare(CLONE_NEWNS | CLONE_NEWNET));
	ok(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ok(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL));
	ok(mount("run", "/run", "tmpfs", 0, "mode=755"));
	/* /proc/sys/net is of the network namespace of who mounted it. */
	ok(mount("proc", "/proc", "proc", 0, NULL));
}

static void write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("cannot open '%s': %s", path, strerror(errno));
	ok(write(fd, value, strlen(value)));
	close(fd);
}

void plane_forwarding(bool on)
{
	write_sysctl("/proc/sys/net/ipv4/ip_forward", on ? "1" : "0");
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", on ? "1" : "0");
}

static void set_flags(const char *device, short flags)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	ok(ioctl(fd, SIOCGIFFLAGS, &ifr));
	ifr.ifr_flags |= flags;
	ok(ioctl(fd, SIOCSIFFLAGS, &ifr));
	close(fd);
}

static void add_address(struct nl_sock *nl, int ifindex, const char *text)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local;

	assert_int_equal(nl_addr_parse(text, AF_UNSPEC, &local), 0);
	rtnl_addr_set_ifindex(addr, ifindex);
	assert_int_equal(rtnl_addr_set_local(addr, local), 0);
	rtnl_addr_set_flags(addr, IFA_F_NODAD);
	assert_int_equal(rtnl_addr_add(nl, addr, 0), 0);
	nl_addr_put(local);
	rtnl_addr_put(addr);
}

/* far must be silent: no IPv6 of its own, no ARP. */
static void make_devices(struct plane *p)
{
	struct nl_sock *nl = nl_socket_alloc();
	struct ifreq ifr = { .ifr_name = PLANE_DEVICE };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(nl_connect(nl, NETLINK_ROUTE), 0);
	assert_int_equal(rtnl_link_veth_add(nl, PLANE_DEVICE, PLANE_FAR, getpid()), 0);
	write_sysctl("/proc/sys/net/ipv6/conf/" PLANE_FAR "/disable_ipv6", "1");
	set_flags(PLANE_FAR, IFF_NOARP);
	set_flags(PLANE_FAR, IFF_UP);
	set_flags(PLANE_DEVICE, IFF_UP);
	set_flags("lo", IFF_UP);
	p->ifindex = if_nametoindex(PLANE_DEVICE);
	add_address(nl, (int)p->ifindex, PLANE_ADDR4 "/24");
	add_address(nl, (int)p->ifindex, PLANE_ADDR6 "/64");
	ok(ioctl(fd, SIOCGIFHWADDR, &ifr));
	memcpy(p->mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
	nl_socket_free(nl);
}

/* ---- the instance ----------------------------------------------------------------------- */

/* On loopback addresses, which no steered packet can have: the address of a target's socket
 * never decides anything. */
static int listen_at(int family)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	ok(fd);
	ok(setsockopt(fd, family == AF_INET6 ? SOL_IPV6 : SOL_IP,
		      family == AF_INET6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)));
	if (family == AF_INET6)
		ok(bind(fd, (struct sockaddr *)&v6, sizeof(v6)));
	else
		ok(bind(fd, (struct sockaddr *)&v4, sizeof(v4)));
	ok(listen(fd, 16));
	return fd;
}

static void add_target(struct plane *p)
{
	int target = shunt_target_get(p->s, "default");

	assert_true(target > 0);
	for (int v6 = 0; v6 < 2; v6++) {
		p->listener[v6] = listen_at(v6 ? AF_INET6 : AF_INET);
		assert_int_equal(shunt_target_set_sockets(p->s, target, v6, &p->listener[v6], 1,
							  SHUNT_TARGET_PLAIN, getpid()),
				 0);
	}
}

int plane_up(void **state)
{
	static const char *const devices[] = { PLANE_DEVICE };
	/* No egress program: near's own packets, as MLD reports, would be counted. */
	static const struct shunt_up_options options = { .devices = devices, .n_devices = 1 };
	struct plane *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->wire = p->ring = -1;
	leave_host();
	make_devices(p);
	assert_int_equal(shunt_up(&(struct shunt_where){}, &options), 0);
	assert_int_equal(shunt_open(&p->s, &(struct shunt_where){}), 0);
	add_target(p);
	*state = p;
	return 0;
}

int plane_down(void **state)
{
	struct plane *p = *state;

	if (!p)
		return 0; /* plane_up failed, and has said so */
	shunt_rules_clear(&p->rules);
	shunt_close(p->s);
	close(p->listener[0]);
	close(p->listener[1]);
	if (p->wire >= 0)
		close(p->wire);
	if (p->ring >= 0)
		close(p->ring);
	free(p);
	return shunt_down(&(struct shunt_where){});
}

void plane_rules(struct plane *p, const char *text)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	char err[256];

	assert_non_null(in);
	shunt_rules_clear(&p->rules);
	if (shunt_rules_parse(&p->rules, in, "rules", err, sizeof(err)))
		fail_msg("%s", err);
	fclose(in);
	if (shunt_rules_replace(p->s, &p->rules))
		fail_msg("rules not accepted: %s", text);
	plane_sync(p);
}
