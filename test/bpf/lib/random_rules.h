/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules and sets by chance, and packets that stand at their borders. The same seed gives the
 * same case and the same packets.
 *
 * All addresses, ports and uids of a case come from small pools, so that rules overlap; how
 * often each part of a match is given differs from case to case.
 */
#ifndef TEST_BPF_RANDOM_RULES_H
#define TEST_BPF_RANDOM_RULES_H

#include "reference.h"

enum {
	RANDOM_BASES = 4,  /* of a family */
	RANDOM_POOL = 48,  /* prefixes of a family */
	RANDOM_PORTS = 10,
	RANDOM_DEVICES = 4, /* names; the first is "", which no rule has */
	RANDOM_CGROUPS = 9, /* likewise */
	RANDOM_NO_UID = 65534, /* what the kernel says of a packet without a socket */
};

extern const char *const random_devices[RANDOM_DEVICES];
extern const char *const random_cgroups[RANDOM_CGROUPS];

struct random_options {
	bool no_sender; /* neither uid nor cgroup */
	size_t max_rules; /* 0: as it falls */
	bool crowded; /* some thousand rules of few addresses and any ranges of ports */
	bool timed; /* sets hold some prefixes for a time, which may be over: left is 0 */
	bool large; /* a first rule of so many entries that others are not on the first page */
};

/* What is left of the time of a prefix that does not expire in a test. */
#define RANDOM_LEFT (3600ULL * 1000000000)

/* Percent of the rules that have a part. */
struct random_odds {
	uint8_t from, to, sport, port, device, proto, dir, uid, cgroup, set, negated, v6, list;
};

struct random_case {
	struct shunt_rules rules; /* in order */
	struct shunt_sets sets;
	/* private */
	uint64_t state;
	struct random_options options;
	struct random_odds odds;
	struct in6_addr bases[2][RANDOM_BASES];
	struct shunt_prefix pool[2][RANDOM_POOL];
	uint16_t ports[RANDOM_PORTS];
	uint32_t uids[RANDOM_PORTS];
};

/* 0 or -ENOMEM. */
int random_case_make(struct random_case *c, uint64_t seed, const struct random_options *options);
void random_case_clear(struct random_case *c);

void random_packet(struct random_case *c, struct ref_packet *out);
/* A rule of a priority that no rule has, fit for random_case_insert(). */
int random_rule(struct random_case *c, struct shunt_rule *out);
/* Takes the rule over. */
int random_case_insert(struct random_case *c, struct shunt_rule *rule);
void random_case_remove(struct random_case *c, size_t i);
/* A prefix near the others of the case. */
struct shunt_prefix random_prefix(struct random_case *c);

uint64_t random_next(struct random_case *c);
/* 0..n-1 */
uint32_t random_below(struct random_case *c, uint32_t n);
bool random_percent(struct random_case *c, uint32_t percent);


/* Of addresses. */
void random_flip(struct in6_addr *a, unsigned int bit);
/* Bits from `from` on: all zero, all one, or by chance. */
void random_fill(struct random_case *c, struct in6_addr *a, unsigned int from);
void random_map_v4(struct in6_addr *a);
/* An IPv6 address is not one that stands for an IPv4 address. */
void random_unmap(struct in6_addr *a);
/* Of the families that the list may hold: bit 0 IPv4, bit 1 IPv6. */
int random_families(const struct shunt_addrs *list);

#endif
