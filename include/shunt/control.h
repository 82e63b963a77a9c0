/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket of shuntd, as both ends know it; docs/control.md is its description.
 * A request is one line, "VERSION VERB [WORD ...]"; the answer is lines of JSON, of which the
 * last one has the key "end".
 */
#ifndef SHUNT_CONTROL_H
#define SHUNT_CONTROL_H

#include <stdio.h>

#define SHUNT_RUN_DIR "/run/shunt"

enum {
	SHUNT_CONTROL_VERSION = 1,
	SHUNT_CONTROL_REQUEST_MAX = 512, /* bytes of a request, with its newline */
	SHUNT_CONTROL_LINE_MAX = 8192,	 /* bytes of a line of an answer, with its newline */
	SHUNT_RUN_PATH_MAX = 108,	 /* of sockaddr_un */
};

/* The kind of a control socket of a daemon that was taken over from, behind its pid and a dot. */
#define SHUNT_RUN_DRAINING "draining"

/*
 * The file of a target's daemon: kind is "lock", "control" or "PID.draining", netns the inode number of the
 * network namespace. 0, or -1 if it does not fit.
 */
static inline int shunt_run_path(char path[SHUNT_RUN_PATH_MAX], unsigned long long netns,
				 const char *instance, const char *target, const char *kind)
{
	int len = snprintf(path, SHUNT_RUN_PATH_MAX, SHUNT_RUN_DIR "/%llu-%s-%s.%s", netns,
			   instance, target, kind);

	return len < SHUNT_RUN_PATH_MAX ? 0 : -1;
}

#endif
