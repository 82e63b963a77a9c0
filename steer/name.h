/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names that people give: instances, targets, sets. */
#ifndef SHUNT_NAME_H
#define SHUNT_NAME_H

#include <stdbool.h>
#include <string.h>

#include "shunt/abi.h"

#define NAME_RULE "a name is 1 to 31 of letters, digits, '-', '_' and '.', and starts with none of '-' and '.'"

static inline bool name_is_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	return n && n < SHUNT_NAME_LEN && !name[n] && name[0] != '-' && name[0] != '.';
}

#endif
