// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "slots.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "cleanup.h"
#include "device.h"
#include "generation.h"
#include "rollback.h"

int slots_mark(struct shunt *s, struct slots_mark *out)
{
	struct shunt_device dev;
	struct shunt_target t;
	int r;

	*out = (struct slots_mark){ .devices = 1 };
	for (__u32 i = 1; i < SHUNT_MAX_TARGETS; i++) {
		if (bpf_map_lookup_elem(s->map.targets, &i, &t))
			return shunt_err(-errno, "cannot read the map 'targets': %s",
					 strerror(errno));
		out->targets[i] = t.name[0];
	}
	for (; out->devices < SHUNT_MAX_DEVICES; out->devices++) {
		r = device_read(s, out->devices, &dev);
		if (r || !dev.name[0])
			return r;
	}
	return 0;
}

void slots_restore(struct shunt *s, const struct slots_mark *mark)
{
	const struct shunt_target no_target = {};
	const struct shunt_device no_device = {};
	struct shunt_device dev;

	for (__u32 i = 1; i < SHUNT_MAX_TARGETS; i++)
		if (!mark->targets[i])
			bpf_map_update_elem(s->map.targets, &i, &no_target, BPF_ANY);
	for (int i = mark->devices; i < SHUNT_MAX_DEVICES; i++)
		if (device_read(s, i, &dev) || !dev.name[0] || device_write(s, i, &no_device))
			return;
}

/* ---- slots that nobody needs any more ------------------------------------------------------- */

/* The slots that rules of the generation in force have, to used. */
static int find_used(struct shunt *s, bool *used)
{
	const struct shunt_entry2 *entries;
	const struct shunt_rule2 *rule;
	struct arena a;
	int r = generation_open(&a, s);

	if (r)
		return r == -ENOENT ? 0 : r;
	for (uint32_t i = 0; i < arena_gen(&a)->n_rules; i++) {
		rule = change_rule_at(&a, i);
		entries = arena_at(&a, rule->entries_at);
		for (uint32_t k = 0; k < rule->n_entries; k++)
			used[entries[k].device] = true;
	}
	arena_release(&a);
	return 0;
}

int slots_collect(struct shunt *s)
{
	_cleanup_free_ bool *used = calloc(UINT16_MAX + 1, sizeof(*used));
	const struct shunt_device free_again = { .name = DEVICE_FREE };
	struct shunt_device dev;
	int r = rollback_check_none(s);

	if (!used)
		return shunt_err(-ENOMEM, "out of memory");
	if (!r)
		r = find_used(s, used);
	for (int i = 1; i < SHUNT_MAX_DEVICES && !r; i++) {
		r = device_read(s, i, &dev);
		if (!r && !(dev.flags & SHUNT_DEV_USED) && !used[i] && !s->devices_named[i])
			r = device_write(s, i, &free_again);
	}
	return r;
}
