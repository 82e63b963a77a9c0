/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Payload that says where it belongs: every byte depends on a key (flow and direction) and on
 * its offset, so a lost, doubled, moved or foreign byte is seen where it is.
 */
#ifndef TEST_TOOLS_PATTERN_H
#define TEST_TOOLS_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t pattern_key(uint64_t flow, int direction);
void pattern_fill(uint8_t *buf, size_t n, uint64_t key, uint64_t offset);
/* -1 if all n bytes are right, else the index of the first wrong one. */
ssize_t pattern_check(const uint8_t *buf, size_t n, uint64_t key, uint64_t offset);

/* The next number of a repeatable sequence (splitmix64); *state is the seed at first. */
uint64_t rng_next(uint64_t *state);

#endif
