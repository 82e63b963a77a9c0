/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flowlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "upstream.h"

enum { LOG_PIPE_SIZE = 1 << 20, QUIET_MS = 1000, LINE_MAX_LEN = 512, STOP_SECONDS = 1 };

/* ---- in a loop ---- */

void flowlog_init(struct flowlog *log, struct loop *l)
{
	log->loop = l;
	log->to = STDERR_FILENO;
	log->lines = 0;
	log->len = 0;
}

void flowlog_flush(struct flowlog *log)
{
	struct shared *shared = log->loop->shared;
	uint64_t dropped = 0;

	if (!log->len)
		return;
	if (write(shared->log_fds[log->to], log->packet, log->len) < 0)
		dropped = log->lines;
	if (atomic_load_explicit(&shared->log_lost, memory_order_relaxed))
		dropped += atomic_exchange(&shared->log_lost, 0);
	count_add(&log->loop->counters.v[COUNT_LOG_DROPPED], dropped);
	log->len = 0;
	log->lines = 0;
}

static void add_line(struct flowlog *log, int to, const char *line, size_t len)
{
	if (log->to != to || log->len + len > sizeof(log->packet))
		flowlog_flush(log);
	log->to = to;
	memcpy(log->packet + log->len, line, len);
	log->len += len;
	log->lines++;
}

/* Everything printed is a number, an address or a word of ours: nothing needs escaping. */
void flowlog_flow(struct flowlog *log, const struct flow *f)
{
	char client[ADDRESS_STR], destination[ADDRESS_STR], source[ADDRESS_STR] = "-";
	char server[ADDRESS_STR + 16] = "", rule[16] = "-";
	char line[LINE_MAX_LEN];
	int len;

	if (!f->target->settings->log_flows)
		return;
	if (f->source.port)
		address_str(source, &f->source);
	if (f->upstream)
		snprintf(server, sizeof(server), " server=%s",
			 address_str(destination, upstream_address(f)));
	if (f->rule_known)
		snprintf(rule, sizeof(rule), "%u", f->rule);
	len = snprintf(line, sizeof(line),
		       "flow proto=tcp client=%s destination=%s%s source=%s rule=%s up=%llu "
		       "down=%llu ms=%llu end=%s\n",
		       address_str(client, &f->client), address_str(destination, &f->destination),
		       server, source, rule, (unsigned long long)f->end[CLIENT].bytes,
		       (unsigned long long)f->end[SERVER].bytes,
		       (unsigned long long)(log->loop->now - f->started),
		       flow_reason_name(f->reason));
	add_line(log, STDOUT_FILENO, line, (size_t)len);
}

/* May a message be printed now? *left_out: how many were not since the last. */
static bool may_speak(struct flowlog *log, uint32_t *left_out)
{
	struct shared *shared = log->loop->shared;
	uint64_t until = atomic_load(&shared->quiet_until);

	if (log->loop->now < until ||
	    !atomic_compare_exchange_strong(&shared->quiet_until, &until,
					    log->loop->now + QUIET_MS)) {
		atomic_fetch_add(&shared->suppressed, 1);
		return false;
	}
	*left_out = atomic_exchange(&shared->suppressed, 0);
	return true;
}

void flowlog_warn(struct flowlog *log, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	uint32_t left_out;
	va_list args;
	size_t len;

	if (!may_speak(log, &left_out))
		return;
	len = (size_t)snprintf(line, sizeof(line), "warning: ");
	va_start(args, fmt);
	vsnprintf(line + len, sizeof(line) - len - 64, fmt, args);
	va_end(args);
	len = strlen(line);
	if (left_out)
		len += (size_t)snprintf(line + len, sizeof(line) - len,
					" (%u more messages were left out)", left_out);
	line[len++] = '\n';
	add_line(log, STDERR_FILENO, line, len);
}

/* ---- a thread that writes ---- */

/* Returns how many bytes could not be written. */
static size_t write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLOUT };

			poll(&wait, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return len; /* a closed terminal, a full disk */
		}
	}
	return 0;
}

static void count_lost(struct flowlog_writer *w, const char *bytes, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	atomic_fetch_add(w->lost, lines);
}

static void *writer_main(void *arg)
{
	struct flowlog_writer *w = arg;
	char packet[FLOWLOG_PACKET];
	bool torn = false; /* the last line that was written has no end */

	for (;;) {
		ssize_t n = read(w->read_fd, packet, sizeof(packet));

		if (n > 0) {
			size_t left = (size_t)n;

			if (!torn || !write_all(w->to, "\n", 1))
				left = write_all(w->to, packet, (size_t)n);
			torn = left ? torn || left < (size_t)n : false;
			count_lost(w, packet + (size_t)n - left, left);
		} else if (!n || (n < 0 && errno != EINTR))
			return NULL;
	}
}

int flowlog_writer_open(struct flowlog_writer *w, int to)
{
	int fds[2];

	/* O_DIRECT: packets, so that lines of several threads stay whole. */
	if (pipe2(fds, O_DIRECT | O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[1], F_SETFL, O_DIRECT | O_NONBLOCK);
	fcntl(fds[1], F_SETPIPE_SZ, LOG_PIPE_SIZE);
	w->to = to;
	w->read_fd = fds[0];
	w->write_fd = fds[1];
	return 0;
}

int flowlog_writer_start(struct flowlog_writer *w, _Atomic uint64_t *lost)
{
	w->lost = lost;
	return -pthread_create(&w->thread, NULL, writer_main, w);
}

void flowlog_writer_stop(struct flowlog_writer *w)
{
	struct timespec until;

	close(w->write_fd);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_SECONDS;
	if (!pthread_timedjoin_np(w->thread, NULL, &until))
		close(w->read_fd);
}
