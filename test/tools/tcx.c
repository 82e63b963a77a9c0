/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcx: somebody else's tc program. Shows which programs are attached by tcx to an interface,
 * or attaches one before or behind all others, which counts packets, remembers the bits it saw
 * in their marks and may set some. It goes away with the process.
 */
#include "lib/args.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: tcx list IFACE\n"
	"       tcx hold IFACE ingress|egress first|last [OR-MARK]\n"
	"\n"
	"list: the ids and names of the programs, in their order.\n"
	"hold: until SIGTERM. Says `ready` on stderr; prints a line of JSON on SIGUSR1: packets,\n"
	"and all mark bits seen. With OR-MARK, sets these bits in each packet.\n";

/* Newer than the kernel headers of the systems this builds on. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47, F_BEFORE = 1 << 3, F_AFTER = 1 << 4, MAX_PROGS = 64 };

/* The beginning of union bpf_attr for BPF_LINK_CREATE with tcx. */
struct link_attr {
	__u32 prog_fd, target_ifindex, attach_type, flags;
	__u32 relative_fd, pad;
	__u64 expected_revision;
};

/* The same for BPF_PROG_QUERY with tcx. */
struct query_attr {
	__u32 target_ifindex, attach_type, query_flags, attach_flags;
	__u64 prog_ids;
	__u32 count, pad;
	__u64 prog_attach_flags, link_ids, link_attach_flags, revision;
};

struct seen {
	__u64 packets;
	__u64 marks;
};

static long bpf(int cmd, void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size);
}

static void print_program(unsigned int id)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { .prog_id = id };
	long fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));

	if (fd < 0)
		return; /* gone meanwhile */
	attr = (union bpf_attr){ .info = { .bpf_fd = (__u32)fd, .info_len = sizeof(info),
					   .info = (__u64)(uintptr_t)&info } };
	if (!bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		printf(" %u %s", id, info.name);
	close((int)fd);
}

static int list(unsigned int ifindex)
{
	static const char *const names[] = { "ingress", "egress" };

	for (unsigned int i = 0; i < 2; i++) {
		__u32 ids[MAX_PROGS];
		struct query_attr q = { .target_ifindex = ifindex, .attach_type = TCX_INGRESS + i,
					.prog_ids = (__u64)(uintptr_t)ids, .count = MAX_PROGS };

		if (bpf(BPF_PROG_QUERY, &q, sizeof(q))) {
			if (errno == ENOENT)
				continue;
			die("cannot query: %s", strerror(errno));
		}
		if (!q.count)
			continue;
		printf("%s", names[i]);
		for (unsigned int j = 0; j < q.count; j++)
			print_program(ids[j]);
		putchar('\n');
	}
	return 0;
}

static int make_map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
				.value_size = sizeof(struct seen), .max_entries = 1 };
	long fd = bpf(BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		die("cannot make a map: %s", strerror(errno));
	return (int)fd;
}

#define INSN(c, d, s, o, i)                                                                    \
	{ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }

/* What the program's text above says; the next program's turn is TCX_NEXT, -1. */
static int load(int map, uint32_t or_mark)
{
	const short mark = offsetof(struct __sk_buff, mark);
	struct bpf_insn code[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
		INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 6, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_W, 7, 6, mark, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 7, 8, BPF_OR),
		INSN(BPF_ALU64 | BPF_OR | BPF_K, 7, 0, 0, (int)or_mark),
		INSN(BPF_STX | BPF_MEM | BPF_W, 6, 7, mark, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SCHED_CLS,
				.insns = (__u64)(uintptr_t)code,
				.insn_cnt = sizeof(code) / sizeof(code[0]),
				.license = (__u64)(uintptr_t)"GPL", .prog_name = "somebody_else" };
	long fd = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		die("cannot load the program: %s", strerror(errno));
	return (int)fd;
}

static void report(int map)
{
	struct seen seen = { 0 };
	__u32 key = 0;
	union bpf_attr attr = { .map_fd = (__u32)map, .key = (__u64)(uintptr_t)&key,
				.value = (__u64)(uintptr_t)&seen };

	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)))
		die("cannot read the map: %s", strerror(errno));
	printf("{\"packets\":%llu,\"marks\":\"%#llx\"}\n", seen.packets, seen.marks);
	fflush(stdout);
}

static int hold(unsigned int ifindex, int egress, int first, uint32_t or_mark)
{
	struct link_attr link = { .target_ifindex = ifindex,
				  .attach_type = egress ? TCX_EGRESS : TCX_INGRESS,
				  .flags = first ? F_BEFORE : F_AFTER };
	int map = make_map(), sig;
	sigset_t set;

	link.prog_fd = (__u32)load(map, or_mark);
	if (bpf(BPF_LINK_CREATE, &link, sizeof(link)) < 0)
		die("cannot attach: %s", strerror(errno));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fprintf(stderr, "ready\n");
	while (!sigwait(&set, &sig) && sig == SIGUSR1)
		report(map);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int ifindex;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc < 3) {
		fputs(usage_text, stderr);
		return 2;
	}
	ifindex = if_nametoindex(argv[2]);
	if (!ifindex)
		die("no interface '%s'", argv[2]);
	if (!strcmp(argv[1], "list") && argc == 3)
		return list(ifindex);
	if (!strcmp(argv[1], "hold") && (argc == 5 || argc == 6))
		return hold(ifindex, !strcmp(argv[3], "egress"), !strcmp(argv[4], "first"),
			    argc == 6 ? (uint32_t)arg_u64("mark", argv[5], UINT32_MAX) : 0);
	fputs(usage_text, stderr);
	return 2;
}
