/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a worker may ask of the kernel: each case is a process of its own under the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syscalls.h"

#ifndef SHUNT_SANITIZED

enum { WELL = 0, NOT_RESTRICTED = 99 };

/* Run fn under the list; the status of waitpid(). */
static int status_of(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(syscalls_restrict() < 0 ? NOT_RESTRICTED : fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The errno of a call that returned r, 0 if it did not fail. */
static int error_of(long r)
{
	return r < 0 ? errno : 0;
}

/* ---- refused, and noted ---- */

static int open_file(void)
{
	return error_of(open("/dev/null", O_RDONLY));
}

static int make_file(void)
{
	return error_of(open("/tmp/shunt-syscalls", O_CREAT | O_RDWR, 0600));
}

static int netlink_socket(void)
{
	return error_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int raw_socket(void)
{
	return error_of(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
}

static int packet_socket(void)
{
	return error_of(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int unix_socket(void)
{
	return error_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int process_by_clone(void)
{
	return error_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED ? errno : 0;
}

static int another_limit(void)
{
	struct rlimit limit = { 64, 64 };

	return error_of(setrlimit(RLIMIT_NOFILE, &limit));
}

static int other_ioctl(void)
{
	int n;

	return error_of(ioctl(0, FIONBIO, &n));
}

/* A worker accepts on what it was given. */
static int listening(void)
{
	return error_of(listen(socket(AF_INET, SOCK_STREAM, 0), 1));
}

static int signal_to_another(void)
{
	return error_of(kill(getppid(), 0));
}

static void test_refused(void **state)
{
	int (*const calls[])(void) = {
		open_file,	make_file,	  netlink_socket, raw_socket,
		packet_socket,	unix_socket,	  process_by_clone, executable_memory,
		another_limit,	other_ioctl,	  signal_to_another,
		listening,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = status_of(calls[i]);

		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != EPERM)
			print_message("call %zu\n", i);
		assert_int_equal(WEXITSTATUS(status), EPERM);
	}
}

/* By the call that some C libraries take for fstat(): it has an error of its own. */
static int look_at_file(void)
{
	struct stat st;

	return error_of(syscall(SYS_newfstatat, 0, "", &st, AT_EMPTY_PATH));
}

/* What stdio does with the settings, and does without, makes no line in the kernel's log. */
static void test_refused_quietly(void **state)
{
	int status = status_of(look_at_file);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EACCES);
}

/* ---- the end of the process ---- */

static int exec_program(void)
{
	char *const argv[] = { (char *)"true", NULL };

	return error_of(execv("/bin/true", argv));
}

static int make_map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
				.max_entries = 1 };

	return error_of(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int update_map(void)
{
	union bpf_attr attr = {};

	return error_of(syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)));
}

static int new_namespace(void)
{
	return error_of(syscall(SYS_unshare, 0));
}

static int trace_another(void)
{
	return error_of(syscall(SYS_ptrace, 16, getppid(), 0, 0));
}

static void test_ends(void **state)
{
	int (*const calls[])(void) = { exec_program, make_map, update_map, new_namespace,
				       trace_another };

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = status_of(calls[i]);

		if (!WIFSIGNALED(status))
			print_message("call %zu\n", i);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

/* ---- what is needed works ---- */

static void *touch(void *arg)
{
	void *p = malloc(1 << 20);

	if (p)
		memset(p, 1, 1 << 20);
	free(p);
	*(int *)arg = p != NULL;
	return NULL;
}

static int threads_and_memory(void)
{
	pthread_t threads[4];
	int touched[4] = {};

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, touch, &touched[i]))
			return 1;
	for (int i = 0; i < 4; i++)
		if (pthread_join(threads[i], NULL) || !touched[i])
			return 2;
	return 0;
}

/* Sockets of both kinds, events, a byte through a pipe. */
static int relaying(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event event = { .events = EPOLLIN };
	int pipes[2], queued = -1, one = 1;
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET6, SOCK_DGRAM, 0);
	int set = epoll_create1(0);

	if (tcp < 0 || udp < 0 || set < 0 || pipe2(pipes, O_NONBLOCK) || eventfd(0, 0) < 0)
		return 1;
	if (bind(tcp, (struct sockaddr *)&sa, sizeof(sa)) ||
	    setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) ||
	    ioctl(tcp, SIOCOUTQ, &queued) || queued)
		return 2;
	if (epoll_ctl(set, EPOLL_CTL_ADD, udp, &event))
		return 3;
	return write(pipes[1], "x", 1) == 1 ? 0 : 4;
}

static int map_lookup(void)
{
	union bpf_attr attr = { .map_fd = (uint32_t)-1 };

	/* Refused by bpf(), not by the list. */
	return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) < 0 &&
		errno == EBADF ? 0 : 1;
}

static int abort_itself(void)
{
	abort();
}

static int limits(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) ? 1 : 0;
}

static void test_needed(void **state)
{
	int (*const calls[])(void) = { threads_and_memory, relaying, map_lookup, limits };
	int status;

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		status = status_of(calls[i]);
		if (status)
			print_message("call %zu: status 0x%x\n", i, (unsigned int)status);
		assert_int_equal(status, WELL);
	}
	status = status_of(abort_itself);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

#endif

static void test_is_in_force(void **state)
{
	(void)state;
#ifndef SHUNT_SANITIZED
	/* The negative control: without the list the same calls succeed. */
	assert_int_equal(open_file(), 0);
	assert_int_equal(unix_socket(), 0);
	assert_int_equal(executable_memory(), 0);
#endif
	assert_int_equal(syscalls_restrict(), 0);
#ifndef SHUNT_SANITIZED
	assert_int_equal(open_file(), EPERM);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef SHUNT_SANITIZED
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_quietly),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_needed),
#endif
		/* Last: it restricts this process. */
		cmocka_unit_test(test_is_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
