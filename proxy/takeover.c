/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "listener.h"
#include "shunt/control.h"
#include "shunt/shunt.h"

enum { PATIENCE_S = 5 };

/* Both ends are root's and quick: a blocking call with a limit is enough. */
static int make_blocking(int fd)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	return 0;
}

/* ---- giving ---- */

/* fd -1: an item without. */
static int give(int peer, const struct takeover_item *item, int fd)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)item, .iov_len = sizeof(*item) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	return sendmsg(peer, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(*item) ? 0 : -EIO;
}

static int give_listeners(const struct supervisor *s, int peer)
{
	const struct sockets *sockets = &s->sockets;
	struct takeover_item item = { .version = TAKEOVER_VERSION, .kind = TAKEOVER_LISTENER };
	int r = 0;

	for (uint32_t i = 0; sockets->fds && i < sockets_count(sockets); i++) {
		item.n = i / sockets->n_loops;
		item.thread = i % sockets->n_loops;
		for (item.v6 = 0; item.v6 < 2 && !r; item.v6++)
			if (sockets->fds[i][item.v6] >= 0)
				r = give(peer, &item, sockets->fds[i][item.v6]);
	}
	return r;
}

int takeover_give(const struct supervisor *s, int peer)
{
	struct takeover_item item = { .version = TAKEOVER_VERSION, .kind = TAKEOVER_CONTROL };
	int r = make_blocking(peer);

	if (!r)
		r = give(peer, &item, s->socket.fd);
	item.kind = TAKEOVER_LOCK;
	for (item.n = 0; item.n < s->n_locks && !r; item.n++) {
		strncpy(item.target, s->settings->targets[item.n]->name,
			sizeof(item.target) - 1);
		r = give(peer, &item, s->locks[item.n].fd);
	}
	if (!r)
		r = give_listeners(s, peer);
	if (r < 0)
		return r;
	item = (struct takeover_item){
		.version = TAKEOVER_VERSION,
		.kind = TAKEOVER_END,
		.n = s->n_locks,
		.thread = s->sockets.fds ? s->sockets.n_loops : 0,
		.mark = s->mark,
	};
	return give(peer, &item, -1);
}

/* ---- taking ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	r = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : make_blocking(fd);
	if (!r)
		return fd;
	close(fd);
	return r;
}

static int ask(int fd)
{
	char request[32];
	int len = snprintf(request, sizeof(request), "%d takeover\n", SHUNT_CONTROL_VERSION);

	return send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -EIO;
}

/* Not an item but an answer as others get it, of which len bytes are read: up to its end. */
static int refused(int peer, const struct takeover_item *begin, size_t len)
{
	char text[512];
	ssize_t n;

	memcpy(text, begin, len);
	n = recv(peer, text + len, sizeof(text) - len - 1, MSG_WAITALL);
	len += n > 0 ? (size_t)n : 0;
	text[len] = '\0';
	return shunt_err(-EBUSY, "the shuntd that runs refuses to be taken over: %.*s",
			 (int)strcspn(text, "\n"), text);
}

/* The next item; *fd is its descriptor, -1 none. */
static int take(int peer, struct takeover_item *item, int *fd)
{
	struct iovec iov = { .iov_base = item, .iov_len = sizeof(*item) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(peer, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	struct cmsghdr *head = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	*fd = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	if (n == (ssize_t)sizeof(*item) && item->version == TAKEOVER_VERSION)
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (n > 0 && *(const char *)item == '{')
		return refused(peer, item, (size_t)n);
	return shunt_err(-EPROTO, "the shuntd that runs cannot be taken over: it is of another "
				  "version; restart it");
}

static int keep_lock(struct supervisor *s, const struct takeover_item *item, int fd)
{
	const struct settings *set = s->settings;
	char name[sizeof(item->target) + 1] = "";

	memcpy(name, item->target, sizeof(item->target));
	if (item->n != s->n_locks || item->n >= set->n_targets ||
	    strcmp(name, set->targets[item->n]->name))
		return shunt_err(-EINVAL, "the shuntd that runs has target '%s', which is not in "
					  "our settings at this place: restart it", name);
	if (lock_inherit(&s->locks[item->n], fd, set->instance, name) < 0)
		return -EINVAL;
	s->n_locks++;
	return 0;
}

static int keep_listener(struct supervisor *s, const struct takeover_item *item, int fd)
{
	struct sockets *sockets = &s->sockets;
	int *place;

	if (!sockets->fds &&
	    sockets_init(sockets, s->settings->n_targets, SHUNT_TARGET_SLOTS) < 0)
		return shunt_err(-ENOMEM, "out of memory");
	if (item->n >= sockets->n_targets || item->thread >= sockets->n_loops || item->v6 > 1)
		return shunt_err(-EPROTO, "the shuntd that runs gave a socket of no target");
	place = &sockets->fds[item->n * sockets->n_loops + item->thread][item->v6];
	if (*place >= 0)
		close(*place);
	*place = fd;
	return 0;
}

/* fd is kept, or closed after a failure. */
static int keep(struct supervisor *s, const struct takeover_item *item, int fd)
{
	int r = -EPROTO;

	if (fd < 0)
		return shunt_err(r, "the shuntd that runs gave too little");
	if (item->kind == TAKEOVER_CONTROL && s->socket.fd < 0) {
		s->socket.fd = fd;
		return control_socket_name(&s->socket, s->settings);
	}
	if (item->kind == TAKEOVER_LOCK)
		r = keep_lock(s, item, fd);
	else if (item->kind == TAKEOVER_LISTENER)
		r = keep_listener(s, item, fd);
	if (r < 0)
		close(fd);
	return r;
}

/* What the sockets are, and the settings say otherwise. */
static void warn_ignored(const struct supervisor *s)
{
	const struct settings *set = s->settings;
	uint16_t port = sockets_port(&s->sockets);

	if (set->workers && set->workers != s->sockets.n_loops)
		shunt_warn("workers %u: there are %u, as in the shuntd that is taken over; "
			   "a restart changes that", set->workers, s->sockets.n_loops);
	if (set->port && set->port != port)
		shunt_warn("port %u: it is %u, as in the shuntd that is taken over; a restart "
			   "changes that", set->port, port);
}

/* All items have come: is it all, and how many threads are there? */
static int check(struct supervisor *s, const struct takeover_item *end)
{
	const struct settings *set = s->settings;

	if (s->socket.fd < 0 || end->n != s->n_locks || s->n_locks != set->n_targets)
		return shunt_err(-EINVAL, "the shuntd that runs has other targets: restart it");
	if (!s->sockets.fds)
		return 0;
	if (!end->thread || end->thread > SHUNT_TARGET_SLOTS)
		return shunt_err(-EPROTO, "the shuntd that runs has %u threads", end->thread);
	sockets_narrow(&s->sockets, end->thread);
	if (!listener_fits(s->sockets.fds[0][0],
			   (enum destination_mode)set->original_destination))
		return shunt_err(-EINVAL, "the shuntd that runs has another original-destination: "
					  "restart it");
	s->sockets.mark = end->mark;
	warn_ignored(s);
	return 0;
}

static int take_all(struct supervisor *s, int peer)
{
	struct takeover_item item;
	int fd, r;

	r = ask(peer);
	if (r < 0)
		return shunt_err(r, "cannot ask the shuntd that runs: %s", strerror(-r));
	for (;;) {
		r = take(peer, &item, &fd);
		if (r < 0)
			return r;
		if (item.kind == TAKEOVER_END)
			break;
		r = keep(s, &item, fd);
		if (r < 0)
			return r;
	}
	if (fd >= 0)
		close(fd);
	return check(s, &item);
}

int takeover_take(struct supervisor *s)
{
	struct control_socket names = { .fd = -1 };
	int fd, r = control_socket_name(&names, s->settings);

	if (r < 0)
		return r;
	fd = connect_to(names.paths[0]);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return shunt_err(fd, "cannot connect to '%s': %s", names.paths[0], strerror(-fd));
	s->predecessor = fd;
	r = take_all(s, fd);
	return r < 0 ? r : 1;
}

void takeover_finish(struct supervisor *s)
{
	static const char done = TAKEOVER_DONE;

	if (s->predecessor < 0)
		return;
	if (send(s->predecessor, &done, 1, MSG_NOSIGNAL) < 0)
		shunt_warn("the shuntd before this one has ended by itself");
	close(s->predecessor);
	s->predecessor = -1;
	sockets_set_backlog(&s->sockets, s->settings->backlog);
	for (uint32_t i = 0; i < s->n_locks; i++)
		lock_sign(&s->locks[i]);
	shunt_info("taken over");
}
