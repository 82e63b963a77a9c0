/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Looking at the flows of a loop, in the loop's own thread and in small steps: what is told is
 * copied, and the data path waits for no reader.
 */
#ifndef SHUNT_PROXY_INSPECT_H
#define SHUNT_PROXY_INSPECT_H

#include "loop.h"
#include "message.h"

struct inspection {
	struct loop_job job; /* first: of the loop that is being asked */
	struct flow_query query;
	bool loop_done;	     /* this loop has no more */
	uint32_t n;	     /* in flows, or killed */
	struct flow_view flows[QUERY_FLOWS];
};

/* Begin a page. */
void inspection_init(struct inspection *i, const struct flow_query *query);
/* No room for more in this page. */
bool inspection_is_full(const struct inspection *i);
bool flow_filter_matches(const struct flow_filter *filter, uint64_t id,
			 const struct address *client, const struct address *destination);

#endif
