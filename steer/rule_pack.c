// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rule_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum packed_flag {
	PACKED_UID = 1 << 0,
	PACKED_LOG = 1 << 1,
	PACKED_AUDIT = 1 << 2,
	PACKED_VIA = 1 << 3,
	PACKED_NOT_FROM = 1 << 4,
	PACKED_NOT_TO = 1 << 5,
	PACKED_CGROUP = 1 << 6,
	PACKED_COMMENT = 1 << 7,
};

/* What follows: strings with their NUL, via, devices, prefixes, ports. */
struct packed {
	uint32_t priority, uid_lo, uid_hi, limit_rate, limit_burst;
	uint32_t n_devices, n_from, n_to, n_sport, n_port;
	uint8_t dirs, protos, action, fail, limit_per, flags, reserved[2];
};

/* ---- pack ----------------------------------------------------------------------------------- */

struct sink {
	char *buf; /* NULL: only count */
	size_t n;
};

static void put(struct sink *s, const void *from, size_t n)
{
	if (s->buf && n)
		memcpy(s->buf + s->n, from, n);
	s->n += n;
}

static void put_text(struct sink *s, const char *text)
{
	put(s, text, strlen(text) + 1);
}

static void put_prefixes(struct sink *s, const struct shunt_addrs *a)
{
	for (size_t i = 0; i < a->n; i++) {
		put(s, &a->v[i].addr, 16);
		put(s, &a->v[i].len, 1);
	}
}

static uint8_t flags_of(const struct shunt_rule *r)
{
	return (r->has_uid ? PACKED_UID : 0) | (r->log ? PACKED_LOG : 0) |
	       (r->audit ? PACKED_AUDIT : 0) | (r->has_via ? PACKED_VIA : 0) |
	       (r->from.negated ? PACKED_NOT_FROM : 0) | (r->to.negated ? PACKED_NOT_TO : 0) |
	       (r->cgroup ? PACKED_CGROUP : 0) | (r->comment ? PACKED_COMMENT : 0);
}

size_t rule_pack(const struct shunt_rule *r, void *buf)
{
	struct packed p = {
		.priority = r->priority, .uid_lo = r->uid_lo, .uid_hi = r->uid_hi,
		.limit_rate = r->limit_rate, .limit_burst = r->limit_burst,
		.n_devices = (uint32_t)r->n_devices, .n_from = (uint32_t)r->from.n,
		.n_to = (uint32_t)r->to.n, .n_sport = (uint32_t)r->sport.n,
		.n_port = (uint32_t)r->port.n, .dirs = r->dirs, .protos = r->protos,
		.action = r->action, .fail = r->fail, .limit_per = r->limit_per,
		.flags = flags_of(r),
	};
	struct sink s = { .buf = buf };

	put(&s, &p, sizeof(p));
	put_text(&s, r->target);
	put_text(&s, r->route_dev);
	put_text(&s, r->via_group);
	put_text(&s, r->from.set);
	put_text(&s, r->to.set);
	if (r->cgroup)
		put_text(&s, r->cgroup);
	if (r->comment)
		put_text(&s, r->comment);
	if (r->has_via)
		put(&s, &r->via, sizeof(r->via));
	put(&s, r->devices, r->n_devices * sizeof(*r->devices));
	put_prefixes(&s, &r->from);
	put_prefixes(&s, &r->to);
	put(&s, r->sport.v, r->sport.n * sizeof(*r->sport.v));
	put(&s, r->port.v, r->port.n * sizeof(*r->port.v));
	return s.n;
}

/* ---- unpack --------------------------------------------------------------------------------- */

struct source {
	const char *at;
	size_t left;
	int err; /* of the first failure: then nothing is taken any more */
};

static const void *take(struct source *s, size_t n)
{
	const char *at = s->at;

	if (s->err || n > s->left) {
		if (!s->err)
			s->err = -EPROTO;
		return NULL;
	}
	s->at += n;
	s->left -= n;
	return at;
}

static const char *take_text(struct source *s)
{
	const char *nul = s->err ? NULL : memchr(s->at, 0, s->left);

	if (!nul) {
		if (!s->err)
			s->err = -EPROTO;
		return NULL;
	}
	return take(s, (size_t)(nul - s->at) + 1);
}

static void take_name(struct source *s, char *out, size_t size)
{
	const char *text = take_text(s);

	if (text && strlen(text) >= size)
		s->err = -EPROTO;
	else if (text)
		strcpy(out, text);
}

static char *take_copy(struct source *s)
{
	const char *text = take_text(s);
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		s->err = -ENOMEM;
	return copy;
}

/* n things of size in new memory; NULL if n is 0 or on failure. */
static void *take_array(struct source *s, size_t n, size_t size)
{
	const void *from = take(s, n * size);
	void *v;

	if (!from || !n)
		return NULL;
	v = malloc(n * size);
	if (v)
		memcpy(v, from, n * size);
	else
		s->err = -ENOMEM;
	return v;
}

static void take_prefixes(struct source *s, struct shunt_addrs *a, size_t n)
{
	const char *from = take(s, n * 17);

	if (!from || !n)
		return;
	a->v = malloc(n * sizeof(*a->v));
	if (!a->v) {
		s->err = -ENOMEM;
		return;
	}
	a->n = n;
	for (size_t i = 0; i < n; i++, from += 17) {
		memcpy(&a->v[i].addr, from, 16);
		a->v[i].len = (uint8_t)from[16];
	}
}

static void take_scalars(struct shunt_rule *r, const struct packed *p)
{
	r->priority = p->priority;
	r->dirs = p->dirs;
	r->protos = p->protos;
	r->has_uid = p->flags & PACKED_UID;
	r->uid_lo = p->uid_lo;
	r->uid_hi = p->uid_hi;
	r->action = p->action;
	r->has_via = p->flags & PACKED_VIA;
	r->fail = p->fail;
	r->limit_per = p->limit_per;
	r->limit_rate = p->limit_rate;
	r->limit_burst = p->limit_burst;
	r->log = p->flags & PACKED_LOG;
	r->audit = p->flags & PACKED_AUDIT;
	r->from.negated = p->flags & PACKED_NOT_FROM;
	r->to.negated = p->flags & PACKED_NOT_TO;
}

static void take_lists(struct source *s, struct shunt_rule *r, const struct packed *p)
{
	const void *via;

	if (r->has_via) {
		via = take(s, sizeof(r->via));
		if (via)
			memcpy(&r->via, via, sizeof(r->via));
	}
	r->devices = take_array(s, p->n_devices, sizeof(*r->devices));
	r->n_devices = r->devices ? p->n_devices : 0;
	take_prefixes(s, &r->from, p->n_from);
	take_prefixes(s, &r->to, p->n_to);
	r->sport.v = take_array(s, p->n_sport, sizeof(*r->sport.v));
	r->sport.n = r->sport.v ? p->n_sport : 0;
	r->port.v = take_array(s, p->n_port, sizeof(*r->port.v));
	r->port.n = r->port.v ? p->n_port : 0;
}

int rule_unpack(struct shunt_rule *out, const void *buf, size_t size)
{
	struct source s = { .at = buf, .left = size };
	struct shunt_rule r = {};
	const void *at = take(&s, sizeof(struct packed));
	struct packed p;

	if (!at)
		return s.err;
	memcpy(&p, at, sizeof(p));
	take_scalars(&r, &p);
	take_name(&s, r.target, sizeof(r.target));
	take_name(&s, r.route_dev, sizeof(r.route_dev));
	take_name(&s, r.via_group, sizeof(r.via_group));
	take_name(&s, r.from.set, sizeof(r.from.set));
	take_name(&s, r.to.set, sizeof(r.to.set));
	if (p.flags & PACKED_CGROUP)
		r.cgroup = take_copy(&s);
	if (p.flags & PACKED_COMMENT)
		r.comment = take_copy(&s);
	take_lists(&s, &r, &p);
	if (s.err) {
		shunt_rule_clear(&r);
		return s.err;
	}
	*out = r;
	return 0;
}
