// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "adopt.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"

enum { MAX_SEEN = 2 * SHUNT_TARGET_SLOTS };

struct search {
	const struct adopt_filter *filter;
	struct adopted *found;
	uint64_t seen[MAX_SEEN]; /* socket cookies */
	size_t n_seen;
	uint32_t own_mark;
	bool denied; /* some process would not be looked into */
};

void adopt_release(struct adopted *a)
{
	for (int v6 = 0; v6 < 2; v6++)
		while (a->n[v6])
			close(a->fds[v6][--a->n[v6]]);
}

static bool get_int(int fd, int level, int name, int *out)
{
	socklen_t len = sizeof(*out);

	return !getsockopt(fd, level, name, out, &len);
}

static bool address_fits(const struct sockaddr_storage *want, const struct sockaddr_storage *is)
{
	if (!want)
		return true;
	if (want->ss_family != is->ss_family)
		return false;
	if (is->ss_family == AF_INET)
		return ((const struct sockaddr_in *)want)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)is)->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)want)->sin6_addr,
				  &((const struct sockaddr_in6 *)is)->sin6_addr);
}

static uint16_t port_of(const struct sockaddr_storage *sa)
{
	return ntohs(sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
					       : ((const struct sockaddr_in *)sa)->sin_port);
}

/* Is it a listening TCP socket of the asked address and port? */
static bool fits(int fd, const struct adopt_filter *filter)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int listening, protocol;

	if (!get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening) || !listening ||
	    !get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) || protocol != IPPROTO_TCP)
		return false;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) ||
	    (sa.ss_family != AF_INET && sa.ss_family != AF_INET6))
		return false;
	return port_of(&sa) == filter->port && address_fits(filter->addr, &sa);
}

/* Processes share a socket: is this one new? */
static bool is_new(struct search *s, int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len))
		return false;
	for (size_t i = 0; i < s->n_seen; i++)
		if (s->seen[i] == cookie)
			return false;
	if (s->n_seen == MAX_SEEN)
		return false;
	s->seen[s->n_seen++] = cookie;
	return true;
}

static int prepare(int fd, uint32_t own_mark)
{
	int domain, mark, on = 1;

	if (!get_int(fd, SOL_SOCKET, SO_DOMAIN, &domain) ||
	    !get_int(fd, SOL_SOCKET, SO_MARK, &mark))
		return -errno;
	mark |= (int)own_mark;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return -errno;
	if (domain == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)))
		return -errno;
	/* A v6 socket needs the IPv4 flag for the IPv4 flows it may take. */
	return setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) ? -errno : 0;
}

static int keep(struct adopted *a, int v6, int fd)
{
	int copy;

	if (a->n[v6] == SHUNT_TARGET_SLOTS)
		return 0;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	a->fds[v6][a->n[v6]++] = copy;
	return 0;
}

static int take(struct search *s, int fd, pid_t pid)
{
	int domain = AF_INET, v6only = 1, r = prepare(fd, s->own_mark);

	if (r)
		return shunt_err(r, "cannot make a socket of process %d transparent: %s", pid,
				 strerror(-r));
	get_int(fd, SOL_SOCKET, SO_DOMAIN, &domain);
	if (domain == AF_INET6)
		get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only);
	if (domain == AF_INET6)
		r = keep(s->found, 1, fd);
	if (!r && (domain == AF_INET || !v6only))
		r = keep(s->found, 0, fd);
	if (r)
		return shunt_err(r, "cannot copy a socket of process %d: %s", pid, strerror(-r));
	if (!s->found->pid)
		s->found->pid = pid;
	return 0;
}

static int search_process(struct search *s, pid_t pid)
{
	char dir[32], target[64];
	_cleanup_close_ int pidfd = -1;
	struct dirent *entry;
	DIR *d;
	int r = 0;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
	d = opendir(dir);
	pidfd = d ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd < 0) {
		s->denied |= errno == EACCES || errno == EPERM;
		if (d)
			closedir(d);
		return 0; /* it has ended, or is not ours to see */
	}
	while (!r && (entry = readdir(d))) {
		_cleanup_close_ int fd = -1;
		ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

		if (n < 7 || strncmp(target, "socket:", 7))
			continue;
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
		if (fd < 0)
			s->denied |= errno == EPERM;
		else if (fits(fd, s->filter) && is_new(s, fd))
			r = take(s, fd, pid);
	}
	closedir(d);
	return r;
}

static bool in_our_netns(pid_t pid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return !stat(path, &theirs) && !stat("/proc/thread-self/ns/net", &ours) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int search_all(struct search *s)
{
	struct dirent *entry;
	DIR *d = opendir("/proc");
	int r = 0;

	if (!d)
		return shunt_err(-errno, "cannot list '/proc': %s", strerror(errno));
	while (!r && (entry = readdir(d))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && in_our_netns(pid))
			r = search_process(s, pid);
	}
	closedir(d);
	return r;
}

int adopt_sockets(struct adopted *out, const struct adopt_filter *filter, uint32_t own_mark)
{
	struct adopted found = {};
	struct search s = { .filter = filter, .found = &found, .own_mark = own_mark };
	int r;

	if (filter->pid && kill(filter->pid, 0) && errno == ESRCH)
		return shunt_err(-ESRCH, "there is no process %d", filter->pid);
	if (filter->pid && !in_our_netns(filter->pid))
		return shunt_err(-ESRCH, "process %d is not in this network namespace", filter->pid);
	r = filter->pid ? search_process(&s, filter->pid) : search_all(&s);
	if (!r && !found.n[0] && !found.n[1])
		r = shunt_err(-ENOENT, "no TCP socket listens on port %u%s%s", filter->port,
			      filter->pid ? " in that process" : "",
			      s.denied ? " (not every process could be looked into)" : "");
	if (r)
		adopt_release(&found);
	else
		*out = found;
	return r;
}
