/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "fleet.h"
#include "args.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 128, BACKLOG = 4096, ACCEPTS_PER_POLL = 64 };

void fleet_init(struct fleet *fleet)
{
	memset(fleet, 0, sizeof(*fleet));
	fleet->listener = -1;
	fleet->ep = epoll_create1(EPOLL_CLOEXEC);
	if (fleet->ep < 0)
		die("cannot make an epoll set: %s", strerror(errno));
}

void fleet_listen(struct fleet *fleet, const struct sockaddr_storage *at)
{
	struct epoll_event ev = { .events = EPOLLIN };
	char name[ADDR_STR];
	int off = 0, on = 1;

	fleet->listener = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fleet->listener < 0)
		die("cannot make a socket: %s", strerror(errno));
	setsockopt(fleet->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ss_family == AF_INET6)
		setsockopt(fleet->listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fleet->listener, (const struct sockaddr *)at, sockaddr_len(at)) ||
	    listen(fleet->listener, BACKLOG) ||
	    epoll_ctl(fleet->ep, EPOLL_CTL_ADD, fleet->listener, &ev))
		die("cannot listen on '%s': %s", sockaddr_str(name, at), strerror(errno));
}

struct flow *fleet_new_flow(void)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		die("out of memory");
	f->fd = -1;
	return f;
}

static void fleet_end(struct fleet *fleet, struct flow *f)
{
	fleet->results[f->result]++;
	fleet->sent += f->sent;
	fleet->received += f->received;
	fleet->open--;
	if (f->next)
		f->next->prev = f->prev;
	if (f->prev)
		f->prev->next = f->next;
	else
		fleet->first = f->next;
	if (fleet->ended)
		fleet->ended(fleet, f);
	flow_close(f);
	free(f);
}

void fleet_update(struct fleet *fleet, struct flow *f)
{
	struct epoll_event ev = { .events = flow_wants(f), .data.ptr = f };

	if (ev.events == f->events)
		return;
	if (epoll_ctl(fleet->ep, EPOLL_CTL_MOD, f->fd, &ev))
		die("cannot watch a socket: %s", strerror(errno));
	f->events = ev.events;
}

void fleet_add(struct fleet *fleet, struct flow *f)
{
	struct epoll_event ev = { .events = flow_wants(f), .data.ptr = f };

	f->prev = NULL;
	f->next = fleet->first;
	if (f->next)
		f->next->prev = f;
	fleet->first = f;
	fleet->open++;
	if (f->result) {
		fleet_end(fleet, f);
		return;
	}
	if (epoll_ctl(fleet->ep, EPOLL_CTL_ADD, f->fd, &ev))
		die("cannot watch a socket: %s", strerror(errno));
	f->events = ev.events;
}

static void fleet_accept(struct fleet *fleet)
{
	for (int i = 0; i < ACCEPTS_PER_POLL; i++) {
		int fd = accept4(fleet->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct flow *f;

		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd < 0)
			die("cannot accept: %s", strerror(errno));
		f = fleet_new_flow();
		flow_accept(f, fd);
		fleet_add(fleet, f);
	}
}

static void fleet_check_stuck(struct fleet *fleet)
{
	uint64_t now = now_ns();
	struct flow *f, *next;

	if (!fleet->stuck_ns || now < fleet->next_check)
		return;
	fleet->next_check = now + 100 * 1000000ULL;
	for (f = fleet->first; f; f = next) {
		next = f->next;
		if (now - f->progress < fleet->stuck_ns ||
		    (f->order == FLOW_ECHO && !f->connecting))
			continue; /* an echo may be idle for as long as its client likes */
		f->result = f->connecting ? FLOW_NO_CONNECT : FLOW_STUCK;
		fleet_end(fleet, f);
	}
}

void fleet_poll(struct fleet *fleet, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(fleet->ep, ev, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct flow *f = ev[i].data.ptr;

		if (!f) {
			fleet_accept(fleet);
			continue;
		}
		flow_step(f, ev[i].events);
		if (f->result)
			fleet_end(fleet, f);
		else
			fleet_update(fleet, f);
	}
	fleet_check_stuck(fleet);
}

void fleet_clear(struct fleet *fleet)
{
	struct flow *f, *next;

	for (f = fleet->first; f; f = next) {
		next = f->next;
		flow_close(f);
		free(f);
	}
	fleet->first = NULL;
	fleet->open = 0;
	if (fleet->listener >= 0)
		close(fleet->listener);
	close(fleet->ep);
}

uint64_t fleet_ended(const struct fleet *fleet)
{
	uint64_t n = 0;

	for (int i = FLOW_OK; i < FLOW_RESULTS; i++)
		n += fleet->results[i];
	return n;
}

uint64_t fleet_failed(const struct fleet *fleet)
{
	return fleet_ended(fleet) - fleet->results[FLOW_OK];
}

void fleet_print(const struct fleet *fleet, FILE *out)
{
	fprintf(out, "\"flows\":%" PRIu64, fleet_ended(fleet));
	for (int i = FLOW_OK; i < FLOW_RESULTS; i++)
		fprintf(out, ",\"%s\":%" PRIu64, flow_result_names[i], fleet->results[i]);
	fprintf(out, ",\"open\":%zu,\"sent\":%" PRIu64 ",\"received\":%" PRIu64, fleet->open,
		fleet->sent, fleet->received);
}
