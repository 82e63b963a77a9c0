// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "device.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "slots.h"

enum { READ_AT_ONCE = 64 }; /* slots, by one system call */
enum { LINK_IP6GRE = 823 }; /* ARPHRD_IP6GRE, which net/if_arp.h does not have */

int device_read(struct shunt *s, int slot, struct shunt_device *out)
{
	__u32 key = (__u32)slot;

	if (bpf_map_lookup_elem(s->map.devices, &key, out))
		return shunt_err(-errno, "cannot read the map 'devices': %s", strerror(errno));
	return 0;
}

int device_write(struct shunt *s, int slot, const struct shunt_device *dev)
{
	__u32 key = (__u32)slot, value = (__u32)slot;
	struct shunt_device old;
	int r = device_read(s, slot, &old);

	if (r)
		return r;
	if (old.ifindex && old.ifindex != dev->ifindex)
		bpf_map_delete_elem(s->map.device_slots, &old.ifindex);
	if (bpf_map_update_elem(s->map.devices, &key, dev, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'devices': %s", strerror(errno));
	if (!dev->ifindex)
		return 0;
	if (!(dev->flags & SHUNT_DEV_USED))
		bpf_map_delete_elem(s->map.device_slots, &dev->ifindex);
	else if (bpf_map_update_elem(s->map.device_slots, &dev->ifindex, &value, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'device_slots': %s",
				 strerror(errno));
	return 0;
}

/* Slots behind `after`, at most READ_AT_ONCE, in their order; how many. */
static int read_block(struct shunt *s, int after, struct shunt_device *out)
{
	__u32 keys[READ_AT_ONCE], begin = (__u32)after, next, n = READ_AT_ONCE;

	if (bpf_map_lookup_batch(s->map.devices, &begin, &next, keys, out, &n, NULL) &&
	    errno != ENOENT) /* that is the end */
		return shunt_err(-errno, "cannot read the map 'devices': %s", strerror(errno));
	return (int)n;
}

/* The slot of that name, or -ENOENT and in *unused the first one that is free (0: none). */
static int search(struct shunt *s, const char *name, int *unused)
{
	struct shunt_device devices[READ_AT_ONCE];
	int n, slot = 1;

	*unused = 0;
	while ((n = read_block(s, slot - 1, devices)) > 0) {
		for (int i = 0; i < n; i++, slot++) {
			const char *known = devices[i].name;

			if (!strcmp(known, name))
				return slot;
			if (!*unused && (!known[0] || !strcmp(known, DEVICE_FREE)))
				*unused = slot;
			if (!known[0]) /* slots are given out in order */
				return -ENOENT;
		}
	}
	return n ? n : -ENOENT;
}

int device_find(struct shunt *s, const char *name)
{
	int unused;

	return search(s, name, &unused);
}

int device_find_ifindex(struct shunt *s, unsigned int ifindex)
{
	__u32 slot;

	return bpf_map_lookup_elem(s->map.device_slots, &ifindex, &slot) ? -errno : (int)slot;
}

int device_slot(struct shunt *s, const char *name)
{
	struct shunt_device dev = {};
	int unused, r = search(s, name, &unused);

	if (r == -ENOENT && !unused) {
		r = slots_collect(s);
		if (!r)
			r = search(s, name, &unused);
	}
	if (r == -ENOENT && !unused)
		return shunt_err(-ENOSPC, "no room for device '%s': rules name %d others", name,
				 SHUNT_MAX_DEVICES - 1);
	if (r == -ENOENT) {
		snprintf(dev.name, sizeof(dev.name), "%s", name);
		r = device_write(s, unused, &dev);
		if (!r)
			r = unused;
	}
	if (r > 0)
		s->devices_named[r] = true;
	return r;
}

int device_check_lo(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr))
		return shunt_err(-errno, "cannot look at the loopback device: %s",
				 strerror(errno));
	if (!(ifr.ifr_flags & IFF_UP))
		return shunt_err(-ENETDOWN, "the loopback device is down, but steered packets are "
					    "delivered through it: run 'ip link set lo up'");
	return 0;
}

static int no_such_interface(const char *name)
{
	return shunt_err(-ENODEV, "no such interface '%s'%s", name,
			 strchr(name, ',') ? ": give -i once for each" : "");
}

int device_probe(const char *name, unsigned int *ifindex, bool *l3)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {};

	if (strlen(name) >= sizeof(ifr.ifr_name))
		return no_such_interface(name);
	memcpy(ifr.ifr_name, name, strlen(name));
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		return no_such_interface(name);
	switch (ifr.ifr_hwaddr.sa_family) {
	case ARPHRD_ETHER:
		*l3 = false;
		break;
	case ARPHRD_NONE: /* tun, wireguard */
	case ARPHRD_PPP:
	case ARPHRD_RAWIP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case LINK_IP6GRE:
		*l3 = true;
		break;
	case ARPHRD_LOOPBACK:
		return shunt_err(-EINVAL,
				 "'%s' is the loopback device: name the device where flows leave, with --out",
				 name);
	default:
		return shunt_err(-EOPNOTSUPP, "'%s' has a link type (%d) that is not supported",
				 name, ifr.ifr_hwaddr.sa_family);
	}
	*ifindex = if_nametoindex(name);
	return *ifindex ? 0 : no_such_interface(name);
}

int shunt_devices_read(struct shunt *s, struct shunt_device *out, size_t max)
{
	struct shunt_device dev;
	size_t n = 0;

	for (int slot = 1; slot < SHUNT_MAX_DEVICES && n < max; slot++) {
		int r = device_read(s, slot, &dev);

		if (r)
			return r;
		if (!dev.name[0])
			break;
		if (dev.flags & SHUNT_DEV_USED)
			out[n++] = dev;
	}
	return (int)n;
}
