// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "slots.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "device.h"

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
