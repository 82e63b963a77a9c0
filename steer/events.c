// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading the ring buffer of `log` and `audit`. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "instance.h"

struct event_reader {
	struct ring_buffer *ring;
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

static int make_reader(struct shunt *s)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return shunt_err(-ENOMEM, "out of memory");
	reader->ring = ring_buffer__new(s->map.events, give_event, reader, NULL);
	if (!reader->ring) {
		int r = shunt_err(-errno, "cannot open the map 'events': %s", strerror(errno));

		free(reader);
		return r;
	}
	s->events = reader;
	return 0;
}

void event_reader_free(struct event_reader *reader)
{
	if (!reader)
		return;
	ring_buffer__free(reader->ring);
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
	return r ? r : ring_buffer__poll(s->events->ring, timeout_ms);
}
