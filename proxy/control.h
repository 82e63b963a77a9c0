/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket: an AF_UNIX stream that root, and a group if the settings name one, may
 * connect to. docs/control.md describes the protocol.
 *
 * It is served by the supervisor, which carries no flow; what the loops know is asked of their
 * workers page by page, and the next page only once the client has taken the one before. So a
 * client holds a bounded buffer here and nothing anywhere else: slow ones are cut, too many
 * wait in the socket's backlog.
 */
#ifndef SHUNT_PROXY_CONTROL_H
#define SHUNT_PROXY_CONTROL_H

#include <event2/event.h>

#include "control_request.h"
#include "reply.h"
#include "shunt/control.h"

struct supervisor;
struct child;

enum { CONTROL_CLIENTS = 16 };

/* One connection. */
struct control_client {
	struct control *control;
	struct control_client *next;
	struct control_client *behind; /* in control.waiting */
	int fd;
	struct event *read, *write;
	struct event *patience; /* with a client that does not ask, or does not take */
	size_t in_len;
	char in[SHUNT_CONTROL_REQUEST_MAX];
	struct control_request request;
	struct reply out;
	bool finished; /* the last line is in out */
	bool is_root;
	pid_t pid;
	bool is_heir; /* was given all, and says when it serves */
	/* Where a walk over the workers is: */
	uint64_t serial;	 /* of the worker */
	struct flow_query query; /* in that worker */
	bool more;		 /* of that worker */
	uint64_t killed;
};

struct control {
	struct supervisor *supervisor;
	int fd; /* -1: none */
	struct event *accept, *resume; /* which pauses for want of descriptors */
	struct control_client *clients;
	uint32_t n_clients;
	/* One question to a worker at a time, those that wait in order. */
	struct control_client *waiting, **last_waiting;
	struct control_client *asking; /* NULL: nobody, or its client has gone */
	uint64_t asked_serial;	       /* of the worker that has to answer; 0 none */
	uint64_t tag;
	struct event *patience;	       /* with that worker */
	struct control_client *reloading; /* waits for control_reloaded(); NULL nobody */
};

/*
 * Serve fd, a listening socket, which belongs to the control from now on; nobody is accepted
 * before control_open(). 0 or -errno.
 */
int control_start(struct control *c, struct supervisor *s, int fd);
void control_open(struct control *c);
/* Cut all clients and close the socket. */
void control_stop(struct control *c);

/* A worker answered, or has ended. len bytes of message were received. */
void control_answered(struct control *c, struct child *from, const struct worker_message *message,
		      size_t len);
/* New settings are in force, or why not. */
void control_reloaded(struct control *c, const char *error);
/* Was all given to somebody who has not said yet what became of it? */
bool control_has_heir(const struct control *c);
void control_child_gone(struct control *c, const struct child *child);

/* For control_serve.c: */
/* Do what the request of a client says, or the next step of it. */
void control_serve(struct control_client *client);
/* Add what a worker told to the client's reply, and note where to go on. */
void control_tell(struct control_client *client, const struct child *from,
		  const struct worker_message *message);
/* The last line: done, or why not. */
void control_end(struct control_client *client, const char *error);
/* Give it what is in out, then go on. The client may be gone afterwards. */
void control_flush(struct control_client *client);
/* Ask a worker for the next page of this client; the answer goes to control_tell(). */
void control_ask_later(struct control_client *client);

#endif
