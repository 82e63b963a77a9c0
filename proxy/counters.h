/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread of the worker counts. Each thread writes its own; others may read at any time.
 */
#ifndef SHUNT_PROXY_COUNTERS_H
#define SHUNT_PROXY_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Why a flow ended: X(identifier, "word in log and counters", "sentence for docs").
 * Every accepted connection ends by exactly one of them.
 */
#define FLOW_REASONS(X)                                                                         \
	X(FIN, "fin", "both sides finished")                                                    \
	X(CLIENT_RESET, "client-reset", "the client reset its connection")                      \
	X(SERVER_RESET, "server-reset", "the server reset its connection")                      \
	X(REFUSED, "refused", "the server refused the connection")                              \
	X(TIMEOUT, "timeout", "no answer: connecting, or from a peer that has vanished")        \
	X(UNREACHABLE, "unreachable", "no way to the server")                                   \
	X(VIA, "via", "the proxy on the way refused, or made no sense")                         \
	X(IDLE, "idle", "silent for longer than allowed")                                       \
	X(SELF, "self", "refused: would connect the proxy to itself")                           \
	X(DESTINATION, "destination", "refused: the destination is no unicast address of a net") \
	X(LIMIT, "limit", "no descriptor or memory for the connection to the server")           \
	X(CONNECTIONS, "limit-connections", "over limit-connections of the target")             \
	X(RATE, "limit-rate", "over limit-rate of the target")                                  \
	X(SOURCE_CONNECTIONS, "limit-source-connections", "over limit-source-connections")      \
	X(SOURCE_RATE, "limit-source-rate", "over limit-source-rate")                           \
	X(NO_PORT, "no-port", "no source port was free")                                        \
	X(KILLED, "killed", "ended by a command, or the proxy ended first")                     \
	X(ERROR, "error", "any other error")

enum flow_reason {
#define FLOW_REASON_ENUM(id, name, help) FLOW_END_##id,
	FLOW_REASONS(FLOW_REASON_ENUM)
#undef FLOW_REASON_ENUM
	FLOW_REASON_MAX
};

#define COUNTERS(X)                                                                             \
	X(ACCEPTED, "accepted", "connections accepted")                                         \
	X(BYTES_UP, "bytes_up", "bytes from clients")                                           \
	X(BYTES_DOWN, "bytes_down", "bytes from servers")                                       \
	X(SPLICED, "spliced", "of these, moved by splice")                                      \
	X(NO_PIPE, "no_pipe", "times a bulk flow was copied because no pipe was to be had")     \
	X(PAUSES, "pauses", "times accepting paused for want of descriptors or memory")         \
	X(LIMIT_PAUSES, "limit_pauses", "times accepting paused at the connection limit")       \
	X(ACCEPT_ERRORS, "accept_errors", "connections gone before they were accepted")         \
	X(PORT_RETRIES, "port_retries", "source port or address not free, another was used")    \
	X(UPSTREAM_RETRIES, "upstream_retries", "connections to another upstream after one failed") \
	X(FAST_OPENS, "fast_opens", "connections to servers whose SYN had bytes (TCP Fast Open)") \
	X(UPSTREAMS_OUT, "upstreams_out", "upstreams taken out because connections failed")     \
	X(BYTE_PAUSES, "byte_pauses", "times reading paused at a limit of bytes")               \
	X(SOURCES_FULL, "sources_full", "connections whose source no limit had room to count")  \
	X(GUARD_FULL, "guard_full", "connections the loop guard had no room for")               \
	X(BUSY_POLLS, "busy_polls", "times a thread asked for events for a while (busy-poll)")   \
	X(BUSY_HITS, "busy_hits", "of these, those that need not have slept: some came")         \
	X(LEARNED, "learned", "destinations that the supervisor was asked to put into a set")   \
	X(LEARN_LOST, "learn_lost", "destinations that were not, because it did not keep up")   \
	X(LOG_DROPPED, "log_dropped", "flow lines and messages nobody read in time")

enum counter {
#define COUNTER_ENUM(id, name, help) COUNT_##id,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
	COUNTER_MAX
};

struct counters {
	_Atomic uint64_t v[COUNTER_MAX];
	_Atomic uint64_t ended[FLOW_REASON_MAX];
};

/* Only the owner adds, so no locked instruction is needed. Released: see counters_read(). */
static inline void count_add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_release);
}

/* In any thread: a copy in which no more have ended than were accepted. */
void counters_read(const struct counters *c, uint64_t v[COUNTER_MAX],
		   uint64_t ended[FLOW_REASON_MAX]);

const char *flow_reason_name(enum flow_reason reason);
const char *counter_name(enum counter counter);
/* "accepted=3 ... active=1 ... ended_fin=2 ...": the sum over n threads. Returns the length. */
size_t counters_format(char *buf, size_t size, const struct counters *const *threads, size_t n);

#endif
