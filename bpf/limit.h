/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rate limits of rules: a token bucket per rule or per rule and source address, in the form of
 * the generic cell rate algorithm (ITU-T I.371, annex A.1): one word holds the time at which the
 * bucket would be full again, so one compare-and-swap takes a token.
 */
#ifndef SHUNT_BPF_LIMIT_H
#define SHUNT_BPF_LIMIT_H

#include "classify.h"

#define NS_PER_SECOND 1000000000ULL
#define LIMIT_RETRIES 4 /* of the compare-and-swap, each lost to another CPU */

/* Take a token of the bucket at *tat. False if it is empty. rate and burst are not 0. */
static __always_inline bool take_token(__u64 *tat, __u32 rate, __u32 burst)
{
	__u64 interval = NS_PER_SECOND / rate, now = bpf_ktime_get_ns(), seen, from;

	for (int i = 0; i < LIMIT_RETRIES; i++) {
		seen = *(volatile __u64 *)tat;
		/* Further ahead than a full bucket: left by another rule of this index. */
		from = seen > now && seen - now <= burst * interval ? seen : now;
		if (from - now > (burst - 1) * interval)
			return false;
		if (__sync_val_compare_and_swap(tat, seen, from + interval) == seen)
			return true;
	}
	return false; /* so many at once that one more is too many */
}

static __always_inline __u64 *source_bucket(const struct packet *p, __u32 stat)
{
	struct shunt_limit_key key;
	__u64 *tat, empty = 0;

	__builtin_memset(&key, 0, sizeof(key));
	__builtin_memcpy(key.saddr, p->saddr, 16);
	key.stat = stat;
	tat = bpf_map_lookup_elem(&limits, &key);
	if (tat)
		return tat;
	bpf_map_update_elem(&limits, &key, &empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&limits, &key);
}

/*
 * Is the rule's limit reached? Takes a token if not.
 *
 * Workaround: a global function, which the verifier checks once and by itself.
 */
__noinline int limit_reached(const struct packet *p, const struct decision *d)
{
	struct shunt_rule_stat *s;
	__u64 *tat = NULL;
	__u32 stat;

	if (!p || !d || !d->limit_rate || !d->limit_burst)
		return 0;
	stat = d->stat;
	if (d->flags & SHUNT_RULE_LIMIT_SRC) {
		tat = source_bucket(p, stat);
	} else {
		s = bpf_map_lookup_elem(&rule_stats, &stat);
		if (s)
			return !take_token(&s->limit_tat, d->limit_rate, d->limit_burst);
	}
	if (!tat) { /* without room the limit must not become no limit */
		count_up(SHUNT_CTR_NOTE_LOST);
		return 1;
	}
	return !take_token(tat, d->limit_rate, d->limit_burst);
}

#endif
