/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a worker process gives up before it reads its first byte from the network. */
#ifndef SHUNT_PROXY_PRIVILEGES_H
#define SHUNT_PROXY_PRIVILEGES_H

/*
 * Become user, keep CAP_NET_RAW alone (IP_TRANSPARENT and SO_MARK need it), gain nothing by
 * exec, leave no core and no way in for a debugger. 0 or -errno with a message.
 */
int privileges_drop(const char *user);

#endif
