/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of one relayed TCP connection: accepted, connecting, relaying, perhaps resetting,
 * closed. It owns two descriptors, and a buffer or a pipe only while a receiver is slow.
 */
#ifndef SHUNT_PROXY_FLOW_H
#define SHUNT_PROXY_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "address.h"
#include "counters.h"
#include "limit.h"
#include "wheel.h"

struct dial;
struct held;
struct loop;
struct pipe;
struct target_loop;
struct throttle;

enum flow_state {
	FLOW_CONNECTING, /* to the server; the client waits */
	FLOW_HANDSHAKE,	 /* with a proxy on the way; the client waits */
	FLOW_RELAYING,
	FLOW_RESETTING, /* one side was reset; the other gets what was read, then a reset */
	FLOW_CLOSED,	/* waits to be freed at the end of the turn */
};

/* FLOW_UNSENT: its SYN waits for the client's first bytes (fast_open.h). */
enum flow_queued { FLOW_UNQUEUED, FLOW_READY, FLOW_LINGERING, FLOW_UNSENT };

enum side { CLIENT, SERVER };

/* One of the two sockets, and the bytes that came from it and are not delivered. */
struct end {
	int fd;
	uint32_t readable : 1;	/* there may be something to read */
	uint32_t writable : 1;	/* the last send was taken whole */
	uint32_t fin : 1;	/* epoll saw the peer's FIN: a short read was the last */
	uint32_t eof : 1;	/* nothing more will be read */
	uint32_t shut : 1;	/* we have sent a FIN */
	uint32_t broken : 1;	/* reset, or timed out */
	uint32_t urgent : 1;	/* has had urgent data: a short read need not be the last */
	uint32_t watched : 1;	/* is in the epoll set */
	uint32_t watch_out : 1;	/* also for room to write */
	uint32_t sent : 1;	/* one send was made */
	uint32_t nodelay : 1;
	uint32_t keepalive : 1;
	uint32_t bulk : 4;	/* how long the stream has been thick: relay.c */
	uint64_t bytes;		/* read from it */
	struct held *held;	/* read, not yet delivered; NULL none */
	struct pipe *pipe;	/* likewise */
};

struct flow {
	struct wheel_node timer;  /* first: wheel.h gives it back */
	struct end end[2];	  /* by enum side */
	TAILQ_ENTRY(flow) link;	  /* in one of loop.ready, lingering, dead, fast_open.waiting */
	struct loop *loop;
	struct target_loop *target; /* where it came in; its settings hold for life */
	uint64_t id;		  /* of the flow in this process */
	uint64_t started, active; /* ms */
	struct address client, destination;
	struct address source;	  /* of the upstream socket; port 0: not asked for */
	uint32_t unacked;	  /* at the last look, to see slow receivers move */
	uint32_t rule;		  /* priority, if rule_known */
	struct dial *dial;	  /* upstream.h; NULL once connected, or for one server only */
	struct throttle *throttle; /* NULL without a limit of bytes */
	struct limit_pass pass;
	uint16_t pool_at;	  /* of the target's source pool: source_pool.h */
	uint8_t upstream;	  /* of the target's, plus 1; 0: the original destination */
	uint8_t learned;	  /* bit n: asked for by the n-th of the setting `learn` */
	uint8_t state;		  /* enum flow_state */
	uint8_t reason;		  /* enum flow_reason, once something has gone wrong */
	uint8_t reason_set : 1;
	uint8_t queue : 2;	  /* enum flow_queued */
	uint8_t rule_known : 1;
	uint8_t guarded : 1;	  /* source is noted in the guard */
	uint8_t aborts : 1;	  /* both ends are reset when the process dies */
};

TAILQ_HEAD(flow_queue, flow);

/* Take over an accepted connection; peer is what accept4() gave. */
void flow_start(struct loop *l, struct target_loop *target, int fd,
		const struct sockaddr_storage *peer);
/* epoll reported events for one end. */
void flow_event(struct flow *f, enum side side, uint32_t events);
/* What its SYN to the server waited for is there, or will not come. */
void flow_send_syn(struct flow *f);
/* Its turn in loop.ready or loop.lingering. */
void flow_resume(struct flow *f);
void flow_linger(struct flow *f);
/* Its timer ran out: do what is due, or wait on. */
void flow_due(struct flow *f);
/* One side has finished: the shorter timeout holds. */
void flow_half_closed(struct flow *f);
/* Remember why the flow will end; the first reason stays. */
void flow_blame(struct flow *f, enum flow_reason reason);
/*
 * End it: both descriptors are closed, with a reset unless the reason is FIN. Safe inside any
 * callback, and twice. The memory lives until the turn ends.
 */
void flow_close(struct flow *f, enum flow_reason reason);

/* Register an end with epoll, or add the wish to hear of room. 0 or -errno. */
int flow_watch(struct flow *f, enum side side, bool out);

#endif
