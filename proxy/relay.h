/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moving bytes between the two ends of a flow.
 *
 * Sockets are watched edge-triggered and stay registered, so a message costs one recv() and
 * one send(). Small and medium streams go through the loop's one buffer; a stream that keeps
 * filling it is spliced through a pipe. What a receiver does not take at once is the only
 * thing a flow ever stores; its sender is not read until it is gone.
 */
#ifndef SHUNT_PROXY_RELAY_H
#define SHUNT_PROXY_RELAY_H

#include "flow.h"

/* Note what epoll says about an end. */
void relay_note(struct flow *f, enum side side, uint32_t events);
/*
 * Move what can be moved, pass on a FIN, and end the flow when there is nothing left. May
 * close the flow.
 */
void relay_run(struct flow *f);
/* Drop what is stored. */
void relay_release(struct flow *f);
/* n bytes of the client's, which are there, are with the server already: take them away. */
bool relay_skip(struct flow *f, size_t n);
/* Bytes sent on e that its peer's kernel has not acknowledged. */
uint32_t relay_unacked(const struct end *e);

#endif
