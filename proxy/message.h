/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What supervisor and worker say to each other, over a SOCK_SEQPACKET pair. Both are the same
 * program, so there is no version; but the supervisor believes no length and no number of a
 * worker, which reads the network.
 */
#ifndef SHUNT_PROXY_MESSAGE_H
#define SHUNT_PROXY_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "counters.h"
#include "settings.h"
#include "shunt/abi.h"
#include "shunt/shunt.h"
#include "slab.h"

enum {
	QUERY_FLOWS = 64,  /* at most in one answer */
	WORKER_TEXT = 256, /* of an error */
	QUERY_LOOK = 1024, /* flows a loop looks at in one turn, between those it serves */
};

/* Which flows; what is not set is not asked. */
struct flow_filter {
	struct shunt_prefix client, destination;
	uint64_t id;	 /* of the flow in its worker; 0 any */
	uint32_t worker; /* pid; 0 any */
	bool has_client, has_destination;
};

/* A page of flows: from a place on. */
struct flow_query {
	struct flow_filter filter;
	struct slab_place at;
	uint32_t loop; /* of upstreams: the target */
	uint32_t kill; /* reset those that match, rather than tell */
};

/* A flow as it is told. */
struct flow_view {
	uint64_t id;
	uint64_t age, silent;	 /* ms since its start, and since a byte came */
	uint64_t up, down;	 /* bytes */
	struct address client, destination;
	struct address server;	 /* port 0: the destination */
	struct address source;	 /* port 0: not known */
	uint32_t state;		 /* enum flow_state */
	char target[SHUNT_NAME_LEN];
	uint32_t reserved;
};

/* An upstream as it is told. */
struct upstream_view {
	struct address address;
	uint32_t weight;
	uint32_t flows;		 /* now */
	uint64_t total, failures; /* connections begun, and those of them that failed */
	uint64_t hold;		 /* ms: how long it is out because they fail; 0: it is not */
	uint64_t checked;	 /* ms since the last check */
	uint32_t unhealthy;	 /* out because checks fail */
	uint32_t has_check;	 /* there was one, with this end: */
	int32_t check_error;	 /* 0 or errno */
	char target[SHUNT_NAME_LEN];
	uint32_t reserved;
};

/* What a thread of the worker counted. */
struct thread_view {
	uint64_t v[COUNTER_MAX];
	uint64_t ended[FLOW_REASON_MAX];
};

enum worker_verb {
	WORKER_READY = 1, /* to the supervisor: privileges are dropped, threads run */
	WORKER_DRAIN,	  /* accept no more, end with the last flow, or after ms if not 0 */
	WORKER_STOP,	  /* reset all flows and end */
	WORKER_STATUS,	  /* answered with a thread_view for each thread */
	WORKER_FLOWS,	  /* answered with up to QUERY_FLOWS flow_views, or the number killed */
	WORKER_UPSTREAMS, /* answered with an upstream_view for each of the query's target */
	WORKER_LEARN,	  /* to the supervisor, unasked: a worker_learn */
	WORKER_SETTINGS,  /* with a descriptor, the file; answered with an error and its text */
};

struct worker_order {
	uint32_t verb;
	uint32_t ms;
	uint64_t tag; /* comes back in the answer */
	struct flow_query query;
};

/* Followed by n views, but after a kill n is just their number. */
struct worker_answer {
	uint32_t verb;
	uint32_t n;
	int32_t error;	/* 0 or -errno */
	uint32_t more;	/* ask again with next */
	uint64_t tag;
	struct flow_query next;
};

/* A destination for a set, which the settings of the target must name. */
struct worker_learn {
	struct in6_addr addr; /* IPv4 v4-mapped */
	char target[SHUNT_NAME_LEN];
	char set[SHUNT_NAME_LEN];
	uint32_t by_flows; /* of the two ways to come there, which may have other timeouts */
	uint32_t reserved;
};

union worker_views {
	struct thread_view threads[SHUNT_TARGET_SLOTS];
	struct flow_view flows[QUERY_FLOWS];
	struct upstream_view upstreams[UPSTREAMS_MAX];
	struct worker_learn learn;
	char text[WORKER_TEXT];
};

struct worker_message {
	struct worker_answer head;
	union worker_views views;
};

#endif
