/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines out of the data path: flows (standard output) and rate-limited messages (standard
 * error). A loop writes packets into a pipe and never waits; one thread for each of the two
 * writes them on and may block. What does not fit into the pipe is dropped and counted.
 */
#ifndef SHUNT_PROXY_FLOWLOG_H
#define SHUNT_PROXY_FLOWLOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flow;
struct loop;

enum { FLOWLOG_PACKET = 4096 }; /* PIPE_BUF: such a write is all or nothing */

/* Of a loop. */
struct flowlog {
	struct loop *loop;
	int to;		     /* descriptor the packet is for, 1 or 2 */
	uint32_t lines;	     /* in the packet */
	size_t len;
	char packet[FLOWLOG_PACKET];
};

void flowlog_init(struct flowlog *log, struct loop *l);
/* The end of a flow; printed if its target's are. */
void flowlog_flow(struct flowlog *log, const struct flow *f);
/* A message to standard error, at most one a second in the whole process. */
void flowlog_warn(struct flowlog *log, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Hand over what has gathered: at the end of each turn. */
void flowlog_flush(struct flowlog *log);

/* A thread that writes. */
struct flowlog_writer {
	int to;		/* descriptor 1 or 2 */
	int read_fd;	/* of the pipe */
	int write_fd;	/* likewise, for shared.log_fds */
	_Atomic uint64_t *lost; /* lines that could not be written */
	pthread_t thread;
};

/*
 * The pipe alone, while privileged: what others have of the user's pipes (another worker to splice
 * through, any program) counts against fs.pipe-user-pages-soft, beyond which one holds two packets.
 */
int flowlog_writer_open(struct flowlog_writer *w, int to);
/* The thread. *lost outlives it. */
int flowlog_writer_start(struct flowlog_writer *w, _Atomic uint64_t *lost);
/* Write what is left, but wait no longer than a moment for a reader that has stopped. */
void flowlog_writer_stop(struct flowlog_writer *w);

#endif
