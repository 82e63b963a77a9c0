/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rule sets, packets and right answers, made ahead by a thread for each instance of struct
 * questions, and put in force there.
 */
#ifndef TEST_BPF_PREPARED_H
#define TEST_BPF_PREPARED_H

#include <pthread.h>

#include "questions.h"

struct prepared {
	struct random_case c;
	uint64_t seed;
	int instance, err; /* where it is in force; or -errno */
	struct ref_packet *packets; /* sorted */
	uint32_t *right;	    /* priority of the rule that decides, 0 none */
	uint32_t ends[QUESTION_WAYS];
};

struct preparer {
	struct questions *questions;
	struct random_options options;
	uint32_t n_packets;
	uint64_t first, last; /* seeds */
	/* private */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct prepared_thread {
		struct preparer *p;
		pthread_t thread;
		struct prepared v;
		bool ready;
	} threads[QUESTION_INSTANCES];
};

/* questions, options, n_packets, first and last are given. 0 or -ENOMEM. */
int preparer_start(struct preparer *p);
/* Each seed from first to last once, in order, and given back. */
struct prepared *preparer_get(struct preparer *p, uint64_t seed);
void preparer_give_back(struct preparer *p, uint64_t seed);
/* After the last; not after a failure. */
void preparer_end(struct preparer *p);

#endif
