/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* killat: run a program, and kill it at a given point. */
#include "lib/args.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: killat usec N COMMAND ...     N microseconds after it was begun\n"
	"       killat syscall N COMMAND ...  before its Nth system call\n"
	"\n"
	"Exit 0 if it was killed, 3 if it had ended before that; of syscall, it then says on stderr\n"
	"how many system calls there were.\n";

enum { ENDED = 3 };

static _Noreturn void run_traced(char **command, int traced)
{
	if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		die("cannot be traced: %s", strerror(errno));
	execvp(command[0], command);
	die("cannot run '%s': %s", command[0], strerror(errno));
}

static int kill_and_wait(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		die("cannot wait: %s", strerror(errno));
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : ENDED;
}

static int after_usec(pid_t pid, uint64_t usec)
{
	struct timespec t = { (time_t)(usec / 1000000), (long)(usec % 1000000) * 1000 };

	nanosleep(&t, NULL);
	return kill_and_wait(pid);
}

/* Each call stops it twice, before and behind. */
static int before_syscall(pid_t pid, uint64_t n)
{
	int status;

	for (uint64_t stops = 0; stops < 2 * n; stops++) {
		if (waitpid(pid, &status, 0) != pid)
			die("cannot wait: %s", strerror(errno));
		if (!WIFSTOPPED(status)) {
			fprintf(stderr, "%" PRIu64 " system calls\n", stops / 2);
			return ENDED;
		}
		if (stops == 2 * n - 1)
			break;
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL))
			die("cannot go on: %s", strerror(errno));
	}
	return kill_and_wait(pid);
}

int main(int argc, char **argv)
{
	int traced;
	uint64_t n;
	pid_t pid;

	if (argc < 4 || (strcmp(argv[1], "usec") && strcmp(argv[1], "syscall"))) {
		fputs(usage_text, stderr);
		return 2;
	}
	traced = !strcmp(argv[1], "syscall");
	n = arg_u64("point", argv[2], 1ULL << 40);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!pid)
		run_traced(argv + 3, traced);
	return traced ? before_syscall(pid, n ? n : 1) : after_usec(pid, n);
}
