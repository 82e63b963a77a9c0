/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs of test/probe.bpf.c, loaded, and what names stand for in them. */
#ifndef SHUNT_TEST_PROBE_RUN_H
#define SHUNT_TEST_PROBE_RUN_H

#include <bpf/libbpf.h>

#include "probe.h"
#include "reference.h"

struct probe_run {
	struct bpf_object *object;
	int ruleset; /* the map whose slot 0 is the generation in force */
	int packet, packet_only, empty, tuples; /* programs */
	struct probe *probes; /* PROBE_MAX, shared with the kernel */
	struct probe_control *control;
};

/* 0 or -errno with a message. */
int probe_open(struct probe_run *run, const char *object);
void probe_close(struct probe_run *run);

/* Put the generation of this map in force. */
int probe_publish(struct probe_run *run, int generation);

/* Classify the first n probes. */
int probe_classify(struct probe_run *run, uint32_t n);

/* Mean of `repeat` runs of a program on the frame, in ns; -errno. */
int64_t probe_time(int program, const void *frame, size_t len, int repeat);

void probe_from_packet(struct probe *out, const struct ref_packet *p, uint32_t after);

/* Devices are "devN", cgroups any path; every target is 1. */
extern const struct names probe_names;

#endif
