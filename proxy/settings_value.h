/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One value of a setting, from text: strict, and with a message that names setting and text. */
#ifndef SHUNT_PROXY_SETTINGS_VALUE_H
#define SHUNT_PROXY_SETTINGS_VALUE_H

#include "settings.h"

/* Write *field. -EINVAL with err set, or -ENOMEM likewise; *field is as it was then. */
int setting_parse(const struct setting *setting, void *field, const char *value, char *err,
		  size_t err_size);
/* One of those that libshunt takes; looked at here so that messages name the setting. */
bool setting_is_name(const char *value);
bool setting_is_list(const struct setting *setting);
/* Of a list: add one element. As setting_parse() else. */
int setting_append(const struct setting *setting, void *field, const char *element, char *err,
		   size_t err_size);
/* Free what *field owns; it is zero then. */
void setting_clear(const struct setting *setting, void *field);
/* value as a message may show it: printable, cut where it is long. buf has SETTING_SHOWN bytes. */
enum { SETTING_SHOWN = 72 };
const char *setting_shown(char *buf, const char *value);

#endif
