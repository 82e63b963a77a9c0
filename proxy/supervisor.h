/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The privileged process: opens the listening sockets, registers them as a target, starts a
 * worker process with them and starts another when that one dies or when the instance is made
 * anew. It reads nothing from the network.
 */
#ifndef SHUNT_PROXY_SUPERVISOR_H
#define SHUNT_PROXY_SUPERVISOR_H

#include <event2/event.h>
#include <sys/types.h>

#include "settings.h"

struct child;
struct reply;
struct shunt;
struct supervisor;

/* Runs until SIGTERM or SIGINT. 0 or -errno; messages are given. */
int supervisor_run(struct settings *settings);

/* For the control socket: */
struct event_base *supervisor_base(struct supervisor *s);
/* NULL while the instance is not up. */
struct shunt *supervisor_shunt(struct supervisor *s);
/* The worker of this number, and the oldest behind it; NULL none. */
struct child *supervisor_child(struct supervisor *s, uint64_t serial);
struct child *supervisor_child_after(struct supervisor *s, uint64_t serial);
/* Is it the one that accepts? */
bool supervisor_is_current(const struct supervisor *s, const struct child *child);
/* A line about the daemon. */
void supervisor_describe(const struct supervisor *s, struct reply *out);
/* Accept no more and end with the last flow, at the latest after seconds; NULL: --drain-timeout. */
void supervisor_drain(struct supervisor *s, const uint32_t *seconds);
/*
 * Another process asks for all we have: fd is its connection, which gets it. 0, or -errno with
 * err set if it was told nothing; err empty if it broke off in between.
 */
int supervisor_offer(struct supervisor *s, int fd, char *err, size_t err_size);
/* It serves, its pid is heir: flows that are open finish here, and that is all. */
void supervisor_hand_over(struct supervisor *s, pid_t heir);
/*
 * Put the settings file in force as it is now. 0: control_reloaded() is told what becomes of it,
 * later or before this returns; -errno with err set: nothing will.
 */
int supervisor_reload(struct supervisor *s, char *err, size_t err_size);

#endif
