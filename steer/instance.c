// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "netns.h"
#include "pin.h"
#include "shunt.skel.h"
#include "sysctl.h"

static const char *const prog_names[PROG_MAX] = {
	[PROG_IN_ETH] = "shunt_in_eth",	  [PROG_IN_L3] = "shunt_in_l3",
	[PROG_OUT_ETH] = "shunt_out_eth", [PROG_OUT_L3] = "shunt_out_l3",
	[PROG_LO] = "shunt_lo",		  [PROG_BACKSTOP] = "shunt_backstop",
};

static const struct {
	const char *name;
	size_t offset; /* of the descriptor in struct shunt */
} map_table[] = {
#define INSTANCE_MAP_ROW(name) { #name, offsetof(struct shunt, map.name) },
	INSTANCE_MAPS(INSTANCE_MAP_ROW)
#undef INSTANCE_MAP_ROW
};

enum { N_MAPS = sizeof(map_table) / sizeof(map_table[0]) };

static int *map_fd(struct shunt *s, size_t i)
{
	return (int *)((char *)s + map_table[i].offset);
}

void instance_init(struct shunt *s)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < N_MAPS; i++)
		*map_fd(s, i) = -1;
	for (int i = 0; i < PROG_MAX; i++)
		s->prog[i] = -1;
}

void instance_release(struct shunt *s)
{
	for (size_t i = 0; i < N_MAPS; i++) {
		cleanup_close(map_fd(s, i));
		*map_fd(s, i) = -1;
	}
	for (int i = 0; i < PROG_MAX; i++) {
		cleanup_close(&s->prog[i]);
		s->prog[i] = -1;
	}
	event_reader_free(s->events);
	s->events = NULL;
}

/* ---- load ------------------------------------------------------------------------------ */

/* libbpf's own words matter only when a load fails: the first say why, the others what follows. */
static char libbpf_said[512];

static int keep_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && !libbpf_said[0])
		vsnprintf(libbpf_said, sizeof(libbpf_said), fmt, ap);
	return 0;
}

/* One of the two off, and TCP of both families does without; net/ipv6/ip6_input.c. */
static bool has_early_demux(void)
{
	int all, tcp;

	return !sysctl_read("net/ipv4/ip_early_demux", &all) && all &&
	       !sysctl_read("net/ipv4/tcp_early_demux", &tcp) && tcp;
}

/* Of the kernel's, in SHUNT_RECENT_MS; at least one. */
static unsigned int recent_jiffies(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_sec || tick.tv_nsec <= 0)
		return 1;
	if (tick.tv_nsec > SHUNT_RECENT_MS * 1000000L)
		return 1;
	return (unsigned int)(SHUNT_RECENT_MS * 1000000L / tick.tv_nsec);
}

static int load_skeleton(struct shunt *s, struct shunt_bpf **out)
{
	struct shunt_bpf *skel;
	unsigned int seed;
	int r;

	libbpf_said[0] = '\0';
	libbpf_set_print(keep_libbpf);
	skel = shunt_bpf__open();
	if (!skel)
		return shunt_err(-errno, "cannot open the BPF object: %s", strerror(errno));
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (unsigned int)getpid();
	skel->rodata->steer_mark = s->info.steer_mark;
	skel->rodata->own_mark = s->info.own_mark;
	skel->rodata->hash_seed = seed;
	skel->rodata->early_demux = has_early_demux();
	skel->rodata->recent_jiffies = recent_jiffies();
	skel->rodata->by_loopback = !!(s->info.flags & SHUNT_INST_LOOPBACK);
	r = shunt_bpf__load(skel);
	if (r) {
		libbpf_said[strcspn(libbpf_said, "\n")] = '\0';
		shunt_bpf__destroy(skel);
		return shunt_err(r, "cannot load the BPF programs: %s (%s)", strerror(-r),
				 libbpf_said);
	}
	*out = skel;
	return 0;
}

static int pin_fd(const struct shunt *s, int fd, const char *name)
{
	char path[PATH_MAX + 64];

	if (bpf_obj_pin(fd, pin_path(path, sizeof(path), s->dir, name)))
		return shunt_err(-errno, "cannot pin '%s': %s", path, strerror(errno));
	return 0;
}

static int pin_all(struct shunt *s, struct shunt_bpf *skel)
{
	char name[64];
	int r;

	for (int i = 0; i < PROG_MAX; i++) {
		struct bpf_program *prog =
			bpf_object__find_program_by_name(skel->obj, prog_names[i]);

		snprintf(name, sizeof(name), "prog_%s", prog_names[i]);
		s->prog[i] = dup(bpf_program__fd(prog));
		r = pin_fd(s, s->prog[i], name);
		if (r)
			return r;
	}
	for (size_t i = 0; i < N_MAPS; i++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name(skel->obj, map_table[i].name);

		*map_fd(s, i) = dup(bpf_map__fd(map));
		if (map_fd(s, i) == &s->map.instance) {
			r = instance_save(s);
			if (r)
				return r;
		}
		r = pin_fd(s, *map_fd(s, i), map_table[i].name);
		if (r)
			return r;
	}
	return 0;
}

int instance_load(struct shunt *s)
{
	struct shunt_bpf *skel = NULL;
	int r = load_skeleton(s, &skel);

	if (r)
		return r;
	/* Left by an `up` that was killed before it finished: nothing outside refers to it. */
	r = pin_remove_dir(s->dir);
	if (!r)
		r = pin_make_dir(s->dir);
	if (r >= 0)
		r = pin_all(s, skel);
	shunt_bpf__destroy(skel);
	if (r) {
		instance_release(s);
		pin_remove_dir(s->dir);
	}
	return r;
}

/* ---- open ------------------------------------------------------------------------------- */

static int get_pin(const struct shunt *s, const char *prefix, const char *name)
{
	char path[PATH_MAX + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s%s", s->dir, prefix, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* A pin that someone has removed: no -ENOENT, since the rest of the instance is there. */
static int missing(const struct shunt *s, int error, const char *prefix, const char *name)
{
	return shunt_err(-ESTALE, "cannot open '%s/%s%s': %s: run 'shuntctl down', then 'up'",
			 s->dir, prefix, name, strerror(-error));
}

/* Has the map values of this size? What another version made may have others. */
static bool has_values_of(int map, size_t size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(map, &info, &len) && info.key_size == sizeof(__u32) &&
	       info.value_size == size;
}

/* Read what the map `instance` says, of whichever version. */
static int read_info(int map, struct shunt_instance *out)
{
	__u32 zero = 0;

	if (!has_values_of(map, sizeof(*out)))
		return -EPROTO;
	return bpf_map_lookup_elem(map, &zero, out) ? -errno : 0;
}

/* -EPROTO, without a message, if another version made it. */
static int open_info(struct shunt *s)
{
	uint64_t cookie;
	int r = netns_cookie(&cookie);

	if (r)
		return r;
	s->map.instance = get_pin(s, "", "instance");
	if (s->map.instance == -ENOENT)
		return -ENOENT;
	if (s->map.instance < 0)
		return shunt_err(s->map.instance, "cannot open '%s/instance': %s", s->dir,
				 strerror(-s->map.instance));
	r = read_info(s->map.instance, &s->info);
	if (r && r != -EPROTO)
		return shunt_err(r, "cannot read '%s/instance': %s", s->dir, strerror(-r));
	if (r || s->info.magic != SHUNT_MAGIC)
		return -EPROTO;
	if (s->info.netns_cookie != cookie)
		return -ENOENT; /* of a namespace that is gone and had the same inode number */
	return s->info.abi == SHUNT_ABI_VERSION ? 0 : -EPROTO;
}

/* Maps and programs beside `instance`. */
static int open_rest(struct shunt *s)
{
	int r = 0;

	for (size_t i = 0; i < N_MAPS; i++) {
		if (*map_fd(s, i) < 0)
			*map_fd(s, i) = get_pin(s, "", map_table[i].name);
		if (*map_fd(s, i) < 0)
			r = missing(s, *map_fd(s, i), "", map_table[i].name);
	}
	for (int i = 0; i < PROG_MAX; i++) {
		s->prog[i] = get_pin(s, "prog_", prog_names[i]);
		if (s->prog[i] < 0)
			r = missing(s, s->prog[i], "prog_", prog_names[i]);
	}
	return r;
}

static int other_version(const struct shunt *s, const char *what)
{
	return shunt_err(-EPROTO,
			 "'%s' was made by another version of shunt (abi %u, this is %u): %s",
			 s->dir, s->info.abi, SHUNT_ABI_VERSION, what);
}

int instance_open(struct shunt *s)
{
	int r = open_info(s);

	if (r == -EPROTO)
		return other_version(s, "run 'shuntctl down', then 'up'");
	return r ? r : open_rest(s);
}

/* Has it what teardown goes by, and in the form that it has here? */
static bool can_be_removed(struct shunt *s)
{
	return s->info.magic == SHUNT_MAGIC && s->info.abi < SHUNT_ABI_VERSION &&
	       has_values_of(s->map.devices, sizeof(struct shunt_device)) &&
	       has_values_of(s->map.device_slots, sizeof(__u32));
}

int instance_open_for_down(struct shunt *s)
{
	int r = open_info(s);

	if (r != -EPROTO)
		return r ? r : open_rest(s);
	s->map.devices = get_pin(s, "", "devices");
	s->map.device_slots = get_pin(s, "", "device_slots");
	if (!can_be_removed(s))
		return other_version(s, "run its 'shuntctl down'");
	for (int i = 0; i < PROG_MAX; i++) /* a filter of ours is told by its program */
		s->prog[i] = get_pin(s, "prog_", prog_names[i]);
	return 0;
}

/* ---- the others ---------------------------------------------------------------------------- */

/* The marks of the instance in that directory, 0 if it is none of this network namespace. */
static __u32 marks_of(const char *dir, const char *name, __u64 cookie)
{
	_cleanup_close_ int map = -1;
	struct shunt_instance info;
	char path[PATH_MAX + NAME_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s/instance", dir, name);
	map = bpf_obj_get(path);
	if (map < 0 || read_info(map, &info) || info.magic != SHUNT_MAGIC ||
	    info.netns_cookie != cookie)
		return 0;
	return info.steer_mark | info.own_mark;
}

int instance_check_marks(const struct shunt *s)
{
	__u32 bits = s->info.steer_mark | s->info.own_mark, marks;
	char above[PATH_MAX], *own;
	struct dirent *entry;
	int r = 0;
	DIR *d;

	snprintf(above, sizeof(above), "%s", s->dir);
	own = strrchr(above, '/');
	*own++ = '\0';
	d = opendir(above);
	while (d && !r && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, own))
			continue;
		marks = marks_of(above, entry->d_name, s->info.netns_cookie);
		if (marks & bits)
			r = shunt_err(-EEXIST,
				      "instance '%s' uses mark bits 0x%x, which overlap ours (0x%x): "
				      "choose others with --mark, or go on with --force",
				      entry->d_name, marks, bits);
	}
	if (d)
		closedir(d);
	return r;
}

int instance_save(struct shunt *s)
{
	__u32 zero = 0;

	if (bpf_map_update_elem(s->map.instance, &zero, &s->info, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'instance': %s", strerror(errno));
	return 0;
}

/* ---- public ------------------------------------------------------------------------------ */

int shunt_open(struct shunt **out, const struct shunt_where *where)
{
	struct shunt *s;
	int r = netns_enter(where->netns);

	if (!r)
		r = pin_check_bpffs();
	if (r)
		return r;
	s = malloc(sizeof(*s));
	if (!s)
		return shunt_err(-ENOMEM, "out of memory");
	instance_init(s);
	r = pin_dir(s->dir, sizeof(s->dir), where->instance);
	if (!r)
		r = instance_open(s);
	if (r == -ENOENT)
		shunt_err(r, "instance '%s' is not up in this network namespace: run 'shuntctl up' first",
			  where->instance ? where->instance : "default");
	if (r) {
		shunt_close(s);
		return r;
	}
	*out = s;
	return 0;
}

void shunt_close(struct shunt *s)
{
	if (!s)
		return;
	instance_release(s);
	free(s);
}

const struct shunt_instance *shunt_instance_info(const struct shunt *s)
{
	return &s->info;
}

const char *shunt_pin_dir(const struct shunt *s)
{
	return s->dir;
}

static __u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

int instance_lock(struct shunt *s)
{
	_cleanup_close_ int lock = s->impatient ? pin_try_lock(s->dir) : pin_lock(s->dir);

	if (lock < 0 || shunt_is_current(s))
		return take_fd(&lock);
	pin_prune(s->dir); /* pin_lock() has made it again */
	return shunt_err(-ENOENT, "the instance was taken down meanwhile");
}

void shunt_set_impatient(struct shunt *s)
{
	s->impatient = true;
}

/* That it cannot be looked at for want of a descriptor or of memory says nothing about it. */
static bool is_want(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

int shunt_is_current(const struct shunt *s)
{
	_cleanup_close_ int fd = get_pin(s, "", "instance");

	return fd < 0 ? is_want(fd) : map_id(fd) == map_id(s->map.instance);
}
