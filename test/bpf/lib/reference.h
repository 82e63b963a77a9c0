/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plain meaning of rules and sets: each rule is asked in turn, each list is read from its
 * beginning. It shares no code and no idea with the compiled form.
 */
#ifndef TEST_BPF_REFERENCE_H
#define TEST_BPF_REFERENCE_H

#include "shunt/shunt.h"

struct ref_packet {
	struct in6_addr dst, src; /* v4-mapped unless v6 */
	bool v6;
	enum shunt_dir dir;
	enum shunt_proto proto;
	uint16_t dport, sport; /* host byte order */
	const char *device;    /* "": of no rule */
	bool has_uid;
	uint32_t uid;
	const char *cgroup; /* of the sender, as in a rule; "" unknown */
};

/*
 * The rule with the lowest priority number, at least `after`, that the packet matches; NULL if
 * there is none. rules need not be in order. Rules with `audit` are like others here.
 */
const struct shunt_rule *reference_find(const struct shunt_rules *rules,
					const struct shunt_sets *sets, const struct ref_packet *p,
					uint32_t after);

/* The same, where rules with `audit` decide nothing: what the program does with the packet. */
const struct shunt_rule *reference_decide(const struct shunt_rules *rules,
					  const struct shunt_sets *sets,
					  const struct ref_packet *p);

const struct shunt_set *reference_set(const struct shunt_sets *sets, const char *name);

#endif
