/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt_rule_parse for text without a NUL at its end, as lines of a file are. */
#ifndef SHUNT_STEER_RULE_PARSE_H
#define SHUNT_STEER_RULE_PARSE_H

#include "rule_text.h"
#include "shunt/shunt.h"

/* -EINVAL or -ENOMEM with the message in e; out is untouched on failure. */
int rule_parse(struct shunt_rule *out, struct rule_span text, struct rule_error *e);

#endif
