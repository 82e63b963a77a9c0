/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shunt/control.h"
#include "shunt/shunt.h"

static int open_locked(const char *path)
{
	int fd, r;

	if (mkdir(SHUNT_RUN_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* The one before us removes its file while it still holds it: ours may be that very file. */
static bool is_in_place(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !stat(path, &there) && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

void lock_sign(const struct lock *lock)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(lock->fd, 0) < 0 || pwrite(lock->fd, text, (size_t)len, 0) < 0)
		shunt_warn("cannot write the lock file: %s", strerror(errno));
}

static int set_path(struct lock *lock, const char *instance, const char *target)
{
	struct stat netns;

	if (stat("/proc/self/ns/net", &netns) < 0)
		return shunt_err(-errno, "cannot read '/proc/self/ns/net': %s", strerror(errno));
	if (shunt_run_path(lock->path, netns.st_ino, instance, target, "lock") < 0)
		return shunt_err(-ENAMETOOLONG, "the name of target '%s' is too long", target);
	return 0;
}

int lock_take(struct lock *lock, const char *instance, const char *target)
{
	int fd, r;

	lock->fd = -1;
	r = set_path(lock, instance, target);
	if (r < 0)
		return r;
	for (;;) {
		fd = open_locked(lock->path);
		if (fd == -EBUSY)
			return shunt_err(fd,
					 "another shuntd serves target '%s' of instance '%s' here: "
					 "'%s' is locked", target, instance, lock->path);
		if (fd == -ENOENT) /* the one before us has just removed the directory */
			continue;
		if (fd < 0)
			return shunt_err(fd, "cannot lock '%s': %s", lock->path, strerror(-fd));
		if (is_in_place(fd, lock->path))
			break;
		close(fd);
	}
	lock->fd = fd;
	lock_sign(lock);
	return 0;
}

int lock_inherit(struct lock *lock, int fd, const char *instance, const char *target)
{
	int r = set_path(lock, instance, target);

	lock->fd = r < 0 ? -1 : fd;
	return r;
}

void lock_leave(struct lock *lock)
{
	if (lock->fd >= 0)
		close(lock->fd);
	lock->fd = -1;
}

void lock_release(struct lock *lock)
{
	if (lock->fd < 0)
		return;
	unlink(lock->path);
	rmdir(SHUNT_RUN_DIR); /* unless others have files there */
	close(lock->fd);
	lock->fd = -1;
}
