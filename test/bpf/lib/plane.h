/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The steering plane as shunt_up() makes it, in a private network namespace with one veth pair:
 *
 *     "far" --veth-- "near"    our ingress program is on near; far sends nothing by itself
 *
 * Frames go in by BPF_PROG_TEST_RUN of the pinned programs, or by the wire, from far. A failure
 * of the set-up fails the test that is running. All that is made goes when the process ends.
 */
#ifndef TEST_BPF_PLANE_H
#define TEST_BPF_PLANE_H

#include "frame.h"
#include "instance.h"
#include "oracle.h"

#define PLANE_DEVICE "near"
#define PLANE_FAR "far"
/* Addresses of near. */
#define PLANE_ADDR4 "10.77.0.1"
#define PLANE_ADDR6 "fd77::1"

enum {
	PLANE_OTHER_MARK = 0x40, /* a bit that is not ours: must survive */
};

struct plane {
	struct shunt *s;
	uint32_t ifindex;
	uint8_t mac[6];
	struct shunt_rules rules; /* in force */
	int listener[2];	  /* of the target 'default': IPv4, IPv6; on loopback addresses */
	bool udp_goes_on;	  /* else each datagram given to it begins a flow */
	int wire;		  /* AF_PACKET on far, -1 not yet open */
	int ring;		  /* with a TX ring: frames of which 14 bytes are linear */
	uint8_t *ring_frame;
	uint64_t counters[SHUNT_CTR_MAX]; /* as last read */
};

/* cmocka group fixtures: *state is a struct plane. */
int plane_up(void **state);
int plane_down(void **state);

/* Put rules in force, a rule a line. */
void plane_rules(struct plane *p, const char *text);

/* net.ipv4.ip_forward and its like for IPv6. */
void plane_forwarding(bool on);

struct plane_run {
	enum instance_prog prog;
	bool explain;	 /* leave no trace; bpf_sk_assign is taken to work */
	uint32_t uid;	 /* explain at egress: who sends */
	uint32_t mark;	 /* before, without PLANE_OTHER_MARK which is always set */
	uint32_t iif;	 /* ingress_ifindex */
	uint32_t gso_size;
};

struct plane_result {
	int verdict;
	uint32_t mark; /* after */
	struct shunt_explain ex; /* explain runs only */
};

/* Why a test run cannot have this frame (the kernel wants whole IP headers): use the wire. */
bool plane_needs_wire(const struct frame *f);
void plane_test_run(struct plane *p, const struct plane_run *run, const struct frame *f,
		    struct plane_result *out);

/* A plain run at ingress: the exit. *steered may be NULL. */
enum shunt_counter plane_ingress(struct plane *p, const struct frame *f, bool *steered);

/*
 * Which counter went up since the last call. Exactly one exit must have been taken; what counts
 * no exit goes to events, if given: a bit per counter.
 */
enum shunt_counter plane_exit(struct plane *p, uint64_t *events);
/* Forget what was counted. */
void plane_sync(struct plane *p);

/* Send by the wire and wait until the program has counted it. */
void plane_send(struct plane *p, const struct frame *f);
/* The same with only the link header in the linear part. At least 15 bytes. */
void plane_send_nonlinear(struct plane *p, const struct frame *f);

/*
 * Frame against oracle: an explain run and a plain run at ingress, or the wire if they cannot
 * be; counter, verdict and mark. Returns the exit of the explain run (of the wire).
 */
enum shunt_counter plane_check(struct plane *p, const struct frame *f, const char *what);

#endif
