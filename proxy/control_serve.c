/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the requests of the control socket do, and the words of their answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "child.h"
#include "control.h"
#include "flow.h"
#include "supervisor.h"

static const char *const state_names[] = {
	[FLOW_CONNECTING] = "connecting",
	[FLOW_HANDSHAKE] = "handshake",
	[FLOW_RELAYING] = "relaying",
	[FLOW_RESETTING] = "resetting",
	[FLOW_CLOSED] = "closed",
};

_Static_assert(sizeof(state_names) / sizeof(state_names[0]) == FLOW_CLOSED + 1, "the last one");

enum { STATES = sizeof(state_names) / sizeof(state_names[0]) };

void control_end(struct control_client *client, const char *error)
{
	struct reply *out = &client->out;

	client->finished = true;
	reply_add(out, "{\"end\":\"%s\"", error ? "error" : "ok");
	if (error) {
		reply_add(out, ",\"message\":");
		reply_add_string(out, error);
	} else if (client->request.verb == CONTROL_KILL) {
		reply_add(out, ",\"killed\":%llu", (unsigned long long)client->killed);
	}
	reply_add(out, "}\n");
}

/* ---- what a worker told ---- */

static void tell_thread(struct control_client *client, const struct child *from, uint32_t n,
			const struct thread_view *t)
{
	struct reply *out = &client->out;
	uint64_t flows = t->v[COUNT_ACCEPTED];

	for (int i = 0; i < FLOW_REASON_MAX; i++)
		flows -= t->ended[i];
	reply_add(out, "{\"worker\":%d,\"state\":\"%s\",\"thread\":%u,\"flows\":%llu,\"counters\":{",
		  (int)from->pid, supervisor_is_current(client->control->supervisor, from)
					? "serving" : "draining",
		  n, (unsigned long long)flows);
	for (int i = 0; i < COUNTER_MAX; i++)
		reply_add(out, "%s\"%s\":%llu", i ? "," : "", counter_name((enum counter)i),
			  (unsigned long long)t->v[i]);
	reply_add(out, "},\"ended\":{");
	for (int i = 0; i < FLOW_REASON_MAX; i++)
		reply_add(out, "%s\"%s\":%llu", i ? "," : "",
			  flow_reason_name((enum flow_reason)i), (unsigned long long)t->ended[i]);
	reply_add(out, "}}\n");
}

static void tell_rule(struct reply *out, struct shunt *shunt, const struct flow_view *f)
{
	struct sockaddr_storage client, destination;
	struct shunt_flow decision;

	address_to_sockaddr(&client, &f->client);
	address_to_sockaddr(&destination, &f->destination);
	if (shunt && shunt_flow_find(shunt, (struct sockaddr *)&client,
				     (struct sockaddr *)&destination, IPPROTO_TCP, &decision) == 0)
		reply_add(out, "%u", decision.rule);
	else
		reply_add(out, "null");
}

static void tell_flow(struct control_client *client, const struct child *from,
		      const struct flow_view *f)
{
	struct reply *out = &client->out;
	char text[ADDRESS_STR];
	char target[sizeof(f->target) + 1];

	snprintf(target, sizeof(target), "%.*s", (int)sizeof(f->target), f->target);
	reply_add(out, "{\"id\":\"%d.%llu\",\"target\":", (int)from->pid,
		  (unsigned long long)f->id);
	reply_add_string(out, target);
	reply_add(out, ",\"client\":\"%s\"", address_str(text, &f->client));
	reply_add(out, ",\"destination\":\"%s\"", address_str(text, &f->destination));
	if (f->server.port)
		reply_add(out, ",\"server\":\"%s\"", address_str(text, &f->server));
	else
		reply_add(out, ",\"server\":null");
	if (f->source.port)
		reply_add(out, ",\"source\":\"%s\"", address_str(text, &f->source));
	else
		reply_add(out, ",\"source\":null");
	reply_add(out, ",\"state\":\"%s\",\"age_ms\":%llu,\"silent_ms\":%llu,\"up\":%llu,"
		       "\"down\":%llu,\"rule\":",
		  f->state < STATES ? state_names[f->state] : "unknown",
		  (unsigned long long)f->age, (unsigned long long)f->silent,
		  (unsigned long long)f->up, (unsigned long long)f->down);
	tell_rule(out, supervisor_shunt(client->control->supervisor), f);
	reply_add(out, "}\n");
}

/* Of both reasons the checker's is told: without it the other would soon be history. */
static void tell_upstream_state(struct reply *out, const struct upstream_view *u)
{
	const char *why = u->unhealthy ? "checks fail" : u->hold ? "connections fail" : NULL;

	reply_add(out, ",\"state\":\"%s\",\"why\":", why ? "out" : "up");
	if (why)
		reply_add_string(out, why);
	else
		reply_add(out, "null");
	if (u->hold && !u->unhealthy)
		reply_add(out, ",\"back_ms\":%llu", (unsigned long long)u->hold);
	else
		reply_add(out, ",\"back_ms\":null");
	if (!u->has_check) {
		reply_add(out, ",\"check\":null,\"checked_ms\":null");
		return;
	}
	reply_add(out, ",\"check\":");
	reply_add_string(out, u->check_error ? strerror(u->check_error) : "ok");
	reply_add(out, ",\"checked_ms\":%llu", (unsigned long long)u->checked);
}

static void tell_upstream(struct control_client *client, const struct child *from,
			  const struct upstream_view *u)
{
	struct reply *out = &client->out;
	char text[ADDRESS_STR];
	char target[sizeof(u->target) + 1];

	snprintf(target, sizeof(target), "%.*s", (int)sizeof(u->target), u->target);
	reply_add(out, "{\"worker\":%d,\"target\":", (int)from->pid);
	reply_add_string(out, target);
	reply_add(out, ",\"address\":\"%s\",\"weight\":%u", address_str(text, &u->address),
		  u->weight);
	tell_upstream_state(out, u);
	reply_add(out, ",\"connections\":%u,\"total\":%llu,\"failures\":%llu}\n", u->flows,
		  (unsigned long long)u->total, (unsigned long long)u->failures);
}

void control_tell(struct control_client *client, const struct child *from,
		  const struct worker_message *message)
{
	const struct worker_answer *head = &message->head;

	if (head->verb == WORKER_STATUS) {
		for (uint32_t i = 0; i < head->n; i++)
			tell_thread(client, from, i, &message->views.threads[i]);
		return;
	}
	client->more = head->more;
	client->query.loop = head->next.loop;
	if (head->verb == WORKER_UPSTREAMS) {
		for (uint32_t i = 0; i < head->n; i++)
			tell_upstream(client, from, &message->views.upstreams[i]);
		return;
	}
	client->query.at = head->next.at;
	if (client->query.kill)
		client->killed += head->n;
	else
		for (uint32_t i = 0; i < head->n; i++)
			tell_flow(client, from, &message->views.flows[i]);
}

/* ---- requests ---- */

/* Walk over the workers, oldest first, and in each from page to page. */
static void walk(struct control_client *client)
{
	struct supervisor *s = client->control->supervisor;
	const struct control_request *request = &client->request;
	struct child *child;

	if (!client->serial && request->verb == CONTROL_STATUS)
		supervisor_describe(s, &client->out);
	if (!client->more) {
		child = supervisor_child_after(s, client->serial);
		if (!child) {
			control_end(client, NULL);
			control_flush(client);
			return;
		}
		client->serial = child->serial;
		client->query = (struct flow_query){ .filter = request->filter,
						     .kill = request->verb == CONTROL_KILL };
		if (request->filter.worker && request->filter.worker != (uint32_t)child->pid) {
			walk(client);
			return;
		}
	}
	control_ask_later(client);
}

static void reload(struct control_client *client)
{
	struct control *c = client->control;
	char err[512];

	if (c->reloading) {
		control_end(client, "others are being put in force");
		control_flush(client);
		return;
	}
	c->reloading = client;
	if (supervisor_reload(c->supervisor, err, sizeof(err)) == 0)
		return;
	c->reloading = NULL;
	control_end(client, err);
	control_flush(client);
}

bool control_has_heir(const struct control *c)
{
	char byte;

	for (const struct control_client *other = c->clients; other; other = other->next) {
		ssize_t n = other->is_heir ? recv(other->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 0;

		/* One that is gone is no heir, also if its end has not come up yet. */
		if (n > 0 || (n < 0 && errno == EAGAIN))
			return true;
	}
	return false;
}

/*
 * What it is given makes another shuntd of it, so a group's right to ask is not enough; and two
 * at a time would both serve in the end.
 */
static void offer(struct control_client *client)
{
	char err[256] = "only root can take over";
	bool may = client->is_root;

	if (may && control_has_heir(client->control)) {
		snprintf(err, sizeof(err), "another process is taking over");
		may = false;
	}
	if (may &&
	    supervisor_offer(client->control->supervisor, client->fd, err, sizeof(err)) == 0) {
		client->is_heir = true;
		event_add(client->read, NULL);
		return;
	}
	control_end(client, err);
	control_flush(client);
}

void control_serve(struct control_client *client)
{
	struct supervisor *s = client->control->supervisor;
	struct control_request request = client->request;

	switch (request.verb) {
	case CONTROL_STATUS:
	case CONTROL_UPSTREAMS:
	case CONTROL_LIST:
	case CONTROL_KILL:
		walk(client);
		return;
	case CONTROL_DRAIN:
		/* First the answer: with no flows this may be the end. */
		control_end(client, NULL);
		control_flush(client);
		supervisor_drain(s, request.has_timeout ? &request.timeout : NULL);
		return;
	case CONTROL_RELOAD:
		reload(client);
		return;
	case CONTROL_TAKEOVER:
		offer(client);
		return;
	case CONTROL_VERBS:
		control_end(client, "not understood");
		break;
	}
	control_flush(client);
}
