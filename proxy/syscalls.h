/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The system calls a worker may make: a seccomp list over all that the relay, libevent and
 * the C library need, and nothing else.
 *
 * Anything else fails with EPERM and is noted in the kernel's log (audit type 1326). It does
 * not kill: a killed worker is every flow of it lost, and a harmless call that another C
 * library makes (malloc of glibc, for one, tries to read a file of /proc when it trims) has to
 * fail as it would for want of the right. Only what no part of us or of a library can mean
 * well, as exec or loading a program into the kernel, ends the process at once.
 */
#ifndef SHUNT_PROXY_SYSCALLS_H
#define SHUNT_PROXY_SYSCALLS_H

/*
 * From here on, for this thread and those it starts. 0 or -errno with a message. Sanitizers
 * need calls of their own: does nothing in such a build.
 */
int syscalls_restrict(void);

#endif
