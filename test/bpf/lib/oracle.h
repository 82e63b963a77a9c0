/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet is and what should happen to it, from the RFCs and the text of the rules: a
 * second opinion, slow and plain, that shares no code and no idea with bpf/.
 *
 * Where the RFCs leave a choice, it is the one of the kernel behind us, named in the source.
 */
#ifndef TEST_BPF_ORACLE_H
#define TEST_BPF_ORACLE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shunt/shunt.h"

enum reading_kind {
	READING_REFUSED, /* reason says why */
	READING_FLOW,	 /* TCP or UDP with ports, also a first fragment */
	READING_TAIL,	 /* later fragment */
	READING_ICMP_ERROR,
};

struct reading {
	enum reading_kind kind;
	enum shunt_counter reason;
	bool v6;
	uint8_t proto;		 /* IPPROTO_* */
	struct in6_addr src, dst; /* v4-mapped */
	uint16_t sport, dport;	 /* host byte order */
	bool opens;		 /* the first packet of a flow: a SYN, any datagram */
};

/* A frame that came to a device with this link address. */
void oracle_read(struct reading *out, const uint8_t *frame, size_t len, const uint8_t mac[6]);

/*
 * The same by the wire, where the kernel takes off one VLAN tag first. The frame must hold the
 * tag it announces: the kernel drops one that does not, before any program.
 */
void oracle_read_wire(struct reading *out, const uint8_t *frame, size_t len,
		      const uint8_t mac[6]);
bool oracle_tag_is_cut(const uint8_t *frame, size_t len);

/* The rest of the question of a rule. */
struct asked {
	enum shunt_dir dir;
	const char *device;
	bool has_uid;
	uint32_t uid;
	const struct shunt_sets *sets; /* that rules name; NULL: none does */
};

/* The rule that decides, or NULL. rules need not be in order. */
const struct shunt_rule *oracle_rule(const struct shunt_rules *rules, const struct reading *r,
				     const struct asked *asked);

/* What a run of the program should do with a frame that belongs to no socket here. */
struct expected {
	enum shunt_counter exit;
	int verdict;
	bool steered; /* the steer bit is set */
};

/*
 * assigns: bpf_sk_assign works or is taken to work, as on the wire and in an explain run. In a
 * plain test run it does not, and the rule's fail mode decides.
 */
void oracle_decide(struct expected *out, const struct reading *r, const struct shunt_rules *rules,
		   const struct asked *asked, bool assigns);

#endif
