/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "shunt/control.h"
#include "supervisor.h"
#include "takeover.h"

enum {
	REQUEST_SECONDS = 5, /* for the whole request */
	TAKE_SECONDS = 10,   /* for some of the answer */
	WORKER_SECONDS = 5,
	PAUSE_MS = 100,
};

/* ---- a client ---- */

static void ask_next(struct control *c);

static void client_close(struct control_client *client)
{
	struct control *c = client->control;
	struct control_client **at;

	for (at = &c->clients; *at != client; at = &(*at)->next)
		;
	*at = client->next;
	for (at = &c->waiting; *at && *at != client; at = &(*at)->behind)
		;
	if (*at)
		*at = client->behind;
	for (c->last_waiting = &c->waiting; *c->last_waiting;)
		c->last_waiting = &(*c->last_waiting)->behind;
	if (c->reloading == client)
		c->reloading = NULL;
	if (c->asking == client)
		c->asking = NULL; /* the worker answers nevertheless */
	if (client->read)
		event_free(client->read);
	if (client->write)
		event_free(client->write);
	if (client->patience)
		event_free(client->patience);
	close(client->fd);
	reply_release(&client->out);
	free(client);
	if (c->n_clients-- == CONTROL_CLIENTS && c->accept)
		event_add(c->accept, NULL);
}

/* Give it what there is; go on when it has taken all. The client may be gone afterwards. */
void control_flush(struct control_client *client)
{
	static const struct timeval patience = { .tv_sec = TAKE_SECONDS };
	size_t before = client->out.sent;
	int r = reply_send(&client->out, client->fd);

	if (r < 0 || (r == 1 && client->finished)) {
		client_close(client);
	} else if (!r) {
		if (client->out.sent != before || !event_pending(client->patience, EV_TIMEOUT, NULL))
			event_add(client->patience, &patience);
		event_add(client->write, NULL);
	} else {
		event_del(client->patience); /* the next wait is for a worker */
		control_serve(client);
	}
}

static void client_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_flush(arg);
}

static void client_is_slow(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_close(arg);
}

static void client_request(struct control_client *client, size_t len)
{
	char err[256];

	event_del(client->read);
	event_del(client->patience);
	if (control_request_parse(&client->request, client->in, len, err, sizeof(err)) < 0) {
		control_end(client, err);
		control_flush(client);
		return;
	}
	control_serve(client);
}

/* It serves, or it has failed and nothing has happened. */
static void heir_spoke(struct control_client *client)
{
	struct supervisor *s = client->control->supervisor;
	pid_t pid = client->pid;
	char said = 0;
	bool done = recv(client->fd, &said, 1, MSG_DONTWAIT) == 1 && said == TAKEOVER_DONE;

	client_close(client);
	if (done)
		supervisor_hand_over(s, pid);
}

static void client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *client = arg;
	char *end;
	ssize_t n;

	(void)what;
	if (client->is_heir) {
		heir_spoke(client);
		return;
	}
	n = recv(fd, client->in + client->in_len, sizeof(client->in) - client->in_len,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	client->in_len += (size_t)n;
	end = memchr(client->in, '\n', client->in_len);
	if (end)
		client_request(client, (size_t)(end - client->in));
	else if (client->in_len == sizeof(client->in))
		client_request(client, client->in_len); /* too long, which the parser says */
}

static struct control_client *client_new(struct control *c, int fd)
{
	static const struct timeval patience = { .tv_sec = REQUEST_SECONDS };
	struct event_base *base = supervisor_base(c->supervisor);
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return NULL;
	}
	client->control = c;
	client->fd = fd;
	client->next = c->clients;
	c->clients = client;
	if (++c->n_clients == CONTROL_CLIENTS)
		event_del(c->accept);
	client->read = event_new(base, fd, EV_READ | EV_PERSIST, client_readable, client);
	client->write = event_new(base, fd, EV_WRITE, client_writable, client);
	client->patience = event_new(base, -1, 0, client_is_slow, client);
	/* The time is for the whole request, not for each byte of it. */
	if (client->read && client->write && client->patience && !event_add(client->read, NULL) &&
	    !event_add(client->patience, &patience))
		return client;
	client_close(client);
	return NULL;
}

/* Else the socket, where one waits, would have us look again at once and without end. */
static void accept_failed(struct control *c, int error)
{
	static const struct timeval pause = { .tv_usec = 1000 * PAUSE_MS };

	if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
		return;
	event_del(c->accept);
	event_add(c->resume, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	if (c->n_clients < CONTROL_CLIENTS)
		event_add(c->accept, NULL);
}

static void client_came(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct control_client *client;
	struct ucred peer = {};
	socklen_t len = sizeof(peer);
	int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (conn < 0)
		accept_failed(c, errno);
	client = conn < 0 ? NULL : client_new(c, conn);
	if (client)
		client->is_root = !getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
				  len == sizeof(peer) && !peer.uid;
	if (client)
		client->pid = peer.pid;
}

/* ---- questions to workers ---- */

/* The worker has nothing (more) to tell to whom asked. */
static void answer_is_over(struct control *c, const char *error)
{
	struct control_client *client = c->asking;

	c->asking = NULL;
	c->asked_serial = 0;
	event_del(c->patience);
	if (client) {
		if (error)
			control_end(client, error);
		control_flush(client);
	}
	ask_next(c);
}

static void worker_is_silent(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer_is_over(arg, "a worker does not answer");
}

static bool ask(struct control *c, struct control_client *client)
{
	static const struct timeval patience = { .tv_sec = WORKER_SECONDS };
	struct child *child = supervisor_child(c->supervisor, client->serial);
	enum worker_verb verb = client->request.verb == CONTROL_STATUS ? WORKER_STATUS
				: client->request.verb == CONTROL_UPSTREAMS ? WORKER_UPSTREAMS
									    : WORKER_FLOWS;

	if (!child || !child->ready)
		return false;
	if (child_ask(child, verb, ++c->tag, &client->query) < 0)
		return false;
	c->asking = client;
	c->asked_serial = child->serial;
	event_add(c->patience, &patience);
	return true;
}

static void ask_next(struct control *c)
{
	while (!c->asked_serial && c->waiting) {
		struct control_client *client = c->waiting;

		c->waiting = client->behind;
		if (!c->waiting)
			c->last_waiting = &c->waiting;
		client->behind = NULL;
		client->more = false;
		if (!ask(c, client))
			control_flush(client); /* that worker cannot tell: on to the next */
	}
}

void control_ask_later(struct control_client *client)
{
	struct control *c = client->control;

	*c->last_waiting = client;
	c->last_waiting = &client->behind;
	ask_next(c);
}

/* Does the length fit what the head says? A worker is not believed. */
static bool is_whole(const struct worker_message *m, size_t len)
{
	size_t views = len - offsetof(struct worker_message, views);

	if (m->head.verb == WORKER_STATUS)
		return m->head.n <= SHUNT_TARGET_SLOTS &&
		       views == m->head.n * sizeof(m->views.threads[0]);
	if (m->head.verb == WORKER_UPSTREAMS)
		return m->head.n <= UPSTREAMS_MAX &&
		       views == m->head.n * sizeof(m->views.upstreams[0]);
	if (m->head.verb != WORKER_FLOWS || m->head.n > QUERY_FLOWS)
		return false;
	return m->head.next.kill ? !views : views == m->head.n * sizeof(m->views.flows[0]);
}

void control_answered(struct control *c, struct child *from, const struct worker_message *message,
		      size_t len)
{
	const struct worker_answer *head = &message->head;

	if (from->serial != c->asked_serial || head->tag != c->tag)
		return; /* too late */
	if (head->error || !is_whole(message, len)) {
		answer_is_over(c, "a worker gave no good answer");
		return;
	}
	if (c->asking)
		control_tell(c->asking, from, message);
	answer_is_over(c, NULL);
}

void control_child_gone(struct control *c, const struct child *child)
{
	if (c->asked_serial == child->serial)
		answer_is_over(c, NULL);
}

void control_reloaded(struct control *c, const char *error)
{
	struct control_client *client = c->reloading;

	c->reloading = NULL;
	if (!client)
		return;
	control_end(client, error);
	control_flush(client);
}

/* ---- life ---- */

int control_start(struct control *c, struct supervisor *s, int fd)
{
	/* A worker may still answer what was asked before it was stopped. */
	*c = (struct control){ .supervisor = s, .fd = fd, .tag = c->tag };
	c->last_waiting = &c->waiting;
	c->accept = event_new(supervisor_base(s), fd, EV_READ | EV_PERSIST, client_came, c);
	c->resume = event_new(supervisor_base(s), -1, 0, accept_again, c);
	c->patience = event_new(supervisor_base(s), -1, 0, worker_is_silent, c);
	return c->accept && c->resume && c->patience ? 0 : -ENOMEM;
}

void control_open(struct control *c)
{
	event_add(c->accept, NULL);
}

void control_stop(struct control *c)
{
	while (c->clients)
		client_close(c->clients);
	c->asked_serial = 0; /* an answer that is under way is for nobody */
	if (c->accept)
		event_free(c->accept);
	if (c->resume)
		event_free(c->resume);
	if (c->patience)
		event_free(c->patience);
	if (c->fd >= 0)
		close(c->fd);
	c->accept = NULL;
	c->resume = NULL;
	c->patience = NULL;
	c->fd = -1;
}
