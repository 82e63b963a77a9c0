/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Classes of addresses: lists of the sets that hold them, each list once. */
#ifndef SHUNT_STEER_CLASSES_H
#define SHUNT_STEER_CLASSES_H

#include "arena.h"

struct class_known {
	uint64_t hash;
	uint32_t cell; /* 0: free */
};

struct classes {
	struct arena *a;
	struct class_known *v; /* owned: hash table */
	size_t n, room;
};

int classes_init(struct classes *c, struct arena *a);
/* The classes of the generation. */
int classes_read(struct classes *c, struct arena *a);
void classes_release(struct classes *c);
/* Put the list of all classes into the generation. */
int classes_write(struct classes *c);

/* Of a list: the sum over its sets, in any order. */
uint64_t class_hash_of(uint16_t set);
/* The class of these sets, ascending; 0 for none. */
int classes_get(struct classes *c, const uint16_t *ids, size_t n, uint64_t hash, uint32_t *cell);
/* The sets of a class, ascending; ids has room for SHUNT_CLASS_MAX_CELLS * 32. */
size_t class_ids(const struct arena *a, uint32_t cell, uint16_t *ids);

#endif
