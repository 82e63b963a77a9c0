// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nft_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK 75 /* Linux 5.19 */
#endif

enum { BATCH = 64, MAGIC = 0x6e667464 };

/* What each frame carries behind its headers. */
struct tail {
	uint32_t index, magic;
};

static int run_script(const char *command, const char *text)
{
	FILE *f = popen(command, "w");

	if (!f)
		return shunt_err(-errno, "cannot run '%s'", command);
	fputs(text, f);
	return pclose(f) ? shunt_err(-EINVAL, "'%s' failed", command) : 0;
}

/* ---- devices and sockets ------------------------------------------------------------------ */

/* Lines of `ip -batch` for each device, whose name stands for %. */
static int change_devices(const char *format)
{
	static const enum shunt_dir dirs[] = { SHUNT_DIR_IN, SHUNT_DIR_OUT };
	char name[IF_NAMESIZE], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -ENOMEM;
	for (int i = 0; i < NFT_DEVICES; i++) {
		nft_device_name(name, dirs[i & 1], random_devices[i / 2]);
		for (const char *at = format; *at; at++)
			if (*at == '%')
				fputs(name, out);
			else
				fputc(*at, out);
		fputc('\n', out);
	}
	fclose(out);
	r = run_script("ip -batch -", text);
	free(text);
	return r;
}

static int make_devices(struct nft_lab *lab)
{
	static const enum shunt_dir dirs[] = { SHUNT_DIR_IN, SHUNT_DIR_OUT };
	char name[IF_NAMESIZE];
	int r = change_devices("link add % type veth peer name p%\nlink set p% up\nlink set % up");

	for (int i = 0; i < NFT_DEVICES && !r; i++) {
		nft_device_name(name, dirs[i & 1], random_devices[i / 2]);
		lab->devices[i & 1][i / 2] = if_nametoindex(name);
	}
	return r;
}

/* Sees what leaves, behind the hook, with its mark. */
static int open_tap(void)
{
	struct sock_filter outgoing[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { 4, outgoing };
	struct timeval limit = { .tv_sec = 60 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = 4 << 20;
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    bind(fd, (struct sockaddr *)&all, sizeof(all))) {
		close(fd);
		return -errno;
	}
	return fd;
}

int nft_lab_open(struct nft_lab *lab)
{
	int r;

	*lab = (struct nft_lab){ .send = -1, .tap = -1 };
	r = make_devices(lab);
	if (r)
		return r;
	lab->tap = open_tap();
	lab->send = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (lab->tap < 0 || lab->send < 0)
		return shunt_err(-EIO, "cannot open packet sockets");
	return 0;
}

void nft_lab_close(struct nft_lab *lab)
{
	close(lab->tap);
	close(lab->send);
	change_devices("link del %");
}

int nft_lab_load(struct nft_script *s)
{
	FILE *f = popen("nft -f -", "w");

	if (!f)
		return shunt_err(-errno, "cannot run nft");
	nft_script_end(s, f);
	return pclose(f) ? shunt_err(-EINVAL, "nft refuses the rules") : 0;
}

/* ---- packets --------------------------------------------------------------------------------- */

static void make_frame(struct frame *f, const struct ref_packet *p, uint32_t index)
{
	static const uint8_t nobody[6];
	struct tail tail = { index, MAGIC };
	size_t src = p->v6 ? FRAME_AT_SRC6 : FRAME_AT_SRC4, skip = p->v6 ? 0 : 12;

	frame_ip(f, nobody, p->v6);
	frame_l4(f, p->proto == SHUNT_PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP, p->dport);
	frame_put(f, &tail, sizeof(tail));
	frame_close(f);
	frame_set16(f, f->l4, p->sport);
	memcpy(f->b + src, p->src.s6_addr + skip, 16 - skip);
	memcpy(f->b + src + 16 - skip, p->dst.s6_addr + skip, 16 - skip);
}

static unsigned int device_of(const struct nft_lab *lab, const struct ref_packet *p)
{
	int i = 0;

	while (strcmp(random_devices[i], p->device))
		i++;
	return lab->devices[p->dir == SHUNT_DIR_OUT][i];
}

static int send_packet(struct nft_lab *lab, const struct ref_packet *p, uint32_t index)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)device_of(lab, p),
				  .sll_protocol = htons(p->v6 ? ETH_P_IPV6 : ETH_P_IP) };
	struct frame f;

	make_frame(&f, p, index);
	if (sendto(lab->send, f.b, f.len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return shunt_err(-errno, "cannot send to nftables: %s", strerror(errno));
	return 0;
}

static uint32_t mark_of(struct msghdr *m)
{
	uint32_t mark = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	return mark;
}

/* One of our frames; what the kernel itself sends is passed over. */
static int receive(struct nft_lab *lab, uint32_t n, uint32_t *marks)
{
	for (;;) {
		uint8_t frame[256], control[256];
		struct iovec v = { frame, sizeof(frame) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t len = recvmsg(lab->tap, &m, 0);
		struct tail tail;

		if (len < 0)
			return shunt_err(-errno, "a packet did not come out: %s", strerror(errno));
		if ((size_t)len < sizeof(tail))
			continue;
		memcpy(&tail, frame + len - sizeof(tail), sizeof(tail));
		if (tail.magic != MAGIC || tail.index >= n)
			continue;
		marks[tail.index] = mark_of(&m);
		return 0;
	}
}

int nft_lab_ask(struct nft_lab *lab, uint32_t number, const struct ref_packet *packets,
		uint32_t n, uint32_t *marks)
{
	uint32_t end;
	int r = 0;

	if (setsockopt(lab->send, SOL_SOCKET, SO_MARK, &number, sizeof(number)))
		return shunt_err(-errno, "cannot set a mark: %s", strerror(errno));
	for (uint32_t first = 0; first < n && !r; first = end) {
		end = first + BATCH < n ? first + BATCH : n;
		for (uint32_t i = first; i < end && !r; i++)
			r = send_packet(lab, &packets[i], i);
		for (uint32_t i = first; i < end && !r; i++)
			r = receive(lab, n, marks);
	}
	return r;
}
