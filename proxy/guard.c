/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "guard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

int guard_init(struct guard *g)
{
	void *slots;

	memset(g, 0, sizeof(*g));
	if (getrandom(g->key, sizeof(g->key), 0) != sizeof(g->key))
		return -EIO;
	slots = mmap(NULL, GUARD_SLOTS * sizeof(*g->slots), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots == MAP_FAILED)
		return -errno;
	g->slots = slots;
	return 0;
}

void guard_release(struct guard *g)
{
	if (g->slots)
		munmap((void *)g->slots, GUARD_SLOTS * sizeof(*g->slots));
	g->slots = NULL;
}

void guard_add_port(struct guard *g, uint16_t port)
{
	g->ports[port / 8] |= (uint8_t)(1U << (port % 8));
}

/* ---- addresses ---- */

static bool is_bad_v4(uint32_t a, bool client_is_loopback)
{
	return a >> 24 == 0 ||			     /* "this" network */
	       a >> 28 == 0xe ||		     /* multicast */
	       a >> 28 == 0xf ||		     /* reserved, and the broadcast address */
	       (a >> 24 == 127 && !client_is_loopback);
}

static bool is_loopback(const struct address *a)
{
	if (address_is_v4(a))
		return a->ip.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->ip);
}

bool guard_is_bad_destination(const struct address *client, const struct address *destination)
{
	const struct in6_addr *ip = &destination->ip;

	if (!destination->port)
		return true;
	/* An IPv6 packet to ::ffff:a.b.c.d would make us dial an IPv4 host on behalf of IPv6. */
	if (address_is_v4(destination) != address_is_v4(client))
		return true;
	if (address_is_v4(destination))
		return is_bad_v4(ntohl(ip->s6_addr32[3]), is_loopback(client));
	return IN6_IS_ADDR_UNSPECIFIED(ip) || IN6_IS_ADDR_MULTICAST(ip) ||
	       IN6_IS_ADDR_V4COMPAT(ip) || (is_loopback(destination) && !is_loopback(client));
}

/*
 * Can a plain socket be bound to it? True for each address of an interface and for those that
 * exist only as a route of type local. Policy routing does not confuse it, as it would a route
 * lookup. With the sysctl ip_nonlocal_bind every address looks local: then only a destination
 * with the number of a listener's port is refused in error.
 */
static bool probe_local(const struct address *a)
{
	struct address any_port = *a;
	struct sockaddr_storage sa;
	socklen_t len;
	bool local;
	int fd;

	any_port.port = 0;
	len = address_to_sockaddr(&sa, &any_port);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true; /* out of descriptors: the careful answer */
	local = !bind(fd, (struct sockaddr *)&sa, len);
	close(fd);
	return local;
}

/* ---- fingerprints of upstream sockets ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 32;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 29);
}

static uint64_t fingerprint(const struct guard *g, const struct address *local,
			    const struct address *remote)
{
	uint64_t w[5];
	uint64_t h = g->key[0];

	memcpy(&w[0], &local->ip, 16);
	memcpy(&w[2], &remote->ip, 16);
	w[4] = (uint64_t)local->port << 16 | remote->port;
	for (int i = 0; i < 5; i++)
		h = mix(h, w[i] ^ g->key[1]);
	return h ? h : 1;
}

static _Atomic uint64_t *bucket_of(struct guard *g, uint64_t print)
{
	return &g->slots[(print % (GUARD_SLOTS / GUARD_BUCKET)) * GUARD_BUCKET];
}

bool guard_note(struct guard *g, const struct address *local, const struct address *remote)
{
	uint64_t print = fingerprint(g, local, remote);
	_Atomic uint64_t *bucket = bucket_of(g, print);

	for (int i = 0; i < GUARD_BUCKET; i++) {
		uint64_t empty = 0;

		if (atomic_compare_exchange_strong(&bucket[i], &empty, print))
			return true;
	}
	return false;
}

void guard_forget(struct guard *g, const struct address *local, const struct address *remote)
{
	uint64_t print = fingerprint(g, local, remote);
	_Atomic uint64_t *bucket = bucket_of(g, print);

	for (int i = 0; i < GUARD_BUCKET; i++) {
		uint64_t found = print;

		if (atomic_compare_exchange_strong(&bucket[i], &found, 0))
			return;
	}
}

bool guard_knows(struct guard *g, const struct address *local, const struct address *remote)
{
	uint64_t print = fingerprint(g, local, remote);
	_Atomic uint64_t *bucket = bucket_of(g, print);

	for (int i = 0; i < GUARD_BUCKET; i++) {
		if (atomic_load_explicit(&bucket[i], memory_order_acquire) == print)
			return true;
	}
	return false;
}

/* ---- the check ---- */

static bool is_local(struct guard *g, struct guard_cache *cache, uint64_t now,
		     const struct address *a)
{
	struct address key = { .ip = a->ip };
	struct guard_cache_entry *e =
		&cache->v[fingerprint(g, &key, &key) % GUARD_CACHE];

	if (e->until <= now || !IN6_ARE_ADDR_EQUAL(&e->ip, &a->ip)) {
		e->ip = a->ip;
		e->local = probe_local(a);
		e->until = now + GUARD_CACHE_MS;
	}
	return e->local;
}

/* Asked afresh, not from the cache: it is rare, and the address may be a minute old. */
bool guard_is_listener(const struct guard *g, const struct address *a)
{
	return (g->ports[a->port / 8] & 1U << (a->port % 8)) && probe_local(a);
}

enum flow_reason guard_check(struct guard *g, struct guard_cache *cache, uint64_t now,
			     bool own_source, const struct address *client,
			     const struct address *destination)
{
	if (guard_is_bad_destination(client, destination))
		return FLOW_END_DESTINATION;
	/* Somebody knocks at the listener itself. */
	if (guard_is_listener(g, destination))
		return FLOW_END_SELF;
	if (!own_source)
		return FLOW_END_FIN;
	if (guard_is_armed(g))
		return guard_knows(g, client, destination) ? FLOW_END_SELF : FLOW_END_FIN;
	if (is_local(g, cache, now, client))
		atomic_store_explicit(&g->armed, true, memory_order_relaxed);
	return FLOW_END_FIN;
}
