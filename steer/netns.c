// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "shunt/shunt.h"

int netns_enter(const char *name_or_path)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;

	if (!name_or_path)
		return 0;
	if (snprintf(path, sizeof(path), "%s%s", strchr(name_or_path, '/') ? "" : "/run/netns/",
		     name_or_path) >= (int)sizeof(path))
		return shunt_err(-ENAMETOOLONG, "network namespace '%s': name too long",
				 name_or_path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return shunt_err(-errno, "cannot open network namespace '%s': %s", name_or_path,
				 strerror(errno));
	if (setns(fd, CLONE_NEWNET))
		return shunt_err(-errno, "cannot enter network namespace '%s': %s", name_or_path,
				 strerror(errno));
	return 0;
}

int netns_inode(uint64_t *out)
{
	struct stat st;

	if (stat("/proc/thread-self/ns/net", &st))
		return shunt_err(-errno, "cannot read '/proc/thread-self/ns/net': %s",
				 strerror(errno));
	*out = st.st_ino;
	return 0;
}

int netns_cookie(uint64_t *out)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*out);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, out, &len))
		return shunt_err(-errno, "cannot read the cookie of the network namespace: %s",
				 strerror(errno));
	return 0;
}
