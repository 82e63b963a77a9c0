/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The supervisor gives its targets to another, or gets them from one: takeover.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"
#include "shunt/shunt.h"
#include "takeover.h"

/* ---- giving ---- */

int supervisor_offer(struct supervisor *s, int fd, char *err, size_t err_size)
{
	const char *why = NULL;

	if (s->stopping)
		why = "it is about to end";
	else if (s->reload.busy)
		why = "new settings are being put in force";
	else if (s->current && !s->sockets.registered)
		why = "it is starting, try again";
	if (why) {
		snprintf(err, err_size, "%s", why);
		return -EBUSY;
	}
	err[0] = '\0';
	return takeover_give(s, fd);
}

static void drain_without_deadline(struct supervisor *s)
{
	for (struct child *c = s->children; c; c = c->next)
		child_order(c, WORKER_DRAIN, 0);
	s->current = NULL;
	if (!s->children)
		event_base_loopbreak(s->base);
}

/* The flows that finish here are listed and killed here. Without it they just finish. */
static void answer_elsewhere(struct supervisor *s)
{
	int r = control_socket_open_draining(&s->socket, s->settings);

	if (!r)
		r = control_start(&s->control, s, s->socket.fd);
	if (!r)
		control_open(&s->control);
	else
		shunt_warn("'shuntctl proxy' will not find the flows that finish here");
}

void supervisor_hand_over(struct supervisor *s, pid_t heir)
{
	char state[32];

	s->stopping = true;
	/* Files, locks and sockets are its own now: only our copies are closed. */
	control_stop(&s->control);
	s->socket.fd = -1;
	s->socket.n_paths = 0;
	answer_elsewhere(s);
	/* Who reads that may ask there at once. */
	shunt_info("process %d has taken over: open flows finish here", (int)heir);
	for (uint32_t i = 0; i < s->n_locks; i++)
		lock_leave(&s->locks[i]);
	s->n_locks = 0;
	sockets_close(&s->sockets);
	drain_without_deadline(s);
	snprintf(state, sizeof(state), "MAINPID=%d", (int)heir);
	notify_send(state);
}

/* ---- taking ---- */

void supervisor_took_over(struct supervisor *s)
{
	if (s->predecessor < 0)
		return;
	takeover_finish(s);
	control_open(&s->control);
}

/* ---- a successor of our own ---- */

/* A handler of ours would tell the event loop of the process that we come from. */
static void reset_signals(void)
{
	struct sigaction action;
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &action) && action.sa_handler != SIG_IGN)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) become_successor(const struct supervisor *s)
{
	static char takeover[] = "--takeover";
	const struct settings *set = s->settings;
	char **argv = calloc((size_t)set->argc + 2, sizeof(*argv));
	int n = 0;

	for (int i = 0; argv && i < set->argc; i++)
		if (strcmp(set->argv[i], takeover))
			argv[n++] = set->argv[i];
	reset_signals();
	if (argv) {
		argv[n] = takeover;
		execv(s->program, argv);
	}
	shunt_err(-errno, "cannot run '%s': %s", s->program, strerror(errno));
	_exit(1);
}

void supervisor_start_successor(struct supervisor *s)
{
	sigset_t all, before;
	pid_t pid;

	if (s->stopping || s->successor || !s->program) {
		shunt_warn("no other shuntd is started: %s",
			   s->stopping ? "this one is about to end"
			   : s->successor ? "one has been started already"
					  : "this program has no path");
		return;
	}
	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (!pid)
		become_successor(s);
	if (pid < 0)
		shunt_warn("cannot start another shuntd: %s", strerror(errno));
	else
		s->successor = pid;
	sigprocmask(SIG_SETMASK, &before, NULL);
}
