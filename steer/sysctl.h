/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Integer sysctls of the calling thread's network namespace. */
#ifndef SHUNT_SYSCTL_H
#define SHUNT_SYSCTL_H

/* path is relative to /proc/sys, e.g. "net/ipv4/conf/lo/accept_local". No messages. */
int sysctl_read(const char *path, int *out);
int sysctl_write(const char *path, int value);

#endif
