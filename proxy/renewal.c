/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "renewal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

static void answer(struct renewal *r, uint64_t tag, int error, const char *text)
{
	struct {
		struct worker_answer head;
		char text[WORKER_TEXT];
	} message = { .head = { .verb = WORKER_SETTINGS, .tag = tag, .error = error } };

	_Static_assert(sizeof(message) <= sizeof(struct worker_message), "it fits");
	snprintf(message.text, sizeof(message.text), "%s", text);
	/* A supervisor that does not read does not miss it. */
	if (send(r->of.channel, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		return;
}

/* ---- making, which may fail ---- */

uint32_t renewal_max_flows(uint64_t flow_fds, const struct settings *s)
{
	uint64_t checks = health_descriptors(s);
	uint64_t flows = flow_fds > checks ? (flow_fds - checks) / 2 : 0;

	return flows < INT32_MAX ? (uint32_t)flows : INT32_MAX;
}

/* Checks are for what flows do without; but one flow there must be. */
static int check_descriptors(struct renewal *r, char *text, size_t size)
{
	uint32_t most = renewal_max_flows(r->of.flow_fds, &r->settings);

	if (most && r->settings.max_connections <= most)
		return 0;
	snprintf(text, size, "max-connections %u: the descriptor limit allows %u beside %llu for "
			     "checks: raise LimitNOFILE or 'ulimit -n', and restart",
		 r->settings.max_connections, most,
		 (unsigned long long)health_descriptors(&r->settings));
	return -EMFILE;
}

static void discard(struct renewal *r)
{
	uint32_t n = r->of.n_targets;

	for (uint32_t i = 0; r->entries && i < n * r->of.n_loops; i++)
		if (r->entries[i])
			target_leave(r->entries[i]);
	free(r->entries);
	r->entries = NULL;
	for (uint32_t i = 0; i < n; i++) {
		health_stop(r->health[i]);
		r->health[i] = NULL;
		if (r->targets[i])
			target_put(r->targets[i]);
		r->targets[i] = NULL;
	}
	settings_release(&r->settings);
	r->busy = false;
}

static int make_target(struct renewal *r, uint32_t i)
{
	const struct renewed *of = &r->of;
	int ret = target_new(&r->targets[i], r->settings.targets[i], of->targets[i]);

	if (!ret)
		ret = health_start(&r->health[i], of->base, r->targets[i], of->shared->mark,
				   of->shared->log_fds[STDERR_FILENO]);
	for (uint32_t loop = 0; loop < of->n_loops && !ret; loop++) {
		struct target_loop **entry = &r->entries[loop * of->n_targets + i];

		*entry = target_enter(r->targets[i]);
		if (!*entry)
			ret = -ENOMEM;
	}
	return ret;
}

static int make(struct renewal *r)
{
	const struct renewed *of = &r->of;
	int ret = 0;

	/* The supervisor has looked at that, too. */
	if (r->settings.n_targets != of->n_targets)
		return -EINVAL;
	r->entries = calloc((size_t)of->n_loops * of->n_targets, sizeof(r->entries[0]));
	if (!r->entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < of->n_targets && !ret; i++)
		ret = make_target(r, i);
	return ret;
}

/* ---- putting in force, which may not ---- */

static void change_over(struct loop *l, struct loop_job *job)
{
	struct target_loop **entries = ((struct renewal_job *)job)->entries;

	for (uint32_t i = 0; i < l->n_ports; i++) {
		struct loop_port *port = &l->ports[i];

		target_leave(port->target);
		port->target = entries[i];
		for (int v6 = 0; v6 < 2; v6++)
			listener_set_target(&port->listeners[v6], entries[i]);
		entries[i] = NULL; /* the loop's now */
	}
}

static void finish(struct renewal *r)
{
	const struct renewed *of = &r->of;
	uint32_t max = r->settings.max_connections;
	struct settings old = *of->settings;

	for (uint32_t i = 0; i < of->n_targets; i++) {
		struct target *target = of->targets[i];
		struct health *health = of->health[i];

		of->targets[i] = r->targets[i];
		of->health[i] = r->health[i];
		r->targets[i] = target;
		r->health[i] = health;
	}
	if (!max)
		max = renewal_max_flows(of->flow_fds, &r->settings);
	atomic_store(&of->shared->max_connections, max);
	atomic_store(&of->shared->held_most, shared_held_most(&r->settings, of->n_loops));
	atomic_store(&of->shared->busy_polls.us, r->settings.busy_poll);
	*of->settings = r->settings;
	r->settings = old;
	discard(r); /* what was in force until now */
	answer(r, r->tag, 0, "");
}

static void next_loop(struct renewal *r)
{
	if (r->loop == r->of.n_loops) {
		finish(r);
		return;
	}
	r->job.entries = &r->entries[r->loop * r->of.n_targets];
	loop_post(r->of.loops[r->loop], &r->job.job);
}

static void loop_changed(evutil_socket_t fd, short what, void *arg)
{
	struct renewal *r = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	r->loop++;
	next_loop(r);
}

void renewal_start(struct renewal *r, uint64_t tag, int fd)
{
	FILE *in = fdopen(fd, "r");
	char text[WORKER_TEXT];
	int ret;

	if (!in || r->busy) {
		if (in)
			fclose(in);
		else
			close(fd);
		answer(r, tag, -EBUSY, "new settings are being put in force already");
		return;
	}
	r->busy = true;
	r->tag = tag;
	ret = options_reread(&r->settings, r->of.settings, in);
	fclose(in);
	if (!ret)
		ret = make(r);
	snprintf(text, sizeof(text), "%s", strerror(-ret));
	if (!ret)
		ret = check_descriptors(r, text, sizeof(text));
	if (ret < 0) {
		discard(r);
		answer(r, tag, ret, text);
	} else {
		r->loop = 0;
		next_loop(r);
	}
}

/* ---- life ---- */

int renewal_init(struct renewal *r, const struct renewed *of)
{
	memset(r, 0, sizeof(*r));
	r->of = *of;
	r->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->done_fd < 0)
		return -errno;
	r->job.job = (struct loop_job){ .run = change_over, .done_fd = r->done_fd };
	r->done = event_new(of->base, r->done_fd, EV_READ | EV_PERSIST, loop_changed, r);
	return r->done && !event_add(r->done, NULL) ? 0 : -ENOMEM;
}

void renewal_release(struct renewal *r)
{
	if (r->busy)
		discard(r);
	event_free(r->done);
	close(r->done_fd);
}
