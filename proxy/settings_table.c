/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings.h"

#include <string.h>

#include "shunt/abi.h"

static const char *const source_words[] = {
	[SOURCE_PROXY] = "proxy",
	[SOURCE_CLIENT] = "client",
	[SOURCE_CLIENT_PORT] = "client-port",
	[SOURCE_POOL] = "pool",
	NULL,
};

static const char *const destination_words[] = {
	[DESTINATION_SOCKET] = "socket",
	[DESTINATION_CONNTRACK] = "conntrack",
	NULL,
};

static const char *const splice_words[] = {
	[SPLICE_AUTO] = "auto",
	[SPLICE_NEVER] = "never",
	[SPLICE_ALWAYS] = "always",
	NULL,
};

static const char *const balance_words[] = {
	[BALANCE_ROUNDROBIN] = "roundrobin",
	[BALANCE_LEASTCONN] = "leastconn",
	[BALANCE_SOURCE] = "source",
	NULL,
};

static const char *const via_words[] = {
	[VIA_NONE] = "none",
	[VIA_SOCKS5] = "socks5",
	[VIA_CONNECT] = "connect",
	NULL,
};

static const char *const header_words[] = {
	[HEADER_NONE] = "none",
	[HEADER_V1] = "v1",
	[HEADER_V2] = "v2",
	NULL,
};

static const char *const pick_words[] = {
	[PICK_ROUNDROBIN] = "roundrobin",
	[PICK_LEASTCONN] = "leastconn",
	NULL,
};

enum { DAY = 86400 };

#define OPTION(field) .scope = SETTING_OPTION, .at = offsetof(struct settings, field)
#define PROCESS(field) .scope = SETTING_PROCESS, .at = offsetof(struct settings, field)
#define TARGET(field) .scope = SETTING_TARGET, .at = offsetof(struct target_settings, field)
#define KEY(field) .scope = SETTING_KEY, .at = offsetof(struct target_settings, field)
#define ALONE(field) .scope = SETTING_ALONE, .at = offsetof(struct target_settings, field)

const struct setting settings_table[] = {
	{ "config", 'c', OPTION(config), .type = SETTING_TEXT, .argument = "FILE",
	  .help = "read settings from a YAML file; options win" },
	{ "takeover", 0, OPTION(takeover), .type = SETTING_FLAG,
	  .help = "take over from the shuntd that serves the targets, if there is one" },
	{ "target", 't', ALONE(name), .type = SETTING_NAME, .argument = "TARGET",
	  .initial = "default", .help = "name under which rules refer to this proxy" },
	{ "instance", 0, PROCESS(instance), .type = SETTING_NAME, .argument = "NAME",
	  .initial = "default", .fixed = true,
	  .help = "instance of the steering to register with" },
	{ "netns", 0, PROCESS(netns), .type = SETTING_TEXT, .argument = "NAME|PATH",
	  .fixed = true,
	  .help = "network namespace to work in" },
	{ "workers", 0, PROCESS(workers), .type = SETTING_NUMBER, .min = 1,
	  .max = SHUNT_TARGET_SLOTS, .argument = "N",
	  .fixed = true,
	  .help = "threads that relay; default: one per CPU" },
	{ "port", 0, PROCESS(port), .type = SETTING_NUMBER, .min = 1, .max = 65535,
	  .argument = "N",
	  .fixed = true,
	  .help = "port of the first worker's listeners, the others follow; default: any" },
	{ "drain-timeout", 0, PROCESS(drain_timeout), .type = SETTING_NUMBER, .min = 0,
	  .max = DAY, .argument = "S", .initial = "30",
	  .help = "seconds open flows have to finish after SIGTERM" },
	{ "max-connections", 0, PROCESS(max_connections), .type = SETTING_NUMBER, .min = 1,
	  .max = 100000000, .argument = "N",
	  .help = "flows at once; default: what the descriptor limit allows" },
	{ "buffers", 0, PROCESS(buffers), .type = SETTING_NUMBER, .min = 1, .max = 65536,
	  .argument = "N", .initial = "16",
	  .help = "MiB held for slow receivers; above that a flow holds 4 KiB at most" },
	{ "backlog", 0, PROCESS(backlog), .type = SETTING_NUMBER, .min = 1, .max = 1000000,
	  .argument = "N", .initial = "4096", .fixed = true,
	  .help = "connections of a listener that may wait; net.core.somaxconn is the limit" },
	{ "busy-poll", 0, PROCESS(busy_poll), .type = SETTING_NUMBER, .min = 0, .max = 1000,
	  .argument = "US", .initial = "0",
	  .help = "microseconds to ask for events before sleeping, where that pays; 0: never" },
	{ "original-destination", 0, PROCESS(original_destination), .type = SETTING_CHOICE,
	  .words = destination_words, .argument = "FROM", .initial = "socket", .fixed = true,
	  .help = "where to read it: socket (steered, TPROXY) or conntrack (REDIRECT)" },
	{ "user", 0, PROCESS(user), .type = SETTING_TEXT, .argument = "USER",
	  .initial = "nobody", .fixed = true,
	  .help = "user the worker process runs as" },
	{ "control-group", 0, PROCESS(control_group), .type = SETTING_TEXT, .argument = "GROUP",
	  .fixed = true,
	  .help = "group that may use the control socket; default: root alone" },

	{ "source", 0, TARGET(source), .type = SETTING_CHOICE, .words = source_words,
	  .argument = "MODE", .initial = "proxy",
	  .help = "address the server sees: proxy, client, client-port or pool" },
	{ "source-pool", 0, TARGET(source_pool), .type = SETTING_PREFIXES, .argument = "LIST",
	  .help = "addresses and prefixes of the pool" },
	{ "source-pick", 0, TARGET(source_pick), .type = SETTING_CHOICE, .words = pick_words,
	  .argument = "HOW", .initial = "roundrobin",
	  .help = "choice of an address of the pool: roundrobin or leastconn" },
	{ "source-ports", 0, TARGET(source_ports), .type = SETTING_PORTS,
	  .argument = "LOW-HIGH",
	  .help = "ports to connect from; default: those of the host" },
	{ "splice", 0, TARGET(splice), .type = SETTING_CHOICE, .words = splice_words,
	  .argument = "WHEN", .initial = "auto",
	  .help = "move bytes in the kernel: auto (thick streams), never or always" },
	{ "log-flows", 0, TARGET(log_flows), .type = SETTING_FLAG,
	  .help = "print a line for each flow at its end" },
	{ "connect-timeout", 0, TARGET(connect_timeout), .type = SETTING_NUMBER, .min = 1,
	  .max = DAY, .argument = "S", .initial = "10",
	  .help = "seconds a server has to accept" },
	{ "idle-timeout", 0, TARGET(idle_timeout), .type = SETTING_NUMBER, .min = 1,
	  .max = 100 * DAY, .argument = "S", .initial = "7440",
	  .help = "seconds a flow may be silent" },
	{ "half-closed-timeout", 0, TARGET(half_closed_timeout), .type = SETTING_NUMBER,
	  .min = 1, .max = DAY, .argument = "S", .initial = "60",
	  .help = "seconds of silence after one side has finished" },
	{ "keepalive-idle", 0, TARGET(keepalive_idle), .type = SETTING_NUMBER, .min = 0,
	  .max = 32767, .argument = "S", .initial = "180",
	  .help = "seconds of silence before a peer is probed; 0: it is not" },
	{ "keepalive-interval", 0, TARGET(keepalive_interval), .type = SETTING_NUMBER,
	  .min = 1, .max = 32767, .argument = "S", .initial = "60",
	  .help = "seconds from probe to probe" },
	{ "keepalive-count", 0, TARGET(keepalive_count), .type = SETTING_NUMBER, .min = 1,
	  .max = 127, .argument = "N", .initial = "5",
	  .help = "probes without an answer that end the flow" },
	{ "user-timeout", 0, TARGET(user_timeout), .type = SETTING_NUMBER, .min = 0,
	  .max = DAY, .argument = "S", .initial = "0",
	  .help = "seconds bytes may stay unacknowledged; 0: as long as the kernel tries" },
	{ "fast-open", 0, TARGET(fast_open), .type = SETTING_FLAG,
	  .help = "TCP Fast Open: take data in a client's SYN" },
	{ "fast-open-servers", 0, TARGET(fast_open_servers), .type = SETTING_FLAG,
	  .help = "TCP Fast Open: send a client's first bytes in the SYN to the server" },
	{ "upstreams", 0, TARGET(upstreams), .type = SETTING_UPSTREAMS, .argument = "LIST",
	  .help = "connect to these, ADDR:PORT [weight N], not to the original destination" },
	{ "balance", 0, TARGET(balance), .type = SETTING_CHOICE, .words = balance_words,
	  .argument = "HOW", .initial = "roundrobin",
	  .help = "choice of an upstream: roundrobin, leastconn or source" },
	{ "retries", 0, TARGET(retries), .type = SETTING_NUMBER, .min = 0,
	  .max = UPSTREAMS_MAX - 1, .argument = "N", .initial = "3",
	  .help = "other upstreams to try where one cannot be reached" },
	{ "health-interval", 0, TARGET(health_interval), .type = SETTING_NUMBER, .min = 1,
	  .max = DAY, .argument = "S",
	  .help = "seconds between checks of each upstream; default: no checks" },
	{ "health-timeout", 0, TARGET(health_timeout), .type = SETTING_NUMBER, .min = 1,
	  .max = DAY, .argument = "S", .initial = "3",
	  .help = "seconds an upstream has to accept a check" },
	{ "health-rise", 0, TARGET(health_rise), .type = SETTING_NUMBER, .min = 1, .max = 100,
	  .argument = "N", .initial = "2",
	  .help = "checks in a row that bring an upstream back" },
	{ "health-fall", 0, TARGET(health_fall), .type = SETTING_NUMBER, .min = 1, .max = 100,
	  .argument = "N", .initial = "3",
	  .help = "failed checks in a row that take an upstream out" },
	{ "fail-limit", 0, TARGET(fail_limit), .type = SETTING_NUMBER, .min = 0, .max = 1000,
	  .argument = "N", .initial = "3",
	  .help = "failed connections in a row that take an upstream out; 0: none do" },
	{ "fail-hold", 0, TARGET(fail_hold), .type = SETTING_NUMBER, .min = 1, .max = DAY,
	  .argument = "S", .initial = "10",
	  .help = "seconds an upstream stays out after fail-limit" },
	{ "via", 0, TARGET(via), .type = SETTING_CHOICE, .words = via_words,
	  .argument = "HOW", .initial = "none",
	  .help = "the upstreams are proxies: socks5, connect (HTTP), or none" },
	{ "via-user", 0, TARGET(via_user), .type = SETTING_FIELD, .argument = "USER",
	  .help = "user at these proxies; default: no login" },
	{ "via-password", 0, KEY(via_password), .type = SETTING_FIELD, .argument = "TEXT",
	  .help = "password of via-user" },
	{ "destination", 0, TARGET(destination), .type = SETTING_PEER,
	  .argument = "NAME:PORT",
	  .help = "where these proxies shall connect to; default: the original destination" },
	{ "proxy-protocol", 0, TARGET(proxy_protocol), .type = SETTING_CHOICE,
	  .words = header_words, .argument = "VERSION", .initial = "none",
	  .help = "begin with a PROXY protocol header: v1, v2 or none" },
	{ "handshake-timeout", 0, TARGET(handshake_timeout), .type = SETTING_NUMBER, .min = 1,
	  .max = DAY, .argument = "S", .initial = "10",
	  .help = "seconds a proxy has to connect to the destination" },
	{ "learn", 0, TARGET(learn), .type = SETTING_LEARN, .argument = "LIST",
	  .help = "put destinations into sets for a time, by bytes or flows: see docs/learning.md" },
	{ "limit-connections", 0, TARGET(limit_connections), .type = SETTING_NUMBER, .min = 1,
	  .max = 100000000, .argument = "N",
	  .help = "connections at once" },
	{ "limit-rate", 0, TARGET(limit_rate), .type = SETTING_NUMBER, .min = 1,
	  .max = 1000000000, .argument = "N",
	  .help = "new connections in a second" },
	{ "limit-bytes", 0, TARGET(limit_bytes), .type = SETTING_NUMBER, .min = 1,
	  .max = UINT32_MAX, .argument = "N",
	  .help = "bytes in a second, in each direction" },
	{ "limit-source-connections", 0, TARGET(limit_source_connections), .type = SETTING_NUMBER, .min = 1,
	  .max = 1000000, .argument = "N",
	  .help = "of each client address: connections at once" },
	{ "limit-source-rate", 0, TARGET(limit_source_rate), .type = SETTING_NUMBER, .min = 1,
	  .max = 1000000000, .argument = "N",
	  .help = "of each client address: new connections in a second" },
	{ "limit-source-bytes", 0, TARGET(limit_source_bytes), .type = SETTING_NUMBER, .min = 1,
	  .max = UINT32_MAX, .argument = "N",
	  .help = "of each client address: bytes in a second, in each direction" },
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

const struct setting *settings_find(const char *name)
{
	for (size_t i = 0; i < settings_count; i++)
		if (!strcmp(settings_table[i].name, name))
			return &settings_table[i];
	return NULL;
}
