/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "learn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "loop.h"
#include "message.h"

enum {
	SLOTS = 1 << 16,     /* pages are touched as they are used */
	COUNT_BITS = 16,     /* of a word; the others tell destinations apart */
	QUEUED_MAX = 131072, /* bytes on their way to the supervisor; the rest is for answers */
};

struct learn_counts {
	uint64_t key; /* so that nobody can aim at a slot */
	_Atomic uint64_t slots[SLOTS];
};

/* ---- counts ---- */

int learn_counts_new(struct learn_counts **out)
{
	struct learn_counts *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (getrandom(&c->key, sizeof(c->key), 0) != sizeof(c->key)) {
		free(c);
		return -EIO;
	}
	*out = c;
	return 0;
}

void learn_counts_free(struct learn_counts *c)
{
	free(c);
}

static uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ b[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h;
}

/* Who comes to a slot of another takes it over: that one is then counted anew. */
bool learn_counts_add(struct learn_counts *c, const char *set, const struct in6_addr *addr,
		      uint32_t n)
{
	uint64_t h = mix(mix(c->key, set, strlen(set)), addr, sizeof(*addr));
	_Atomic uint64_t *slot = &c->slots[h % SLOTS];
	uint64_t tag = h >> COUNT_BITS << COUNT_BITS, old = atomic_load(slot), count;

	do {
		count = old >> COUNT_BITS << COUNT_BITS == tag ? old - tag : 0;
		count++;
	} while (!atomic_compare_exchange_weak(slot, &old, count < n ? tag | count : 0));
	return count >= n;
}

/* ---- asking ---- */

static bool ask(const struct flow *f, const struct learn_spec *spec)
{
	struct {
		struct worker_answer head;
		struct worker_learn learn;
	} m = { .head = { .verb = WORKER_LEARN, .n = 1 }, .learn = { .addr = f->destination.ip } };
	int channel = f->loop->shared->channel, queued;

	_Static_assert(offsetof(struct worker_message, views) == offsetof(__typeof__(m), learn),
		       "the message of message.h");
	if (ioctl(channel, SIOCOUTQ, &queued) < 0 || queued > QUEUED_MAX)
		return false;
	m.learn.by_flows = spec->flows != 0;
	memcpy(m.learn.set, spec->set, sizeof(m.learn.set));
	strcpy(m.learn.target, f->target->settings->name);
	return send(channel, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(m);
}

static void learn(struct flow *f, const struct learn_spec *spec)
{
	count_add(&f->loop->counters.v[ask(f, spec) ? COUNT_LEARNED : COUNT_LEARN_LOST], 1);
}

void learn_bytes(struct flow *f)
{
	const struct learn_list *list = &f->target->settings->learn;
	uint64_t bytes = f->end[CLIENT].bytes + f->end[SERVER].bytes;

	for (uint32_t i = 0; i < list->n; i++) {
		if (!list->v[i].bytes || bytes <= list->v[i].bytes || f->learned >> i & 1)
			continue;
		f->learned |= (uint8_t)(1U << i);
		learn(f, &list->v[i]);
	}
}

void learn_flow(struct flow *f)
{
	const struct learn_list *list = &f->target->settings->learn;

	for (uint32_t i = 0; i < list->n; i++)
		if (list->v[i].flows && learn_counts_add(f->loop->shared->learn, list->v[i].set,
							  &f->destination.ip, list->v[i].flows))
			learn(f, &list->v[i]);
}
