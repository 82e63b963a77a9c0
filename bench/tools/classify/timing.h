/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the loaded ingress program of an instance takes for a packet. */
#ifndef BENCH_CLASSIFY_TIMING_H
#define BENCH_CLASSIFY_TIMING_H

#include "batch.h"
#include "cases.h"
#include "instance.h"

struct timing {
	struct shunt *s;
	struct batch batch;
	struct batch_run run;
	uint8_t mac[6];
	uint8_t frame[128];
};

/* These return 0 or -errno and give a message. */
int timing_open(struct timing *t, const char *device);
void timing_close(struct timing *t);
/*
 * Rounds of an empty program, one SYN again and again (hot), 65,536 different SYNs in turn
 * (varied), and an ACK of no flow of ours (established): {"rounds":[{"empty":...}...]}
 */
int timing_run(struct timing *t, struct bench_case *c, unsigned int rounds);
int timing_memory(void);

#endif
