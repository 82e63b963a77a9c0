/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames by chance: well formed ones, and then wrong in a place or two that a parser reads. */
#ifndef TEST_BPF_RANDOM_FRAME_H
#define TEST_BPF_RANDOM_FRAME_H

#include "frame.h"

struct chance {
	uint64_t state; /* not 0 */
};

uint32_t chance_below(struct chance *c, uint32_t n);
bool chance_one_in(struct chance *c, uint32_t n);

void random_frame(struct frame *f, struct chance *c, const uint8_t mac[6]);

#endif
