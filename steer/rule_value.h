/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The values of a rule's words: one strict reader each. The whole span must be one value.
 * `what` is the word whose value it is, for the message. *out is untouched on failure and,
 * where it is a pointer or a list, owned by the caller on success. -EINVAL or -ENOMEM with
 * the message in e.
 */
#ifndef SHUNT_STEER_RULE_VALUE_H
#define SHUNT_STEER_RULE_VALUE_H

#include "rule_text.h"
#include "shunt/shunt.h"

int rule_value_number(uint32_t *out, const char *what, struct rule_span text, uint32_t lo,
		      uint32_t hi, struct rule_error *e);
/* "N" or "N-M", both in lo..hi */
int rule_value_range(uint32_t *out_lo, uint32_t *out_hi, const char *what, struct rule_span text,
		     uint32_t lo, uint32_t hi, struct rule_error *e);
/* A target's or a set's name. out has SHUNT_NAME_LEN bytes. */
int rule_value_name(char *out, const char *what, struct rule_span text, struct rule_error *e);
/* As above, and not a word of the grammar: `proxy log` is the option, not a target. */
int rule_value_target(char *out, const char *what, struct rule_span text, struct rule_error *e);
/* out has IF_NAMESIZE bytes. */
int rule_value_iface(char *out, const char *what, struct rule_span text, struct rule_error *e);
/* A unicast address that a packet can be sent to. */
int rule_value_next_hop(struct in6_addr *out, const char *what, struct rule_span text,
			struct rule_error *e);
/* With one '/' before each part: what /proc/PID/cgroup shows. */
int rule_value_cgroup(char **out, const char *what, struct rule_span text, struct rule_error *e);
/* *out is NULL if the comment is empty. */
int rule_value_comment(char **out, struct rule_span text, struct rule_error *e);

/* Lists keep their order; what is in a list twice is taken once. */
int rule_value_ifaces(char (**out)[IF_NAMESIZE], size_t *n, const char *what,
		      struct rule_span text, struct rule_error *e);
int rule_value_ports(struct shunt_ports *out, const char *what, struct rule_span text,
		     struct rule_error *e);
/* Prefixes or one @SET; fills v and n, or set. */
int rule_value_addrs(struct shunt_addrs *out, const char *what, struct rule_span text,
		     struct rule_error *e);

/* A copy with a NUL; NULL if memory is out. */
char *rule_span_dup(struct rule_span text);

#endif
