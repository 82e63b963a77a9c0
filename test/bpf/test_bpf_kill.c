// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who is killed in the middle of a change inside the generation leaves the old one or the new one.
 * A child makes the change and dies at each place in turn where it takes or gives back cells,
 * copies, or publishes; the functions that do so are wrapped by the linker, in this test alone.
 * A copy in which it dies is half made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench_arena.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORLDS = 3,
	CHANGES = 25,	  /* in each */
	AFTER_COMMIT = 2, /* the second place around it */
};

/* Places that are still to be passed, of all and of those around the commit; 0: nobody dies. */
static long fuse, commit_fuse;

static bool dies_here(void)
{
	return fuse && !--fuse;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
}

#define LAST_HALF(n) ((n) - (n) / 2)

void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int byte, size_t n);
uint32_t __real_arena_alloc(struct arena *a, uint32_t n);
void __real_arena_free(struct arena *a, uint32_t at, uint32_t n);
void __real_arena_commit(struct arena *a);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
uint32_t __wrap_arena_alloc(struct arena *a, uint32_t n);
void __wrap_arena_free(struct arena *a, uint32_t at, uint32_t n);
void __wrap_arena_commit(struct arena *a);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	if (dies_here()) {
		__real_memcpy(to, from, LAST_HALF(n));
		die();
	}
	return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	if (dies_here()) {
		__real_memmove(to, from, LAST_HALF(n));
		die();
	}
	return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int byte, size_t n)
{
	if (dies_here()) {
		__real_memset(to, byte, LAST_HALF(n));
		die();
	}
	return __real_memset(to, byte, n);
}

uint32_t __wrap_arena_alloc(struct arena *a, uint32_t n)
{
	uint32_t at = __real_arena_alloc(a, n);

	if (dies_here())
		die();
	return at;
}

void __wrap_arena_free(struct arena *a, uint32_t at, uint32_t n)
{
	__real_arena_free(a, at, n);
	if (dies_here())
		die();
}

void __wrap_arena_commit(struct arena *a)
{
	if (commit_fuse && !--commit_fuse)
		die();
	__real_arena_commit(a);
	if (commit_fuse && !--commit_fuse)
		die();
}

/* ---- a child that dies -------------------------------------------------------------------------- */

enum fate { MADE, NOT_INSIDE, KILLED };

static enum fate let_child(struct bench_arena *b, const struct world_change *change, long all,
			   long commit)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		fuse = all;
		commit_fuse = commit;
		_exit(bench_arena_change(b, change) ? NOT_INSIDE : MADE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	bench_arena_reopen(b);
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return KILLED;
}

/* By a tenth further on each time, until it comes to the end, or to the death behind the commit. */
static unsigned int kill_on_the_way(struct bench_arena *b, long last)
{
	uint64_t before = arena_gen(&b->a)->generation;
	struct world_change change;
	unsigned int deaths = 0;
	long place = 1;

	world_think(&b->w, &change);
	if (let_child(b, &change, 0, 1) == NOT_INSIDE) {
		bench_arena_do(b, &change);
		return 0;
	}
	do {
		assert_int_equal(arena_gen(&b->a)->generation, before);
		bench_arena_check_read_back(b);
		world_check(&b->w, 3);
		deaths++;
		assert_int_not_equal(let_child(b, &change, place, last), NOT_INSIDE);
		place += 1 + place / 10;
	} while (arena_gen(&b->a)->generation == before);
	world_do(&b->w, &change);
	bench_arena_check_read_back(b);
	world_check(&b->w, 30);
	return deaths;
}

static void KILL_leaves_old_or_new(void **state)
{
	struct bench_arena b = { .p = *state };
	unsigned int deaths = 0;

	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		bench_arena_make(&b, seed, 30, seed == WORLDS ? 1500 : 30);
		for (int i = 0; i < CHANGES; i++)
			deaths += kill_on_the_way(&b, i % 2 ? AFTER_COMMIT : 0);
		bench_arena_check_index(&b);
		bench_arena_release(&b);
	}
	print_message("# killed %u times in %d changes\n", deaths, WORLDS * CHANGES);
	assert_true(deaths > 10 * WORLDS * CHANGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(KILL_leaves_old_or_new),
	};

	return cmocka_run_group_tests_name("killed in a change", tests, plane_up, plane_down);
}
