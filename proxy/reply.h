/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text on its way to a client of the control socket. */
#ifndef SHUNT_PROXY_REPLY_H
#define SHUNT_PROXY_REPLY_H

#include <stdbool.h>
#include <stddef.h>

enum { REPLY_MAX = 256 << 10 };

/* Zeroed: empty. */
struct reply {
	char *text; /* owned */
	size_t len, size;
	size_t sent; /* of len */
	bool lost;   /* out of memory, or more than REPLY_MAX: it is not whole */
};

void reply_add(struct reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As a string of JSON, with its quotes. */
void reply_add_string(struct reply *r, const char *text);
/* Send what can be sent now. 1: all is sent, and the reply is empty again; 0 not yet; -errno. */
int reply_send(struct reply *r, int fd);
void reply_release(struct reply *r);

#endif
