/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The grammar of rules: one table of all words. The parser asks it what a word is, where it
 * may stand and what it goes with; the formatter asks it for the word's name; help
 * (shunt_rule_grammar), docs/rules.md and shell completion say what it says.
 */
#ifndef SHUNT_STEER_RULE_GRAMMAR_H
#define SHUNT_STEER_RULE_GRAMMAR_H

#include "shunt/shunt.h"

enum {
	RULE_PRIORITY_MAX = 2147483647,
	RULE_RATE_MAX = 1000000,     /* of limit and burst */
	RULE_TEXT_MAX = 65536,	     /* bytes of a rule, of a line */
};

#define RULE_UID_MAX 4294967294U /* 4294967295 is (uid_t)-1: no user */
#define RULE_TARGET_DEFAULT "default"

/* Words of the other lines of rule files; no words of rules. */
#define RULE_FILE_SET "set"
#define RULE_FILE_FILE "file"
#define RULE_FILE_TIMEOUT "timeout"

enum rule_place {
	RULE_MATCH,  /* anywhere after the priority */
	RULE_ACTION, /* anywhere after the priority, one of them */
	RULE_OPTION, /* after the action */
	RULE_PART,   /* inside the clause of the word that it needs */
	RULE_VALUE,  /* as a value of its kind */
};

enum rule_kind {
	RULE_NO_VALUE,
	RULE_IFACES,
	RULE_PROTOS, /* the word is itself the value: tcp, udp, tcp,udp */
	RULE_ADDRS,
	RULE_PORTS,
	RULE_UIDS,
	RULE_PATH,
	RULE_TARGET, /* may be left out */
	RULE_ADDR,
	RULE_IFACE,
	RULE_FAIL,
	RULE_RATE,
	RULE_COUNT,
	RULE_PER,
};

#define RULE_W(id) (UINT64_C(1) << RULE_WORD_##id)
#define RULE_ACTIONS                                                                           \
	(RULE_W(PASS) | RULE_W(DROP) | RULE_W(REJECT) | RULE_W(PROXY) | RULE_W(ROUTE))

/*
 * X(id, name, value as help shows it, place, kind, goes with one of, excludes, help)
 * Name and value fill 16 columns together, help at most 59 (checked by the compiler). The
 * help is a reminder; docs/rules.md tells the whole story.
 */
#define RULE_MATCH_WORDS(X)                                                                    \
	X(IN, "in", "              ", MATCH, NO_VALUE, 0, RULE_W(OUT),                         \
	  "flows that arrive at an interface (neither: in and out)")                           \
	X(OUT, "out", "             ", MATCH, NO_VALUE, 0, RULE_W(IN),                         \
	  "flows that start on this host")                                                     \
	X(ON, "on", " IFACES       ", MATCH, IFACES, 0, 0,                                     \
	  "that come by one of these interfaces")                                              \
	X(TCP, "tcp", "             ", MATCH, PROTOS, 0, 0,                                    \
	  "TCP (neither, or tcp,udp: TCP and UDP)")                                            \
	X(UDP, "udp", "             ", MATCH, PROTOS, 0, 0, "UDP")                             \
	X(FROM, "from", " ADDRS      ", MATCH, ADDRS, 0, 0, "source address")                  \
	X(SPORT, "sport", " PORTS     ", MATCH, PORTS, 0, 0, "source port")                    \
	X(TO, "to", " ADDRS        ", MATCH, ADDRS, 0, 0, "destination address")               \
	X(PORT, "port", " PORTS      ", MATCH, PORTS, 0, 0, "destination port")                \
	X(UID, "uid", " N[-M]       ", MATCH, UIDS, 0, RULE_W(IN),                             \
	  "user id of the sender, on this host")                                               \
	X(CGROUP, "cgroup", " PATH     ", MATCH, PATH, 0, RULE_W(IN),                          \
	  "cgroup v2 that holds the sender, itself or above it")

#define RULE_ACTION_WORDS(X)                                                                   \
	X(PASS, "pass", "            ", ACTION, NO_VALUE, 0, RULE_ACTIONS ^ RULE_W(PASS),      \
	  "leave the flow alone")                                                              \
	X(DROP, "drop", "            ", ACTION, NO_VALUE, 0, RULE_ACTIONS ^ RULE_W(DROP),      \
	  "drop it silently")                                                                  \
	X(REJECT, "reject", "          ", ACTION, NO_VALUE, 0, RULE_ACTIONS ^ RULE_W(REJECT),  \
	  "refuse it, so that the client knows at once")                                       \
	X(PROXY, "proxy", " [TARGET]  ", ACTION, TARGET, 0, RULE_ACTIONS ^ RULE_W(PROXY),      \
	  "hand it to a target's socket; no TARGET: 'default'")                                \
	X(ROUTE, "route", "           ", ACTION, NO_VALUE, 0, RULE_ACTIONS ^ RULE_W(ROUTE),    \
	  "forward it in eBPF, by the routing table or:")                                      \
	X(VIA, "via", " ADDR|@GROUP ", PART, ADDR, RULE_W(ROUTE), 0,                           \
	  "- with route: to this next hop, or one of a group")                                 \
	X(DEV, "dev", " IFACE       ", PART, IFACE, RULE_W(ROUTE), 0,                          \
	  "- with route: out of this interface")

#define RULE_OPTION_WORDS(X)                                                                   \
	X(FAIL, "fail", " open|closed", OPTION, FAIL, RULE_W(PROXY) | RULE_W(ROUTE), 0,        \
	  "no live socket or next hop: pass (default) or drop")                                \
	X(LIMIT, "limit", " RATE[/s]  ", OPTION, RATE, RULE_ACTIONS ^ RULE_W(DROP), 0,         \
	  "new flows a second, 1..1000000; those above are dropped")                           \
	X(BURST, "burst", " N         ", PART, COUNT, RULE_W(LIMIT), 0,                        \
	  "- with limit: flows at once, 1..1000000 (default RATE/20)")                            \
	X(PER, "per", " src|rule    ", PART, PER, RULE_W(LIMIT), 0,                            \
	  "- with limit: of a source address or of the rule (default)")                        \
	X(LOG, "log", "             ", OPTION, NO_VALUE, 0, 0, "report each flow it decides")  \
	X(AUDIT, "audit", "           ", OPTION, NO_VALUE, 0, 0,                               \
	  "count and report, but go on to later rules")

#define RULE_VALUE_WORDS(X)                                                                    \
	X(ANY, "any", "             ", VALUE, ADDRS, 0, 0, "ADDRS: every address")             \
	X(NOT, "not", " ADDRS       ", VALUE, ADDRS, 0, 0, "ADDRS: every address but these")   \
	X(OPEN, "open", "            ", VALUE, FAIL, 0, 0, "fail: the flow passes")            \
	X(CLOSED, "closed", "          ", VALUE, FAIL, 0, 0, "fail: the flow is dropped")      \
	X(SRC, "src", "             ", VALUE, PER, 0, 0, "per: each source address for itself") \
	X(RULE, "rule", "            ", VALUE, PER, 0, 0, "per: all flows of the rule")

#define RULE_WORDS(X)                                                                          \
	RULE_MATCH_WORDS(X) RULE_ACTION_WORDS(X) RULE_OPTION_WORDS(X) RULE_VALUE_WORDS(X)

enum rule_word_id {
#define RULE_WORD_ENUM(id, ...) RULE_WORD_##id,
	RULE_WORDS(RULE_WORD_ENUM)
#undef RULE_WORD_ENUM
	RULE_WORD_MAX
};

struct rule_word {
	const char *name;
	size_t len; /* of name */
	enum rule_place place;
	enum rule_kind kind;
	uint64_t needs;	   /* RULE_W bits: at least one of them must stand in the rule too */
	uint64_t excludes; /* RULE_W bits: none of them may */
	const char *help;
};

extern const struct rule_word rule_words[RULE_WORD_MAX];

static inline enum rule_word_id rule_word_id(const struct rule_word *word)
{
	return (enum rule_word_id)(word - rule_words);
}
static inline uint64_t rule_word_bit(const struct rule_word *word)
{
	return UINT64_C(1) << rule_word_id(word);
}

/* The word of that name, NULL if there is none. */
const struct rule_word *rule_word_find(const char *text, size_t len);
/* The word that text may have been meant to be, NULL if none is near. */
const struct rule_word *rule_word_guess(const char *text, size_t len);
/* The names of these words, "pass, drop or reject" with last " or ". buf is cut if too small. */
char *rule_words_list(char *buf, size_t size, uint64_t bits, const char *last);
/* The words that may stand as a value of that kind, as RULE_W bits. */
uint64_t rule_words_of_kind(enum rule_kind kind);

#endif
