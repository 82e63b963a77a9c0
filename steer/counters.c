// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading what the programs count and note. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "instance.h"

static const struct {
	const char *name, *help;
} counter_table[SHUNT_CTR_MAX] = {
#define COUNTER_ROW(id, name, help) [SHUNT_CTR_##id] = { name, help },
	SHUNT_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *shunt_counter_name(enum shunt_counter c)
{
	return c < SHUNT_CTR_MAX ? counter_table[c].name : NULL;
}

const char *shunt_counter_help(enum shunt_counter c)
{
	return c < SHUNT_CTR_MAX ? counter_table[c].help : NULL;
}

int shunt_counters_read(struct shunt *s, uint64_t *out)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ __u64 *values = NULL;

	if (cpus < 0)
		return shunt_err(cpus, "cannot count the CPUs: %s", strerror(-cpus));
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return shunt_err(-ENOMEM, "out of memory");
	for (__u32 c = 0; c < SHUNT_CTR_MAX; c++) {
		if (bpf_map_lookup_elem(s->map.counters, &c, values))
			return shunt_err(-errno, "cannot read the map 'counters': %s",
					 strerror(errno));
		out[c] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[c] += values[cpu];
	}
	return 0;
}

/* v4-mapped address and port of a sockaddr. */
static int fill_end(const struct sockaddr *sa, __u8 *addr, __be16 *port)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (sa->sa_family == AF_INET6) {
		memcpy(addr, &in6->sin6_addr, 16);
		*port = in6->sin6_port;
		return 0;
	}
	if (sa->sa_family != AF_INET)
		return -EAFNOSUPPORT;
	addr[10] = addr[11] = 0xff;
	memcpy(addr + 12, &in->sin_addr, 4);
	*port = in->sin_port;
	return 0;
}

int shunt_flow_find(struct shunt *s, const struct sockaddr *src, const struct sockaddr *dst,
		    uint8_t ipproto, struct shunt_flow *out)
{
	struct shunt_tuple t = { .proto = ipproto };
	struct shunt_flow flow;
	int r = fill_end(src, t.saddr, &t.sport);

	if (!r)
		r = fill_end(dst, t.daddr, &t.dport);
	if (r)
		return r;
	if (bpf_map_lookup_elem(s->map.flows, &t, &flow))
		return -errno;
	if (!flow.target) /* noted as not steered */
		return -ENOENT;
	*out = flow;
	return 0;
}
