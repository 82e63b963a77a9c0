/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt_explain() for those who have the lock. Private to libshunt. */
#ifndef SHUNT_EXPLAIN_H
#define SHUNT_EXPLAIN_H

#include "instance.h"

/* device has IF_NAMESIZE bytes for the interface that was asked. */
int explain_locked(struct shunt *s, const struct shunt_question *q, char *device,
		   struct shunt_explain *out);

#endif
