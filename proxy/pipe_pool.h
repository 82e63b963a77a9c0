/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pipes for splice(2), one pool per thread, a limit for the process. Only an empty pipe may be
 * used again: what one flow left in a pipe must never reach another.
 */
#ifndef SHUNT_PROXY_PIPE_POOL_H
#define SHUNT_PROXY_PIPE_POOL_H

#include <stdatomic.h>
#include <stdint.h>

struct pipe {
	struct pipe *next; /* while in the pool */
	int read_fd, write_fd;
	uint32_t held;	   /* bytes in the pipe; kept by whoever has it */
};

/* Of the process. */
struct pipe_limit {
	_Atomic uint32_t open;
	uint32_t max;
};

struct pipe_pool {
	struct pipe_limit *limit;
	struct pipe *idle;
	uint32_t n_idle;
};

enum {
	PIPE_SIZE = 1 << 20,	/* asked for */
	PIPE_SIZE_MIN = 65536,	/* less is not worth splicing through */
	PIPE_IDLE_MAX = 8,	/* kept open per thread */
};

void pipe_pool_init(struct pipe_pool *pool, struct pipe_limit *limit);
/* NULL if the limit is reached or the kernel gives none of a useful size. */
struct pipe *pipe_pool_get(struct pipe_pool *pool);
/* Give a pipe back; it is closed if it is not empty. NULL is allowed. */
void pipe_pool_put(struct pipe_pool *pool, struct pipe *pipe);
/* Close the idle ones. */
void pipe_pool_release(struct pipe_pool *pool);

#endif
