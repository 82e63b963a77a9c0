// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Frames into the plane and what comes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plane.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* ---- test runs -------------------------------------------------------------------------- */

/* net/bpf/test_run.c refuses frames without a whole IP header. */
bool plane_needs_wire(const struct frame *f)
{
	uint16_t type = (uint16_t)(f->b[12] << 8 | f->b[13]);

	return (type == 0x0800 && f->len < FRAME_ETH + 20) ||
	       (type == 0x86dd && f->len < FRAME_ETH + 40);
}

/* The flow that this datagram would go on with is one that the plane does not know. */
static void forget_udp(struct plane *p, const struct frame *f, enum shunt_dir dir)
{
	struct shunt_udp_key key = { .ifindex = p->ifindex, .dir = (uint8_t)dir };
	struct reading r;

	if (p->udp_goes_on)
		return;
	oracle_read_wire(&r, f->b, f->len, p->mac);
	if (r.kind != READING_FLOW || r.proto != IPPROTO_UDP)
		return;
	memcpy(key.tuple.saddr, &r.src, 16);
	memcpy(key.tuple.daddr, &r.dst, 16);
	key.tuple.sport = htons(r.sport);
	key.tuple.dport = htons(r.dport);
	key.tuple.proto = r.proto;
	bpf_map_delete_elem(p->s->map.udp_flows, &key); /* it need not be there */
}

void plane_test_run(struct plane *p, const struct plane_run *run, const struct frame *f,
		    struct plane_result *out)
{
	bool egress = run->prog == PROG_OUT_ETH || run->prog == PROG_OUT_L3;
	struct __sk_buff skb = { .ifindex = run->prog == PROG_LO ? 1 : p->ifindex,
				 .ingress_ifindex = run->iif,
				 .mark = run->mark | PLANE_OTHER_MARK,
				 .gso_size = run->gso_size,
				 .gso_segs = run->gso_size ? 2 : 0 };
	__u32 zero = 0;

	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b,
			    .data_size_in = (__u32)f->len, .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .ctx_out = &skb,
			    .ctx_size_out = sizeof(skb), .repeat = 1);
	memset(out, 0, sizeof(*out));
	if (!run->explain)
		forget_udp(p, f, egress ? SHUNT_DIR_OUT : SHUNT_DIR_IN);
	if (run->explain) {
		skb.cb[0] = SHUNT_EXPLAIN_CB0;
		skb.cb[1] = SHUNT_EXPLAIN_CB1;
		skb.cb[2] = run->uid;
		assert_int_equal(bpf_map_update_elem(p->s->map.explain, &zero, &out->ex, 0), 0);
	}
	if (bpf_prog_test_run_opts(p->s->prog[run->prog], &opts))
		fail_msg("test run of %zu bytes: %s", f->len, strerror(errno));
	out->verdict = (int)opts.retval;
	out->mark = skb.mark;
	if (run->explain) {
		assert_int_equal(bpf_map_lookup_elem(p->s->map.explain, &zero, &out->ex), 0);
		assert_int_equal(out->ex.ran, 1);
		assert_int_equal((int)out->ex.verdict, out->verdict);
	}
}

/* ---- counters --------------------------------------------------------------------------- */

void plane_sync(struct plane *p)
{
	assert_int_equal(shunt_counters_read(p->s, p->counters), 0);
}

static bool is_exit(enum shunt_counter c)
{
	return c < SHUNT_CTR_PULLED;
}

enum shunt_counter plane_exit(struct plane *p, uint64_t *events)
{
	enum shunt_counter found = SHUNT_CTR_MAX;
	uint64_t before[SHUNT_CTR_MAX], seen = 0;

	memcpy(before, p->counters, sizeof(before));
	plane_sync(p);
	for (int c = 0; c < SHUNT_CTR_MAX; c++) {
		uint64_t n = p->counters[c] - before[c];

		if (!n)
			continue;
		seen |= 1ULL << c;
		if (!is_exit(c))
			continue;
		if (n > 1 || found != SHUNT_CTR_MAX)
			fail_msg("counted twice: %s and %s",
				 found < SHUNT_CTR_MAX ? shunt_counter_name(found) : "-",
				 shunt_counter_name(c));
		found = c;
	}
	if (events)
		*events = seen;
	if (found == SHUNT_CTR_MAX)
		fail_msg("no exit was counted");
	return found;
}

enum shunt_counter plane_ingress(struct plane *p, const struct frame *f, bool *steered)
{
	struct plane_run run = { .prog = PROG_IN_ETH, .iif = p->ifindex };
	struct plane_result result;

	plane_test_run(p, &run, f, &result);
	if (steered)
		*steered = result.mark & p->s->info.steer_mark;
	return plane_exit(p, NULL);
}

/* ---- the wire --------------------------------------------------------------------------- */

static int open_far(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(PLANE_FAR) };
	/* Protocol 0: sends only. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail_msg("cannot open a packet socket: %s", strerror(errno));
	return fd;
}

static uint64_t all_exits(struct plane *p)
{
	uint64_t now[SHUNT_CTR_MAX], n = 0;

	assert_int_equal(shunt_counters_read(p->s, now), 0);
	for (int c = 0; is_exit(c); c++)
		n += now[c];
	return n;
}

static time_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* A frame is through when it is counted: at once, unless another thread does the softirq. */
static void wait_counted(struct plane *p)
{
	time_t end = seconds() + 60;
	uint64_t before = 0;

	for (int c = 0; is_exit(c); c++)
		before += p->counters[c];
	while (all_exits(p) == before) {
		if (seconds() > end)
			fail_msg("a frame on the wire was not seen by the program");
		sched_yield();
	}
}

void plane_send(struct plane *p, const struct frame *f)
{
	if (p->wire < 0)
		p->wire = open_far();
	forget_udp(p, f, SHUNT_DIR_IN);
	if (send(p->wire, f->b, f->len, 0) != (ssize_t)f->len)
		fail_msg("cannot send %zu bytes: %s", f->len, strerror(errno));
	wait_counted(p);
}

static void open_ring(struct plane *p)
{
	struct tpacket_req req = { .tp_block_size = 4096, .tp_block_nr = 1,
				   .tp_frame_size = 4096, .tp_frame_nr = 1 };
	int version = TPACKET_V2;

	p->ring = open_far();
	if (setsockopt(p->ring, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(p->ring, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)))
		fail_msg("cannot make a ring: %s", strerror(errno));
	p->ring_frame = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->ring, 0);
	if (p->ring_frame == MAP_FAILED)
		fail_msg("cannot map the ring: %s", strerror(errno));
}

void plane_send_nonlinear(struct plane *p, const struct frame *f)
{
	struct tpacket2_hdr *h;
	time_t end = seconds() + 60;

	if (p->ring < 0)
		open_ring(p);
	forget_udp(p, f, SHUNT_DIR_IN);
	h = (struct tpacket2_hdr *)p->ring_frame;
	/* The kernel gives the frame back when its sk_buff is freed, maybe by another thread. */
	while (__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE) {
		if (seconds() > end)
			fail_msg("the ring does not empty");
		sched_yield();
	}
	memcpy(p->ring_frame + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), f->b, f->len);
	h->tp_len = (__u32)f->len;
	__atomic_store_n(&h->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
	if (send(p->ring, NULL, 0, 0) != (ssize_t)f->len)
		fail_msg("cannot send %zu bytes from the ring: %s", f->len, strerror(errno));
	wait_counted(p);
}

/* ---- against the oracle ----------------------------------------------------------------- */

static void compare(const struct expected *want, enum shunt_counter exit, int verdict, bool steered,
		    const char *what, const char *how)
{
	if (exit != want->exit)
		fail_msg("%s, %s: counted as %s, should be %s", what, how,
			 shunt_counter_name(exit), shunt_counter_name(want->exit));
	if (verdict != want->verdict)
		fail_msg("%s, %s: verdict %d, should be %d", what, how, verdict, want->verdict);
	if (steered != want->steered)
		fail_msg("%s, %s: steer bit %d, should be %d", what, how, steered, want->steered);
}

static bool is_steered(const struct plane *p, const struct plane_result *r, const char *what)
{
	uint32_t steer = p->s->info.steer_mark;

	if ((r->mark & ~steer) != PLANE_OTHER_MARK)
		fail_msg("%s: other bits of the mark changed: 0x%x", what, r->mark);
	return r->mark & steer;
}

enum shunt_counter plane_check(struct plane *p, const struct frame *f, const char *what)
{
	static const struct asked asked = { .dir = SHUNT_DIR_IN, .device = PLANE_DEVICE };
	struct plane_run run = { .prog = PROG_IN_ETH, .explain = true, .iif = p->ifindex };
	struct plane_result result;
	struct expected want;
	struct reading r;

	oracle_read(&r, f->b, f->len, p->mac);
	oracle_decide(&want, &r, &p->rules, &asked, true);
	if (plane_needs_wire(f)) { /* IP, so there is no tag */
		plane_send(p, f);
		compare(&want, plane_exit(p, NULL), want.verdict, want.steered, what, "wire");
		return want.exit;
	}
	plane_test_run(p, &run, f, &result);
	compare(&want, result.ex.counter, result.verdict, is_steered(p, &result, what), what,
		"explain");
	run.explain = false;
	oracle_decide(&want, &r, &p->rules, &asked, false);
	for (int i = 0; i < 2; i++) { /* the second may be known by the first: bpf/recent.h */
		plane_test_run(p, &run, f, &result);
		compare(&want, plane_exit(p, NULL), result.verdict, is_steered(p, &result, what),
			what, i ? "plain, again" : "plain");
	}
	return want.exit == SHUNT_CTR_FAIL_OPEN || want.exit == SHUNT_CTR_FAIL_CLOSED
		       ? SHUNT_CTR_STEER_NEW
		       : want.exit;
}
