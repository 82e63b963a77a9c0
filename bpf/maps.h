/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of one instance. Keys, values and sizes are those of shunt/abi.h; user space pins
 * each map but `recent` by its name below SHUNT_PIN_ROOT.
 */
#ifndef SHUNT_BPF_MAPS_H
#define SHUNT_BPF_MAPS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shunt/abi.h"
#include "shunt/arena.h"

/* Set before load, constant while loaded. */
const volatile __u32 steer_mark = 0;
const volatile __u32 own_mark = 0;
const volatile __u32 early_demux = 1; /* of TCP, by the kernel: sysctls, as `up` found them */
const volatile __u32 by_loopback = 0; /* loopback.h; else a routing rule delivers */
const volatile __u32 recent_jiffies = 0; /* how long recent.h remembers; 0 not at all */
const volatile __u32 hash_seed = 0; /* so that nobody outside can aim at one worker */

/*
 * No tuple waits for the SK_LOOKUP program after this time. Each listener lookup of the network
 * namespace runs that program, our own look for a socket among them: nearly always it ends here.
 */
static __u64 backstop_until;

/*
 * Set by the first flow that is routed: until then no packet is looked up for one. Not static:
 * clang would make it a byte, and say in the BTF that it is four, which the kernel refuses.
 */
__u32 routes_in_use = 0;

struct generation {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, SHUNT_PAGE);
	__uint(max_entries, 1);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 1);
	__array(values, struct generation);
} ruleset SEC(".maps");

/* Not preallocated: most instances have few or none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shunt_timed_key);
	__type(value, __u64); /* ns: when it expires */
	__uint(max_entries, SHUNT_MAX_TIMED);
} timed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_timed_set);
	__uint(max_entries, SHUNT_MAX_TIMED_SETS);
} timed_sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_rule_stat);
	__uint(max_entries, SHUNT_MAX_RULES);
} rule_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_target);
	__uint(max_entries, SHUNT_MAX_TARGETS);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__type(key, __u32);
	__type(value, __u64); /* read back as socket cookies */
	__uint(max_entries, SHUNT_MAX_SOCKETS);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_tuple);
	__type(value, struct shunt_flow);
	__uint(max_entries, SHUNT_MAX_FLOWS);
} flows SEC(".maps");

/* Not in `flows`: whoever sprays datagrams must not make flows of a proxy forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_udp_key);
	__type(value, __u64); /* ns: last datagram */
	__uint(max_entries, SHUNT_MAX_UDP_FLOWS);
} udp_flows SEC(".maps");

/* recent.h */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_recent);
	__uint(max_entries, SHUNT_MAX_RECENT);
} recent SEC(".maps");

/* Not in `flows` either, for the same reason. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_tuple);
	__type(value, struct shunt_routed);
	__uint(max_entries, SHUNT_MAX_ROUTED);
} routed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_hop_group);
	__uint(max_entries, SHUNT_MAX_GROUPS);
} hops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32);
	__type(value, struct shunt_hop_state);
	__uint(max_entries, SHUNT_MAX_HOP_STATES);
} hop_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_tuple);
	__type(value, struct shunt_backstop);
	__uint(max_entries, SHUNT_MAX_BACKSTOP);
} backstop SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_limit_key);
	__type(value, __u64);
	__uint(max_entries, SHUNT_MAX_LIMITS);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SHUNT_EVENT_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct shunt_frag_key);
	__type(value, __u64); /* time of the first fragment, ns */
	__uint(max_entries, SHUNT_MAX_FRAGS);
} frags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, SHUNT_CTR_MAX);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_device);
	__uint(max_entries, SHUNT_MAX_DEVICES);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* ifindex */
	__type(value, __u32); /* slot in devices */
	__uint(max_entries, SHUNT_MAX_DEVICES);
} device_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_instance);
	__uint(max_entries, 1);
} instance SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_explain);
	__uint(max_entries, 1);
} explain SEC(".maps");

#endif
