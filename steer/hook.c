// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hook.h"

#include <errno.h>
#include <string.h>

#include "attach.h"
#include "device.h"
#include "peer.h"
#include "policy.h"
#include "rollback.h"

static struct attach attach_at(const struct shunt *s, int slot, const struct shunt_device *dev,
			       enum attach_point point)
{
	return (struct attach){ s->dir, slot, dev->ifindex, dev->name, point };
}

static int prog_for(const struct shunt *s, const struct shunt_device *dev,
		    enum attach_point point)
{
	bool l3 = dev->flags & SHUNT_DEV_L3;

	if (dev->flags & SHUNT_DEV_LO)
		return s->prog[PROG_LO];
	if (point == ATTACH_IN)
		return s->prog[l3 ? PROG_IN_L3 : PROG_IN_ETH];
	return s->prog[l3 ? PROG_OUT_L3 : PROG_OUT_ETH];
}

static int attach_one(const struct shunt *s, int slot, const struct shunt_device *dev,
		      enum attach_point point)
{
	struct attach at = attach_at(s, slot, dev, point);

	return dev->flags & SHUNT_DEV_TCX ? attach_tcx(&at, prog_for(s, dev, point))
					  : attach_clsact(&at, prog_for(s, dev, point));
}

static int detach_one(const struct shunt *s, int slot, const struct shunt_device *dev,
		      enum attach_point point)
{
	struct attach at = attach_at(s, slot, dev, point);

	return dev->flags & SHUNT_DEV_TCX ? detach_tcx(&at)
					  : detach_clsact(&at, prog_for(s, dev, point));
}

int hook_is_set(struct shunt *s, int slot, const struct shunt_device *dev)
{
	static const struct {
		enum attach_point point;
		uint32_t flag;
	} points[] = { { ATTACH_IN, SHUNT_DEV_IN }, { ATTACH_OUT, SHUNT_DEV_OUT } };

	for (size_t i = 0; i < 2; i++) {
		struct attach at = attach_at(s, slot, dev, points[i].point);

		if (!(dev->flags & points[i].flag))
			continue;
		if (dev->flags & SHUNT_DEV_TCX
			    ? !attach_tcx_is_set(&at)
			    : !attach_clsact_is_set(&at, prog_for(s, dev, points[i].point)))
			return 0;
	}
	return 1;
}

/* Which hook: what it has stays, else what was asked for, else tcx where the kernel has it. */
static int choose_hook(const struct shunt *s, const struct hook_request *req,
		       struct shunt_device *dev)
{
	bool attached = dev->flags & SHUNT_DEV_USED, tcx = dev->flags & SHUNT_DEV_TCX;
	int r;

	if (attached) {
		if (req->hook != SHUNT_HOOK_AUTO && tcx != (req->hook == SHUNT_HOOK_TCX))
			return shunt_err(-EBUSY,
					 "'%s' is attached by %s: run 'shuntctl down' to change that",
					 dev->name, tcx ? "tcx" : "clsact");
		return 0;
	}
	if (req->hook != SHUNT_HOOK_CLSACT && attach_has_tcx(dev->ifindex, prog_for(s, dev, ATTACH_IN))) {
		dev->flags |= SHUNT_DEV_TCX;
		return 0;
	}
	if (req->hook == SHUNT_HOOK_TCX)
		return shunt_err(-EOPNOTSUPP, "'%s': this kernel has no tcx (Linux 6.6): use --hook clsact",
				 dev->name);
	r = attach_has_clsact(dev->ifindex);
	if (!r)
		dev->flags |= SHUNT_DEV_MADE_CLSACT;
	return r < 0 ? r : 0;
}

/* Asked for, or kept from an `up` before for as long as it is possible. */
static int choose_peer(const struct hook_request *req, struct shunt_device *dev)
{
	bool had = dev->flags & SHUNT_DEV_PEER;
	char what[64];
	int r;

	if (!req->peer && !had)
		return 0;
	r = peer_place(dev->name);
	if (r == PEER_HERE && !req->peer) {
		dev->flags &= ~SHUNT_DEV_PEER;
		return 0;
	}
	if (r == PEER_NONE || r == PEER_HERE)
		return shunt_err(-EINVAL, "'%s' %s: give '-i %s' instead of --peer", dev->name,
				 r == PEER_NONE ? "is not a veth, and has no peer"
						: "has its peer in this network namespace",
				 dev->name);
	if (r > 0 && !had) {
		dev->flags |= SHUNT_DEV_PEER;
		r = peer_passed_by(dev->name, what, sizeof(what));
		if (r > 0)
			shunt_warn("'%s': its %s does not see what is routed straight into the "
				   "peer",
				   dev->name, what);
	}
	return r < 0 ? r : 0;
}

static int fill_device(const struct shunt *s, const struct hook_request *req,
		       struct shunt_device *dev)
{
	unsigned int ifindex = 1;
	bool l3 = false;
	int r = req->lo ? 0 : device_probe(req->device, &ifindex, &l3);

	if (r)
		return r;
	if (dev->ifindex != ifindex) /* new, or deleted and made again since */
		dev->flags = 0;
	dev->ifindex = ifindex;
	if (req->lo)
		dev->flags |= SHUNT_DEV_LO;
	if (l3)
		dev->flags |= SHUNT_DEV_L3;
	r = choose_hook(s, req, dev);
	if (r)
		return r;
	dev->flags |= SHUNT_DEV_USED | SHUNT_DEV_IN;
	if (req->out)
		dev->flags |= SHUNT_DEV_OUT;
	return choose_peer(req, dev);
}

/*
 * A device keeps its programs when it is renamed, but its routing rules stay with the old name
 * (kernel-facts H3). Give its slot the new one; a slot that only a rule named moves out of the way.
 * Rules in force go by slots: *renamed tells that they have to be compiled anew.
 */
static int follow_rename(struct shunt *s, const char *name, bool *renamed)
{
	int slot = device_find_ifindex(s, if_nametoindex(name)), other, r;
	struct shunt_device dev, named;

	if (slot < 0)
		return 0;
	r = device_read(s, slot, &dev);
	if (r || !strcmp(dev.name, name))
		return r;
	r = rollback_check_none(s); /* while one waits, rules cannot be compiled anew */
	if (r)
		return r;
	other = device_find(s, name);
	if (other > 0)
		r = device_read(s, other, &named);
	if (!r && other > 0) {
		memcpy(named.name, dev.name, sizeof(named.name));
		r = device_write(s, other, &named);
	}
	if (!r)
		r = policy_del_rules(&s->info, dev.name);
	if (r)
		return r;
	*renamed = true;
	snprintf(dev.name, sizeof(dev.name), "%s", name);
	return device_write(s, slot, &dev);
}

int hook_add(struct shunt *s, const struct hook_request *req, struct hook_undo *undo)
{
	struct shunt_device dev;
	int slot, r;

	undo->slot = 0;
	undo->renamed = false;
	r = follow_rename(s, req->device, &undo->renamed);
	if (r)
		return r;
	slot = device_slot(s, req->device);
	if (slot < 0)
		return slot;
	r = device_read(s, slot, &dev);
	if (r)
		return r;
	undo->old = dev;
	r = fill_device(s, req, &dev);
	if (r)
		return r;
	undo->slot = slot;
	r = device_write(s, slot, &dev);
	if (!r)
		r = policy_add_rules(&s->info, dev.name);
	if (!r)
		r = attach_one(s, slot, &dev, ATTACH_IN);
	if (!r && (dev.flags & SHUNT_DEV_OUT))
		r = attach_one(s, slot, &dev, ATTACH_OUT);
	return r;
}

/* Take off what `dev` has and `keep` has not. */
static int strip(struct shunt *s, int slot, const struct shunt_device *dev,
		 const struct shunt_device *keep)
{
	bool present = dev->ifindex && if_nametoindex(dev->name) == dev->ifindex;
	uint32_t gone = dev->flags & ~keep->flags;
	int r, first = 0;

	/* The device may have been renamed, moved or deleted: links tell by themselves. */
	if (gone & SHUNT_DEV_OUT && (present || dev->flags & SHUNT_DEV_TCX))
		first = detach_one(s, slot, dev, ATTACH_OUT);
	if (gone & SHUNT_DEV_IN && (present || dev->flags & SHUNT_DEV_TCX)) {
		r = detach_one(s, slot, dev, ATTACH_IN);
		first = first ? first : r;
	}
	if (gone & SHUNT_DEV_MADE_CLSACT && present) {
		r = detach_clsact_qdisc(dev->ifindex, dev->name);
		first = first ? first : r;
	}
	if (gone & SHUNT_DEV_USED) {
		r = policy_del_rules(&s->info, dev->name);
		first = first ? first : r;
	}
	r = device_write(s, slot, keep);
	return first ? first : r;
}

int hook_undo(struct shunt *s, const struct hook_undo *undo)
{
	struct shunt_device now, old = undo->old;
	int r = device_read(s, undo->slot, &now);

	if (r)
		return r;
	if (now.ifindex != old.ifindex)
		old.flags = 0; /* the device it was is gone, what is there now is all new */
	return strip(s, undo->slot, &now, &old);
}

int hook_remove(struct shunt *s, int slot)
{
	struct shunt_device dev, none;
	int r = device_read(s, slot, &dev);

	if (r)
		return r;
	none = dev;
	none.flags = 0;
	return strip(s, slot, &dev, &none);
}
