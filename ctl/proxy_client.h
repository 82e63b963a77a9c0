/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client's end of shuntd's control socket: docs/control.md. */
#ifndef SHUNTCTL_PROXY_CLIENT_H
#define SHUNTCTL_PROXY_CLIENT_H

#include "command.h"

/* Called with each line of the answer but the last; it stays the caller's. */
typedef void (*proxy_line_fn)(void *arg, struct json_object *line);

/*
 * Ask the shuntd of a target, "VERB WORD ...", and give fn the answer. *end is its last line, to
 * be put by the caller; NULL if that does not matter. 0, or -errno with a message.
 */
int proxy_ask(const struct globals *g, const char *target, const char *request, proxy_line_fn fn,
	      void *arg, struct json_object **end);

/*
 * Ask also those that were taken over from and finish their flows: fn is given the lines of all,
 * end_fn, unless NULL, the last one of each. That the target has one of either is enough.
 */
int proxy_ask_all(const struct globals *g, const char *target, const char *request,
		  proxy_line_fn fn, proxy_line_fn end_fn, void *arg);

/* Of a JSON object: "" and 0 if there is none of that name. */
const char *json_text(struct json_object *o, const char *key);
uint64_t json_number(struct json_object *o, const char *key);

/* The option every command of the proxy has. */
#define PROXY_TARGET_OPTION                                                                     \
	{ "target", 't', "TARGET", "of the target that the shuntd serves (default: default)" }

#endif
