/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rule sets and packets of random_rules.h for the loaded programs: some instances, each with a
 * generation of its own in force, and what their programs say to many packets.
 *
 * They are in the network namespace of a plane that is up. Nothing is attached.
 */
#ifndef TEST_BPF_QUESTIONS_H
#define TEST_BPF_QUESTIONS_H

#include "batch.h"
#include "compile.h"
#include "plane.h"
#include "random_rules.h"

enum {
	/* Packets of one way come in frames that differ in addresses and ports only. */
	QUESTION_WAYS = 2 * RANDOM_DEVICES * 2 * 2,
	/* Putting a generation in force waits for the kernel; several wait no longer than one. */
	QUESTION_INSTANCES = 6,
};

struct questions {
	struct shunt instances[QUESTION_INSTANCES];
	struct batch batches[QUESTION_INSTANCES];
	uint32_t ifindex[RANDOM_DEVICES];
	uint8_t mac[RANDOM_DEVICES][6];
	struct names names; /* but for ctx */
};

/* cmocka group fixtures: *state is a struct questions. They make a plane, too. */
int questions_up(void **state);
int questions_down(void **state);

/* Order them by way; ends[w] is behind the last of way w. */
void questions_sort(struct ref_packet *packets, uint32_t n, uint32_t ends[QUESTION_WAYS]);

/* Put rules and sets in force; 0 or -errno. May be called by a thread for each instance. */
int questions_load(struct questions *q, int instance, const struct random_case *c);

/* Ask about n <= BATCH_MAX packets, sorted; returns the answers. */
const struct batch_answer *questions_ask(struct questions *q, int instance,
					 const struct ref_packet *packets, uint32_t n,
					 const uint32_t ends[QUESTION_WAYS]);

/* "in tcp on dev1 from ... sport ... to ... port ..." into buf; returns buf. */
char *question_text(char *buf, size_t size, const struct ref_packet *p);

#endif
