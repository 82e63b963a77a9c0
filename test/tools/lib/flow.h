/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One end of a checked TCP flow, as a state machine over a non-blocking socket.
 *
 * The client's first 32 bytes tell the server what is to come: how many bytes each way and who
 * may close when. After that both ends send a pattern and check the other's, byte by byte.
 * A flow owns its socket; flow_close frees it.
 */
#ifndef TEST_TOOLS_FLOW_H
#define TEST_TOOLS_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { FLOW_HEADER_LEN = 32 };

/* The order of the closes. Every one is a legal use of TCP that a relay must not disturb. */
enum flow_order {
	FLOW_FREE,	      /* each end half-closes when it has sent all */
	FLOW_SERVER_WAITS,    /* the server sends after the client's half-close */
	FLOW_CLIENT_WAITS,    /* the client sends after the server's half-close */
	FLOW_CLIENT_FIN_LAST, /* the client closes after the server did: server has TIME_WAIT */
	FLOW_SERVER_FIN_LAST, /* the other way round: client has TIME_WAIT */
	FLOW_RANDOM_ORDERS,   /* the ones above are drawn by chance */
	FLOW_CLIENT_RST = FLOW_RANDOM_ORDERS, /* request, answer, then the client resets */
	FLOW_ECHO,	      /* the server sends back what comes, until the client closes */
	FLOW_ORDERS
};

enum flow_result {
	FLOW_RUNNING,
	FLOW_OK,
	FLOW_SHORT,	 /* ended before all bytes had come */
	FLOW_EXCESS,	 /* more bytes than announced */
	FLOW_MISMATCH,	 /* a wrong byte */
	FLOW_RESET,
	FLOW_NO_CONNECT, /* refused, timed out, no route */
	FLOW_STUCK,	 /* no progress for too long */
	FLOW_RESULTS
};

extern const char *const flow_result_names[FLOW_RESULTS];

struct flow {
	int fd;
	bool client;
	bool connecting;
	bool fin_sent, eof_seen;
	enum flow_result result;
	enum flow_order order;
	int error; /* errno of FLOW_NO_CONNECT */
	uint64_t id, up, down;
	uint8_t header[FLOW_HEADER_LEN];
	uint32_t header_at;	    /* bytes of the header that went or came */
	uint64_t sent, received;    /* payload */
	uint64_t echo_want;	    /* client of FLOW_ECHO: bytes to send by now */
	uint64_t started, progress; /* ns */
	uint32_t events;	    /* as registered with epoll */
	struct flow *next, *prev;
};

/*
 * Begin a connection; id, order, up and down must be set. bind_to may be NULL.
 * Always leaves a flow that can be closed; on failure result is FLOW_NO_CONNECT.
 */
void flow_connect(struct flow *f, const struct sockaddr_storage *to,
		  const struct sockaddr_storage *bind_to);
/* Take over an accepted socket. */
void flow_accept(struct flow *f, int fd);

/* Send and receive what is possible now; sets result when the flow has ended. */
void flow_step(struct flow *f, uint32_t epoll_events);
/* The epoll events that can bring the flow on. */
uint32_t flow_wants(const struct flow *f);
void flow_close(struct flow *f);

#endif
