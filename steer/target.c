// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Targets: names of groups of sockets (map `targets`) and the sockets (map `sockets`). */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "adopt.h"
#include "cleanup.h"
#include "instance.h"
#include "name.h"
#include "pin.h"
#include "rollback.h"
#include "rule_grammar.h"
#include "target.h"

static int read_target(struct shunt *s, int index, struct shunt_target *out)
{
	__u32 key = (__u32)index;

	if (bpf_map_lookup_elem(s->map.targets, &key, out))
		return shunt_err(-errno, "cannot read the map 'targets': %s", strerror(errno));
	return 0;
}

static int write_target(struct shunt *s, int index, const struct shunt_target *t)
{
	__u32 key = (__u32)index;

	if (bpf_map_update_elem(s->map.targets, &key, t, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'targets': %s", strerror(errno));
	return 0;
}

/* The index of the target of that name, or -ENOENT and in *unused a free one (0: none). */
static int search(struct shunt *s, const char *name, int *unused)
{
	struct shunt_target t;

	*unused = 0;
	for (int i = 1; i < SHUNT_MAX_TARGETS; i++) {
		int r = read_target(s, i, &t);

		if (r)
			return r;
		if (!strcmp(t.name, name))
			return i;
		if (!t.name[0] && !*unused)
			*unused = i;
	}
	return -ENOENT;
}

int shunt_target_find(struct shunt *s, const char *name)
{
	int unused;

	return search(s, name, &unused);
}

static int no_room(const char *name)
{
	return shunt_err(-ENOSPC, "no room for target '%s': there are %d", name,
			 SHUNT_MAX_TARGETS - 1);
}

static int check_name(const char *name)
{
	if (!name_is_valid(name))
		return shunt_err(-EINVAL, "target '%s': " NAME_RULE, name);
	if (rule_word_find(name, strlen(name)))
		return shunt_err(-EINVAL, "target '%s': a word of the rule language, no rule could name it",
				 name);
	return 0;
}

int target_get_locked(struct shunt *s, const char *name)
{
	struct shunt_target t = {};
	int unused, r = check_name(name);

	if (r)
		return r;
	r = search(s, name, &unused);
	if (r != -ENOENT)
		return r;
	if (!unused)
		return no_room(name);
	memcpy(t.name, name, strlen(name));
	r = write_target(s, unused, &t);
	return r ? r : unused;
}

static int set_slot(struct shunt *s, int target, int v6, size_t slot, int fd)
{
	__u32 key = (__u32)SHUNT_SOCKET_INDEX(target, v6, (int)slot);
	__u64 value = (__u64)fd;

	if (fd < 0) {
		if (bpf_map_delete_elem(s->map.sockets, &key) && errno != ENOENT &&
		    errno != EINVAL)
			return -errno;
		return 0;
	}
	return bpf_map_update_elem(s->map.sockets, &key, &value, BPF_ANY) ? -errno : 0;
}

int shunt_target_get(struct shunt *s, const char *name)
{
	_cleanup_close_ int lock = instance_lock(s);

	return lock < 0 ? lock : target_get_locked(s, name);
}

static bool slot_is_live(struct shunt *s, int target, int v6, int slot)
{
	__u32 key = (__u32)SHUNT_SOCKET_INDEX(target, v6, slot);
	__u64 cookie;

	return !bpf_map_lookup_elem(s->map.sockets, &key, &cookie);
}

static int set_sockets_locked(struct shunt *s, int target, int v6, const int *fds, size_t n,
			      enum shunt_target_kind kind, pid_t pid)
{
	struct shunt_target t;
	int r;

	if (target < 1 || target >= SHUNT_MAX_TARGETS || n > SHUNT_TARGET_SLOTS)
		return shunt_err(-EINVAL, "target %d with %zu sockets: out of range", target, n);
	r = read_target(s, target, &t);
	if (r)
		return r;
	for (size_t i = 0; i < SHUNT_TARGET_SLOTS; i++) {
		r = set_slot(s, target, v6, i, i < n ? fds[i] : -1);
		if (r)
			return shunt_err(r, "cannot register socket %zu of target '%s': %s", i,
					 t.name, strerror(-r));
	}
	t.kind = (__u8)kind;
	t.pid = (__u32)pid;
	if (n > t.slots)
		t.slots = (__u16)n;
	/* Empty slots at the end would send their share of the flows to one socket. */
	while (t.slots > n && !slot_is_live(s, target, !v6, t.slots - 1))
		t.slots--;
	return write_target(s, target, &t);
}

int shunt_target_set_sockets(struct shunt *s, int target, int v6, const int *fds, size_t n,
			     enum shunt_target_kind kind, pid_t pid)
{
	_cleanup_close_ int lock = instance_lock(s);

	return lock < 0 ? lock : set_sockets_locked(s, target, v6, fds, n, kind, pid);
}

static unsigned int count_live(struct shunt *s, int target, int v6)
{
	unsigned int live = 0;

	for (int slot = 0; slot < SHUNT_TARGET_SLOTS; slot++)
		live += slot_is_live(s, target, v6, slot);
	return live;
}

int shunt_targets_read(struct shunt *s, struct shunt_target_info *out, size_t max)
{
	size_t n = 0;

	for (int i = 1; i < SHUNT_MAX_TARGETS && n < max; i++) {
		int r = read_target(s, i, &out[n].target);

		if (r)
			return r;
		if (!out[n].target.name[0])
			continue;
		out[n].index = i;
		out[n].live_v4 = count_live(s, i, 0);
		out[n].live_v6 = count_live(s, i, 1);
		n++;
	}
	return (int)n;
}

/* By a shuntd, or another program of its kind: it would not notice that the target is another's. */
static int check_not_served(struct shunt *s, int target)
{
	struct shunt_target t;
	int r = read_target(s, target, &t);

	if (r || t.kind != SHUNT_TARGET_PLAIN ||
	    !(count_live(s, target, 0) || count_live(s, target, 1)))
		return r;
	return shunt_err(-EBUSY, "target '%s' has live sockets of process %u: end that one first",
			 t.name, t.pid);
}

/* Can it be made, or is it one that nobody serves? */
static int check_can_adopt(struct shunt *s, const char *name)
{
	int unused, target, r = check_name(name);

	if (r)
		return r;
	target = search(s, name, &unused);
	if (target == -ENOENT)
		return unused ? 0 : no_room(name);
	return target < 0 ? target : check_not_served(s, target);
}

int shunt_target_adopt(struct shunt *s, const char *name, pid_t pid,
		       const struct sockaddr_storage *addr, uint16_t port)
{
	struct adopt_filter filter = { .pid = pid, .port = port, .addr = addr };
	enum shunt_target_kind kind = pid ? SHUNT_TARGET_ADOPTED : SHUNT_TARGET_LISTEN;
	_cleanup_close_ int lock = instance_lock(s);
	struct adopted found = {};
	int target = 0, r = lock < 0 ? lock : check_can_adopt(s, name);

	if (!r)
		r = adopt_sockets(&found, &filter, s->info.own_mark);
	/* Only now: what failed before leaves no target behind. */
	if (!r)
		target = target_get_locked(s, name);
	if (target < 0)
		r = target;
	for (int v6 = 0; v6 < 2 && !r; v6++)
		r = set_sockets_locked(s, target, v6, found.fds[v6], found.n[v6], kind, found.pid);
	adopt_release(&found);
	return r;
}

int shunt_target_del(struct shunt *s, const char *name)
{
	_cleanup_close_ int lock = instance_lock(s);
	struct shunt_target none = {};
	struct shunt_rules rules = {};
	int target, r = lock < 0 ? lock : 0;

	if (r)
		return r;
	target = shunt_target_find(s, name);
	if (target == -ENOENT)
		return shunt_err(-ENOENT, "there is no target '%s'", name);
	/* Rules that may come back name it by its place. */
	r = target < 0 ? target : rollback_check_none(s);
	if (!r)
		r = shunt_rules_read(s, &rules);
	for (size_t i = 0; i < rules.n && !r; i++)
		if (rules.v[i].action == SHUNT_ACT_PROXY && !strcmp(rules.v[i].target, name))
			r = shunt_err(-EBUSY, "target '%s' is used by rule %u", name,
				      rules.v[i].priority);
	shunt_rules_clear(&rules);
	if (!r)
		r = check_not_served(s, target);
	for (int v6 = 0; v6 < 2 && !r; v6++)
		r = set_sockets_locked(s, target, v6, NULL, 0, SHUNT_TARGET_FREE, 0);
	return r ? r : write_target(s, target, &none);
}
