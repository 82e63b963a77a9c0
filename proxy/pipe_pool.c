/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipe_pool.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

void pipe_pool_init(struct pipe_pool *pool, struct pipe_limit *limit)
{
	*pool = (struct pipe_pool){ .limit = limit };
}

/*
 * An unprivileged user gets 1 MiB only while fs.pipe-user-pages-soft allows it, and beyond
 * that new pipes of two pages: halve until the kernel agrees.
 */
static bool set_size(int fd)
{
	for (int size = PIPE_SIZE; size >= PIPE_SIZE_MIN; size /= 2)
		if (fcntl(fd, F_SETPIPE_SZ, size) >= 0)
			return true;
	return false;
}

static struct pipe *open_pipe(void)
{
	struct pipe *pipe = malloc(sizeof(*pipe));
	int fds[2];

	if (!pipe)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(pipe);
		return NULL;
	}
	if (!set_size(fds[1])) {
		close(fds[0]);
		close(fds[1]);
		free(pipe);
		return NULL;
	}
	*pipe = (struct pipe){ .read_fd = fds[0], .write_fd = fds[1] };
	return pipe;
}

struct pipe *pipe_pool_get(struct pipe_pool *pool)
{
	struct pipe *pipe = pool->idle;

	if (pipe) {
		pool->idle = pipe->next;
		pool->n_idle--;
		return pipe;
	}
	if (atomic_fetch_add(&pool->limit->open, 1) < pool->limit->max)
		pipe = open_pipe();
	if (!pipe)
		atomic_fetch_sub(&pool->limit->open, 1);
	return pipe;
}

static void close_pipe(struct pipe_pool *pool, struct pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	free(pipe);
	atomic_fetch_sub(&pool->limit->open, 1);
}

void pipe_pool_put(struct pipe_pool *pool, struct pipe *pipe)
{
	if (!pipe)
		return;
	if (pipe->held || pool->n_idle >= PIPE_IDLE_MAX) {
		close_pipe(pool, pipe);
		return;
	}
	pipe->next = pool->idle;
	pool->idle = pipe;
	pool->n_idle++;
}

void pipe_pool_release(struct pipe_pool *pool)
{
	while (pool->idle) {
		struct pipe *pipe = pool->idle;

		pool->idle = pipe->next;
		close_pipe(pool, pipe);
	}
	pool->n_idle = 0;
}
