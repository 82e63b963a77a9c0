// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "oracle.h"

#include <linux/pkt_cls.h>
#include <string.h>

/* A stretch of bytes that may be read; every length of a header narrows it. */
struct view {
	const uint8_t *at;
	size_t left;
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void refuse(struct reading *r, enum shunt_counter reason)
{
	r->kind = READING_REFUSED;
	r->reason = reason;
}

static bool skip(struct view *v, size_t n)
{
	if (n > v->left)
		return false;
	v->at += n;
	v->left -= n;
	return true;
}

/* ---- transport -------------------------------------------------------------------------- */

/* RFC 9293 section 3.1: the data offset counts words, at least five, within the segment. */
static void read_tcp_segment(struct reading *r, struct view v)
{
	size_t words;
	uint8_t flags;

	if (v.left < 20) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	words = v.at[12] / 16;
	if (words < 5 || words * 4 > v.left) {
		refuse(r, SHUNT_CTR_BAD_HEADER);
		return;
	}
	flags = v.at[13];
	r->kind = READING_FLOW;
	r->sport = be16(v.at);
	r->dport = be16(v.at + 2);
	/* SYN opens; with ACK it answers, with RST or FIN no state accepts it. */
	r->opens = (flags & 0x02) && !(flags & 0x10) && !(flags & 0x04) && !(flags & 0x01);
}

/*
 * RFC 768: the length covers header and data. Zero is that of a jumbogram over IPv6 (RFC 2675
 * section 4); Linux takes it as "to the end" for any size, net/ipv6/udp.c.
 */
static void read_datagram(struct reading *r, struct view v, bool whole)
{
	size_t length;

	if (v.left < 8) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	length = be16(v.at + 4);
	if (whole && !(r->v6 && length == 0) && (length < 8 || length > v.left)) {
		refuse(r, SHUNT_CTR_BAD_HEADER);
		return;
	}
	r->kind = READING_FLOW;
	r->sport = be16(v.at);
	r->dport = be16(v.at + 2);
	r->opens = true;
}

/* RFC 792: 3, 11, 12 are errors that end or change flows. RFC 4443 section 2.1: 1 to 4. */
static void read_icmp(struct reading *r, struct view v)
{
	uint8_t type;

	if (v.left < 8) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	type = v.at[0];
	if (r->v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12)
		r->kind = READING_ICMP_ERROR;
	else
		refuse(r, SHUNT_CTR_OTHER_PROTO);
}

/* ---- network ---------------------------------------------------------------------------- */

/* RFC 6890: 0/8, 127/8 and 240/4 are no destinations or sources on a link; RFC 5771: 224/4. */
static bool v4_is_host(const struct in6_addr *a)
{
	uint8_t first = a->s6_addr[12];

	return first != 0 && first != 127 && first < 224;
}

/*
 * RFC 4291: ff00::/8 multicast, :: and ::1; section 2.5.5: addresses that embed IPv4, with 96
 * bits of prefix, do not belong on the wire (the whole ::/96 is refused).
 */
static bool v6_is_host(const struct in6_addr *a)
{
	static const uint8_t none[12], mapped[12] = { [10] = 0xff, [11] = 0xff };

	return a->s6_addr[0] != 0xff && memcmp(a, none, 12) != 0 && memcmp(a, mapped, 12) != 0;
}

static bool both_are_hosts(const struct reading *r)
{
	return r->v6 ? v6_is_host(&r->src) && v6_is_host(&r->dst)
		     : v4_is_host(&r->src) && v4_is_host(&r->dst);
}

static void read_payload(struct reading *r, struct view v, bool fragment, bool first)
{
	if (!both_are_hosts(r))
		refuse(r, SHUNT_CTR_NOT_UNICAST);
	else if (fragment && !first)
		r->kind = READING_TAIL;
	else if (r->proto == IPPROTO_TCP)
		read_tcp_segment(r, v);
	else if (r->proto == IPPROTO_UDP)
		read_datagram(r, v, !fragment);
	else if (r->proto == (r->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		read_icmp(r, v);
	else
		refuse(r, SHUNT_CTR_OTHER_PROTO);
}

static void map_v4(struct in6_addr *out, const uint8_t *from)
{
	memset(out, 0, sizeof(*out));
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(out->s6_addr + 12, from, 4);
}

/* RFC 791 section 3.1. */
static void read_v4(struct reading *r, struct view v)
{
	const uint8_t *ip = v.at;
	size_t header, total, offset;
	bool more;

	if (v.left < 20) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	header = (ip[0] & 15) * 4U;
	total = be16(ip + 2);
	if (ip[0] >> 4 != 4 || header < 20 || total < header) {
		refuse(r, SHUNT_CTR_BAD_HEADER);
		return;
	}
	if (total > v.left) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	v.left = total;
	skip(&v, header);
	more = ip[6] & 0x20;
	offset = be16(ip + 6) % 0x2000;
	r->proto = ip[9];
	map_v4(&r->src, ip + 12);
	map_v4(&r->dst, ip + 16);
	read_payload(r, v, more || offset, offset == 0);
}

enum ext_step { EXT_END, EXT_NEXT, EXT_TAIL, EXT_SHORT, EXT_ROUTED };

/* One extension header: RFC 8200 section 4, RFC 4302 section 2 (authentication header). */
static enum ext_step step_ext(uint8_t *type, struct view *v, bool *fragment)
{
	enum { HBH = 0, ROUTING = 43, FRAGMENT = 44, AUTH = 51, DEST = 60 };
	const uint8_t *h = v->at;
	uint8_t is = *type;
	size_t size;

	if (is != HBH && is != ROUTING && is != FRAGMENT && is != AUTH && is != DEST)
		return EXT_END;
	if (v->left < 8)
		return EXT_SHORT;
	size = is == FRAGMENT ? 8 : is == AUTH ? 4U * (h[1] + 2U) : 8U * (h[1] + 1U);
	/* With segments left the destination is only the next stop. */
	if (is == ROUTING && h[3] != 0)
		return EXT_ROUTED;
	if (!skip(v, size))
		return EXT_SHORT;
	*type = h[0];
	if (is == FRAGMENT && be16(h + 2) / 8 != 0)
		return EXT_TAIL;
	if (is == FRAGMENT && (h[3] & 1))
		*fragment = true; /* else atomic, RFC 6946: as if it were not there */
	return EXT_NEXT;
}

static void read_v6(struct reading *r, struct view v)
{
	enum ext_step step = EXT_NEXT;
	const uint8_t *ip = v.at;
	bool fragment = false;
	int walked = 0;

	r->v6 = true;
	if (v.left < 40) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	if (ip[0] >> 4 != 6) {
		refuse(r, SHUNT_CTR_BAD_HEADER);
		return;
	}
	skip(&v, 40);
	if (be16(ip + 4) > v.left) {
		refuse(r, SHUNT_CTR_SHORT);
		return;
	}
	v.left = be16(ip + 4);
	memcpy(&r->src, ip + 8, 16);
	memcpy(&r->dst, ip + 24, 16);
	r->proto = ip[6];
	while (step == EXT_NEXT) {
		step = step_ext(&r->proto, &v, &fragment);
		/* One too many is one too many, whatever is in it. */
		if (step != EXT_END && walked++ == SHUNT_MAX_V6_EXT) {
			refuse(r, SHUNT_CTR_EXT_LIMIT);
			return;
		}
	}
	if (step == EXT_SHORT)
		refuse(r, SHUNT_CTR_SHORT);
	else if (step == EXT_ROUTED)
		refuse(r, SHUNT_CTR_OTHER_PROTO);
	else
		read_payload(r, v, fragment || step == EXT_TAIL, step != EXT_TAIL);
}

void oracle_read(struct reading *out, const uint8_t *frame, size_t len, const uint8_t mac[6])
{
	struct view v = { frame, len };

	memset(out, 0, sizeof(*out));
	if (memcmp(frame, mac, 6) != 0)
		refuse(out, SHUNT_CTR_NOT_HOST);
	else if (!skip(&v, 14))
		refuse(out, SHUNT_CTR_SHORT);
	else if (be16(frame + 12) == 0x0800)
		read_v4(out, v);
	else if (be16(frame + 12) == 0x86dd)
		read_v6(out, v);
	else
		refuse(out, SHUNT_CTR_NOT_IP);
}

/* IEEE 802.1Q: C-tag and S-tag. */
static bool is_tagged(const uint8_t *frame)
{
	return be16(frame + 12) == 0x8100 || be16(frame + 12) == 0x88a8;
}

bool oracle_tag_is_cut(const uint8_t *frame, size_t len)
{
	return is_tagged(frame) && len < 18;
}

void oracle_read_wire(struct reading *out, const uint8_t *frame, size_t len, const uint8_t mac[6])
{
	uint8_t inner[2048];

	oracle_read(out, frame, len, mac);
	if (!is_tagged(frame) || out->reason == SHUNT_CTR_NOT_HOST)
		return;
	/* Identifier 0: only a priority, the frame is of no VLAN. */
	if (be16(frame + 14) & 0x0fff) {
		refuse(out, SHUNT_CTR_VLAN);
		return;
	}
	memcpy(inner, frame, 12);
	memcpy(inner + 12, frame + 16, len - 16);
	oracle_read(out, inner, len - 4, mac);
}

/* ---- rules ------------------------------------------------------------------------------ */

static bool bit_of(const struct in6_addr *a, int i)
{
	return a->s6_addr[i / 8] >> (7 - i % 8) & 1;
}

/* 0.0.0.0/0 is all of IPv4 and ::/0 all of IPv6: a prefix is of one family. */
static bool prefix_has(const struct shunt_prefix *p, const struct reading *r,
		       const struct in6_addr *a)
{
	if (shunt_prefix_is_v4(p) == r->v6)
		return false;
	for (int i = 0; i < p->len; i++)
		if (bit_of(a, i) != bit_of(&p->addr, i))
			return false;
	return true;
}

static bool set_has(const struct shunt_sets *sets, const char *name, const struct reading *r,
		    const struct in6_addr *a)
{
	for (size_t i = 0; sets && i < sets->n; i++)
		for (size_t k = 0; !strcmp(sets->v[i].name, name) && k < sets->v[i].n; k++)
			if (prefix_has(&sets->v[i].v[k], r, a))
				return true;
	return false;
}

static bool addrs_have(const struct shunt_addrs *list, const struct shunt_sets *sets,
		       const struct reading *r, const struct in6_addr *a)
{
	bool found = false;

	if (list->set[0])
		return set_has(sets, list->set, r, a) != list->negated;
	if (!list->n)
		return true;
	for (size_t i = 0; i < list->n; i++)
		found |= prefix_has(&list->v[i], r, a);
	return found != list->negated;
}

static bool ports_have(const struct shunt_ports *list, uint16_t port)
{
	for (size_t i = 0; i < list->n; i++)
		if (port >= list->v[i].lo && port <= list->v[i].hi)
			return true;
	return list->n == 0;
}

static bool devices_have(const struct shunt_rule *rule, const char *device)
{
	for (size_t i = 0; i < rule->n_devices; i++)
		if (!strcmp(rule->devices[i], device))
			return true;
	return rule->n_devices == 0;
}

static bool rule_holds(const struct shunt_rule *rule, const struct reading *r,
		       const struct asked *q)
{
	uint8_t proto = r->proto == IPPROTO_TCP ? SHUNT_PROTO_TCP : SHUNT_PROTO_UDP;

	return (rule->dirs & q->dir) && (rule->protos & proto) && devices_have(rule, q->device) &&
	       addrs_have(&rule->from, q->sets, r, &r->src) &&
	       addrs_have(&rule->to, q->sets, r, &r->dst) &&
	       ports_have(&rule->sport, r->sport) && ports_have(&rule->port, r->dport) &&
	       (!rule->has_uid ||
		(q->has_uid && q->uid >= rule->uid_lo && q->uid <= rule->uid_hi));
}

const struct shunt_rule *oracle_rule(const struct shunt_rules *rules, const struct reading *r,
				     const struct asked *asked)
{
	const struct shunt_rule *best = NULL;

	for (size_t i = 0; i < rules->n; i++)
		if (rule_holds(&rules->v[i], r, asked) &&
		    (!best || rules->v[i].priority < best->priority))
			best = &rules->v[i];
	return best;
}

static void decide_flow(struct expected *out, const struct shunt_rule *rule, bool assigns)
{
	if (!rule) {
		out->exit = SHUNT_CTR_NO_MATCH;
	} else if (rule->action == SHUNT_ACT_PASS) {
		out->exit = SHUNT_CTR_RULE_PASS;
	} else if (rule->action == SHUNT_ACT_DROP) {
		out->exit = SHUNT_CTR_RULE_DROP;
		out->verdict = TC_ACT_SHOT;
	} else if (assigns) {
		out->exit = SHUNT_CTR_STEER_NEW;
		out->steered = true;
	} else if (rule->fail == SHUNT_FAIL_CLOSED) {
		out->exit = SHUNT_CTR_FAIL_CLOSED;
		out->verdict = TC_ACT_SHOT;
	} else {
		out->exit = SHUNT_CTR_FAIL_OPEN;
	}
}

void oracle_decide(struct expected *out, const struct reading *r, const struct shunt_rules *rules,
		   const struct asked *asked, bool assigns)
{
	*out = (struct expected){ .verdict = TC_ACT_UNSPEC };
	switch (r->kind) {
	case READING_REFUSED:
		out->exit = r->reason;
		break;
	case READING_TAIL:
		out->exit = SHUNT_CTR_FRAG_OTHER;
		break;
	case READING_ICMP_ERROR:
		out->exit = SHUNT_CTR_ICMP_OTHER;
		break;
	case READING_FLOW:
		if (r->opens)
			decide_flow(out, oracle_rule(rules, r, asked), assigns);
		else
			out->exit = SHUNT_CTR_MID_FLOW;
	}
}
