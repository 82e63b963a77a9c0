/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "syscalls.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "shunt/shunt.h"

#ifndef SHUNT_SANITIZED

enum { SOCKET_TYPE = 0xf }; /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

struct row {
	int call;
	uint32_t action;
	unsigned int n_args;
	struct scmp_arg_cmp args[2]; /* all must hold; else another row, or the default */
};

#define CALL(name) { SCMP_SYS(name), SCMP_ACT_ALLOW, 0, {} }
#define CALL_IF(name, ...)                                                                      \
	{ SCMP_SYS(name), SCMP_ACT_ALLOW,                                                       \
	  sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp),         \
	  { __VA_ARGS__ } }
#define IS(arg, value) { arg, SCMP_CMP_EQ, value, 0 }
#define HAS(arg, mask, value) { arg, SCMP_CMP_MASKED_EQ, mask, value }
#define ENDS(name) { SCMP_SYS(name), SCMP_ACT_KILL_PROCESS, 0, {} }
#define REFUSED(name, error) { SCMP_SYS(name), SCMP_ACT_ERRNO(error), 0, {} }

/* What a healthy worker tries: refused without a line in the kernel's log. */
static const struct row quiet_rows[] = {
	/* A filter cannot see what clone3 asks for: not there, so that the C library uses clone. */
	REFUSED(clone3, ENOSYS),
	/* malloc reads /sys and /proc to tune itself, and does without. */
	REFUSED(openat, EPERM),
	/* stdio asks how large the blocks of the settings are, in newer C libraries not by fstat. */
	REFUSED(newfstatat, EACCES),
};

static const struct row rows[] = {
	/* See quiet_rows, which is in force beside this. */
	CALL(clone3), CALL(openat), CALL(newfstatat),

	/* The data path, and messages of the supervisor. */
	CALL(accept4), CALL(connect), CALL(bind), CALL(shutdown), CALL(close),
	CALL(close_range),
	CALL(getsockname), CALL(getpeername), CALL(getsockopt), CALL(setsockopt),
	CALL(read), CALL(readv), CALL(write), CALL(writev),
	CALL(recvfrom), CALL(recvmsg), CALL(sendto), CALL(sendmsg),
	CALL(pipe2), CALL(splice), CALL(vmsplice), CALL(tee),
	/* CAP_NET_RAW must not mean raw sockets: TCP and UDP, no packets, no netlink. */
	CALL_IF(socket, IS(0, AF_INET), HAS(1, SOCKET_TYPE, SOCK_STREAM)),
	CALL_IF(socket, IS(0, AF_INET6), HAS(1, SOCKET_TYPE, SOCK_STREAM)),
	CALL_IF(socket, IS(0, AF_INET), HAS(1, SOCKET_TYPE, SOCK_DGRAM)),
	CALL_IF(socket, IS(0, AF_INET6), HAS(1, SOCKET_TYPE, SOCK_DGRAM)),
	/* How much is not acknowledged, and how much waits to be read. */
	CALL_IF(ioctl, IS(1, SIOCOUTQ)), CALL_IF(ioctl, IS(1, SIOCINQ)),

	/* Events. */
	CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait),
	CALL(epoll_pwait2), CALL(poll), CALL(ppoll), CALL(eventfd2), CALL(timerfd_create),
	CALL(timerfd_settime), CALL(signalfd4), CALL(fcntl), CALL(dup), CALL(dup3),

	/* Time: where the clock is not in the vDSO. */
	CALL(clock_gettime), CALL(gettimeofday), CALL(time), CALL(nanosleep),
	CALL(clock_nanosleep),

	/* Memory, never executable. */
	CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise),
	CALL_IF(mmap, HAS(2, PROT_EXEC, 0)), CALL_IF(mprotect, HAS(2, PROT_EXEC, 0)),

	/* Threads of this process. */
	CALL_IF(clone, HAS(0, CLONE_THREAD, CLONE_THREAD)),
	CALL(set_robust_list), CALL(rseq), CALL(futex), CALL(sched_yield),
	CALL(sched_getaffinity), CALL(gettid), CALL(getpid), CALL(membarrier),

	/* Signals to itself, abort() and the end. */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
	CALL(tgkill), CALL(restart_syscall), CALL(exit), CALL(exit_group),

	/* Random numbers, limits (to read), the settings that come as a descriptor. */
	CALL(getrandom), CALL_IF(prlimit64, IS(2, 0)), CALL(getrlimit), CALL(fstat),
	CALL(lseek), CALL(pread64),

	/* Which rule sent a flow here, for the log. To change a map, or more, is an attack. */
	CALL_IF(bpf, IS(0, BPF_MAP_LOOKUP_ELEM)),
	{ SCMP_SYS(bpf), SCMP_ACT_KILL_PROCESS, 1,
	  { { 0, SCMP_CMP_NE, BPF_MAP_LOOKUP_ELEM, 0 } } },

	/* Nothing here or in a library means these well. */
	ENDS(execve), ENDS(execveat), ENDS(fork), ENDS(vfork), ENDS(ptrace),
	ENDS(process_vm_readv), ENDS(process_vm_writev), ENDS(pidfd_getfd),
	ENDS(init_module), ENDS(finit_module), ENDS(delete_module), ENDS(kexec_load),
	ENDS(kexec_file_load), ENDS(mount), ENDS(umount2), ENDS(pivot_root), ENDS(chroot),
	ENDS(setns), ENDS(unshare), ENDS(add_key), ENDS(keyctl), ENDS(request_key),
	ENDS(userfaultfd), ENDS(perf_event_open), ENDS(io_uring_setup),
	ENDS(open_by_handle_at), ENDS(setuid), ENDS(setgid), ENDS(setresuid),
	ENDS(setresgid), ENDS(capset),
};

static int add_rows(scmp_filter_ctx filter, const struct row *row, size_t n)
{
	for (; n; n--, row++) {
		int r = seccomp_rule_add_array(filter, row->action, row->call, row->n_args,
					       row->args);

		if (r < 0)
			return r;
	}
	return 0;
}

static int load(uint32_t otherwise, bool log, const struct row *row, size_t n)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int r;

	if (!filter)
		return -ENOMEM;
	/* The rest is as good as it is: an older kernel or library lacks some. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, log);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a chain */
	/* No slower memory accesses for the whole process: it runs no code of others. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	r = add_rows(filter, row, n);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int syscalls_restrict(void)
{
	int r = load(SCMP_ACT_ALLOW, false, quiet_rows, sizeof(quiet_rows) / sizeof(*quiet_rows));

	if (!r)
		r = load(SCMP_ACT_ERRNO(EPERM), true, rows, sizeof(rows) / sizeof(*rows));
	return r < 0 ? shunt_err(r, "cannot restrict system calls: %s", strerror(-r)) : 0;
}

#else

int syscalls_restrict(void)
{
	return 0;
}

#endif
