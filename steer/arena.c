// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "arena.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "shunt/shunt.h"

enum { MAX_CELLS = 1 << 26 }; /* of a generation being made: 4 GB of addresses, not memory */

static size_t bytes_of(uint32_t cells)
{
	return (size_t)cells * SHUNT_CELL;
}

static uint32_t bitmap_cells(uint32_t n_cells)
{
	return cells_for(((size_t)n_cells + 63) / 64 * 8);
}

size_t arena_most(void)
{
	return bytes_of(MAX_CELLS);
}

int arena_make(struct arena *out)
{
	struct arena a = { .fd = -1, .n_cells = MAX_CELLS, .used = SHUNT_BLOCK_CELLS, .gen_at = 1 };
	struct shunt_arena_head *head;
	void *mem;

	mem = mmap(NULL, bytes_of(MAX_CELLS), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return shunt_err(-errno, "cannot get memory for the rules: %s", strerror(errno));
	/* Only fewer page faults; it works as well without. */
	madvise(mem, bytes_of(MAX_CELLS), MADV_HUGEPAGE);
	a.mem = mem;
	head = arena_head(&a);
	head->magic = SHUNT_ARENA_MAGIC;
	head->abi = SHUNT_ARENA_ABI;
	head->root = a.gen_at;
	*out = a;
	return 0;
}

static int map_fd(struct arena *a)
{
	void *mem = mmap(NULL, bytes_of(a->n_cells), PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);

	if (mem == MAP_FAILED)
		return shunt_err(-errno, "cannot map the rules: %s", strerror(errno));
	a->mem = mem;
	return 0;
}

static int create_map(struct arena *a, uint32_t n_cells)
{
	DECLARE_LIBBPF_OPTS(bpf_map_create_opts, opts,
			    .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);

	a->n_cells = n_cells;
	a->fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "shunt_rules", sizeof(__u32), SHUNT_PAGE,
			       n_cells / SHUNT_PAGE_CELLS, &opts);
	if (a->fd < 0)
		return shunt_err(-errno, "cannot make a map of %zu MB for the rules and sets: %s",
				 bytes_of(n_cells) >> 20, strerror(errno));
	return 0;
}

static void mark_used(uint64_t *bits, uint32_t n)
{
	memset(bits, 0xff, n / 64 * 8);
	if (n % 64)
		bits[n / 64] = (1ULL << n % 64) - 1;
}

int arena_seal(struct arena *a, uint32_t room)
{
	struct shunt_arena_head *head = arena_head(a);
	struct arena sealed = { .fd = -1, .gen_at = a->gen_at };
	uint32_t n = a->used + room, bitmap;
	int r;

	bitmap = bitmap_cells(n + n / 128 + 2 * SHUNT_PAGE_CELLS);
	n = (n + 2 * bitmap + SHUNT_PAGE_CELLS - 1) / SHUNT_PAGE_CELLS * SHUNT_PAGE_CELLS;
	head->n_cells = n;
	head->bitmap_at[0] = a->used;
	head->bitmap_at[1] = a->used + bitmap;
	r = create_map(&sealed, n);
	if (!r)
		r = map_fd(&sealed);
	if (r) {
		arena_release(&sealed);
		return r;
	}
	memcpy(sealed.mem, a->mem, bytes_of(a->used));
	mark_used(arena_at(&sealed, head->bitmap_at[0]), a->used + 2 * bitmap);
	arena_release(a);
	*a = sealed;
	return 0;
}

/* Takes fd over, also on failure. */
static int open_taken(struct arena *out, int fd)
{
	struct arena a = { .fd = fd };
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int r;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		r = shunt_err(-errno, "cannot open the rules: %s", strerror(errno));
	else if (info.value_size != SHUNT_PAGE)
		r = shunt_err(-EPROTO, "the rules are of another version of shunt");
	else {
		a.n_cells = info.max_entries * SHUNT_PAGE_CELLS;
		r = map_fd(&a);
	}
	if (!r && (arena_head(&a)->magic != SHUNT_ARENA_MAGIC ||
		   arena_head(&a)->abi != SHUNT_ARENA_ABI))
		r = shunt_err(-EPROTO, "the rules are of another version of shunt");
	if (r) {
		arena_release(&a);
		return r;
	}
	a.gen_at = __atomic_load_n(&arena_head(&a)->root, __ATOMIC_ACQUIRE);
	*out = a;
	return 0;
}

int arena_open_fd(struct arena *out, int fd)
{
	int copy = dup(fd);

	if (copy < 0)
		return shunt_err(-errno, "cannot open the rules: %s", strerror(errno));
	return open_taken(out, copy);
}

int arena_open(struct arena *out, int ruleset_fd)
{
	__u32 zero = 0, id;
	int fd;

	do { /* it may be replaced between the two calls */
		if (bpf_map_lookup_elem(ruleset_fd, &zero, &id))
			return -ENOENT;
		fd = bpf_map_get_fd_by_id(id);
	} while (fd < 0 && errno == ENOENT);
	if (fd < 0)
		return shunt_err(-errno, "cannot open the rules: %s", strerror(errno));
	return open_taken(out, fd);
}

bool arena_is_current(const struct arena *a, uint64_t generation)
{
	/* What a change frees is not written before the next one begins. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&arena_head(a)->root, __ATOMIC_RELAXED) == a->gen_at &&
	       arena_gen(a)->generation == generation;
}

void arena_release(struct arena *a)
{
	if (a->mem)
		munmap(a->mem, bytes_of(a->n_cells));
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct arena){ .fd = -1 };
}

/* ---- cells -------------------------------------------------------------------------------- */

/* Cells of this word that nobody has: neither the generation in force nor the one to come. */
static uint64_t taken_word(const struct arena *a, uint32_t cell)
{
	return a->bits[cell / 64] | a->live[cell / 64];
}

/* Cells [at, at + n) are given out. */
static uint32_t take(struct arena *a, uint32_t at, uint32_t n)
{
	for (uint32_t i = at; i < at + n; i++)
		a->bits[i / 64] |= 1ULL << i % 64;
	memset(arena_at(a, at), 0, bytes_of(n));
	return at;
}

static uint32_t first_fit(struct arena *a, uint32_t n)
{
	uint32_t cell = a->hint / 64 * 64, run = 0;
	bool hint_known = false;
	uint64_t taken;

	for (; cell < a->n_cells; cell += 64) {
		taken = taken_word(a, cell);
		if (taken != ~0ULL && !hint_known) {
			a->hint = cell;
			hint_known = true;
		}
		if (!taken && run + 64 < n) {
			run += 64;
			continue;
		}
		for (uint32_t i = 0; i < 64; i++) {
			run = taken >> i & 1 ? 0 : run + 1;
			if (run == n)
				return take(a, cell + i + 1 - n, n);
			if (!run && taken >> i == ~0ULL >> i)
				break;
		}
	}
	return 0;
}

uint32_t arena_alloc(struct arena *a, uint32_t n)
{
	uint32_t at = a->used;

	if (!n)
		n = 1;
	if (a->bits)
		return first_fit(a, n);
	if (n > a->n_cells - at)
		return 0;
	a->used += n;
	return at;
}

uint32_t arena_alloc_block(struct arena *a)
{
	uint32_t at = SHUNT_BLOCK_CELLS;

	if (!a->bits) {
		a->used = (a->used + SHUNT_BLOCK_CELLS - 1) / SHUNT_BLOCK_CELLS * SHUNT_BLOCK_CELLS;
		return arena_alloc(a, SHUNT_BLOCK_CELLS);
	}
	for (; at < a->n_cells; at += SHUNT_BLOCK_CELLS)
		if (!taken_word(a, at))
			return take(a, at, SHUNT_BLOCK_CELLS);
	return 0;
}

void arena_free(struct arena *a, uint32_t at, uint32_t n)
{
	if (!at || !a->bits)
		return;
	for (uint32_t i = at; i < at + n; i++)
		a->bits[i / 64] &= ~(1ULL << i % 64);
	/* Cells of this change may be had again at once. */
	if (at < a->hint)
		a->hint = at;
}

/* ---- changes ------------------------------------------------------------------------------ */

static void copy_side(struct arena *a, const __u32 *at, int live, size_t bytes)
{
	memcpy(arena_at(a, at[!live]), arena_at(a, at[live]), bytes);
}

/*
 * Wait for the packets under way. A map of maps is written to, here with what it holds already,
 * and the system call returns when all programs that may have read it before have ended.
 */
static int wait_for_readers(const struct arena *a, int ruleset_fd)
{
	__u32 zero = 0;

	if (ruleset_fd < 0)
		return 0;
	if (bpf_map_update_elem(ruleset_fd, &zero, &a->fd, BPF_ANY))
		return shunt_err(-errno, "cannot wait for the packets under way: %s",
				 strerror(errno));
	return 0;
}

int arena_begin(struct arena *a, int ruleset_fd)
{
	struct shunt_arena_head *head = arena_head(a);
	const struct shunt_gen *live = arena_at(a, head->root);
	int side = live->side & 1, r;

	/* What is written below may still be read as the generation before the live one. */
	r = wait_for_readers(a, ruleset_fd);
	if (r)
		return r;
	a->gen_at = head->root == 1 ? 2 : 1;
	copy_side(a, head->bitmap_at, side, bytes_of(bitmap_cells(a->n_cells)));
	copy_side(a, head->dir4_at, side, bytes_of(SHUNT_DIR4_CELLS));
	copy_side(a, head->index_at, side, live->n_rules * sizeof(__u32));
	a->live = arena_at(a, head->bitmap_at[side]);
	a->bits = arena_at(a, head->bitmap_at[!side]);
	a->hint = SHUNT_BLOCK_CELLS;
	*arena_gen(a) = *live;
	arena_gen(a)->side = !side;
	arena_gen(a)->generation++;
	return 0;
}

void arena_commit(struct arena *a)
{
	__atomic_store_n(&arena_head(a)->root, a->gen_at, __ATOMIC_RELEASE);
	a->bits = a->live = NULL;
}

void arena_abort(struct arena *a)
{
	a->gen_at = arena_head(a)->root;
	a->bits = a->live = NULL;
}
