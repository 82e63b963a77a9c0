/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel half (bpf/) and the user half (steer/, proxy/, ctl/) share, once.
 *
 * Every pinned map, its key, its value and its size; every counter; every limit. The file
 * is included by both halves and by nothing else it depends on, so it uses only __uN/__beN.
 *
 * Conventions
 *  - Addresses are 16 bytes in network byte order; IPv4 is written v4-mapped
 *    (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), so there is one path for both families.
 *    A prefix length counts from the left of the 16 bytes: 10.0.0.0/8 has length 104.
 *  - Ports in tuples are in network byte order, in rules (ranges) in host byte order.
 *  - Times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns) unless a name says so.
 *  - `reserved` is zero.
 */
#ifndef SHUNT_ABI_H
#define SHUNT_ABI_H

#include <linux/types.h>

#define SHUNT_ABI_VERSION 5
#define SHUNT_MAGIC 0x53484e54U /* "SHNT" */

/* ---- limits --------------------------------------------------------------------- */

enum {
	SHUNT_NAME_LEN = 32,	     /* targets, sets; with the closing NUL */
	SHUNT_IFNAME_LEN = 16,	     /* IFNAMSIZ */
	SHUNT_MAX_TARGETS = 64,	     /* target 0 is never used: 0 means none */
	SHUNT_TARGET_SLOTS = 64,     /* sockets per target and family, one per worker */
	SHUNT_MAX_SOCKETS = SHUNT_MAX_TARGETS * SHUNT_TARGET_SLOTS * 2,
	SHUNT_MAX_DEVICES = 4096,    /* device 0 is never used: 0 means any */
	SHUNT_MAX_FLOWS = 65536,     /* steered flows remembered (LRU) */
	SHUNT_MAX_UDP_FLOWS = 65536, /* UDP flows left alone that are remembered (LRU) */
	SHUNT_UDP_IDLE = 120,	     /* seconds; then a UDP flow is a new one (RFC 4787, REQ-5) */
	SHUNT_MAX_ROUTED = 131072,   /* routed flows remembered, each with its way back (LRU) */
	SHUNT_MAX_GROUPS = 512,	     /* of next hops; group 0 is never used: 0 means none */
	SHUNT_GROUP_HOPS = 16,	     /* next hops of a group */
	SHUNT_MAX_HOP_STATES = 4096, /* next hops whose state is remembered (LRU) */
	SHUNT_MAX_BACKSTOP = 4096,   /* tuples handed to the SK_LOOKUP program (LRU) */
	SHUNT_MAX_FRAGS = 4096,	     /* first fragments remembered (LRU) */
	SHUNT_MAX_RULES = 262144,    /* rules of one generation */
	SHUNT_MAX_TIMED = 131072,    /* prefixes with a timeout, of all sets */
	SHUNT_MAX_TIMED_SETS = 28,   /* sets that may have such */
	SHUNT_MAX_LIMITS = 65536,    /* token buckets of `limit ... per src` (LRU) */
	SHUNT_MAX_RECENT = 512,	     /* tuples left alone a moment ago, of each CPU; a power of two */
	SHUNT_RECENT_BUCKETS = 1024, /* of tuples, that beginnings of flows are counted in; likewise */
	SHUNT_RECENT_MS = 10,	     /* so long they are remembered, at most */
	SHUNT_EVENT_BYTES = 1 << 20, /* ring buffer of `log` and `audit` */
	SHUNT_MAX_AUDITS = 16,	     /* audit rules looked at for one flow */
	SHUNT_CGROUP_LEVELS = 8,     /* a rule's cgroup is at most 7 below the root */
	SHUNT_MAX_V6_EXT = 8,	     /* IPv6 extension headers walked before giving up */
	SHUNT_PULL_LEN = 128,	     /* bytes made linear when the headers are not */
};

/* Defaults of what `shuntctl up` lets one choose. */
#define SHUNT_DEFAULT_MARK 0x00001010U /* higher bit: steer, lower bit: ownership */
#define SHUNT_DEFAULT_TABLE 3020U
#define SHUNT_DEFAULT_PREF 1000U

/* ---- counters: every way out of a program has one, and a name --------------------- */

/*
 * X(identifier, "name in status and metrics", "sentence for docs and help")
 * The first block leaves a packet alone, the second steers it, the third drops it, the
 * last counts events that are no exit of their own.
 */
#define SHUNT_COUNTERS(X)                                                                      \
	X(NOT_HOST, "not_host", "not addressed to this machine's link address")                \
	X(VLAN, "vlan", "tagged for a VLAN, which is another network")                         \
	X(NOT_IP, "not_ip", "neither IPv4 nor IPv6")                                           \
	X(SHORT, "short", "ends before its headers do")                                        \
	X(BAD_HEADER, "bad_header", "header that no IP stack accepts")                         \
	X(EXT_LIMIT, "ext_limit", "more IPv6 extension headers than are walked")               \
	X(OTHER_PROTO, "other_proto", "no TCP, no UDP, no ICMP error")                         \
	X(NOT_UNICAST, "not_unicast", "source or destination is not a unicast address")        \
	X(FRAG_OTHER, "frag_other", "later fragment of a datagram that was not steered")       \
	X(ICMP_OTHER, "icmp_other", "ICMP error about a flow that is not ours")                \
	X(FORWARDED, "forwarded", "forwarded packet at an egress hook")                        \
	X(OWN, "own", "sent by a socket of ours")                                              \
	X(FOREIGN_SOCKET, "foreign_socket", "belongs to a socket that is not ours")            \
	X(MID_FLOW, "mid_flow", "TCP segment of a flow that is not ours")                      \
	X(LO_OTHER, "lo_other", "loopback packet that was not redirected by us")               \
	X(NO_MATCH, "no_match", "first packet of a flow that no rule selects")                 \
	X(RULE_PASS, "rule_pass", "first packet that a rule passes")                           \
	X(FAIL_OPEN, "fail_open", "target has no live socket, rule says fail open")            \
	X(SELF, "reject_self", "aimed at the port of the target's own listener here")          \
	X(UDP_FLOW, "udp_flow", "datagram of a UDP flow that was left alone before")           \
	X(NO_RULESET, "no_ruleset", "no rules are loaded")                                     \
	X(ROUTE_LOCAL, "route_local", "routed, but from or to this very host")                  \
	X(ROUTE_TTL, "route_ttl", "routed, but its time to live is over")                      \
	X(ROUTE_OPTIONS, "route_options", "routed, but with IP options or extension headers")  \
	X(ROUTE_FRAGMENT, "route_fragment", "routed, but a fragment")                          \
	X(ROUTE_TOO_BIG, "route_too_big", "routed, but larger than the way's MTU")             \
	X(ROUTE_NO_NEIGH, "route_no_neigh", "routed, but the next hop is not resolved yet")    \
	X(ROUTE_NO_ROUTE, "route_no_route", "routed, but the routing table has no way")        \
	X(ROUTE_NO_HOP, "route_no_hop", "routed, but no next hop of the rule is alive")        \
	X(ROUTE_OTHER, "route_other", "routed, but over what only the kernel can do")          \
	X(STEER_NEW, "steer_new", "new flow handed to a target")                               \
	X(STEER_FLOW, "steer_flow", "packet of a steered flow or of its upstream")             \
	X(STEER_TIMEWAIT, "steer_timewait", "new flow on a tuple still in TIME_WAIT")          \
	X(STEER_COOKIE, "steer_cookie", "ACK that answers a SYN cookie of a target")           \
	X(STEER_RESET, "steer_reset", "segment of a lost flow, sent to be reset")              \
	X(STEER_ICMP, "steer_icmp", "ICMP error about a flow of ours")                         \
	X(STEER_FRAG, "steer_frag", "later fragment that follows its first one")               \
	X(REDIRECT, "redirect", "packet redirected to the loopback ingress")                   \
	X(ROUTED, "routed", "packet of a routed flow, forwarded")                              \
	X(RULE_DROP, "rule_drop", "dropped by a rule")                                         \
	X(RULE_REJECT, "rule_reject", "rejected by a rule")                                    \
	X(RULE_LIMIT, "rule_limit", "above the limit of its rule; dropped")                    \
	X(FAIL_CLOSED, "fail_closed", "no live socket or next hop, rule says fail closed")     \
	X(LO_LOST, "lo_lost", "redirected, but its destination or decision is forgotten; dropped") \
	X(REDIRECT_FAILED, "redirect_failed", "could not be redirected; dropped")       \
	X(PULLED, "pulled", "headers were not linear and were pulled")                         \
	X(ASSIGN_ENOENT, "assign_enoent", "bpf_sk_assign: socket is not usable")               \
	X(ASSIGN_ENETUNREACH, "assign_enetunreach", "bpf_sk_assign: socket of another netns")  \
	X(ASSIGN_EOPNOTSUPP, "assign_eopnotsupp", "bpf_sk_assign: not possible at this hook")  \
	X(ASSIGN_ESOCKTNOSUPPORT, "assign_esocktnosupport", "bpf_sk_assign: SO_REUSEPORT")     \
	X(ASSIGN_OTHER, "assign_other", "bpf_sk_assign: any other error")                      \
	X(BACKSTOP_HIT, "backstop_hit", "socket chosen by the SK_LOOKUP program")              \
	X(NOTE_LOST, "note_lost", "a flow could not be remembered")                            \
	X(AUDITED, "audited", "an audit rule would have decided the flow")                     \
	X(EVENT_LOST, "event_lost", "no room in the ring buffer for a record of log or audit")

enum shunt_counter {
#define SHUNT_COUNTER_ENUM(id, name, help) SHUNT_CTR_##id,
	SHUNT_COUNTERS(SHUNT_COUNTER_ENUM)
#undef SHUNT_COUNTER_ENUM
	SHUNT_CTR_MAX
};

/* ---- vocabulary of a rule --------------------------------------------------------- */

enum shunt_action {
	SHUNT_ACT_NONE = 0, /* no rule matched */
	SHUNT_ACT_PASS,
	SHUNT_ACT_DROP,
	SHUNT_ACT_REJECT,
	SHUNT_ACT_PROXY,
	SHUNT_ACT_ROUTE,
};

enum shunt_dir { SHUNT_DIR_IN = 1, SHUNT_DIR_OUT = 2 };
enum shunt_proto { SHUNT_PROTO_TCP = 1, SHUNT_PROTO_UDP = 2 };
enum shunt_family { SHUNT_FAM_V4 = 1, SHUNT_FAM_V6 = 2 };

enum shunt_rule_flag {
	SHUNT_RULE_FAIL_CLOSED = 1 << 0,
	SHUNT_RULE_LOG = 1 << 1,
	SHUNT_RULE_AUDIT = 1 << 2,
	SHUNT_RULE_UID = 1 << 3,    /* uid_lo..uid_hi must hold the sender's uid */
	SHUNT_RULE_CGROUP = 1 << 4, /* cgroup must hold the sender */
	SHUNT_RULE_LIMIT_SRC = 1 << 5, /* the limit is for each source address */
};

/* ---- map: ruleset (ARRAY_OF_MAPS with one slot): the generation in force, shunt/arena.h --- */

/* ---- maps: timed (HASH), timed_sets (ARRAY): prefixes of sets that expire by themselves ---- */

/*
 * What a set holds until a time, beside what it holds for good. Value in `timed`: a __u64, ns,
 * when the prefix expires. Then the program takes it for absent; the entry itself is collected
 * later. So any program that may write the map adds an address, or renews it, by one update, in
 * force at once: set is the index of the set's name in `timed_sets`, len is 128 for an address
 * of either family. (A length that the set does not have yet must be added to len[] first, which
 * `shuntctl set add` does under its lock.)
 */
struct shunt_timed_key {
	__u8 addr[16]; /* bits behind len are 0 */
	__u32 set;     /* index in timed_sets */
	__u32 len;     /* 0..128, of IPv4 96..128 */
};

/*
 * A set that may have such prefixes, and the lengths they have: packets look for each. A place
 * in len[] stays where it is, since packets read it while it is written.
 */
struct shunt_timed_set {
	char name[SHUNT_NAME_LEN]; /* "": free */
	__u8 n[2];		   /* lengths: IPv4, IPv6; the first is 128, always */
	__u8 reserved[6];
	__u8 len[2][132];	   /* SHUNT_TIMED_NO_LEN: not in use any more */
};
enum { SHUNT_TIMED_NO_LEN = 255 };

/* ---- map: rule_stats (ARRAY, SHUNT_MAX_RULES) --------------------------------------- */
struct shunt_rule_stat {
	__u64 packets;	/* packets this rule decided */
	__u64 bytes;	/* their length from the IP header on */
	__u64 flows;	/* flows it decided: TCP SYNs and first datagrams */
	__u64 last_hit; /* ns, 0 never */
	__u64 limit_tat; /* ns: when the token bucket of `limit ... per rule` is full again */
};

/* ---- map: limits (LRU_HASH): the same word for each source of `limit ... per src` ------- */
struct shunt_limit_key {
	__u8 saddr[16];
	__u32 stat; /* of the rule */
	__u32 reserved;
};

/* ---- maps: targets (ARRAY, SHUNT_MAX_TARGETS), sockets (SOCKMAP) --------------------- */
enum shunt_target_kind {
	SHUNT_TARGET_FREE = 0,
	SHUNT_TARGET_PLAIN,   /* registered by a server itself, as shuntd does */
	SHUNT_TARGET_ADOPTED, /* sockets copied from a running server */
	SHUNT_TARGET_LISTEN,  /* address and port in this network namespace */
};

struct shunt_target {
	char name[SHUNT_NAME_LEN];
	__u8 kind;	 /* enum shunt_target_kind */
	__u8 reserved0;
	__u16 slots;	 /* slots 0..slots-1 of each family may hold sockets */
	__u32 pid;	 /* of the server, as it was when registered; 0 unknown */
	__u32 reserved[6];
};

/* Index of a target's socket in the map sockets; family is 0 for IPv4, 1 for IPv6. */
#define SHUNT_SOCKET_INDEX(target, v6, slot)                                                   \
	(((target) * 2 + ((v6) ? 1 : 0)) * SHUNT_TARGET_SLOTS + (slot))

/* ---- maps: flows, backstop, frags (LRU_HASH) ----------------------------------------- */
struct shunt_tuple {
	__u8 saddr[16];
	__u8 daddr[16];
	__be16 sport;
	__be16 dport;
	__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 reserved[3];
};

/*
 * A steered flow, noted when its first packet was decided. With target 0: a flow that is not
 * steered although a socket of ours is in TIME_WAIT on its tuple.
 */
struct shunt_flow {
	__u64 since;	/* ns */
	__u32 rule;	/* priority of the rule that decided */
	__u32 socket;	/* index in the map sockets of the listener it was given to */
	__u16 target;
	__u8 dir;	/* enum shunt_dir */
	__u8 reserved[5];
};

/* ---- map: routed (LRU_HASH): flows that a rule routes, and the ways back of them --------- */

enum shunt_routed_flag {
	SHUNT_ROUTED_REPLY = 1 << 0,	   /* the way back */
	SHUNT_ROUTED_FAIL_CLOSED = 1 << 1, /* drop when no next hop is alive */
	SHUNT_ROUTED_PEER = 1 << 2,	   /* oif is a veth, and packets go into its peer */
};

struct shunt_routed {
	__u64 since;   /* ns */
	__u64 seen;    /* ns: when its last packet came, to a second; of UDP only */
	__u64 checked; /* ns: when its way was asked for, 0 never; what follows it is as of then */
	__u32 rule;    /* priority of the rule that decided */
	__u32 hop;     /* id of the next hop, 0 none yet */
	__u16 group;   /* in hops, 0 the routing table */
	__u16 serial;  /* of the group */
	__u8 flags;    /* enum shunt_routed_flag */
	__u8 reserved[3];
	__u32 asked;   /* s, about: when one went by the neighbour code; of SHUNT_ROUTED_PEER */
	__u32 oif;     /* interface it leaves by */
	__u32 mtu;     /* of the way */
	__u8 dmac[6], smac[6];
};

/* ---- maps: hops (ARRAY by group), hop_states (LRU_HASH by id) --------------------------- */

/* Where a routed flow may go. */
struct shunt_hop {
	__u8 addr[16];	 /* zero: no address was given, dev's own route to the destination holds */
	char dev[SHUNT_IFNAME_LEN]; /* "" none was given */
	__u32 ifindex;	 /* of dev, 0 none was given or it is absent */
	__u32 weight;	 /* 1..255 */
	__u32 id;	 /* made from address and device: the same hop has the same in each group */
	__u32 reserved;
};

/* A group; the one that a rule's `via ADDR` and `dev IFACE` make has no name. */
struct shunt_hop_group {
	char name[SHUNT_NAME_LEN];
	__u16 serial; /* changes when the place gets another group */
	__u8 used;
	__u8 live;    /* which of the lists holds; the other one is written, then this is changed */
	__u32 reserved[3];
	struct {
		__u32 n;
		__u32 reserved[3];
		struct shunt_hop hop[SHUNT_GROUP_HOPS];
	} list[2];
};

struct shunt_hop_state {
	__u64 bad_since; /* ns: since when it does not resolve, 0 it does */
	__u64 tried;	 /* ns: when a packet was last sent there nevertheless */
};

/*
 * ---- map: udp_flows (LRU_HASH): UDP flows that were left alone -------------------------
 * The value is a __u64: ns, when its last datagram came, to a second.
 */
struct shunt_udp_key {
	struct shunt_tuple tuple;
	__u32 ifindex; /* where it comes by: rules may say `on` */
	__u8 dir;      /* enum shunt_dir */
	__u8 reserved[3];
};

/* ---- map: events (RINGBUF): a flow that a rule with `log` or `audit` decided ------------- */
struct shunt_event {
	__u64 time; /* ns */
	struct shunt_tuple tuple;
	__u32 rule; /* priority */
	__u32 ifindex;
	__u8 action;  /* enum shunt_action */
	__u8 outcome; /* enum shunt_counter of the exit; AUDITED for an audit rule */
	__u8 dir;     /* enum shunt_dir */
	__u8 reserved[5];
};

/*
 * ---- map: recent (PERCPU_ARRAY by hash): what was left alone a moment ago ---------------
 * Not pinned: nothing but the programs uses it.
 */
struct shunt_recent {
	struct shunt_tuple tuple;
	__u64 where; /* interface, enum shunt_dir */
	__u64 since; /* jiffies, 0 never */
	__u32 beginnings; /* counted in the tuple's bucket before it was judged */
	__u32 exit;  /* enum shunt_counter */
};

/* A tuple whose next listener lookup the SK_LOOKUP program answers. */
struct shunt_backstop {
	__u64 until;	/* ns; later lookups are not answered */
	__u32 socket;	/* index in the map sockets */
	__u32 reserved;
};

struct shunt_frag_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 id;	/* network byte order; IPv4: the 16-bit identification */
	__u8 proto;
	__u8 reserved[3];
};

/* ---- maps: devices (ARRAY by slot), device_slots (HASH ifindex -> slot) ---------------- */
enum shunt_device_flag {
	SHUNT_DEV_USED = 1 << 0,
	SHUNT_DEV_IN = 1 << 1,	       /* ingress program attached */
	SHUNT_DEV_OUT = 1 << 2,	       /* egress program attached */
	SHUNT_DEV_LO = 1 << 3,	       /* the loopback device of local outbound */
	SHUNT_DEV_L3 = 1 << 4,	       /* no link header */
	SHUNT_DEV_TCX = 1 << 5,	       /* attached by tcx, else by clsact */
	SHUNT_DEV_MADE_CLSACT = 1 << 6, /* the clsact qdisc is our making */
	SHUNT_DEV_PEER = 1 << 7,       /* a veth: what is routed to it goes into its peer */
};

struct shunt_device {
	char name[SHUNT_IFNAME_LEN]; /* "": never used, and none behind it; "/": free again */
	__u32 ifindex; /* 0 while the device is absent */
	__u32 flags;   /* enum shunt_device_flag */
	__u32 reserved[2];
};

/* ---- map: instance (ARRAY, one): what `up` made, for `down` to take away --------------- */
enum shunt_instance_flag {
	SHUNT_INST_ACCEPT_LOCAL = 1 << 0, /* lo.accept_local was 0 and is ours to restore */
	SHUNT_INST_LOOPBACK = 1 << 1,	  /* delivery by lo: no routing rules and routes */
};

struct shunt_instance {
	__u32 magic;
	__u32 abi;
	__u32 steer_mark; /* one bit */
	__u32 own_mark;	  /* one bit */
	__u32 table;
	__u32 pref;
	__u32 flags;	  /* enum shunt_instance_flag */
	__u32 reserved0;
	__u64 netns_cookie; /* of the namespace; its inode number may be another's one day */
	__u32 reserved[6];
};

/* ---- map: explain (ARRAY, one): what a test run of the program decided ------------------ */

/*
 * `shuntctl explain` runs the loaded program (BPF_PROG_TEST_RUN) with these words in
 * __sk_buff.cb. Such a run counts nothing, remembers nothing, and writes the record.
 */
#define SHUNT_EXPLAIN_CB0 SHUNT_MAGIC
#define SHUNT_EXPLAIN_CB1 (~SHUNT_MAGIC)
/* cb[2]: uid to assume; the cgroups to assume stand in the record. */

struct shunt_explain {
	__u32 ran;	  /* set to 1 by the program */
	__u32 counter;	  /* enum shunt_counter of the exit */
	__u32 action;	  /* enum shunt_action, NONE if no rule matched */
	__u32 priority;	  /* of the rule, if action is not NONE */
	__u32 target;
	__u32 socket;	  /* index in the map sockets, ~0 none */
	__u32 sk_state;	  /* TCP state of an existing socket of this tuple, 0 none */
	__u64 generation;
	__u32 verdict;	  /* the tc verdict */
	__u32 oif;	  /* routed: interface it leaves by, 0 none */
	__u8 via[16];	  /* routed: the next hop's address */
	/* Written before the run: the id of the sender's cgroup at each level, 0 unknown. */
	__u64 cgroup[SHUNT_CGROUP_LEVELS];
};

/* ---- names under /sys/fs/bpf/shunt/NETNS/INSTANCE --------------------------------------- */
#define SHUNT_PIN_ROOT "/sys/fs/bpf/shunt"

#ifndef __bpf__
#include <assert.h>
static_assert(sizeof(struct shunt_tuple) == 40, "key without holes");
static_assert(sizeof(struct shunt_udp_key) == 48, "key without holes");
static_assert(sizeof(struct shunt_timed_key) == 24, "key without holes");
static_assert(sizeof(struct shunt_timed_set) == 304, "value without holes");
static_assert(sizeof(struct shunt_routed) == 64, "one cache line");
static_assert(sizeof(struct shunt_recent) == 64, "one cache line");
static_assert(sizeof(struct shunt_hop) == 48, "value without holes");
static_assert(sizeof(struct shunt_hop_group) == 48 + 2 * (16 + 48 * SHUNT_GROUP_HOPS),
	      "value without holes");
static_assert(sizeof(struct shunt_event) == 64, "record without holes");
static_assert(sizeof(struct shunt_target) == 64, "value without holes");
static_assert(sizeof(struct shunt_device) == 32, "value without holes");
static_assert(sizeof(struct shunt_instance) == 64, "value without holes");
static_assert(sizeof(struct shunt_explain) == 128, "value without holes");
#endif

#endif
