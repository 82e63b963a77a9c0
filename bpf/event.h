/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One record in the ring buffer for each flow that a rule with `log` or `audit` decides. */
#ifndef SHUNT_BPF_EVENT_H
#define SHUNT_BPF_EVENT_H

#include "classify.h"

/*
 * outcome: enum shunt_counter. Test runs of `explain` must not come here.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int emit_event(const struct packet *p, const struct decision *d, __u32 ifindex,
			  __u32 dir, __u32 outcome)
{
	struct shunt_event *e;

	if (!p || !d)
		return 0; /* never; the verifier asks for it */
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_up(SHUNT_CTR_EVENT_LOST);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time = bpf_ktime_get_ns();
	packet_tuple(p, &e->tuple);
	e->rule = d->priority;
	e->ifindex = ifindex;
	e->action = d->action;
	e->outcome = outcome;
	e->dir = dir;
	bpf_ringbuf_submit(e, 0);
	return 1;
}

#endif
