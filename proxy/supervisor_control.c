/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the control socket asks of the supervisor. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "reload.h"
#include "shunt/shunt.h"
#include "supervisor_state.h"

enum { RELOAD_SECONDS = 10 };

struct event_base *supervisor_base(struct supervisor *s)
{
	return s->base;
}

struct shunt *supervisor_shunt(struct supervisor *s)
{
	return s->shunt;
}

struct child *supervisor_child_after(struct supervisor *s, uint64_t serial)
{
	struct child *found = NULL;

	for (struct child *c = s->children; c; c = c->next)
		if (c->serial > serial && (!found || c->serial < found->serial))
			found = c;
	return found;
}

struct child *supervisor_child(struct supervisor *s, uint64_t serial)
{
	struct child *c = serial ? supervisor_child_after(s, serial - 1) : NULL;

	return c && c->serial == serial ? c : NULL;
}

bool supervisor_is_current(const struct supervisor *s, const struct child *child)
{
	return s->current == child && !s->stopping;
}

time_t supervisor_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

void supervisor_describe(const struct supervisor *s, struct reply *out)
{
	const struct settings *set = s->settings;
	const char *state = "waiting";
	uint32_t upstreams = 0;

	if (s->stopping)
		state = "draining";
	else if (s->current && s->sockets.registered)
		state = "serving";
	reply_add(out, "{\"protocol\":%d,\"version\":\"%s\",\"pid\":%d,\"uptime\":%lld,"
		       "\"state\":\"%s\",\"instance\":", SHUNT_CONTROL_VERSION, SHUNT_VERSION,
		  (int)getpid(), (long long)(supervisor_clock() - s->started), state);
	reply_add_string(out, set->instance);
	reply_add(out, ",\"targets\":[");
	for (uint32_t i = 0; i < set->n_targets; i++) {
		reply_add(out, "%s", i ? "," : "");
		reply_add_string(out, set->targets[i]->name);
		upstreams += set->targets[i]->upstreams.n;
	}
	reply_add(out, "],\"upstreams\":%u,\"learned\":%llu,\"learn_failed\":%llu}\n", upstreams,
		  (unsigned long long)s->learned.added, (unsigned long long)s->learned.failed);
}

void supervisor_drain(struct supervisor *s, const uint32_t *seconds)
{
	supervisor_stop(s, seconds ? *seconds : s->settings->drain_timeout);
}

/* ---- reload ---- */

/* Whoever asked hears of it; and the log, as nobody may listen. */
static void say_result(struct supervisor *s, const char *error)
{
	if (error)
		shunt_warn("the settings stay as they were: %s", error);
	else
		shunt_info("the settings of '%s' are in force", s->settings->config);
	control_reloaded(&s->control, error);
}

static void put_in_force(struct supervisor *s)
{
	settings_release(s->settings);
	*s->settings = s->reload.fresh;
	s->reload.busy = false;
	event_del(s->reload.patience);
	supervisor_prepare_sets(s);
	say_result(s, NULL);
}

static void give_up(struct supervisor *s, const char *error)
{
	settings_release(&s->reload.fresh);
	s->reload.busy = false;
	event_del(s->reload.patience);
	say_result(s, error);
}

static const char *reason_not_now(const struct supervisor *s)
{
	if (s->stopping)
		return "shuntd is about to end";
	if (s->reload.busy)
		return "others are being put in force";
	/* It may have read the file before it was changed. */
	if (s->successor || control_has_heir(&s->control))
		return "another shuntd is taking over, try again";
	if (s->current && !s->current->ready)
		return "a worker is starting, try again";
	return NULL;
}

int supervisor_reload(struct supervisor *s, char *err, size_t err_size)
{
	static const struct timeval patience = { .tv_sec = RELOAD_SECONDS };
	const char *not_now = reason_not_now(s);
	struct reload *r = &s->reload;
	int fd, ret;

	if (not_now) {
		snprintf(err, err_size, "%s", not_now);
		return -EBUSY;
	}
	ret = reload_read(&r->fresh, &fd, s->settings, err, err_size);
	if (ret < 0)
		return ret;
	r->busy = true;
	r->tag++;
	r->serial = s->current ? s->current->serial : 0;
	event_add(r->patience, &patience);
	if (!s->current)
		put_in_force(s);
	else if (child_send_settings(s->current, r->tag, fd) < 0)
		give_up(s, "the worker cannot be told");
	close(fd);
	return 0;
}

void supervisor_reloaded(struct supervisor *s, const struct child *from,
			 const struct worker_message *message, size_t len)
{
	const struct reload *r = &s->reload;
	char text[WORKER_TEXT];

	if (!r->busy || from->serial != r->serial || message->head.tag != r->tag)
		return;
	if (!message->head.error) {
		put_in_force(s);
		return;
	}
	/* A worker is not believed: neither that its text ends nor what is in it. */
	memset(text, 0, sizeof(text));
	if (len >= offsetof(struct worker_message, views) + sizeof(text))
		memcpy(text, message->views.text, sizeof(text) - 1);
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	give_up(s, text);
}

void supervisor_reload_lost(struct supervisor *s, const struct child *child)
{
	if (s->reload.busy && s->reload.serial == child->serial)
		give_up(s, "the worker has ended meanwhile");
}

/* Its answer counts whenever it comes, so that both have the same settings. */
void supervisor_reload_is_late(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	control_reloaded(&s->control, "the worker does not answer yet");
}
