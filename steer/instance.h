/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One open instance: its pins as descriptors. Private to libshunt. */
#ifndef SHUNT_INSTANCE_H
#define SHUNT_INSTANCE_H

#include <limits.h>

#include "shunt/shunt.h"

/* X(member and pin name): the maps user space works with. */
#define INSTANCE_MAPS(X)                                                                       \
	X(ruleset) X(rule_stats) X(targets) X(sockets) X(flows) X(udp_flows) X(backstop)       \
	X(frags) X(counters) X(devices) X(device_slots) X(explain) X(limits) X(events)         \
	X(routed) X(hops) X(hop_states) X(timed) X(timed_sets) X(instance)

/* The programs, pinned as "prog_" and this name. */
enum instance_prog {
	PROG_IN_ETH,
	PROG_IN_L3,
	PROG_OUT_ETH,
	PROG_OUT_L3,
	PROG_LO,
	PROG_BACKSTOP,
	PROG_MAX
};

struct shunt {
	char dir[PATH_MAX];
	struct {
#define INSTANCE_MAP_FD(name) int name;
		INSTANCE_MAPS(INSTANCE_MAP_FD)
#undef INSTANCE_MAP_FD
	} map; /* descriptors */
	int prog[PROG_MAX];
	struct shunt_instance info;
	bool impatient; /* shunt_set_impatient() */
	/* What rules compiled through this handle name: not to be collected. */
	bool hops_named[SHUNT_MAX_GROUPS];
	bool devices_named[SHUNT_MAX_DEVICES];
	char timed_names[SHUNT_MAX_TIMED_SETS][SHUNT_NAME_LEN]; /* of timed_sets, as last seen */
	uint32_t timed_ruleset; /* id of the generation that timed_known is about */
	uint32_t timed_known;	/* bits by place: it has been seen to know these */
	struct event_reader *events; /* of shunt_events_poll(), NULL before */
};

void event_reader_free(struct event_reader *reader);

/* All descriptors -1. */
void instance_init(struct shunt *s);
/* Close what is open. */
void instance_release(struct shunt *s);

/*
 * Load the programs with the marks of s->info and pin maps and programs in s->dir, the map
 * `instance` last: where it stands, all others do. On failure the directory is removed.
 */
int instance_load(struct shunt *s);

/*
 * Open the pins in s->dir. -ENOENT, without a message, if the instance is not there or was
 * never finished, or is left from a namespace that is gone; -EPROTO with a message if another
 * version made it; -ESTALE with a message if pins are missing: what is there is open then.
 */
int instance_open(struct shunt *s);

/*
 * The same for taking it away, for which an instance of an older version will do, too: of that one
 * only `instance`, `devices`, `device_slots` and the programs are opened.
 */
int instance_open_for_down(struct shunt *s);

/*
 * Take the lock for a change through an open handle; the descriptor, which gives it back when it
 * is closed. -ENOENT with a message if the instance was taken down meanwhile; -EAGAIN without one
 * if the handle is impatient, and someone else has it.
 */
int instance_lock(struct shunt *s);

/* Refuse (-EEXIST) marks that another instance of this network namespace uses. */
int instance_check_marks(const struct shunt *s);

/* Write s->info back to its map. */
int instance_save(struct shunt *s);

#endif
