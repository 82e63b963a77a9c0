// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "name.h"
#include "netns.h"
#include "shunt/shunt.h"

#define BPFFS "/sys/fs/bpf"

int pin_dir(char *buf, size_t size, const char *instance)
{
	uint64_t netns;
	int r;

	if (!instance)
		instance = "default";
	if (!name_is_valid(instance))
		return shunt_err(-EINVAL, "instance '%s': " NAME_RULE, instance);
	r = netns_inode(&netns);
	if (r)
		return r;
	if (snprintf(buf, size, SHUNT_PIN_ROOT "/%" PRIu64 "/%s", netns, instance) >= (int)size)
		return shunt_err(-ENAMETOOLONG, "instance '%s': name too long", instance);
	return 0;
}

int pin_check_bpffs(void)
{
	struct statfs fs;

	if (geteuid())
		return shunt_err(-EPERM, "this needs root: run it with sudo");
	if (statfs(BPFFS, &fs) || fs.f_type != BPF_FS_MAGIC)
		return shunt_err(-ENODEV, "no bpf file system at " BPFFS
					  ": run 'mount -t bpf bpf " BPFFS "' first; instead of "
					  "'ip netns exec NAME', which hides it, give --netns NAME");
	return 0;
}

char *pin_path(char *buf, size_t size, const char *dir, const char *name)
{
	snprintf(buf, size, "%s/%s", dir, name);
	return buf;
}

bool pin_dir_exists(const char *dir)
{
	struct stat st;

	return !stat(dir, &st);
}

static int make_one(const char *dir)
{
	if (!mkdir(dir, 0700))
		return 0;
	if (errno == EEXIST)
		return 1;
	return shunt_err(-errno, "cannot make '%s': %s", dir, strerror(errno));
}

int pin_make_dir(const char *dir)
{
	char netns_dir[PATH_MAX];
	int r;

	snprintf(netns_dir, sizeof(netns_dir), "%s", dir);
	r = make_one(SHUNT_PIN_ROOT);
	if (r >= 0)
		r = make_one(dirname(netns_dir));
	return r >= 0 ? make_one(dir) : r;
}

int pin_remove_dir(const char *dir)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	DIR *d = opendir(dir);

	/* Where it stands all others do, on the way down, too. */
	unlink(pin_path(path, sizeof(path), dir, "instance"));
	while (d && (entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		unlink(pin_path(path, sizeof(path), dir, entry->d_name));
	}
	if (d)
		closedir(d);
	if (rmdir(dir) && errno != ENOENT)
		return shunt_err(-errno, "cannot remove '%s': %s", dir, strerror(errno));
	pin_prune(dir);
	return 0;
}

void pin_prune(const char *dir)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", dir);
	/* Not empty means that an instance lives there. */
	if (!rmdir(dirname(above)))
		rmdir(SHUNT_PIN_ROOT);
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino;
}

static int lock_above(const char *dir, int how)
{
	char copy[PATH_MAX];
	const char *netns_dir;
	int r;

	snprintf(copy, sizeof(copy), "%s", dir);
	netns_dir = dirname(copy);
	for (;;) {
		_cleanup_close_ int fd = -1;

		r = make_one(SHUNT_PIN_ROOT);
		if (r >= 0)
			r = make_one(netns_dir);
		if (r < 0)
			return r;
		fd = open(netns_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || flock(fd, how)) {
			if (errno == EWOULDBLOCK)
				return -EAGAIN;
			return shunt_err(-errno, "cannot lock '%s': %s", netns_dir,
					 strerror(errno));
		}
		/* `down` removes the directory: what we hold may be the lock of nobody. */
		if (same_file(fd, netns_dir))
			return take_fd(&fd);
	}
}

int pin_lock(const char *dir)
{
	return lock_above(dir, LOCK_EX);
}

int pin_try_lock(const char *dir)
{
	return lock_above(dir, LOCK_EX | LOCK_NB);
}
