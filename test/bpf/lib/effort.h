/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many of n random cases a build goes through: ThreadSanitizer makes the plain reference some
 * thirty times slower, and what it can find it finds in fewer. */
#ifndef TEST_BPF_EFFORT_H
#define TEST_BPF_EFFORT_H

#ifdef __SANITIZE_THREAD__
#define EFFORT(n) ((n) / 10)
#else
#define EFFORT(n) (n)
#endif

#endif
