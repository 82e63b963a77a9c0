// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Making an instance and taking it away. Order of `up`: maps and programs, routes, rules,
 * hooks; the hooks last, since from then on packets are steered. `down` goes the other way.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>

#include "apply.h"
#include "attach.h"
#include "cleanup.h"
#include "device.h"
#include "generation.h"
#include "hook.h"
#include "hops.h"
#include "instance.h"
#include "netns.h"
#include "pin.h"
#include "policy.h"
#include "sysctl.h"

#define ACCEPT_LOCAL "net/ipv4/conf/lo/accept_local"

/* ---- the SK_LOOKUP program of the namespace ------------------------------------------------ */

static char *backstop_path(char *buf, size_t size, const struct shunt *s)
{
	return pin_path(buf, size, s->dir, "link_backstop");
}

static bool backstop_is_set(const struct shunt *s)
{
	struct bpf_link_info info = {};
	_cleanup_close_ int link = -1;
	char path[PATH_MAX + 32];
	__u32 len = sizeof(info);

	link = bpf_obj_get(backstop_path(path, sizeof(path), s));
	return link >= 0 && !bpf_obj_get_info_by_fd(link, &info, &len) && info.netns.netns_ino;
}

static int add_backstop(struct shunt *s)
{
	_cleanup_close_ int netns = -1, link = -1;
	char path[PATH_MAX + 32];

	if (backstop_is_set(s))
		return 0;
	unlink(backstop_path(path, sizeof(path), s)); /* detached, a husk */
	netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return shunt_err(-errno, "cannot open '/proc/thread-self/ns/net': %s",
				 strerror(errno));
	link = bpf_link_create(s->prog[PROG_BACKSTOP], netns, BPF_SK_LOOKUP, NULL);
	if (link < 0)
		return shunt_err(-errno, "cannot attach the socket lookup program: %s",
				 strerror(errno));
	if (bpf_obj_pin(link, path))
		return shunt_err(-errno, "cannot pin '%s': %s", path, strerror(errno));
	return 0;
}

static void del_backstop(struct shunt *s)
{
	_cleanup_close_ int link = -1;
	char path[PATH_MAX + 32];

	link = bpf_obj_get(backstop_path(path, sizeof(path), s));
	unlink(path); /* first, so that a SIGKILL here leaves no husk */
	if (link >= 0)
		bpf_link_detach(link);
}

/* ---- lo.accept_local, needed by IPv4 local outbound (kernel-facts H10) -------------------------- */

static int set_accept_local(struct shunt *s)
{
	int value, r;

	r = sysctl_read(ACCEPT_LOCAL, &value);
	if (!r && value)
		return 0;
	if (!r) {
		s->info.flags |= SHUNT_INST_ACCEPT_LOCAL;
		r = instance_save(s);
		if (r)
			return r;
		r = sysctl_write(ACCEPT_LOCAL, 1);
	}
	return r ? shunt_err(r, "cannot set the sysctl '" ACCEPT_LOCAL "': %s", strerror(-r)) : 0;
}

static void restore_accept_local(struct shunt *s)
{
	int value;

	if (!(s->info.flags & SHUNT_INST_ACCEPT_LOCAL))
		return;
	if (!sysctl_read(ACCEPT_LOCAL, &value) && value == 1)
		sysctl_write(ACCEPT_LOCAL, 0);
	s->info.flags &= ~SHUNT_INST_ACCEPT_LOCAL;
	instance_save(s);
}

/* Go where the instance is to be and take the lock, which is returned; *s has its directory. */
static int begin(struct shunt *s, const struct shunt_where *where)
{
	int r;

	instance_init(s);
	r = netns_enter(where->netns);
	if (!r)
		r = pin_check_bpffs();
	if (!r)
		r = pin_dir(s->dir, sizeof(s->dir), where->instance);
	return r ? r : pin_lock(s->dir);
}

/* ---- down -------------------------------------------------------------------------------------- */

/* lo last: the others send packets there, which nobody else can tell. */
static int remove_hooks(struct shunt *s)
{
	struct shunt_device dev;
	int r, lo = 0, first = 0;

	for (int slot = 1; slot < SHUNT_MAX_DEVICES; slot++) {
		r = device_read(s, slot, &dev);
		if (r)
			return r;
		if (!dev.name[0])
			break;
		if (dev.flags & SHUNT_DEV_LO)
			lo = slot;
		if (!(dev.flags & SHUNT_DEV_USED) || lo == slot)
			continue;
		r = hook_remove(s, slot);
		first = first ? first : r;
	}
	r = lo ? hook_remove(s, lo) : 0;
	return first ? first : r;
}

static int tear_down(struct shunt *s)
{
	int r, first = remove_hooks(s);

	del_backstop(s);
	r = policy_del_routes(&s->info);
	first = first ? first : r;
	restore_accept_local(s);
	if (first)
		return first; /* the pins stay: another `down` goes on from them */
	return pin_remove_dir(s->dir);
}

int shunt_down(const struct shunt_where *where)
{
	_cleanup_close_ int lock = -1;
	struct shunt s;
	int r;

	lock = begin(&s, where);
	if (lock < 0)
		return lock;
	r = instance_open_for_down(&s);
	if (r == -ENOENT)
		r = pin_remove_dir(s.dir); /* nothing, or the start of an `up` that was killed */
	else if (!r || r == -ESTALE)
		r = tear_down(&s); /* what is there is enough to find the rest */
	instance_release(&s);
	return r;
}

/* ---- up ------------------------------------------------------------------------------------------ */

enum { MAIN_RULE_PREF = 32766 }; /* net/ipv4/fib_rules.c */

static int fill_info(struct shunt_instance *info, const struct shunt_up_options *opt)
{
	uint32_t mark = opt->mark ? opt->mark : SHUNT_DEFAULT_MARK;
	uint64_t cookie = 0;
	int r;

	if (__builtin_popcount(mark) != 2)
		return shunt_err(-EINVAL, "mark 0x%x: give a mask of exactly two bits, e.g. 0x%x",
				 mark, SHUNT_DEFAULT_MARK);
	info->magic = SHUNT_MAGIC;
	info->abi = SHUNT_ABI_VERSION;
	info->own_mark = mark & -mark;
	info->steer_mark = mark & ~info->own_mark;
	info->table = opt->table ? opt->table : SHUNT_DEFAULT_TABLE;
	info->pref = opt->pref ? opt->pref : SHUNT_DEFAULT_PREF;
	info->flags = opt->delivery == SHUNT_DELIVER_LOOPBACK ? SHUNT_INST_LOOPBACK : 0;
	if (info->pref >= MAIN_RULE_PREF)
		return shunt_err(-EINVAL, "priority %u: the table main is asked first, at %d",
				 info->pref, MAIN_RULE_PREF);
	if (info->table >= 253 && info->table <= 255)
		return shunt_err(-EINVAL, "table %u is the kernel's own", info->table);
	r = netns_cookie(&cookie);
	info->netns_cookie = cookie;
	return r;
}

/* An instance that is up keeps its numbers: asking for others is a mistake. */
static int check_same(const struct shunt_instance *is, const struct shunt_instance *want,
		      const struct shunt_up_options *opt)
{
	if ((opt->mark && (is->steer_mark | is->own_mark) != opt->mark) ||
	    (opt->table && is->table != want->table) || (opt->pref && is->pref != want->pref))
		return shunt_err(-EBUSY,
				 "the instance is up with mark 0x%x, table %u, priority %u: run "
				 "'shuntctl down' to change them",
				 is->steer_mark | is->own_mark, is->table, is->pref);
	if (opt->delivery && ((is->flags ^ want->flags) & SHUNT_INST_LOOPBACK))
		return shunt_err(-EBUSY,
				 "the instance is up and delivers by %s: run 'shuntctl down' to "
				 "change that",
				 is->flags & SHUNT_INST_LOOPBACK ? "lo" : "a routing rule");
	return 0;
}

static int check_devices(const struct shunt_up_options *opt)
{
	unsigned int ifindex;
	bool l3;
	int r = device_check_lo();

	for (size_t i = 0; i < opt->n_devices && !r; i++)
		r = device_probe(opt->devices[i], &ifindex, &l3);
	if (r)
		return r;
	if (opt->out && !opt->n_devices)
		return shunt_err(-EINVAL, "--out needs the device where flows leave: add -i IFACE");
	return 0;
}

struct undo_list {
	struct hook_undo *v;
	size_t n;
	bool renamed; /* one of them had another name before */
};

static int add_one(struct shunt *s, const struct hook_request *req, struct undo_list *done)
{
	struct hook_undo undo;
	int r = hook_add(s, req, &undo);

	if (undo.slot)
		done->v[done->n++] = undo;
	done->renamed |= undo.renamed;
	return r;
}

static bool is_peer(const struct shunt_up_options *opt, const char *device)
{
	for (size_t i = 0; i < opt->n_peers; i++)
		if (!strcmp(opt->peers[i], device))
			return true;
	return false;
}

static int add_devices(struct shunt *s, const struct shunt_up_options *opt, struct undo_list *done)
{
	bool by_loopback = s->info.flags & SHUNT_INST_LOOPBACK;
	int r = 0;

	if (opt->out || by_loopback) {
		struct hook_request lo = { .device = "lo", .lo = true, .hook = opt->hook };

		r = by_loopback ? 0 : set_accept_local(s);
		if (!r)
			r = add_one(s, &lo, done);
	}
	for (size_t i = 0; i < opt->n_devices && !r; i++) {
		struct hook_request req = { .device = opt->devices[i],
					    .out = opt->out,
					    .peer = is_peer(opt, opt->devices[i]),
					    .hook = opt->hook };

		r = add_one(s, &req, done);
	}
	return r;
}

/* Rules name interfaces, and what had that name is called something else now. */
static int rename_in_rules(struct shunt *s)
{
	struct shunt_config config = {};
	int r = generation_read_locked(s, &config);

	if (!r)
		r = generation_replace(s, &config, NULL);
	shunt_config_clear(&config);
	return r;
}

/* Rules last: what was in force before them need not be put back. */
static int add_config(struct shunt *s, const struct shunt_up_options *opt, bool renamed, int lock)
{
	const struct shunt_apply how = {};

	if (opt->config)
		return apply_locked(s, opt->config, &how, NULL, lock);
	return renamed ? rename_in_rules(s) : 0;
}

/* Add to an instance that is up; on failure it is as it was. */
static int extend(struct shunt *s, const struct shunt_up_options *opt, int lock)
{
	bool had_accept_local = s->info.flags & SHUNT_INST_ACCEPT_LOCAL;
	_cleanup_free_ struct hook_undo *undo = calloc(opt->n_devices + 1, sizeof(*undo));
	struct undo_list done = { undo, 0, false };
	int r;

	if (!undo)
		return shunt_err(-ENOMEM, "out of memory");
	r = policy_add_routes(&s->info);
	if (!r)
		r = add_backstop(s);
	if (!r)
		r = add_devices(s, opt, &done);
	if (!r)
		r = add_config(s, opt, done.renamed, lock);
	if (!r)
		return 0;
	while (done.n)
		hook_undo(s, &done.v[--done.n]);
	/* What has another name keeps it, and the next `up` finds nothing to follow. */
	if (done.renamed)
		rename_in_rules(s);
	if (!had_accept_local)
		restore_accept_local(s);
	return r;
}

static int create(struct shunt *s, const struct shunt_up_options *opt, int lock)
{
	int r = policy_check(&s->info, opt->force);

	if (!r && !opt->force)
		r = instance_check_marks(s);
	if (!r)
		r = instance_load(s);
	if (r)
		return r;
	if (!policy_has_ipv6())
		shunt_warn("IPv6 is off in this network namespace: only IPv4 flows are steered");
	r = extend(s, opt, lock);
	if (r)
		tear_down(s);
	return r;
}

static int up_locked(struct shunt *s, const struct shunt_up_options *opt, int lock)
{
	struct shunt_instance want = {};
	int r = fill_info(&want, opt);

	if (!r)
		r = check_devices(opt);
	if (r)
		return r;
	r = instance_open(s);
	if (r == -ENOENT) {
		instance_release(s);
		s->info = want;
		return create(s, opt, lock);
	}
	if (!r)
		r = check_same(&s->info, &want, opt);
	if (!r)
		r = hops_refresh_locked(s);
	return r ? r : extend(s, opt, lock);
}

static bool has_capability(unsigned int number)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	return syscall(SYS_capget, &head, data) ||
	       data[CAP_TO_INDEX(number)].effective & CAP_TO_MASK(number);
}

/* Before anything is made: who may not make the rest may not take it away either. */
static int check_capabilities(void)
{
	static const struct {
		unsigned int number;
		const char *name;
		bool admin; /* CAP_SYS_ADMIN does, too */
	} needed[] = {
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN", false },
		{ CAP_BPF, "CAP_BPF", true },
		{ CAP_PERFMON, "CAP_PERFMON", true }, /* for the verifier: pointers as in any program */
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!has_capability(needed[i].number) &&
		    !(needed[i].admin && has_capability(CAP_SYS_ADMIN)))
			return shunt_err(-EPERM, "root has no %s here: run it on the host, not in a "
						 "container, or give the container that",
					 needed[i].name);
	return 0;
}

int shunt_up(const struct shunt_where *where, const struct shunt_up_options *options)
{
	_cleanup_close_ int lock = -1;
	struct shunt s;
	int r;

	lock = begin(&s, where);
	if (lock < 0)
		return lock;
	r = check_capabilities();
	if (!r)
		r = up_locked(&s, options, lock);
	instance_release(&s);
	if (r)
		pin_prune(s.dir);
	return r;
}
