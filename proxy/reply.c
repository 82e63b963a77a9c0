/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool make_room(struct reply *r, size_t need)
{
	size_t size = r->size ? r->size : 4096;
	char *text;

	if (r->lost)
		return false;
	while (size - r->len < need && size <= REPLY_MAX)
		size *= 2;
	if (size == r->size)
		return true;
	text = size <= REPLY_MAX ? realloc(r->text, size) : NULL;
	if (!text) {
		r->lost = true;
		return false;
	}
	r->text = text;
	r->size = size;
	return true;
}

void reply_add(struct reply *r, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0 || !make_room(r, (size_t)len + 1))
		return;
	va_start(args, fmt);
	vsnprintf(r->text + r->len, (size_t)len + 1, fmt, args);
	va_end(args);
	r->len += (size_t)len;
}

/* Bytes above 127 pass: names and messages are UTF-8, as far as anybody can tell. */
void reply_add_string(struct reply *r, const char *text)
{
	reply_add(r, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			reply_add(r, "\\%c", c);
		else if (c < ' ' || c == 127)
			reply_add(r, "\\u%04x", c);
		else
			reply_add(r, "%c", c);
	}
	reply_add(r, "\"");
}

int reply_send(struct reply *r, int fd)
{
	while (r->sent < r->len) {
		ssize_t n = send(fd, r->text + r->sent, r->len - r->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		r->sent += (size_t)n;
	}
	r->len = 0;
	r->sent = 0;
	return r->lost ? -ENOBUFS : 1;
}

void reply_release(struct reply *r)
{
	free(r->text);
	memset(r, 0, sizeof(*r));
}
