/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a user can choose, once: settings_table feeds the command line, its help, the YAML file
 * and the tests of the docs. A setting is a key of the file and a long option of the same name.
 *
 * A setting is the process's or a target's. In the file a target's stands under targets: NAME:,
 * or at the top, where it holds for each target that does not say otherwise.
 */
#ifndef SHUNT_PROXY_SETTINGS_H
#define SHUNT_PROXY_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "address.h"
#include "shunt/abi.h"

enum source_mode {
	SOURCE_PROXY,	    /* the host's own address */
	SOURCE_CLIENT,	    /* the client's address, a port of the kernel's choice */
	SOURCE_CLIENT_PORT, /* the client's address and port */
	SOURCE_POOL,	    /* addresses of the settings */
};

/* How a flow's original destination is found. */
enum destination_mode {
	DESTINATION_SOCKET,    /* the accepted socket is bound to it: steered, TPROXY */
	DESTINATION_CONNTRACK, /* a NAT replaced it: REDIRECT, DNAT */
};

enum splice_mode {
	SPLICE_AUTO,  /* thick streams, for as long as they are */
	SPLICE_NEVER,
	SPLICE_ALWAYS,
};

enum balance_mode {
	BALANCE_ROUNDROBIN,
	BALANCE_LEASTCONN,
	BALANCE_SOURCE, /* consistent hash of the client's address */
};

enum pick_mode { PICK_ROUNDROBIN, PICK_LEASTCONN };

struct prefix {
	struct in6_addr ip; /* IPv4 is v4-mapped */
	uint32_t bits;	    /* of the 128; the others are 0 */
};

/* SETTING_PREFIXES */
struct prefix_list {
	struct prefix *v;
	uint32_t n;
};

enum { PREFIXES_MAX = 256 };

/* SETTING_PORTS; low 0: none given */
struct port_range {
	uint16_t low, high;
};

/* A proxy that the upstreams are. */
enum via_mode { VIA_NONE, VIA_SOCKS5, VIA_CONNECT };

enum header_mode { HEADER_NONE, HEADER_V1, HEADER_V2 };

struct upstream_spec {
	struct address address;
	uint32_t weight;
};

/* SETTING_UPSTREAMS; n 0: the original destination */
struct upstream_list {
	struct upstream_spec *v;
	uint32_t n;
};

enum { UPSTREAMS_MAX = 64, UPSTREAM_WEIGHT_MAX = 256 };

/* Destinations that go into a set: of which flows, and for how long. */
struct learn_spec {
	char set[SHUNT_NAME_LEN];
	uint64_t timeout; /* ns */
	uint64_t bytes;	  /* of flows that carry more; 0: not by bytes */
	uint32_t flows;	  /* after so many that ended well; 0: not by flows */
};

/* SETTING_LEARN */
struct learn_list {
	struct learn_spec *v;
	uint32_t n;
};

enum { LEARN_MAX = 8, LEARN_FLOWS_MAX = 10000 };

/*
 * Of one target. Read-only once the file and the options are read, so threads share it; it lives
 * until the last target_settings_put().
 */
struct target_settings {
	_Atomic uint32_t users;
	char *name;	/* owned, as every string here */
	uint32_t source; /* enum source_mode */
	struct prefix_list source_pool;
	uint32_t source_pick; /* enum pick_mode */
	struct port_range source_ports;
	uint32_t splice; /* enum splice_mode */
	bool log_flows;
	uint32_t connect_timeout; /* seconds, as all times here */
	uint32_t idle_timeout;
	uint32_t half_closed_timeout;
	uint32_t keepalive_idle; /* 0: no probes */
	uint32_t keepalive_interval, keepalive_count;
	uint32_t user_timeout;	 /* 0: the kernel's */
	bool fast_open, fast_open_servers;
	struct upstream_list upstreams;
	uint32_t balance; /* enum balance_mode */
	uint32_t retries;
	uint32_t health_interval; /* 0: no checks */
	uint32_t health_timeout;
	uint32_t health_rise, health_fall;
	uint32_t fail_limit; /* 0: connections that fail say nothing */
	uint32_t fail_hold;
	uint32_t via;		 /* enum via_mode */
	char *via_user, *via_password; /* NULL none */
	char *destination;	 /* for the proxy; NULL: the original one */
	uint32_t proxy_protocol; /* enum header_mode */
	uint32_t handshake_timeout;
	struct learn_list learn;
	/* 0: none */
	uint32_t limit_connections, limit_rate, limit_bytes;
	uint32_t limit_source_connections, limit_source_rate, limit_source_bytes;
};

struct settings {
	char **argv;	/* the command line, which is not ours */
	int argc;
	char *config;	/* NULL none */
	bool takeover;	/* from the shuntd that runs */
	char *instance;
	char *netns;	/* NULL: the caller's */
	char *user;
	char *control_group; /* NULL: root alone may use the control socket */
	uint32_t workers; /* 0: one per CPU */
	uint32_t port;	  /* of the first listeners; 0: the kernel chooses */
	uint32_t drain_timeout;
	uint32_t max_connections; /* 0: what the descriptor limit allows */
	uint32_t buffers; /* MiB */
	uint32_t backlog;
	uint32_t busy_poll; /* us */
	uint32_t original_destination; /* enum destination_mode */
	struct target_settings **targets; /* at least one; names differ */
	uint32_t n_targets;
	bool named_targets; /* they come from targets: of the file */
};

enum setting_scope {
	SETTING_OPTION,	 /* of the process, and no key of the file */
	SETTING_PROCESS,
	SETTING_TARGET,
	SETTING_KEY,	 /* of a target, and no option: others see the command line */
	SETTING_ALONE,	 /* of the only target, where the file has no targets: */
};

enum setting_type {
	SETTING_TEXT,
	SETTING_FIELD, /* text of a protocol: at most 255 bytes */
	SETTING_PEER,  /* peer_name.h */
	SETTING_NAME,
	SETTING_NUMBER,
	SETTING_CHOICE,
	SETTING_FLAG,
	SETTING_PORTS, /* LOW-HIGH */
	/* Lists: of the file, or with commas. */
	SETTING_UPSTREAMS,
	SETTING_PREFIXES,
	SETTING_LEARN,
};

struct setting {
	const char *name;
	char letter;		 /* 0 none */
	enum setting_scope scope;
	enum setting_type type;
	size_t at;		 /* offset in struct settings or struct target_settings */
	uint32_t min, max;	 /* SETTING_NUMBER */
	const char *const *words; /* SETTING_CHOICE, NULL-terminated, in the order of the enum */
	const char *argument;	 /* in help; NULL for a flag */
	const char *initial;	 /* NULL: unset, 0 or false */
	bool fixed;		 /* of the process, and stays what it was at its start */
	const char *help;
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* Everything has its default, and there is one target, "default". 0 or -ENOMEM. */
int settings_init(struct settings *s);
/* Lets go of the targets, too. */
void settings_release(struct settings *s);
const struct setting *settings_find(const char *name);
/*
 * Set one value from text, a target's in all targets. -EINVAL with err set ("workers: '0x': not
 * a number from 1 to 64") and *s as it was. A flag takes true or false; NULL means true.
 */
int settings_set(struct settings *s, const struct setting *setting, const char *value, char *err,
		 size_t err_size);

/* The first setting that is fixed and differs; NULL none. */
const struct setting *settings_fixed_difference(const struct settings *a,
						const struct settings *b);

/* With the defaults; *out has one user. 0 or -ENOMEM. */
int target_settings_new(struct target_settings **out, const char *name);
/* The same, of a single target. */
int target_settings_set(struct target_settings *t, const struct setting *setting,
			const char *value, char *err, size_t err_size);
struct target_settings *target_settings_get(struct target_settings *t);
void target_settings_put(struct target_settings *t);
/*
 * Do the settings of t go together? If not, -EINVAL with err and the setting at fault, which is
 * one that was given.
 */
int target_settings_check(const struct target_settings *t, const struct setting **at, char *err,
			  size_t err_size);
/* Take over t as the last of s. 0 or -ENOMEM. */
int settings_add_target(struct settings *s, struct target_settings *t);
/* NULL if there is none of that name. */
struct target_settings *settings_target(const struct settings *s, const char *name);

#endif
