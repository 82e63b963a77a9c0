/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * relay-load: the client of the relay benchmark. One thread, one epoll; each mode prints one
 * JSON object. CPU time and memory of the proxy are read here, at the very edges of the
 * measured window, so that neither start-up nor warm-up is in them.
 */
#ifndef SHUNT_BENCH_LOAD_H
#define SHUNT_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { WATCH_MAX = 32 };

struct load_options {
	struct in_addr address;
	uint16_t port, n_ports; /* connections take the ports from port on in turn */
	uint32_t parallel;	/* connections at once */
	uint32_t size;		/* bytes of a request and of its response */
	double warm_up, seconds;
	int watched[WATCH_MAX]; /* processes of the proxy */
	uint32_t n_watched;
	const char *server_netns; /* path; NULL none */
	bool keep_awake; /* no CPU may go idle: see awake.h */
};

/* Each mode: 0, or -errno with the reason on standard error and nothing printed. */
int bulk_run(const struct load_options *o, bool down);
int connections_run(const struct load_options *o);
int requests_run(const struct load_options *o);
int datagrams_run(const struct load_options *o);
int idle_run(const struct load_options *o);
int who_run(const struct load_options *o);

/* A new non-blocking connection, on its way; number: the how-manieth. The fd or -errno. */
int load_connect(const struct load_options *o, uint32_t number);

#endif
