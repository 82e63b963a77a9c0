/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flow_target.h"

#include <errno.h>
#include <stdlib.h>

int target_new(struct target **out, struct target_settings *settings,
	       const struct target *before)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (balance_init(&t->balance, settings, before ? &before->balance : NULL) < 0 ||
	    source_pool_init(&t->pool, settings) < 0 ||
	    limit_init(&t->limits, settings, before ? before->limits : NULL) < 0) {
		source_pool_release(&t->pool);
		balance_release(&t->balance);
		free(t);
		return -ENOMEM;
	}
	t->users = 1;
	t->settings = target_settings_get(settings);
	*out = t;
	return 0;
}

void target_put(struct target *t)
{
	if (atomic_fetch_sub(&t->users, 1) > 1)
		return;
	limit_put(t->limits);
	source_pool_release(&t->pool);
	balance_release(&t->balance);
	target_settings_put(t->settings);
	free(t);
}

struct target_loop *target_enter(struct target *t)
{
	struct target_loop *tl = calloc(1, sizeof(*tl));

	if (!tl)
		return NULL;
	atomic_fetch_add(&t->users, 1);
	tl->target = t;
	tl->settings = t->settings;
	tl->current = true;
	return tl;
}

static void free_if_done(struct target_loop *tl)
{
	if (tl->current || tl->flows)
		return;
	target_put(tl->target);
	free(tl);
}

void target_leave(struct target_loop *tl)
{
	tl->current = false;
	free_if_done(tl);
}

void target_forget_flow(struct target_loop *tl)
{
	tl->flows--;
	free_if_done(tl);
}
