/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "inquiry.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"

static void answer(struct inquiry *q, const struct worker_answer *head, size_t views)
{
	q->message.head = *head;
	/* If the supervisor does not read, it does not miss the answer either. */
	if (send(q->channel, &q->message, offsetof(struct worker_message, views) + views,
		 MSG_NOSIGNAL) < 0)
		return;
}

void inquiry_status(struct inquiry *q, uint64_t tag)
{
	struct worker_answer head = { .verb = WORKER_STATUS, .n = q->n_loops,
				     .tag = tag };
	struct thread_view *views = q->message.views.threads;

	for (uint32_t i = 0; i < q->n_loops; i++)
		counters_read(&q->loops[i]->counters, views[i].v, views[i].ended);
	answer(q, &head, q->n_loops * sizeof(struct thread_view));
}

static void upstream_view(struct upstream_view *out, const struct balance *b, uint32_t i,
			  uint64_t now)
{
	struct upstream *u = b->upstreams[i];
	uint64_t until = b->fail_limit ? atomic_load(&u->out_until) : 0;

	memset(out, 0, sizeof(*out)); /* it goes to another process, padding too */
	out->address = u->address;
	out->weight = b->weights[i];
	out->flows = atomic_load_explicit(&u->flows, memory_order_relaxed);
	out->total = atomic_load_explicit(&u->total, memory_order_relaxed);
	out->failures = atomic_load_explicit(&u->failures, memory_order_relaxed);
	out->hold = until > now ? until - now : 0;
	out->unhealthy = b->checked && atomic_load(&u->unhealthy);
	out->has_check = b->checked && u->checked;
	out->checked = now > u->checked ? now - u->checked : 0;
	out->check_error = u->check_error;
}

/* A target in each answer: there are at most as many upstreams as fit into one. */
void inquiry_upstreams(struct inquiry *q, uint64_t tag, const struct flow_query *query)
{
	struct worker_answer head = { .verb = WORKER_UPSTREAMS, .tag = tag };
	struct upstream_view *views = q->message.views.upstreams;
	uint32_t at = query->loop;

	while (at < q->n_targets && !q->targets[at]->balance.n)
		at++;
	if (at < q->n_targets) {
		const struct target *t = q->targets[at++];

		for (; head.n < t->balance.n; head.n++) {
			upstream_view(&views[head.n], &t->balance, head.n, clock_ms());
			strncpy(views[head.n].target, t->settings->name,
				sizeof(views[0].target) - 1);
		}
	}
	head.more = at < q->n_targets;
	head.next.loop = at;
	answer(q, &head, head.n * sizeof(views[0]));
}

static void answer_flows(struct inquiry *q)
{
	struct inspection *page = &q->page;
	struct worker_answer head = {
		.verb = WORKER_FLOWS,
		.n = page->n,
		.tag = q->tag,
		.more = page->query.loop < q->n_loops,
		.next = page->query,
	};
	size_t views = page->query.kill ? 0 : page->n * sizeof(page->flows[0]);

	q->busy = false;
	memcpy(q->message.views.flows, page->flows, views);
	answer(q, &head, views);
}

/* One loop after the other, and each in small steps. */
static void ask_loop(struct inquiry *q)
{
	struct flow_query *query = &q->page.query;

	if (q->page.loop_done) {
		q->page.loop_done = false;
		query->at = (struct slab_place){};
		query->loop++;
	}
	if (query->loop >= q->n_loops || inspection_is_full(&q->page))
		answer_flows(q);
	else
		loop_post(q->loops[query->loop], &q->page.job);
}

static void loop_looked(evutil_socket_t fd, short what, void *arg)
{
	struct inquiry *q = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	if (!q->page.job.ran)
		q->page.loop_done = true;
	ask_loop(q);
}

void inquiry_flows(struct inquiry *q, uint64_t tag, const struct flow_query *query)
{
	struct worker_answer busy = { .verb = WORKER_FLOWS, .error = -EBUSY, .tag = tag };

	if (q->busy) {
		answer(q, &busy, 0);
		return;
	}
	q->busy = true;
	q->tag = tag;
	inspection_init(&q->page, query);
	q->page.job.done_fd = q->done_fd;
	ask_loop(q);
}

int inquiry_init(struct inquiry *q, struct event_base *base)
{
	q->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->done_fd < 0)
		return -errno;
	q->done = event_new(base, q->done_fd, EV_READ | EV_PERSIST, loop_looked, q);
	return q->done && !event_add(q->done, NULL) ? 0 : -ENOMEM;
}

void inquiry_release(struct inquiry *q)
{
	event_free(q->done);
	close(q->done_fd);
}
