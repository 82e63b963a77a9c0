// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "questions.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "generation.h"
#include "timed.h"

enum { IN, OUT };

/* ---- what names stand for ------------------------------------------------------------------- */

static int find_device(void *ctx, const char *name)
{
	(void)ctx;
	for (int i = 1; i < RANDOM_DEVICES; i++)
		if (!strcmp(random_devices[i], name))
			return i; /* its slot, see make_slots() */
	return -ENODEV;
}

static int find_target(void *ctx, const char *name)
{
	(void)ctx;
	return name[0] ? 1 : -ENOENT;
}

static int find_stat(void *ctx, uint32_t priority)
{
	(void)ctx;
	return (int)(priority % SHUNT_MAX_RULES);
}

/* FNV-1a of the path: stands for the inode. */
static uint64_t cgroup_id(const char *path, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * 0x100000001b3ULL;
	return h | 1;
}

static int find_cgroup(void *ctx, const char *path, uint64_t *id)
{
	int level = 0;

	(void)ctx;
	for (const char *at = path; *at; at++)
		level += *at == '/';
	*id = cgroup_id(path, strlen(path));
	return level;
}

/* ---- devices -------------------------------------------------------------------------------- */

static void read_mac(uint8_t mac[6], const char *device)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &ifr), 0);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
}

static void make_devices(struct questions *q, const struct plane *plane)
{
	struct nl_sock *nl = nl_socket_alloc();
	char peer[IF_NAMESIZE];

	assert_int_equal(nl_connect(nl, NETLINK_ROUTE), 0);
	for (int i = 1; i < RANDOM_DEVICES; i++) {
		snprintf(peer, sizeof(peer), "peer%d", i);
		assert_int_equal(rtnl_link_veth_add(nl, random_devices[i], peer, getpid()), 0);
		q->ifindex[i] = if_nametoindex(random_devices[i]);
		read_mac(q->mac[i], random_devices[i]);
	}
	nl_socket_free(nl);
	q->ifindex[0] = plane->ifindex; /* no rule names it */
	memcpy(q->mac[0], plane->mac, 6);
}

/* ---- instances ------------------------------------------------------------------------------ */

static void make_slots(struct questions *q, struct shunt *s)
{
	struct shunt_device dev = { .flags = SHUNT_DEV_USED | SHUNT_DEV_IN | SHUNT_DEV_OUT };

	for (int i = 1; i < RANDOM_DEVICES; i++) {
		dev.ifindex = q->ifindex[i];
		snprintf(dev.name, sizeof(dev.name), "%s", random_devices[i]);
		assert_int_equal(device_write(s, i, &dev), 0);
	}
}

static void make_instance(struct questions *q, int i, const struct plane *plane)
{
	struct shunt *s = &q->instances[i];
	struct batch *b = &q->batches[i];

	instance_init(s);
	s->info = plane->s->info;
	snprintf(s->dir, sizeof(s->dir), "%s/%d", SHUNT_PIN_ROOT, i);
	assert_int_equal(instance_load(s), 0);
	make_slots(q, s);
	assert_int_equal(batch_open(b, s->map.explain), 0);
	assert_int_equal(batch_set_program(b, IN, s->prog[PROG_IN_ETH]), 0);
	assert_int_equal(batch_set_program(b, OUT, s->prog[PROG_OUT_ETH]), 0);
}

struct fixture {
	struct questions q;
	void *plane;
};

int questions_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int r;

	assert_non_null(f);
	r = plane_up(&f->plane);
	if (r)
		return r;
	f->q.names = (struct names){ .device = find_device, .target = find_target,
				     .stat = find_stat, .cgroup = find_cgroup };
	make_devices(&f->q, f->plane);
	for (int i = 0; i < QUESTION_INSTANCES; i++)
		make_instance(&f->q, i, f->plane);
	*state = f;
	return 0;
}

int questions_down(void **state)
{
	struct fixture *f = *state;
	int r;

	if (!f)
		return 0; /* questions_up failed, and has said so */
	for (int i = 0; i < QUESTION_INSTANCES; i++) {
		batch_close(&f->q.batches[i]);
		instance_release(&f->q.instances[i]);
	}
	r = plane_down(&f->plane);
	free(f);
	return r;
}

static int find_timed_place(void *ctx, const char *set)
{
	return timed_find(ctx, set);
}

static int load_timed_set(struct shunt *s, const struct shunt_set *set)
{
	int place = timed_take(s, set->name), r = place < 0 ? place : 0;

	for (size_t i = 0; i < set->n_timed && !r; i++) {
		const struct shunt_timed *t = &set->timed[i];

		r = timed_use_length(s, place, &t->prefix);
		/* What is there twice may have expired once. */
		if (!r && (t->left || !timed_holds(s, place, &t->prefix)))
			r = timed_put(s, place, &t->prefix, t->left ? timed_now() + t->left : 1);
	}
	return r;
}

/* What the sets hold for a time is this and nothing else. */
static int load_timed(struct shunt *s, const struct random_case *c)
{
	int r = 0;

	for (int i = 0; i < SHUNT_MAX_TIMED_SETS && !r; i++)
		r = timed_release(s, i);
	for (size_t i = 0; i < c->sets.n && !r; i++)
		if (c->sets.v[i].expires)
			r = load_timed_set(s, &c->sets.v[i]);
	return r;
}

/* The generation that is in force learns of them, set by set. */
static int announce_timed(struct shunt *s, const struct random_case *c)
{
	int r = 0;

	for (size_t i = 0; i < c->sets.n && !r; i++)
		if (c->sets.v[i].expires)
			r = generation_time_set(s, c->sets.v[i].name,
						timed_find(s, c->sets.v[i].name));
	return r;
}

int questions_load(struct questions *q, int instance, const struct random_case *c)
{
	bool later = c->options.timed && c->state & 1; /* in place */
	struct shunt *s = &q->instances[instance];
	struct names names = q->names;
	int fd, r = c->options.timed ? load_timed(s, c) : 0;

	if (r)
		return r;
	names.ctx = s;
	names.timed = c->options.timed && !later ? find_timed_place : NULL;
	fd = compile(&c->rules, &c->sets, &names, 1);
	if (fd < 0)
		return fd;
	r = generation_publish(s, fd);
	close(fd);
	return !r && later ? announce_timed(s, c) : r;
}

/* ---- packets -------------------------------------------------------------------------------- */

static uint32_t device_of(const struct ref_packet *p)
{
	uint32_t i = 0;

	while (strcmp(random_devices[i], p->device))
		i++;
	return i;
}

static uint32_t way_of(const struct ref_packet *p)
{
	return (device_of(p) * 2 + (p->dir == SHUNT_DIR_OUT)) * 4 + p->v6 * 2 +
	       (p->proto == SHUNT_PROTO_UDP);
}

void questions_sort(struct ref_packet *packets, uint32_t n, uint32_t ends[QUESTION_WAYS])
{
	struct ref_packet *sorted = malloc(n * sizeof(*sorted));
	uint32_t at[QUESTION_WAYS] = {}, sum = 0;

	for (uint32_t i = 0; i < n; i++)
		at[way_of(&packets[i])]++;
	for (int w = 0; w < QUESTION_WAYS; w++) {
		sum += at[w];
		ends[w] = sum;
		at[w] = sum - at[w];
	}
	if (!sorted)
		abort();
	for (uint32_t i = 0; i < n; i++)
		sorted[at[way_of(&packets[i])]++] = packets[i];
	memcpy(packets, sorted, n * sizeof(*packets));
	free(sorted);
}

static void put_packet(struct batch_packet *out, const struct ref_packet *p)
{
	size_t skip = p->v6 ? 0 : 12, size = 16 - skip;
	size_t level = 1;

	memset(out, 0, sizeof(*out));
	memcpy(out->addrs, p->src.s6_addr + skip, size);
	memcpy(out->addrs + size, p->dst.s6_addr + skip, size);
	out->sport = htons(p->sport);
	out->dport = htons(p->dport);
	out->uid = p->has_uid ? p->uid : RANDOM_NO_UID;
	if (!p->cgroup[0])
		return;
	out->cgroup[0] = 1; /* the root */
	for (size_t i = 1; level < SHUNT_CGROUP_LEVELS; i++) {
		if (p->cgroup[i] && p->cgroup[i] != '/')
			continue;
		out->cgroup[level++] = cgroup_id(p->cgroup, i);
		if (!p->cgroup[i])
			break;
	}
}

static void ask_way(struct questions *q, struct batch *b, uint32_t way, uint32_t first, uint32_t n)
{
	uint32_t device = way / 8;
	bool out = way / 4 % 2, v6 = way / 2 % 2, udp = way % 2;
	struct batch_run run = { .program = out ? OUT : IN, .ifindex = q->ifindex[device],
				 .ingress_ifindex = out ? 0 : q->ifindex[device] };
	struct frame f;

	frame_ip(&f, q->mac[device], v6);
	frame_l4(&f, udp ? IPPROTO_UDP : IPPROTO_TCP, 1);
	frame_close(&f);
	run.frame = f.b;
	run.len = f.len;
	assert_int_equal(batch_ask(b, &run, first, n), 0);
}

const struct batch_answer *questions_ask(struct questions *q, int instance,
					 const struct ref_packet *packets, uint32_t n,
					 const uint32_t ends[QUESTION_WAYS])
{
	struct batch *b = &q->batches[instance];
	uint32_t first = 0;

	for (uint32_t i = 0; i < n; i++)
		put_packet(&b->packets[i], &packets[i]);
	for (uint32_t way = 0; way < QUESTION_WAYS; way++) {
		if (ends[way] > first)
			ask_way(q, b, way, first, ends[way] - first);
		first = ends[way];
	}
	return b->answers;
}

/* ---- words ---------------------------------------------------------------------------------- */

char *question_text(char *buf, size_t size, const struct ref_packet *p)
{
	char dst[INET6_ADDRSTRLEN], src[INET6_ADDRSTRLEN], who[64] = "";

	if (p->has_uid)
		snprintf(who, sizeof(who), " uid %u", p->uid);
	snprintf(buf, size, "%s %s on '%s' from %s sport %u to %s port %u%s cgroup '%s'",
		 p->dir == SHUNT_DIR_IN ? "in" : "out", p->proto == SHUNT_PROTO_TCP ? "tcp" : "udp",
		 p->device, inet_ntop(AF_INET6, &p->src, src, sizeof(src)), p->sport,
		 inet_ntop(AF_INET6, &p->dst, dst, sizeof(dst)), p->dport, who, p->cgroup);
	return buf;
}
