/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The settings of shuntd as a YAML file. */
#ifndef SHUNT_PROXY_SETTINGS_FILE_H
#define SHUNT_PROXY_SETTINGS_FILE_H

#include "settings.h"

/*
 * Read a file into *s (initialised). -errno with err set, which begins with NAME:LINE:COLUMN;
 * *s can only be released then.
 */
int settings_load(struct settings *s, FILE *in, const char *name, char *err, size_t err_size);

#endif
