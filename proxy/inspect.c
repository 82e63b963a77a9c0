/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "inspect.h"

#include <string.h>

#include "upstream.h"

static bool prefix_has(const struct shunt_prefix *p, const struct in6_addr *ip)
{
	uint32_t whole = p->len / 8, rest = p->len % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	if (memcmp(&p->addr, ip, whole))
		return false;
	return !rest || ((p->addr.s6_addr[whole] ^ ip->s6_addr[whole]) & mask) == 0;
}

bool flow_filter_matches(const struct flow_filter *filter, uint64_t id,
			 const struct address *client, const struct address *destination)
{
	if (filter->id && filter->id != id)
		return false;
	if (filter->has_client && !prefix_has(&filter->client, &client->ip))
		return false;
	return !filter->has_destination || prefix_has(&filter->destination, &destination->ip);
}

static void view(struct flow_view *out, const struct flow *f)
{
	uint64_t now = f->loop->now;

	memset(out, 0, sizeof(*out)); /* it goes to another process, padding too */
	out->id = f->id;
	out->age = now - f->started;
	out->silent = now > f->active ? now - f->active : 0;
	out->up = f->end[CLIENT].bytes;
	out->down = f->end[SERVER].bytes;
	out->client = f->client;
	out->destination = f->destination;
	out->source = f->source;
	if (f->upstream)
		out->server = *upstream_address(f);
	out->state = f->state;
	strncpy(out->target, f->target->settings->name, sizeof(out->target) - 1);
}

static void take(struct inspection *i, struct flow *f)
{
	if (f->state == FLOW_CLOSED ||
	    !flow_filter_matches(&i->query.filter, f->id, &f->client, &f->destination))
		return;
	if (i->query.kill)
		flow_close(f, FLOW_END_KILLED);
	else
		view(&i->flows[i->n], f);
	i->n++;
}

/* In the thread of the loop. */
static void look(struct loop *l, struct loop_job *job)
{
	struct inspection *i = (struct inspection *)job;

	for (int n = 0; n < QUERY_LOOK && !inspection_is_full(i); n++) {
		struct flow *f = slab_next(&l->flows, &i->query.at);

		if (!f) {
			i->loop_done = true;
			break;
		}
		take(i, f);
	}
}

void inspection_init(struct inspection *i, const struct flow_query *query)
{
	memset(i, 0, sizeof(*i));
	i->job.run = look;
	i->query = *query;
}

bool inspection_is_full(const struct inspection *i)
{
	return i->n == QUERY_FLOWS;
}
