/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A rule as bytes, exactly as it was given (without its counters). */
#ifndef SHUNT_STEER_RULE_PACK_H
#define SHUNT_STEER_RULE_PACK_H

#include "shunt/shunt.h"

/* Bytes of the packed rule; they are written if buf is not NULL. */
size_t rule_pack(const struct shunt_rule *rule, void *buf);
/* -EPROTO if it is no packed rule. */
int rule_unpack(struct shunt_rule *out, const void *buf, size_t size);

#endif
