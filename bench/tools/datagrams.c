/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Small datagrams as fast as they go, from one thread here to another that counts them in the
 * server's network namespace. A datagram over veth is forwarded on the CPU and in the time of who
 * sends it; what does not arrive is no work done, so only arrivals count.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "load.h"
#include "window.h"

enum { BATCH = 32, BYTES_MAX = 1400, BUFFER = 8 << 20, WAIT_US = 50000 };

struct sink {
	const struct load_options *options;
	int fd, error;
	_Atomic uint64_t n; /* datagrams that came */
	_Atomic bool stop;
	bool is_open; /* fd is, or error says why not */
	pthread_mutex_t lock;
	pthread_cond_t opened;
	pthread_t thread;
};

static int open_sink(const struct load_options *o)
{
	const struct timeval wait = { .tv_usec = WAIT_US };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	int ns = open(o->server_netns, O_RDONLY | O_CLOEXEC), size = BUFFER, fd;

	/* Of this thread alone. */
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		return -errno;
	close(ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : fd;
}

static void *count(void *arg)
{
	static char buffers[BATCH][BYTES_MAX];
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	struct sink *s = arg;
	int n, fd = open_sink(s->options);

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ buffers[i], BYTES_MAX };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	pthread_mutex_lock(&s->lock);
	s->fd = fd;
	s->error = fd < 0 ? fd : 0;
	s->is_open = true;
	pthread_cond_signal(&s->opened);
	pthread_mutex_unlock(&s->lock);
	while (fd >= 0 && !atomic_load(&s->stop)) {
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n > 0)
			atomic_fetch_add(&s->n, (uint64_t)n);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int sink_start(struct sink *s, const struct load_options *o)
{
	int r;

	*s = (struct sink){ .options = o, .lock = PTHREAD_MUTEX_INITIALIZER,
			    .opened = PTHREAD_COND_INITIALIZER };
	r = -pthread_create(&s->thread, NULL, count, s);
	if (r)
		return r;
	pthread_mutex_lock(&s->lock);
	while (!s->is_open)
		pthread_cond_wait(&s->opened, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (s->error)
		pthread_join(s->thread, NULL);
	return s->error;
}

static void sink_stop(struct sink *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
}

static int open_senders(int *fds, const struct load_options *o)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = o->address,
				  .sin_port = htons(o->port) };
	int size = BUFFER;

	for (uint32_t i = 0; i < o->parallel; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			return -errno;
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	return 0;
}

/* Returns how many came within the window, or -errno. */
static int64_t blast(const int *fds, const struct load_options *o, struct sink *s,
		     struct window *w)
{
	static char payload[BYTES_MAX];
	struct iovec part = { payload, o->size };
	struct mmsghdr messages[BATCH] = {};
	uint64_t before = 0;
	bool just_opened;

	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &part;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	window_plan(w, o);
	for (uint32_t i = 0; window_go_on(w, clock_now(), &just_opened); i++) {
		if (just_opened)
			before = atomic_load(&s->n);
		if (sendmmsg(fds[i % o->parallel], messages, BATCH, 0) < 0 && errno != ENOBUFS &&
		    errno != EAGAIN)
			return -errno;
	}
	return w->error ? w->error : (int64_t)(atomic_load(&s->n) - before);
}

int datagrams_run(const struct load_options *o)
{
	int *fds = calloc(o->parallel, sizeof(*fds));
	struct window w;
	struct sink s;
	int64_t n;
	int r = -ENOMEM;

	if (!fds)
		return r;
	r = o->size > BYTES_MAX || !o->server_netns ? -EINVAL : sink_start(&s, o);
	if (r)
		goto out_free;
	r = open_senders(fds, o);
	n = r ? r : blast(fds, o, &s, &w);
	sink_stop(&s);
	r = n < 0 ? (int)n : n ? 0 : -ETIMEDOUT;
	if (!r) {
		printf("{\"n\":%" PRIi64 ",", n);
		window_print(&w);
		printf("}\n");
	}
	for (uint32_t i = 0; i < o->parallel; i++)
		if (fds[i] > 0)
			close(fds[i]);
out_free:
	free(fds);
	return r;
}
