/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In the supervisor: read the settings file again, and say what is wrong with it. */
#ifndef SHUNT_PROXY_RELOAD_H
#define SHUNT_PROXY_RELOAD_H

#include <stddef.h>

#include "settings.h"

/*
 * *out, uninitialised, gets the settings of the file that running came from, checked against
 * what cannot be changed in a running process. *fd is a copy of that file, from its beginning:
 * the worker, which may not open files, reads the same bytes. On failure -errno with err set,
 * and nothing to release.
 */
int reload_read(struct settings *out, int *fd, const struct settings *running, char *err,
		size_t err_size);

#endif
