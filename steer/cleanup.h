/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cleanup where a variable is declared: `_cleanup_close_ int fd = -1;`. Hand a value on with
 * take_fd() or take_ptr(), which leave nothing to clean up.
 */
#ifndef SHUNT_CLEANUP_H
#define SHUNT_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define take_ptr(p)                                                                            \
	({                                                                                     \
		__typeof__(p) taken_ = (p);                                                    \
		(p) = NULL;                                                                    \
		taken_;                                                                        \
	})

#endif
