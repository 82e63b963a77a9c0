/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A request of the control socket: its text, and nothing of what it does. */
#ifndef SHUNT_PROXY_CONTROL_REQUEST_H
#define SHUNT_PROXY_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum control_verb {
	CONTROL_STATUS,
	CONTROL_UPSTREAMS,
	CONTROL_LIST,
	CONTROL_KILL,
	CONTROL_DRAIN,
	CONTROL_RELOAD,
	CONTROL_TAKEOVER,
	CONTROL_VERBS
};

struct control_request {
	enum control_verb verb;
	struct flow_filter filter; /* list, kill */
	bool all;		   /* kill without a filter is meant */
	bool has_timeout;
	uint32_t timeout;	   /* drain, seconds */
};

/*
 * Read the line of len bytes, without its newline. -EINVAL with err set, a text without
 * newline, quotes balanced.
 */
int control_request_parse(struct control_request *out, const char *line, size_t len, char *err,
			  size_t err_size);
/* "PID.NUMBER", as flows are named. */
bool flow_id_parse(uint32_t *worker, uint64_t *id, const char *text);

#endif
