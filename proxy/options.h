/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line of shuntd, made from settings_table. */
#ifndef SHUNT_PROXY_OPTIONS_H
#define SHUNT_PROXY_OPTIONS_H

#include "settings.h"

/*
 * Fill *s (initialised) from -c FILE, then from the options. 0 go on, 1 help or version was
 * printed, -EINVAL wrong usage, another -errno if the file cannot be used; messages are given.
 */
int options_parse(struct settings *s, int argc, char **argv);
/*
 * Fill *s, uninitialised, once more as running was, with in for the file. As above; on failure
 * there is nothing to release.
 */
int options_reread(struct settings *s, const struct settings *running, FILE *in);

#endif
