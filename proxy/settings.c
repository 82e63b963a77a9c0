/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "settings_value.h"
#include "source_pool.h"

static bool is_of_target(const struct setting *setting)
{
	return setting->scope >= SETTING_TARGET;
}

/* Fill object, a struct settings or struct target_settings, with the defaults of its kind. */
static int set_defaults(void *object, bool target)
{
	char err[128];

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];

		if (is_of_target(s) == target && s->initial &&
		    setting_parse(s, (char *)object + s->at, s->initial, err, sizeof(err)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void clear_fields(void *object, bool target)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];

		if (is_of_target(s) == target)
			setting_clear(s, (char *)object + s->at);
	}
}

/* ---- a target ---- */

int target_settings_set(struct target_settings *t, const struct setting *setting,
			const char *value, char *err, size_t err_size)
{
	return setting_parse(setting, (char *)t + setting->at, value, err, err_size);
}

int target_settings_new(struct target_settings **out, const char *name)
{
	struct target_settings *t = calloc(1, sizeof(*t));
	char err[128];

	if (!t)
		return -ENOMEM;
	t->users = 1;
	if (set_defaults(t, true) < 0 ||
	    target_settings_set(t, settings_find("target"), name, err, sizeof(err)) < 0) {
		target_settings_put(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

/* Each row: the setting wants another one. */
int target_settings_check(const struct target_settings *t, const struct setting **at, char *err,
			  size_t err_size)
{
	const struct {
		bool wrong;
		const char *name, *why;
	} rules[] = {
		{ t->health_interval && !t->upstreams.n, "health-interval", "needs 'upstreams'" },
		{ t->source == SOURCE_POOL && !t->source_pool.n, "source", "needs 'source-pool'" },
		{ t->source != SOURCE_POOL && t->source_pool.n, "source-pool",
		  "needs 'source: pool'" },
		{ t->source_pick == PICK_LEASTCONN &&
			  source_pool_size(&t->source_pool) > SOURCE_POOL_COUNTED,
		  "source-pick", "leastconn counts 4096 addresses at most" },
		{ t->via != VIA_NONE && !t->upstreams.n, "via",
		  "needs 'upstreams', which are the proxies" },
		{ t->destination && t->via == VIA_NONE, "destination", "needs 'via'" },
		{ t->via_user && t->via == VIA_NONE, "via-user", "needs 'via'" },
		{ t->via_password && !t->via_user, "via-password", "needs 'via-user'" },
		{ t->via_user && t->via == VIA_CONNECT && strchr(t->via_user, ':'), "via-user",
		  "a user of 'connect' has no ':'" },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!rules[i].wrong)
			continue;
		*at = settings_find(rules[i].name);
		snprintf(err, err_size, "%s: %s", rules[i].name, rules[i].why);
		return -EINVAL;
	}
	return 0;
}

struct target_settings *target_settings_get(struct target_settings *t)
{
	atomic_fetch_add(&t->users, 1);
	return t;
}

void target_settings_put(struct target_settings *t)
{
	if (atomic_fetch_sub(&t->users, 1) > 1)
		return;
	clear_fields(t, true);
	free(t);
}

/* ---- all ---- */

int settings_add_target(struct settings *s, struct target_settings *t)
{
	struct target_settings **v =
		reallocarray(s->targets, s->n_targets + 1, sizeof(s->targets[0]));

	if (!v)
		return -ENOMEM;
	v[s->n_targets++] = t;
	s->targets = v;
	return 0;
}

struct target_settings *settings_target(const struct settings *s, const char *name)
{
	for (uint32_t i = 0; i < s->n_targets; i++)
		if (!strcmp(s->targets[i]->name, name))
			return s->targets[i];
	return NULL;
}

static bool is_same(const struct setting *setting, const void *a, const void *b)
{
	const char *x, *y;

	if (setting->type == SETTING_NUMBER || setting->type == SETTING_CHOICE)
		return *(const uint32_t *)a == *(const uint32_t *)b;
	x = *(char *const *)a;
	y = *(char *const *)b;
	return x == y || (x && y && !strcmp(x, y));
}

const struct setting *settings_fixed_difference(const struct settings *a,
						const struct settings *b)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings_table[i];

		if (s->fixed && !is_same(s, (const char *)a + s->at, (const char *)b + s->at))
			return s;
	}
	return NULL;
}

int settings_init(struct settings *s)
{
	struct target_settings *t;

	memset(s, 0, sizeof(*s));
	if (set_defaults(s, false) < 0 ||
	    target_settings_new(&t, settings_find("target")->initial) < 0)
		goto out_release;
	if (!settings_add_target(s, t))
		return 0;
	target_settings_put(t);
out_release:
	settings_release(s);
	return -ENOMEM;
}

void settings_release(struct settings *s)
{
	for (uint32_t i = 0; i < s->n_targets; i++)
		target_settings_put(s->targets[i]);
	free(s->targets);
	clear_fields(s, false);
	memset(s, 0, sizeof(*s));
}

int settings_set(struct settings *s, const struct setting *setting, const char *value, char *err,
		 size_t err_size)
{
	int r = 0;

	if (!is_of_target(setting))
		return setting_parse(setting, (char *)s + setting->at, value, err, err_size);
	if (setting->scope == SETTING_ALONE && s->named_targets) {
		snprintf(err, err_size, "%s: the file has targets of its own", setting->name);
		return -EINVAL;
	}
	/* What is wrong in one is wrong in the first. */
	for (uint32_t i = 0; i < s->n_targets && !r; i++)
		r = target_settings_set(s->targets[i], setting, value, err, err_size);
	return r;
}
