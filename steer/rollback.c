// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rollback.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "generation.h"
#include "pin.h"
#include "set_timed.h"
#include "timed.h"

enum { LOOK_MS = 200 }; /* how often the process looks whether it is still needed */

static char *rollback_path(char *buf, size_t size, const struct shunt *s)
{
	return pin_path(buf, size, s->dir, "rollback");
}

/* The id of the generation that waits, 0 if none does. */
static __u32 waiting_id(const struct shunt *s)
{
	struct bpf_map_info info = {};
	char path[PATH_MAX + 32];
	__u32 len = sizeof(info);
	_cleanup_close_ int fd = -1;

	fd = bpf_obj_get(rollback_path(path, sizeof(path), s));
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	return info.id;
}

int rollback_check_none(const struct shunt *s)
{
	if (!waiting_id(s))
		return 0;
	return shunt_err(-EBUSY, "a change waits for 'shuntctl confirm', or to be taken back");
}

int rollback_disarm(const struct shunt *s)
{
	char path[PATH_MAX + 32];

	if (!unlink(rollback_path(path, sizeof(path), s)))
		return 0;
	if (errno == ENOENT)
		return shunt_err(-ENOENT, "nothing waits to be confirmed");
	return shunt_err(-errno, "cannot remove '%s': %s", path, strerror(errno));
}

/* Under the lock: put the old generation in force again, if it is still the one that waits. */
static void roll_back(struct shunt *s, __u32 id, const struct set_timed_undo *timed)
{
	_cleanup_close_ int lock = pin_lock(s->dir);
	_cleanup_close_ int old = -1;
	char path[PATH_MAX + 32];

	if (lock < 0 || waiting_id(s) != id) {
		pin_prune(s->dir); /* pin_lock() has made the directory if it was gone */
		return;
	}
	old = bpf_obj_get(rollback_path(path, sizeof(path), s));
	if (old < 0 || generation_publish(s, old))
		return;
	unlink(path);
	timed_purge(s); /* of sets that only the trial had */
	set_timed_take_back(s, timed);
}

static void detach_from_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	if (chdir("/")) /* else what the caller stands in could not be unmounted */
		_exit(1);
	if (null < 0)
		return;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

/*
 * What the caller got from others, such as the lock or the pipe of a script: nobody is to wait for
 * its end here. Our own descriptors are closed on exec, all of them.
 */
static void close_inherited(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);

		if (fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC))
			close(fd);
	}
	if (d)
		closedir(d);
}

static void wait_and_roll_back(struct shunt *s, __u32 id, const struct generation_trial *trial)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
	struct timespec now;
	time_t until;

	clock_gettime(CLOCK_MONOTONIC, &now);
	/* Whole seconds are compared: not too early. */
	until = now.tv_sec + (time_t)trial->seconds + 1;
	do {
		nanosleep(&look, NULL);
		if (waiting_id(s) != id)
			return;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < until);
	roll_back(s, id, trial->timed);
}

int rollback_arm(struct shunt *s, int old, const struct generation_trial *trial)
{
	char path[PATH_MAX + 32];
	pid_t child;
	__u32 id;

	if (bpf_obj_pin(old, rollback_path(path, sizeof(path), s)))
		return shunt_err(-errno, "cannot pin '%s': %s", path, strerror(errno));
	id = waiting_id(s);
	child = fork();
	if (child < 0) {
		int r = shunt_err(-errno, "cannot start the process that takes it back: %s",
				  strerror(errno));

		unlink(path);
		return r;
	}
	if (child)
		return 0;
	close(trial->lock); /* of the parent: a copy would keep it locked */
	detach_from_terminal();
	close_inherited();
	wait_and_roll_back(s, id, trial);
	_exit(0);
}
