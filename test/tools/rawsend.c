/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rawsend: put frames on an interface that no socket would send: tags, options, extension
 * headers, fragments, foreign sources, cut ends, headers outside the linear part.
 */
#include "lib/args.h"
#include "lib/frame.h"
#include "lib/pattern.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: rawsend IFACE --src ADDR:PORT --dst ADDR:PORT [OPTION ...]\n"
	"       rawsend IFACE --hex FILE | --pcap FILE [OPTION ...]\n"
	"\n"
	"  --proto tcp|udp|icmp    (default tcp)\n"
	"  --flags LETTERS         of F S R P A U (default S)\n"
	"  --seq N, --ack N, --ttl N, --id N\n"
	"  --icmp TYPE,CODE\n"
	"  --dst-mac MAC, --src-mac MAC   (source: the interface's own)\n"
	"  --vlan [TPID,]VID       tag, outermost first, up to 3 times (TPID 0x8100)\n"
	"  --ethertype N           whatever the packet is\n"
	"  --ip-options HEX        IPv4 options\n"
	"  --ext NAME,...          IPv6 headers: hbh dst rt frag ah esp none\n"
	"  --payload N             so many bytes of a pattern\n"
	"  --text TEXT             or these\n"
	"  --fragments SIZE        in fragments with SIZE bytes each\n"
	"  --truncate N            cut each frame to N bytes\n"
	"  --random-src N          the last N bits of the address and the port vary, frame by frame\n"
	"  --sources N            N addresses from --src on, in turn, each with its next port\n"
	"  --tx-ring               send with PACKET_TX_RING: only the link header is linear\n"
	"  --count N               times (default 1)\n"
	"  --rate N                frames per second (default: as fast as it goes)\n"
	"  --print                 hexadecimal to stdout instead of sending\n"
	"\n"
	"A hex file has one frame a line. Prints how many frames were sent.\n";

struct options {
	struct frame_spec spec;
	uint8_t payload[FRAME_MAX];
	const char *iface, *hex, *pcap;
	bool has_src, has_dst, has_src_mac, tx_ring, print;
	uint64_t count, rate, fragments, truncate, random_bits, seed, sources, turn;
	struct sockaddr_storage src; /* of --sources: as given */
};

/* Where frames go: one of a packet socket, a ring on it, or stdout. */
struct sink {
	int fd;
	bool print;
	uint8_t *ring;
	uint64_t truncate, sent, rate, start;
	struct sockaddr_ll to;
};

enum { RING_FRAME = 4096, RING_SIZE = 1 << 16 };

static size_t parse_hex(uint8_t *out, size_t max, const char *text)
{
	size_t n = 0;
	unsigned int v;

	while (*text && !isspace((unsigned char)*text)) {
		if (n == max || sscanf(text, "%2x", &v) != 1 || !isxdigit((unsigned char)text[1]))
			die_usage("'%s': not pairs of hexadecimal digits", text);
		out[n++] = (uint8_t)v;
		text += 2;
	}
	return n;
}

static void parse_mac(uint8_t *out, const char *text)
{
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &out[0], &out[1], &out[2], &out[3],
		   &out[4], &out[5]) != 6)
		die_usage("MAC '%s': not six bytes", text);
}

static void parse_tag(struct frame_spec *s, const char *text)
{
	const char *comma = strchr(text, ',');
	char tpid[16] = "0x8100";

	if (s->n_tags == FRAME_TAGS)
		die_usage("more than %d tags", FRAME_TAGS);
	if (comma) {
		if ((size_t)(comma - text) >= sizeof(tpid))
			die_usage("tag '%s': not TPID,VID", text);
		memcpy(tpid, text, (size_t)(comma - text));
		tpid[comma - text] = '\0';
		text = comma + 1;
	}
	s->tags[s->n_tags].tpid = (uint16_t)arg_u64("TPID", tpid, 0xffff);
	s->tags[s->n_tags++].tci = (uint16_t)arg_u64("VID", text, 0xffff);
}

static void parse_exts(struct frame_spec *s, char *text)
{
	static const struct { const char *name; uint8_t type; } names[] = {
		{ "hbh", IPPROTO_HOPOPTS }, { "dst", IPPROTO_DSTOPTS }, { "rt", IPPROTO_ROUTING },
		{ "frag", IPPROTO_FRAGMENT }, { "ah", IPPROTO_AH }, { "esp", IPPROTO_ESP },
		{ "none", IPPROTO_NONE },
	};
	size_t i;

	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (!strcmp(word, names[i].name))
				break;
		if (i == sizeof(names) / sizeof(names[0]) || s->n_exts == FRAME_EXTS)
			die_usage("extension header '%s': unknown, or too many", word);
		s->exts[s->n_exts++] = names[i].type;
	}
}

static uint8_t parse_flags(const char *text)
{
	static const char letters[] = "FSRPAU";
	uint8_t flags = 0;

	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			die_usage("flag '%c': not one of %s", *text, letters);
		flags |= (uint8_t)(1 << (at - letters));
	}
	return flags;
}

static uint8_t parse_proto(const char *text)
{
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(text, "udp"))
		return IPPROTO_UDP;
	if (!strcmp(text, "icmp"))
		return IPPROTO_ICMP;
	die_usage("protocol '%s': unknown", text);
}

enum {
	O_PROTO = 256, O_FLAGS, O_SEQ, O_ACK, O_TTL, O_ID, O_ICMP, O_DMAC, O_SMAC, O_VLAN, O_TYPE,
	O_OPTIONS, O_EXT, O_PAYLOAD, O_TEXT, O_FRAGS, O_TRUNC, O_RANDOM, O_RING, O_COUNT, O_RATE,
	O_PRINT, O_SRC, O_DST, O_HEX, O_PCAP, O_SOURCES,
};

static const struct option option_table[] = {
	{ "proto", 1, NULL, O_PROTO },	     { "flags", 1, NULL, O_FLAGS },
	{ "seq", 1, NULL, O_SEQ },	     { "ack", 1, NULL, O_ACK },
	{ "ttl", 1, NULL, O_TTL },	     { "id", 1, NULL, O_ID },
	{ "icmp", 1, NULL, O_ICMP },	     { "dst-mac", 1, NULL, O_DMAC },
	{ "src-mac", 1, NULL, O_SMAC },	     { "vlan", 1, NULL, O_VLAN },
	{ "ethertype", 1, NULL, O_TYPE },    { "ip-options", 1, NULL, O_OPTIONS },
	{ "ext", 1, NULL, O_EXT },	     { "payload", 1, NULL, O_PAYLOAD },
	{ "text", 1, NULL, O_TEXT },	     { "fragments", 1, NULL, O_FRAGS },
	{ "truncate", 1, NULL, O_TRUNC },    { "random-src", 1, NULL, O_RANDOM },
	{ "sources", 1, NULL, O_SOURCES },   { "tx-ring", 0, NULL, O_RING },
	{ "count", 1, NULL, O_COUNT },	     { "rate", 1, NULL, O_RATE },
	{ "print", 0, NULL, O_PRINT },	     { "src", 1, NULL, O_SRC },
	{ "dst", 1, NULL, O_DST },	     { "hex", 1, NULL, O_HEX },
	{ "pcap", 1, NULL, O_PCAP },	     { "help", 0, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void parse_icmp(struct frame_spec *s, const char *text)
{
	if (sscanf(text, "%hhu,%hhu", &s->icmp_type, &s->icmp_code) != 2)
		die_usage("ICMP '%s': not TYPE,CODE", text);
}

static void parse_text(struct options *o, const char *text)
{
	o->spec.payload_len = strlen(text);
	if (o->spec.payload_len > sizeof(o->payload))
		die_usage("the text is too long");
	memcpy(o->payload, text, o->spec.payload_len);
}

/* 1 if the option was one of the frame's. */
static int parse_spec_option(struct options *o, int c)
{
	struct frame_spec *s = &o->spec;

	switch (c) {
	case O_PROTO: s->proto = parse_proto(optarg); return 1;
	case O_FLAGS: s->tcp_flags = parse_flags(optarg); return 1;
	case O_SEQ: s->seq = (uint32_t)arg_u64("seq", optarg, UINT32_MAX); return 1;
	case O_ACK: s->ack = (uint32_t)arg_u64("ack", optarg, UINT32_MAX); return 1;
	case O_TTL: s->ttl = (uint8_t)arg_u64("ttl", optarg, 255); return 1;
	case O_ID: s->id = (uint16_t)arg_u64("id", optarg, 0xffff); return 1;
	case O_ICMP: parse_icmp(s, optarg); return 1;
	case O_DMAC: parse_mac(s->dst_mac, optarg); return 1;
	case O_SMAC: parse_mac(s->src_mac, optarg); o->has_src_mac = true; return 1;
	case O_VLAN: parse_tag(s, optarg); return 1;
	case O_TYPE: s->ethertype = (uint16_t)arg_u64("ethertype", optarg, 0xffff); return 1;
	case O_OPTIONS: s->n_options = parse_hex(s->options, FRAME_OPTIONS, optarg); return 1;
	case O_EXT: parse_exts(s, optarg); return 1;
	case O_PAYLOAD:
		s->payload_len = arg_u64("payload", optarg, FRAME_MAX - 256);
		pattern_fill(o->payload, s->payload_len, pattern_key(0, 1), 0);
		return 1;
	case O_TEXT: parse_text(o, optarg); return 1;
	case O_SRC: arg_sockaddr(&s->src, optarg); o->has_src = true; return 1;
	case O_DST: arg_sockaddr(&s->dst, optarg); o->has_dst = true; return 1;
	}
	return 0;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", option_table, NULL)) != -1) {
		if (parse_spec_option(o, c))
			continue;
		switch (c) {
		case O_FRAGS: o->fragments = arg_u64("size", optarg, 65528); break;
		case O_TRUNC: o->truncate = arg_u64("length", optarg, FRAME_MAX); break;
		case O_RANDOM: o->random_bits = arg_u64("bits", optarg, 32); break;
		case O_SOURCES: o->sources = arg_u64("sources", optarg, 65536); break;
		case O_RING: o->tx_ring = true; break;
		case O_COUNT: o->count = arg_u64("count", optarg, UINT64_MAX); break;
		case O_RATE: o->rate = arg_u64("rate", optarg, 10000000); break;
		case O_PRINT: o->print = true; break;
		case O_HEX: o->hex = optarg; break;
		case O_PCAP: o->pcap = optarg; break;
		case 'h': fputs(usage_text, stdout); exit(0);
		default: fputs(usage_text, stderr); exit(2);
		}
	}
	if (optind + 1 != argc) {
		fputs(usage_text, stderr);
		exit(2);
	}
	o->iface = argv[optind];
	if (!o->hex && !o->pcap && (!o->has_src || !o->has_dst))
		die_usage("--src and --dst, or a file, must be given");
	if (o->spec.src.ss_family != o->spec.dst.ss_family)
		die_usage("--src and --dst are not of one family");
	if (o->fragments % 8)
		die_usage("fragment size '%" PRIu64 "': not a multiple of 8", o->fragments);
	if (o->spec.proto == IPPROTO_ICMP && o->spec.src.ss_family == AF_INET6)
		o->spec.proto = IPPROTO_ICMPV6;
	o->spec.payload = o->payload;
	o->src = o->spec.src;
}

static void sink_open(struct sink *s, struct options *o)
{
	struct tpacket_req req = { .tp_block_size = RING_SIZE, .tp_block_nr = 1,
				   .tp_frame_size = RING_FRAME,
				   .tp_frame_nr = RING_SIZE / RING_FRAME };
	int version = TPACKET_V2;
	struct ifreq ifr = { 0 };

	*s = (struct sink){ .fd = -1, .print = o->print, .truncate = o->truncate, .rate = o->rate,
			    .start = now_ns() };
	if (o->print)
		return;
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("cannot make a packet socket: %s", strerror(errno));
	s->to.sll_family = AF_PACKET;
	s->to.sll_ifindex = (int)if_nametoindex(o->iface);
	if (!s->to.sll_ifindex || bind(s->fd, (struct sockaddr *)&s->to, sizeof(s->to)))
		die("cannot use '%s': %s", o->iface, strerror(errno));
	strncpy(ifr.ifr_name, o->iface, IFNAMSIZ - 1);
	if (!o->has_src_mac && !ioctl(s->fd, SIOCGIFHWADDR, &ifr))
		memcpy(o->spec.src_mac, ifr.ifr_hwaddr.sa_data, 6);
	if (!o->tx_ring)
		return;
	if (setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(s->fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)))
		die("cannot make a transmit ring: %s", strerror(errno));
	s->ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->ring == MAP_FAILED)
		die("cannot map the transmit ring: %s", strerror(errno));
}

static void sink_ring(struct sink *s, const uint8_t *data, size_t len)
{
	size_t slot = s->sent % (RING_SIZE / RING_FRAME);
	struct tpacket2_hdr *hdr = (struct tpacket2_hdr *)(s->ring + slot * RING_FRAME);
	size_t at = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll);

	if (len > RING_FRAME - at)
		die("a frame of %zu bytes does not fit the ring", len);
	/* send() below is synchronous, so the slot is free again. */
	memcpy((uint8_t *)hdr + at, data, len);
	hdr->tp_len = (uint32_t)len;
	hdr->tp_status = TP_STATUS_SEND_REQUEST;
	if (send(s->fd, NULL, 0, 0) < 0)
		die("cannot send: %s", strerror(errno));
	if (hdr->tp_status & TP_STATUS_WRONG_FORMAT)
		die("the kernel refused the frame");
}

static void sink_wait_turn(const struct sink *s)
{
	uint64_t due, now;
	struct timespec t;

	if (!s->rate)
		return;
	due = s->start + s->sent * 1000000000 / s->rate;
	now = now_ns();
	if (due <= now)
		return;
	t.tv_sec = (time_t)((due - now) / 1000000000);
	t.tv_nsec = (long)((due - now) % 1000000000);
	nanosleep(&t, NULL);
}

static void sink_put(struct sink *s, const uint8_t *data, size_t len)
{
	if (s->truncate && len > s->truncate)
		len = s->truncate;
	sink_wait_turn(s);
	if (s->print) {
		for (size_t i = 0; i < len; i++)
			printf("%02x", data[i]);
		putchar('\n');
	} else if (s->ring) {
		sink_ring(s, data, len);
	} else {
		while (send(s->fd, data, len, 0) < 0) {
			if (errno != ENOBUFS && errno != EAGAIN)
				die("cannot send a frame of %zu bytes: %s", len, strerror(errno));
			usleep(100);
		}
	}
	s->sent++;
}

static uint32_t *low_word(struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? &((struct sockaddr_in *)a)->sin_addr.s_addr
				       : &((struct sockaddr_in6 *)a)->sin6_addr.s6_addr32[3];
}

static void vary_source(struct options *o)
{
	uint32_t mask = o->random_bits == 32 ? UINT32_MAX : (1u << o->random_bits) - 1;
	uint64_t r = rng_next(&o->seed);
	uint32_t *last = low_word(&o->spec.src);

	*last = htonl((ntohl(*last) & ~mask) | ((uint32_t)r & mask));
	sockaddr_set_port(&o->spec.src, (uint16_t)(1024 + (r >> 32) % 64000));
	o->spec.seq = (uint32_t)(r >> 20);
}

/* Ports from the given one up to the last, and again. */
static void next_source(struct options *o)
{
	uint32_t first = ntohl(*low_word(&o->src));
	uint16_t port = sockaddr_port(&o->src);

	*low_word(&o->spec.src) = htonl(first + (uint32_t)(o->turn % o->sources));
	port = (uint16_t)(port + o->turn / o->sources % (65536 - port));
	sockaddr_set_port(&o->spec.src, port);
	o->turn++;
}

static void send_built(struct sink *s, struct options *o)
{
	static struct frame whole, part; /* too large for the stack */

	if (o->random_bits)
		vary_source(o);
	if (o->sources)
		next_source(o);
	frame_build(&whole, &o->spec);
	if (!o->fragments) {
		sink_put(s, whole.data, whole.len);
		return;
	}
	for (size_t i = 0; !frame_fragment(&part, &whole, o->fragments, i); i++)
		sink_put(s, part.data, part.len);
}

static void send_hex(struct sink *s, const char *path)
{
	static uint8_t data[FRAME_MAX];
	FILE *in = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;

	if (!in)
		die("cannot open '%s': %s", path, strerror(errno));
	while (getline(&line, &size, in) > 0) {
		size_t n = parse_hex(data, sizeof(data), line);

		if (n)
			sink_put(s, data, n);
	}
	free(line);
	fclose(in);
}

static void send_pcap(struct sink *s, const char *path)
{
	static uint8_t data[FRAME_MAX];
	uint32_t head[6], record[4];
	FILE *in = fopen(path, "r");

	if (!in)
		die("cannot open '%s': %s", path, strerror(errno));
	/* Microseconds or nanoseconds, in this machine's byte order. */
	if (fread(head, sizeof(head), 1, in) != 1 ||
	    (head[0] != 0xa1b2c3d4 && head[0] != 0xa1b23c4d))
		die("'%s' is not a pcap file", path);
	while (fread(record, sizeof(record), 1, in) == 1) {
		if (record[2] > sizeof(data) || fread(data, record[2], 1, in) != 1)
			die("'%s' ends in a record", path);
		sink_put(s, data, record[2]);
	}
	fclose(in);
}

int main(int argc, char **argv)
{
	static struct options o = {
		.count = 1, .seed = 1,
		.spec = { .proto = IPPROTO_TCP, .tcp_flags = TH_SYN, .ttl = 64, .id = 1,
			  .icmp_type = 8 },
	};
	struct sink sink;

	parse_options(&o, argc, argv);
	sink_open(&sink, &o);
	for (uint64_t i = 0; i < o.count; i++) {
		if (o.hex)
			send_hex(&sink, o.hex);
		else if (o.pcap)
			send_pcap(&sink, o.pcap);
		else
			send_built(&sink, &o);
	}
	if (!o.print)
		printf("%" PRIu64 "\n", sink.sent);
	return 0;
}
