/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "shunt/shunt.h"
#include "supervisor.h"

/* The network namespace alone: the mounts, and with them bpffs, stay. */
static int enter_netns(const char *name)
{
	char path[4096];
	int r = 0;
	int fd;

	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : "/run/netns/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return shunt_err(-errno, "cannot open network namespace '%s': %s", name,
				 strerror(errno));
	if (setns(fd, CLONE_NEWNET) < 0)
		r = shunt_err(-errno, "cannot enter network namespace '%s': %s", name,
			      strerror(errno));
	close(fd);
	return r;
}

/* A daemon may be started with these closed; a socket must not take their numbers. */
static int open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

static int run(struct settings *s)
{
	uint32_t listeners = (s->workers ? s->workers : 1) * s->n_targets;

	if (s->port && s->port + listeners - 1 > UINT16_MAX)
		return shunt_err(-EINVAL, "port %u leaves no room for %u listeners", s->port,
				 listeners);
	if (geteuid())
		return shunt_err(-EPERM, "shuntd must be started as root");
	if (s->netns && enter_netns(s->netns) < 0)
		return -ENOENT;
	return supervisor_run(s);
}

int main(int argc, char **argv)
{
	struct settings s;
	int r;

	if (open_standard_fds() < 0 || settings_init(&s) < 0)
		return 1;
	r = options_parse(&s, argc, argv);
	if (!r)
		r = run(&s) < 0 ? -1 : 0;
	else if (r == -EINVAL)
		r = 2;
	settings_release(&s);
	if (r == 2)
		return 2;
	return r < 0 ? 1 : 0;
}
