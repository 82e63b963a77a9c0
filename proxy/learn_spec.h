/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An element of the setting `learn`:
 *	SET timeout TIME when bytes over N	N with K, M or G behind it: times 1024, and so on
 *	SET timeout TIME after N clean flows
 */
#ifndef SHUNT_PROXY_LEARN_SPEC_H
#define SHUNT_PROXY_LEARN_SPEC_H

#include "settings.h"

/* On failure *why is a constant text, and *out as it was. */
bool learn_spec_parse(struct learn_spec *out, const char *text, const char **why);

#endif
