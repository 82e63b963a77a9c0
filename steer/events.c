// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading the ring buffer of `log` and `audit`. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "cleanup.h"
#include "instance.h"

struct event_reader {
	struct ring_buffer *ring;
	int lock; /* the buffer has one place where it is read, for one reader */
	shunt_event_fn fn;
	void *arg;
};

static int give_event(void *ctx, void *data, size_t size)
{
	const struct event_reader *reader = ctx;

	if (size >= sizeof(struct shunt_event))
		reader->fn(reader->arg, data);
	return 0;
}

/* A lock that changes of the instance do not use: the descriptor. */
static int lock_events(const struct shunt *s)
{
	_cleanup_close_ int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return shunt_err(-errno, "cannot open '%s': %s", s->dir, strerror(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return take_fd(&fd);
	if (errno == EWOULDBLOCK)
		return shunt_err(-EBUSY, "another reader of events runs, such as 'shuntctl log': "
				 "there can be one, end it first");
	return shunt_err(-errno, "cannot lock '%s': %s", s->dir, strerror(errno));
}

static int make_reader(struct shunt *s)
{
	_cleanup_close_ int lock = lock_events(s);
	struct event_reader *reader;

	if (lock < 0)
		return lock;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return shunt_err(-ENOMEM, "out of memory");
	reader->ring = ring_buffer__new(s->map.events, give_event, reader, NULL);
	if (!reader->ring) {
		int r = shunt_err(-errno, "cannot open the map 'events': %s", strerror(errno));

		free(reader);
		return r;
	}
	reader->lock = take_fd(&lock);
	s->events = reader;
	return 0;
}

void event_reader_free(struct event_reader *reader)
{
	if (!reader)
		return;
	ring_buffer__free(reader->ring);
	close(reader->lock);
	free(reader);
}

int shunt_events_poll(struct shunt *s, int timeout_ms, shunt_event_fn fn, void *arg)
{
	int r = s->events ? 0 : make_reader(s);

	if (r)
		return r;
	s->events->fn = fn;
	s->events->arg = arg;
	r = ring_buffer__consume(s->events->ring);
	if (!r)
		r = ring_buffer__poll(s->events->ring, timeout_ms);
	if (r < 0 && r != -EINTR)
		shunt_err(r, "cannot read events: %s", strerror(-r));
	return r;
}
