/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tell the service manager: the datagrams of sd_notify(3). */
#ifndef SHUNT_PROXY_NOTIFY_H
#define SHUNT_PROXY_NOTIFY_H

/* state: "READY=1". Does nothing without $NOTIFY_SOCKET. 0 or -errno. */
int notify_send(const char *state);

#endif
