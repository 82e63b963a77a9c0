/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What workers learn, put into sets. A worker reads the network and is not believed: it can name a
 * destination, but which sets there are to put it in, and for how long, the settings say.
 */
#include <errno.h>
#include <string.h>

#include "shunt/shunt.h"
#include "supervisor_state.h"

enum {
	SAY_SECONDS = 10,    /* from message to message */
	PREPARE_SECONDS = 1, /* a set that cannot be prepared is not tried for each flow */
	COLLECT_SECONDS = 5, /* from pass to pass */
};

static void quiet(void *arg, enum shunt_level level, const char *text)
{
	(void)arg;
	(void)level;
	(void)text;
}

static const struct learn_spec *find_spec(const struct supervisor *s, const struct worker_learn *l)
{
	const struct target_settings *t = settings_target(s->settings, l->target);

	for (uint32_t i = 0; t && i < t->learn.n; i++)
		if (!strcmp(t->learn.v[i].set, l->set) &&
		    !t->learn.v[i].flows == !l->by_flows)
			return &t->learn.v[i];
	return NULL;
}

/* Someone may have deleted the set, and made another generation without it. */
static int prepare_again(struct supervisor *s, const char *set)
{
	time_t now = supervisor_clock();

	if (now - s->learned.prepared < PREPARE_SECONDS)
		return -ENOENT;
	s->learned.prepared = now;
	return shunt_set_prepare(s->shunt, set);
}

static int add(struct supervisor *s, const struct learn_spec *spec, const struct in6_addr *addr)
{
	int r = shunt_set_learn(s->shunt, spec->set, addr, spec->timeout);

	if (r != -ENOENT)
		return r;
	r = prepare_again(s, spec->set);
	return r ? r : shunt_set_learn(s->shunt, spec->set, addr, spec->timeout);
}

void supervisor_learn(struct supervisor *s, const struct worker_message *message, size_t len)
{
	bool silent = supervisor_clock() - s->learned.said < SAY_SECONDS;
	const struct learn_spec *spec;
	struct worker_learn learn;
	int r;

	if (len != offsetof(struct worker_message, views) + sizeof(learn))
		return;
	learn = message->views.learn;
	learn.target[sizeof(learn.target) - 1] = '\0';
	learn.set[sizeof(learn.set) - 1] = '\0';
	spec = find_spec(s, &learn);
	if (!spec)
		return; /* of settings that are no longer in force */
	if (silent)
		shunt_set_sink(quiet, NULL);
	r = s->shunt ? add(s, spec, &learn.addr) : -ENOENT;
	if (silent)
		shunt_set_sink(NULL, NULL);
	if (!r) {
		s->learned.added++;
		return;
	}
	s->learned.failed++;
	if (!silent && r != -EAGAIN)
		s->learned.said = supervisor_clock();
}

void supervisor_prepare_sets(struct supervisor *s)
{
	bool locked = false;

	for (uint32_t i = 0; i < s->settings->n_targets && s->shunt; i++) {
		const struct learn_list *list = &s->settings->targets[i]->learn;

		for (uint32_t k = 0; k < list->n; k++)
			/* It says itself what is wrong, else. */
			locked |= shunt_set_prepare(s->shunt, list->v[k].set) == -EAGAIN;
	}
	s->learned.unprepared = locked;
	if (locked)
		supervisor_try_again(s);
}

void supervisor_collect(struct supervisor *s)
{
	struct collector *c = &s->collector;
	time_t now = supervisor_clock();

	if (!c->busy && now - c->done < COLLECT_SECONDS)
		return;
	if (!c->pass && shunt_collector_new(&c->pass))
		return;
	c->busy = shunt_collect(s->shunt, c->pass) > 0;
	c->done = now;
}
