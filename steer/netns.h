/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network namespaces: entering one, and the number that names it in paths. */
#ifndef SHUNT_NETNS_H
#define SHUNT_NETNS_H

#include <stdint.h>

/*
 * Enter the network namespace of that name (of `ip netns`) or path, for the calling thread and
 * for good. The mount namespace stays, so bpffs stays in sight (unlike `ip netns exec`).
 * NULL: stay. Gives a message on failure.
 */
int netns_enter(const char *name_or_path);

/* The inode number of the calling thread's network namespace. Gives a message on failure. */
int netns_inode(uint64_t *out);

/* The cookie of the calling thread's network namespace, which no other will have. */
int netns_cookie(uint64_t *out);

#endif
