/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * faults.so: preloaded into shuntd, makes one in N of certain system calls fail with an error
 * that the kernel may give any day. N stands at the beginning of the file FAULTS, 8 bytes in
 * the byte order of the machine, and can be changed at any time; 0: none fails. After it the
 * number of calls that were made to fail, 8 bytes for each in the order of enum call. The
 * variable FAULTS_ONLY names the one kind of call that fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum call { ACCEPT4, SOCKET, CONNECT, EPOLL_CTL, SEND, RECV, SPLICE, PIPE2, CALLS };

static const struct {
	const char *name;
	int errors[6]; /* 0 ends */
} calls[CALLS] = {
	[ACCEPT4] = { "accept4", { EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EPERM } },
	[SOCKET] = { "socket", { EMFILE, ENFILE, ENOMEM, ENOBUFS } },
	[CONNECT] = { "connect", { EADDRNOTAVAIL, ENETUNREACH, EPERM, EAGAIN } },
	[EPOLL_CTL] = { "epoll_ctl", { ENOMEM, ENOSPC } },
	[SEND] = { "send", { ENOBUFS, ENOMEM, EINTR } },
	[RECV] = { "recv", { EINTR, ENOMEM } },
	[SPLICE] = { "splice", { EINTR, ENOMEM } },
	[PIPE2] = { "pipe2", { EMFILE, ENFILE } },
};

struct control {
	_Atomic uint64_t one_in;
	_Atomic uint64_t counts[CALLS];
};

/* The one piece of global state: what all threads draw from and count in. */
static struct {
	void *real[CALLS];
	bool spared[CALLS];
	_Atomic uint64_t seed;
	struct control *control; /* shared with all processes; NULL: nothing fails */
} faults;

__attribute__((constructor)) static void faults_init(void)
{
	const char *path = getenv("FAULTS");
	const char *only = getenv("FAULTS_ONLY");
	int fd;

	for (int i = 0; i < CALLS; i++)
		faults.real[i] = dlsym(RTLD_NEXT, calls[i].name);
	for (int i = 0; i < CALLS; i++)
		faults.spared[i] = only && *only && strcmp(only, calls[i].name);
	if (!path)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, sizeof(*faults.control)) < 0)
		abort();
	faults.control = mmap(NULL, sizeof(*faults.control), PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
	close(fd);
	if (faults.control == MAP_FAILED)
		abort();
}

/* Sets errno and returns true if this call is to fail. */
static bool fails(enum call call)
{
	uint64_t z = atomic_fetch_add(&faults.seed, 0x9e3779b97f4a7c15);
	uint64_t one_in = faults.control ? atomic_load(&faults.control->one_in) : 0;
	size_t n = 0;

	if (!one_in || faults.spared[call])
		return false;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	z ^= z >> 31;
	if (z % one_in)
		return false;
	while (n < 6 && calls[call].errors[n])
		n++;
	errno = calls[call].errors[(z >> 40) % n];
	atomic_fetch_add(&faults.control->counts[call], 1);
	return true;
}

#define REAL(call, type) ((type)faults.real[call])

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (fails(ACCEPT4))
		return -1;
	return REAL(ACCEPT4, int (*)(int, struct sockaddr *, socklen_t *, int))(fd, addr, len,
										flags);
}

int socket(int domain, int type, int protocol)
{
	if (fails(SOCKET))
		return -1;
	return REAL(SOCKET, int (*)(int, int, int))(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (fails(CONNECT))
		return -1;
	return REAL(CONNECT, int (*)(int, const struct sockaddr *, socklen_t))(fd, addr, len);
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	if (op != EPOLL_CTL_DEL && fails(EPOLL_CTL))
		return -1;
	return REAL(EPOLL_CTL, int (*)(int, int, int, struct epoll_event *))(ep, op, fd, event);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	if (fails(SEND))
		return -1;
	return REAL(SEND, ssize_t (*)(int, const void *, size_t, int))(fd, buf, n, flags);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	if (fails(RECV))
		return -1;
	return REAL(RECV, ssize_t (*)(int, void *, size_t, int))(fd, buf, n, flags);
}

ssize_t splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t n, unsigned int flags)
{
	if (fails(SPLICE))
		return -1;
	return REAL(SPLICE, ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned int))(
		in, off_in, out, off_out, n, flags);
}

int pipe2(int fds[2], int flags)
{
	if (fails(PIPE2))
		return -1;
	return REAL(PIPE2, int (*)(int *, int))(fds, flags);
}
