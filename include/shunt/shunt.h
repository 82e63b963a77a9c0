/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libshunt: build, change, read back and take away the steering plane of one instance in
 * one network namespace.
 *
 * Conventions
 *  - Functions return 0 (or a count) or -errno. On failure output arguments are untouched,
 *    the kernel is as it was before the call, and one message has been given to the sink
 *    (shunt_set_sink), worded for the person at the keyboard.
 *  - `struct shunt` is one open instance. It is not thread-safe; open one per thread.
 *  - Ports are in host byte order, addresses are struct in6_addr with IPv4 v4-mapped.
 */
#ifndef SHUNT_H
#define SHUNT_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shunt/abi.h"

/* ---- messages ------------------------------------------------------------------------ */

enum shunt_level { SHUNT_LOG_ERROR, SHUNT_LOG_WARNING, SHUNT_LOG_INFO, SHUNT_LOG_DEBUG };

typedef void (*shunt_sink_fn)(void *arg, enum shunt_level level, const char *text);

/*
 * Where messages go: text has no newline and no prefix. NULL: stderr, as "error: text",
 * nothing above SHUNT_LOG_INFO. Process-wide (the library's only global); set it before
 * threads start.
 */
void shunt_set_sink(shunt_sink_fn fn, void *arg);

/* Give the sink a message. shunt_err returns r, so `return shunt_err(-EINVAL, "...")` works. */
int shunt_err(int r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void shunt_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void shunt_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The word behind a number: "1 prefix", "0 prefixes". */
static inline const char *shunt_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/* ---- addresses ------------------------------------------------------------------------- */

/* addr: host bits are zero. len: 0..128 of the v4-mapped form (10.0.0.0/8 has 104). */
struct shunt_prefix {
	struct in6_addr addr;
	uint8_t len;
};

enum { SHUNT_PREFIX_STR = INET6_ADDRSTRLEN + 4 };

/*
 * "10.0.0.0/8", "10.1.2.3", "2001:db8::/32". The whole string must be one prefix without host
 * bits and must not be v4-mapped. -EINVAL with *why set to a constant text, nothing printed.
 */
int shunt_prefix_parse(struct shunt_prefix *out, const char *text, const char **why);
/* buf has SHUNT_PREFIX_STR bytes. A host prefix is printed without its length. Returns buf. */
char *shunt_prefix_str(char *buf, const struct shunt_prefix *p);
static inline bool shunt_prefix_is_v4(const struct shunt_prefix *p)
{
	return p->len >= 96 && IN6_IS_ADDR_V4MAPPED(&p->addr);
}

/* ---- rules ------------------------------------------------------------------------------ */

struct shunt_addrs {
	bool negated;
	char set[SHUNT_NAME_LEN]; /* "@name" without '@', "" if prefixes are given */
	struct shunt_prefix *v;	  /* owned; n == 0 and no set: any */
	size_t n;
};

struct shunt_port_range {
	uint16_t lo, hi; /* inclusive */
};

struct shunt_ports {
	struct shunt_port_range *v; /* owned; n == 0: any */
	size_t n;
};

enum shunt_fail { SHUNT_FAIL_OPEN, SHUNT_FAIL_CLOSED };
enum shunt_limit_per { SHUNT_LIMIT_NONE, SHUNT_LIMIT_PER_RULE, SHUNT_LIMIT_PER_SRC };

/* One rule as a person writes it (docs/rules.md). Owned memory is freed by shunt_rule_clear. */
struct shunt_rule {
	uint32_t priority;
	uint8_t dirs;	/* bits of enum shunt_dir; 0 never stands here: unset means both */
	uint8_t protos; /* bits of enum shunt_proto, likewise */
	char (*devices)[IF_NAMESIZE]; /* owned; n_devices == 0: any */
	size_t n_devices;
	struct shunt_addrs from, to;
	struct shunt_ports sport, port;
	bool has_uid;
	uint32_t uid_lo, uid_hi; /* inclusive */
	char *cgroup;		 /* owned; path below the cgroup v2 mount, NULL any */
	enum shunt_action action;
	char target[SHUNT_NAME_LEN];   /* proxy: "default" if none was named */
	bool has_via;		       /* route */
	struct in6_addr via;	       /* v4-mapped if IPv4 */
	char via_group[SHUNT_NAME_LEN]; /* route: "@name" without '@', "" if none was named */
	char route_dev[IF_NAMESIZE];   /* route: "" if none was named */
	enum shunt_fail fail;
	enum shunt_limit_per limit_per;
	uint32_t limit_rate;  /* new flows per second */
	uint32_t limit_burst; /* 0: the default, shunt_rule_burst() */
	bool log;
	bool audit;
	char *comment; /* owned; NULL none */
	struct shunt_rule_stat stat; /* filled by shunt_rules_read only */
};

struct shunt_rules {
	struct shunt_rule *v; /* owned; ordered by priority, no priority twice */
	size_t n;
};

/*
 * Parse one rule (design: PRIORITY [in|out] [on ...] ... ACTION [OPTION ...] [# comment]).
 * On -EINVAL err holds a message that names the word: "port '80x': not a number"; nothing
 * is given to the sink, so that the caller can add file and line.
 */
int shunt_rule_parse(struct shunt_rule *out, const char *text, char *err, size_t err_size);
/*
 * Parse rules: a rule a line, blank lines and lines of only a comment are skipped.
 * Messages are "NAME:LINE: port '80x': not a number". The same priority twice is an error.
 */
int shunt_rules_parse(struct shunt_rules *out, FILE *in, const char *name, char *err,
		      size_t err_size);
/* Canonical text; parses back to an equal rule. malloc'ed; NULL if memory is out. */
char *shunt_rule_format(const struct shunt_rule *rule);
/* Flows that may come at once: as given, else a twentieth of the rate, at least 1. */
uint32_t shunt_rule_burst(const struct shunt_rule *rule);
bool shunt_rule_equal(const struct shunt_rule *a, const struct shunt_rule *b); /* not stat */
/* Do both do the same with the flows that they decide? */
bool shunt_rule_same_effect(const struct shunt_rule *a, const struct shunt_rule *b);
/* The flows that it decides: some actions go with fewer than its words say. */
uint8_t shunt_rule_dirs(const struct shunt_rule *rule);	  /* bits of enum shunt_dir */
uint8_t shunt_rule_protos(const struct shunt_rule *rule); /* bits of enum shunt_proto */
void shunt_rule_clear(struct shunt_rule *rule);	  /* frees what it owns, zeroes it */
void shunt_rules_clear(struct shunt_rules *rules);
/* The grammar as help shows it, made from the table the parser works by. */
const char *shunt_rule_grammar(void);

/* ---- sets ------------------------------------------------------------------------------- */

/* A prefix that a set holds for so long, in ns. */
struct shunt_timed {
	struct shunt_prefix prefix;
	uint64_t left;
};

/* Addresses under a name, which rules may give in place of prefixes. */
struct shunt_set {
	char name[SHUNT_NAME_LEN];
	struct shunt_prefix *v; /* owned; as read: by address, IPv4 first, none twice */
	size_t n;
	struct shunt_timed *timed; /* owned; in the same order */
	size_t n_timed;
	bool expires; /* as read: it may get prefixes with a timeout at any time */
};

struct shunt_sets {
	struct shunt_set *v; /* owned */
	size_t n;
};

/*
 * A time: numbers with a unit, d, h, m or s, the largest unit first, as "5m" or "1h30m"; at least
 * a second, at most SHUNT_TIME_MAX_DAYS. 0 or -EINVAL; *why is a constant text.
 */
int shunt_time_parse(uint64_t *ns, const char *text, const char **why);
/* The same of ns, rounded up to seconds; buf has SHUNT_TIME_STR bytes. Returns buf. */
char *shunt_time_str(char *buf, uint64_t ns);
enum { SHUNT_TIME_STR = 24, SHUNT_TIME_MAX_DAYS = 3650 };

/*
 * Read prefixes, one a line, which may have ` timeout TIME`; '#' begins a comment. Appended to the set's. -EINVAL: err holds
 * "NAME:LINE: ..."; nothing is given to the sink, and the set is as before.
 */
int shunt_set_parse(struct shunt_set *set, FILE *in, const char *name, char *err,
		    size_t err_size);
/* Its v into the order of a set as read, none twice. */
int shunt_set_sort(struct shunt_set *set);
/* As `set` lines of a rule file. */
void shunt_set_print(FILE *out, const struct shunt_set *set);
void shunt_set_clear(struct shunt_set *set);
void shunt_sets_clear(struct shunt_sets *sets);

/* All that is changed in one step. */
struct shunt_config {
	struct shunt_rules rules;
	struct shunt_sets sets;
};
/*
 * Parse a rule file with its sets: as shunt_rules_parse(), and lines `set NAME PREFIX,...` and
 * `set NAME file PATH`. dir is where a PATH begins; NULL: files are refused.
 */
int shunt_config_parse(struct shunt_config *out, FILE *in, const char *name, const char *dir,
		       char *err, size_t err_size);
void shunt_config_clear(struct shunt_config *config);

/* ---- an instance --------------------------------------------------------------------------- */

struct shunt;

/* Where: instance NULL means "default"; netns NULL means the caller's, else a name of
 * `ip netns` or a path. Entering a netns changes the calling thread's for good. */
struct shunt_where {
	const char *instance;
	const char *netns;
};

enum shunt_hook { SHUNT_HOOK_AUTO, SHUNT_HOOK_TCX, SHUNT_HOOK_CLSACT };

/* How what is steered gets to the sockets here. */
enum shunt_delivery {
	SHUNT_DELIVER_DEFAULT, /* by routing rules; of an instance that is up: as it is */
	SHUNT_DELIVER_RULE,
	SHUNT_DELIVER_LOOPBACK, /* by way of lo: no routing rules, which all packets pay for */
};

struct shunt_up_options {
	const char *const *devices;
	size_t n_devices;
	/* Those of them that are veths whose peer gets what is routed there, past their egress. */
	const char *const *peers;
	size_t n_peers;
	bool out;	/* also steer flows that start on this host */
	uint32_t mark;	/* exactly two bits; 0: default */
	uint32_t table; /* 0: default */
	uint32_t pref;	/* 0: default */
	enum shunt_hook hook;
	enum shunt_delivery delivery;
	bool force; /* go on although someone else's rule uses our mark bits */
	struct shunt_config *config; /* as for shunt_apply(); NULL: what is in force stays */
};

/* Make the instance or add to it what is missing; on failure it is as before the call. */
int shunt_up(const struct shunt_where *where, const struct shunt_up_options *options);
/* Take away all that shunt_up made and nothing else. 0 too if there was nothing. */
int shunt_down(const struct shunt_where *where);

/* Open an instance that is up: -ENOENT with a message if it is not. */
int shunt_open(struct shunt **out, const struct shunt_where *where);
void shunt_close(struct shunt *s);

const struct shunt_instance *shunt_instance_info(const struct shunt *s);
/* The pin directory of the instance. */
const char *shunt_pin_dir(const struct shunt *s);
/* 1 if the pins of the handle are still those in the file system, 0 if the instance was
 * taken down (or down and up again) since: then close and open again. */
int shunt_is_current(const struct shunt *s);

/*
 * Changes of an instance wait until nobody else changes it, however long that takes. Through this
 * handle they do not from now on: they fail with -EAGAIN, without a message, and are to be tried
 * again. For who has other things to do meanwhile.
 */
void shunt_set_impatient(struct shunt *s);

/* Sum over CPUs; out has SHUNT_CTR_MAX values. */
int shunt_counters_read(struct shunt *s, uint64_t *out);
const char *shunt_counter_name(enum shunt_counter c);
const char *shunt_counter_help(enum shunt_counter c);

/* Bytes of kernel memory. */
struct shunt_memory {
	uint64_t all;	     /* of all maps of the instance */
	uint64_t rules;	     /* of these, of the map with rules and sets */
	uint64_t rules_used; /* of it in use; the rest is room for changes */
};
int shunt_memory_read(const struct shunt *s, struct shunt_memory *out);

/* Slots in use, in slot order. Returns the count written, at most max. */
int shunt_devices_read(struct shunt *s, struct shunt_device *out, size_t max);

/* A device as it is now, beside what it should be. */
struct shunt_device_state {
	struct shunt_device device;
	bool attached;		/* all its programs are in place */
	bool rule_v4, rule_v6;	/* its routing rules are in place */
	bool overtaken;		/* a rule of someone else stands in front of one of them */
};
int shunt_device_states(struct shunt *s, struct shunt_device_state *out, size_t max);

/*
 * What on this host gets in our way, a sentence each with what to do. Returns the count
 * written, at most max.
 */
int shunt_conflicts(struct shunt *s, char (*out)[256], int max);

/* ---- rules of an instance (each change is published by one write) ------------------------------ */

int shunt_rules_read(struct shunt *s, struct shunt_rules *out); /* decompiled, with counters */
int shunt_rules_replace(struct shunt *s, const struct shunt_rules *rules);
/* -EEXIST if the priority is taken. */
int shunt_rules_add(struct shunt *s, const struct shunt_rule *rule);
/* -ENOENT if there is none. */
int shunt_rules_del(struct shunt *s, uint32_t priority);

/* Rules and sets as one. A rule that names a set which is not there is refused (-ENOENT). */
int shunt_config_read(struct shunt *s, struct shunt_config *out);
int shunt_config_apply(struct shunt *s, const struct shunt_config *config);

/* How to put a rule file in force. */
struct shunt_apply {
	bool dry_run; /* look whether it could be; change nothing */
	/*
	 * Not 0: what was before comes back by itself after so many seconds unless shunt_confirm()
	 * is called; a process in the background sees to it. Until then other changes are refused
	 * (-EBUSY).
	 */
	uint32_t confirm;
};
/*
 * The state is to be what config says, which may hold no sets: then sets stay. If it holds some,
 * all others go but those that its rules name. The sets that stay are added to config, also on
 * failure. before gets what was before, unless it is NULL.
 */
int shunt_apply(struct shunt *s, struct shunt_config *config, const struct shunt_apply *how,
		struct shunt_config *before);
/* -ENOENT if nothing waits. */
int shunt_confirm(struct shunt *s);

/* ---- sets of an instance (each change is published by one write too) -------------------------- */

int shunt_sets_read(struct shunt *s, struct shunt_sets *out);
/*
 * Prefixes into a set, which is made if it is new; those that it has already are no error, and what
 * it held for a time it then holds for good. With those in `timed` it is the other way round: they
 * begin anew, but one that it holds for good is an error (-EEXIST).
 */
int shunt_set_add(struct shunt *s, const struct shunt_set *prefixes);
/* The set is to hold just these. */
int shunt_set_load(struct shunt *s, const struct shunt_set *prefixes);
/* Prefixes (v) out of a set. -ENOENT, and nothing is changed, if one of them is not in it. */
int shunt_set_take(struct shunt *s, const struct shunt_set *prefixes);
/* The whole set. -EBUSY if a rule names it. */
int shunt_set_del(struct shunt *s, const char *name);

/*
 * An address into a set for a time, by one update of a map and two looks: it waits for nobody and
 * can be done thousands of times a second. -ENOENT without a message if the set has never been
 * prepared, or is not in force any more: shunt_set_prepare(), which makes it if it is new.
 */
int shunt_set_learn(struct shunt *s, const char *set, const struct in6_addr *addr, uint64_t ns);
int shunt_set_prepare(struct shunt *s, const char *set);

/*
 * Prefixes that have expired take up room until they are collected, which nobody need do in time.
 * A call looks at a thousand of them or so: 1, there are more; 0, that was the last.
 */
struct shunt_collector;
int shunt_collector_new(struct shunt_collector **out);
void shunt_collector_free(struct shunt_collector *c);
int shunt_collect(struct shunt *s, struct shunt_collector *c);

/* ---- what is odd about rules ---------------------------------------------------------------- */

/* X(identifier, "name in output", "sentence for docs and help") */
#define SHUNT_FINDINGS(X)                                                                      \
	X(DUPLICATE, "duplicate", "an earlier rule takes the same flows and does the same")    \
	X(SHADOWED, "shadowed", "earlier rules take all its flows")                            \
	X(NEVER_MATCH, "never-match", "there can be no flow that it matches")                  \
	X(ONE_FAMILY, "one-family", "covers IPv4 but not IPv6, or IPv6 but not IPv4")          \
	X(TCP_ONLY, "tcp-only", "covers TCP but not UDP of the same destination")              \
	X(NO_SOCKET, "no-socket", "its target has no live socket")                             \
	X(NEVER_HIT, "never-hit", "has decided no flow so far")                                \
	X(SET_EMPTY, "set-empty", "a set that rules name has no prefixes")                     \
	X(SET_UNUSED, "set-unused", "no rule names the set")                                   \
	X(SET_UNKNOWN, "set-unknown", "a rule names a set that is not there")

enum shunt_finding_kind {
#define SHUNT_FINDING_ENUM(id, name, help) SHUNT_FIND_##id,
	SHUNT_FINDINGS(SHUNT_FINDING_ENUM)
#undef SHUNT_FINDING_ENUM
	SHUNT_FIND_MAX
};

struct shunt_finding {
	enum shunt_finding_kind kind;
	uint32_t rule;		  /* priority; 0: about a set */
	char set[SHUNT_NAME_LEN]; /* "": about a rule alone */
	char *text;		  /* owned: what is so, and what to do */
	uint32_t *by;		  /* owned: priorities of the rules that it is because of */
	size_t n_by;
};

struct shunt_findings {
	struct shunt_finding *v; /* owned; by rule, then sets */
	size_t n;
	size_t unsure; /* rules so entwined with others that not all was looked at */
};

/*
 * What is odd about these rules and sets. With an instance also about them there: its interfaces,
 * targets and the rules' counters; NULL: by themselves.
 */
int shunt_check(struct shunt *s, const struct shunt_config *config, struct shunt_findings *out);
void shunt_findings_clear(struct shunt_findings *findings);
const char *shunt_finding_name(enum shunt_finding_kind kind);
const char *shunt_finding_help(enum shunt_finding_kind kind);

/* ---- targets ------------------------------------------------------------------------------------ */

/*
 * The index of the target of that name, which is made if it is new. A name is 1..31 of
 * letters, digits, '-', '_', '.'.
 */
int shunt_target_get(struct shunt *s, const char *name);
/* As above, but -ENOENT, without a message, if it does not exist. */
int shunt_target_find(struct shunt *s, const char *name);
/*
 * Register sockets of a target: fds[i] goes to slot i of its family (v6: 0 or 1); -1 leaves a
 * slot empty; slots from n on are emptied. The sockets must be IP_TRANSPARENT; TCP sockets
 * must listen and UDP sockets must be bound. The kernel forgets a socket when it is closed.
 */
int shunt_target_set_sockets(struct shunt *s, int target, int v6, const int *fds, size_t n,
			     enum shunt_target_kind kind, pid_t pid);
/*
 * Make listening TCP sockets of a running server the target's: copies are taken by
 * pidfd_getfd(2) and made IP_TRANSPARENT; our ownership bit is added to their mark. pid 0: any
 * process of this network namespace. addr NULL: any address. -EBUSY if the target has live
 * sockets of another kind, such as those of a running shuntd.
 */
int shunt_target_adopt(struct shunt *s, const char *name, pid_t pid,
		       const struct sockaddr_storage *addr, uint16_t port);
/* Remove a target. -EBUSY if a rule uses it. */
int shunt_target_del(struct shunt *s, const char *name);

struct shunt_target_info {
	int index;
	struct shunt_target target;
	unsigned int live_v4, live_v6; /* sockets now in the map */
};
/* In index order. Returns the count written, at most max. */
int shunt_targets_read(struct shunt *s, struct shunt_target_info *out, size_t max);

/* ---- groups of next hops, which rules name as `route via @GROUP` ------------------------------ */

/* addr: NULL, no address: by the device's own route. dev: NULL any. weight 1..255. */
struct shunt_hop_spec {
	const struct in6_addr *addr;
	const char *dev;
	uint32_t weight;
};

/*
 * Add a next hop to a group, which is made if it is new; one that is there already (same address and
 * device) gets the weight. Flows that have a next hop keep it.
 */
int shunt_hop_add(struct shunt *s, const char *group, const struct shunt_hop_spec *hop);
/* Flows of this next hop, and no others, go on by another one. -ENOENT if it is not there. */
int shunt_hop_del(struct shunt *s, const char *group, const struct shunt_hop_spec *hop);
/* The whole group. -EBUSY if a rule names it. */
int shunt_hop_group_del(struct shunt *s, const char *group);

/* A group as it is now. */
struct shunt_hop_info {
	char group[SHUNT_NAME_LEN];
	size_t n;
	struct shunt_hop hop[SHUNT_GROUP_HOPS];
	uint64_t dead_for[SHUNT_GROUP_HOPS]; /* ns that it has not resolved, 0 it does */
};
/* Groups with a name, by name. Returns the count written, at most max. */
int shunt_hops_read(struct shunt *s, struct shunt_hop_info *out, size_t max);

/*
 * Which rule decided the flow that was accepted with these addresses: 0 and *out, or -ENOENT
 * if it is not remembered. src and dst are AF_INET or AF_INET6 (v4-mapped is understood).
 */
int shunt_flow_find(struct shunt *s, const struct sockaddr *src, const struct sockaddr *dst,
		    uint8_t ipproto, struct shunt_flow *out);

/* ---- events: flows that rules with log or audit decided ---------------------------------------- */

typedef void (*shunt_event_fn)(void *arg, const struct shunt_event *event);

/*
 * Give fn the events there are, then wait up to timeout_ms (-1: for ever) for more. There
 * is one reader of an instance: -EBUSY with a message for a second. Returns how many, 0 on timeout,
 * -EINTR if a signal came; other errors have been told. The reader is made by the first call and
 * freed by shunt_close().
 */
int shunt_events_poll(struct shunt *s, int timeout_ms, shunt_event_fn fn, void *arg);

/* ---- explain ------------------------------------------------------------------------------------- */

struct shunt_question {
	enum shunt_dir dir;
	const char *device; /* in: where the packet arrives; out: NULL picks the first out device */
	uint8_t ipproto;
	struct sockaddr_storage src, dst; /* both of one family */
	bool has_uid;
	uint32_t uid;
	const char *cgroup; /* NULL none */
};

/* Run the loaded program on the first packet of such a flow. */
int shunt_explain(struct shunt *s, const struct shunt_question *q, struct shunt_explain *out);

/* A rule that is asked before the one that decides. */
struct shunt_candidate {
	uint32_t priority;
	char *text; /* owned: the rule */
	/*
	 * Owned: for each word that does not hold "WORD: why". None: it is an audit rule that
	 * matches, and is counted.
	 */
	char **why;
	size_t n_why;
};

struct shunt_route {
	int error; /* errno: there is no such route */
	char device[IF_NAMESIZE];
	bool local; /* to an address of this host */
	bool has_via, has_source;
	struct in6_addr via, source; /* v4-mapped if IPv4 */
};

/* What happens to a flow, and why. */
struct shunt_answer {
	struct shunt_explain e; /* as the program said */
	char device[IF_NAMESIZE];
	bool asked;		/* rules were asked */
	struct shunt_rule rule; /* that decided, if e.action is not NONE; owned */
	/*
	 * Of the rules before it (if none decided, of all) those that miss least, in order; of as
	 * many missed words the nearest.
	 */
	struct shunt_candidate *candidates; /* owned */
	size_t n_candidates, n_before;	    /* shown, and how many there are */
	bool has_target;
	struct shunt_target_info target;
	/*
	 * How it goes on: a flow that passes, by the routing table; one that is proxied, from
	 * this host to its destination as the proxy would connect, with the address of this host
	 * that is the source then unless the proxy takes the client's.
	 */
	bool has_route;
	struct shunt_route route;
};

/* At most max candidates. */
int shunt_answer(struct shunt *s, const struct shunt_question *q, size_t max,
		 struct shunt_answer *out);
void shunt_answer_clear(struct shunt_answer *answer);

#endif
