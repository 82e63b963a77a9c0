/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The supervisor's sockets in the targets of the instance, which others change, too. */
#include <errno.h>
#include <string.h>

#include "notify.h"
#include "shunt/shunt.h"
#include "supervisor_state.h"

enum {
	AGAIN_MS = 20,
	LONG_POLLS = 6, /* that find the instance locked: then it is said */
};

/* Who reads `ready` may send the process away that this one took over from. */
static void say_ready(struct supervisor *s)
{
	const struct settings *set = s->settings;
	uint32_t workers = s->current->config.n_loops;

	s->was_ready = true;
	supervisor_prepare_sets(s);
	supervisor_took_over(s);
	if (set->n_targets == 1)
		shunt_info("ready: target '%s' of instance '%s', %u %s", set->targets[0]->name,
			   set->instance, workers, shunt_plural(workers, "worker", "workers"));
	else
		shunt_info("ready: %u targets of instance '%s', %u %s", set->n_targets,
			   set->instance, workers, shunt_plural(workers, "worker", "workers"));
	if (notify_send("READY=1") < 0)
		shunt_warn("cannot notify the service manager: %s", strerror(errno));
}

void supervisor_register(struct supervisor *s)
{
	int r = sockets_register(&s->sockets, s->shunt, s->settings);

	if (!r)
		say_ready(s);
	else if (r == -EAGAIN)
		supervisor_try_again(s); /* else the poll does */
}

void supervisor_unregister(struct supervisor *s)
{
	if (s->shunt && shunt_is_current(s->shunt))
		sockets_unregister(&s->sockets, s->shunt, s->settings);
}

/*
 * Someone else changes the instance, and has it locked: for a moment mostly, for long if that one
 * hangs. The loop goes on meanwhile, so that workers are looked after.
 */
void supervisor_try_again(struct supervisor *s)
{
	struct timeval soon = { .tv_usec = AGAIN_MS * 1000 };

	if (!event_pending(s->again, EV_TIMEOUT, NULL))
		event_add(s->again, &soon);
}

void supervisor_again_ran(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->stopping || !s->shunt)
		return;
	if (s->current && s->current->ready && !s->sockets.registered)
		supervisor_register(s);
	if (s->learned.unprepared)
		supervisor_prepare_sets(s);
}

void supervisor_say_locked(struct supervisor *s)
{
	if (!event_pending(s->again, EV_TIMEOUT, NULL))
		s->locked_polls = 0;
	else if (++s->locked_polls == LONG_POLLS)
		shunt_warn("someone has instance '%s' locked for long: a shuntctl that hangs?",
			   s->settings->instance);
}
