/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a client meant to go. */
#ifndef SHUNT_PROXY_DESTINATION_H
#define SHUNT_PROXY_DESTINATION_H

#include "address.h"
#include "settings.h"

/*
 * The destination that the flow of an accepted socket had at its client. 0, or -errno: of
 * DESTINATION_CONNTRACK -ENOENT and others if no NAT knows the flow.
 */
int destination_of(int fd, enum destination_mode mode, struct address *out);

#endif
