/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control_socket.h"

#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shunt/shunt.h"

enum { BACKLOG = 64 };

static int find_group(const char *name, gid_t *out)
{
	struct group *g;

	errno = 0;
	g = getgrnam(name);
	if (!g)
		return shunt_err(errno ? -errno : -ENOENT, "group '%s' does not exist", name);
	*out = g->gr_gid;
	return 0;
}

/* The mode is right from the first moment on: nobody gets in between. */
static int bind_private(int fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t before;
	int r;

	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	before = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(before);
	return r;
}

static int open_listening(const char *path, const gid_t *group)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = bind_private(fd, path);
	if (!r && group && (chown(path, (uid_t)-1, *group) < 0 || chmod(path, 0660) < 0))
		r = -errno;
	if (!r && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

/* A relative link: all are in one directory. */
static int link_to(const char *path, const char *first)
{
	const char *name = strrchr(first, '/') + 1;

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return symlink(name, path) < 0 ? -errno : 0;
}

static int set_names(struct control_socket *s, const struct settings *settings, const char *kind)
{
	struct stat netns;

	s->n_paths = 0;
	if (stat("/proc/self/ns/net", &netns) < 0)
		return shunt_err(-errno, "cannot read '/proc/self/ns/net': %s", strerror(errno));
	for (uint32_t i = 0; i < settings->n_targets; i++)
		if (shunt_run_path(s->paths[i], netns.st_ino, settings->instance,
				   settings->targets[i]->name, kind) < 0)
			return shunt_err(-ENAMETOOLONG, "the name of target '%s' is too long",
					 settings->targets[i]->name);
	s->n_paths = settings->n_targets;
	return 0;
}

int control_socket_name(struct control_socket *s, const struct settings *settings)
{
	return set_names(s, settings, "control");
}

static int open_as(struct control_socket *s, const struct settings *settings, const char *kind)
{
	const char *group = settings->control_group;
	gid_t gid = 0;
	int r = group ? find_group(group, &gid) : 0;

	s->fd = -1;
	s->n_paths = 0;
	if (!r)
		r = set_names(s, settings, kind);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < s->n_paths && r >= 0; i++) {
		if (i)
			r = link_to(s->paths[i], s->paths[0]);
		else
			s->fd = r = open_listening(s->paths[0], group ? &gid : NULL);
		if (r < 0)
			shunt_err(r, "cannot listen on '%s': %s", s->paths[i], strerror(-r));
	}
	if (r >= 0)
		return 0;
	control_socket_remove(s);
	return r;
}

/* One that was killed leaves its files behind. */
static bool is_dead(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool refused;

	memcpy(sa.sun_path, path, strlen(path) + 1);
	refused = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
		  (errno == ECONNREFUSED || errno == ENOENT); /* a link that leads nowhere */
	if (fd >= 0)
		close(fd);
	return refused;
}

static void remove_dead(const struct control_socket *s)
{
	char pattern[SHUNT_RUN_PATH_MAX + sizeof(SHUNT_RUN_DRAINING) + 16];
	glob_t found;

	for (uint32_t i = 0; i < s->n_paths; i++) {
		/* Without "control"; no name of a target has a character with a meaning. */
		int len = (int)(strrchr(s->paths[i], '.') - s->paths[i]);

		snprintf(pattern, sizeof(pattern), "%.*s.[1-9]*." SHUNT_RUN_DRAINING, len,
			 s->paths[i]);
		if (glob(pattern, GLOB_NOSORT, NULL, &found))
			continue;
		for (size_t n = 0; n < found.gl_pathc; n++)
			if (strlen(found.gl_pathv[n]) < SHUNT_RUN_PATH_MAX &&
			    is_dead(found.gl_pathv[n]))
				unlink(found.gl_pathv[n]);
		globfree(&found);
	}
}

int control_socket_open(struct control_socket *s, const struct settings *settings)
{
	int r = open_as(s, settings, "control");

	if (!r)
		remove_dead(s);
	return r;
}

int control_socket_open_draining(struct control_socket *s, const struct settings *settings)
{
	char kind[32];

	snprintf(kind, sizeof(kind), "%d." SHUNT_RUN_DRAINING, (int)getpid());
	return open_as(s, settings, kind);
}

void control_socket_remove(struct control_socket *s)
{
	bool some = s->n_paths;

	while (s->n_paths)
		unlink(s->paths[--s->n_paths]); /* that it is not there is no matter */
	if (some)
		rmdir(SHUNT_RUN_DIR); /* unless there is a lock */
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
