// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cgroup.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "shunt/shunt.h"

enum { ROOT_ID = 1 }; /* of the whole hierarchy, fs/kernfs/mount.c */

/* Where cgroup v2 is mounted, alone or beside v1. */
static const char *find_mount(void)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++)
		if (!statfs(mounts[i], &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
			return mounts[i];
	return NULL;
}

/* The id of a directory, which is its inode. */
static int id_of(const char *full, const char *path, uint64_t *id)
{
	struct stat st;

	if (stat(full, &st))
		return shunt_err(-errno, "cannot find cgroup '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return shunt_err(-ENOTDIR, "'%s' is not a cgroup", path);
	*id = st.st_ino;
	return 0;
}

int cgroup_find(const char *path, uint64_t ids[SHUNT_CGROUP_LEVELS])
{
	const char *mount = find_mount();
	uint64_t found[SHUNT_CGROUP_LEVELS] = {}, id = 0;
	char full[PATH_MAX];
	size_t len;
	int level = 0, r;

	if (!mount)
		return shunt_err(-ENOENT, "cgroup '%s': cgroup v2 is not mounted on /sys/fs/cgroup",
				 path);
	len = (size_t)snprintf(full, sizeof(full), "%s", mount);
	r = id_of(full, path, &found[0]);
	if (r)
		return r;
	if (found[0] != ROOT_ID)
		return shunt_err(-EOPNOTSUPP, "cgroup '%s': not possible in a cgroup namespace, "
				 "whose root's place in the hierarchy cannot be seen", path);
	for (const char *at = path + strspn(path, "/"); *at; at += strspn(at, "/")) {
		size_t n = strcspn(at, "/");

		if (len + n + 2 > sizeof(full))
			return shunt_err(-ENAMETOOLONG, "cgroup '%s': too long", path);
		len += (size_t)snprintf(full + len, sizeof(full) - len, "/%.*s", (int)n, at);
		r = id_of(full, path, &id);
		if (r)
			return r;
		if (++level < SHUNT_CGROUP_LEVELS)
			found[level] = id;
		at += n;
	}
	memcpy(ids, found, sizeof(found));
	return level;
}

bool cgroup_exists(const char *path)
{
	const char *mount = find_mount();
	char full[PATH_MAX + 32];
	struct stat st;

	if (!mount)
		return false;
	snprintf(full, sizeof(full), "%s/%s", mount, path + strspn(path, "/"));
	return !stat(full, &st) && S_ISDIR(st.st_mode);
}
