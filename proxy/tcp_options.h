/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Options of the kernel's TCP that a target's settings choose. What accepted sockets inherit is
 * set on their listener, and costs nothing for each; what servers' sockets need is set where it
 * is wanted, and costs a call or none.
 */
#ifndef SHUNT_PROXY_TCP_OPTIONS_H
#define SHUNT_PROXY_TCP_OPTIONS_H

#include <stdint.h>

#include "settings.h"

/* For what fd accepts from now on. 0 or -errno. */
int tcp_options_of_listener(int fd, const struct target_settings *s);
/* Of a socket that will be connected to a server. 0 or -errno. */
int tcp_options_of_server(int fd, const struct target_settings *s);
/*
 * The server's keepalive, which only flows that get old have to pay for: at this age, in ms, at
 * the latest. UINT64_MAX: never.
 */
uint64_t tcp_keepalive_age(const struct target_settings *s);
void tcp_keepalive(int fd, const struct target_settings *s);

#endif
