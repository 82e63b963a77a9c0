/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address and port as one word. */
#ifndef SHUNTCTL_ENDPOINT_H
#define SHUNTCTL_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* "10.0.0.1:80" or "[2001:db8::1]:80". A usage message and false if it is neither. */
bool endpoint_parse(const char *text, struct sockaddr_storage *out);

/* In host byte order. */
uint16_t endpoint_port(const struct sockaddr_storage *sa);

#endif
