/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests and responses of a fixed size on many connections: what connections, requests and
 * idle have in common. What follows a response is theirs to say.
 */
#ifndef SHUNT_BENCH_EXCHANGE_H
#define SHUNT_BENCH_EXCHANGE_H

#include "load.h"
#include "samples.h"

struct exchange;

struct exchange_end {
	int fd;		  /* -1 none */
	uint32_t got;	  /* of the response */
	bool is_waiting;  /* for it; else for the connection */
	uint64_t started; /* clock_now() before connect(), or before the request was sent */
};

/* A response is complete. 0 or -errno, which ends the run. */
typedef int (*exchange_next)(struct exchange *x, struct exchange_end *e);

struct exchange {
	const struct load_options *options;
	exchange_next next;
	struct exchange_end *ends; /* owned */
	uint32_t n_ends;
	int epoll;
	uint32_t n_opened;	/* ever */
	uint64_t n_failed;	/* connections that broke off before the response */
	int last_error;		/* why the last of them did */
	uint64_t last_done;	/* when the last response was complete */
	uint64_t longest_gap;	/* ns between two of them, over all ends */
	struct samples samples; /* from started to the last byte */
};

int exchange_init(struct exchange *x, const struct load_options *o, uint32_t n_ends,
		  exchange_next next);
void exchange_release(struct exchange *x);
/* Connect, and send the request once connected. */
int exchange_open(struct exchange *x, struct exchange_end *e);
void exchange_close(struct exchange_end *e);
/* One more request on the same connection. */
int exchange_again(struct exchange *x, struct exchange_end *e);
/* Wait for events and serve them. A connection that fails is counted and opened anew. */
int exchange_step(struct exchange *x, int timeout_ms);

#endif
