/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory of flows and pipes for splicing: reuse, limits, nothing left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pipe_pool.h"
#include "slab.h"

enum { SIZE = 232, N = 3000 };

static void test_slab(void **state)
{
	static unsigned char *objects[N];
	struct slab slab;

	(void)state;
	slab_init(&slab, SIZE);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			objects[i] = slab_get(&slab);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % 16, 0);
			for (int b = 0; b < SIZE; b++)
				assert_int_equal(objects[i][b], 0);
			memset(objects[i], i & 0xff, SIZE);
		}
		for (int i = 0; i < N; i++)
			for (int b = 0; b < SIZE; b++)
				assert_int_equal(objects[i][b], i & 0xff);
		/* Every other first, so that chunks are partly empty for a while. */
		for (int i = 0; i < N; i += 2)
			slab_put(&slab, objects[i]);
		for (int i = 1; i < N; i += 2)
			slab_put(&slab, objects[i]);
		assert_int_equal(slab.n_chunks, 1);
	}
	slab_release(&slab);
	assert_int_equal(slab.n_chunks, 0);
}

/* A walk in steps, while every third object goes and others come. */
static void test_slab_walk(void **state)
{
	static uint32_t seen[N];
	static uint32_t *objects[N];
	struct slab_place at = {};
	struct slab slab;
	uint32_t *object;
	int steps = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	slab_init(&slab, SIZE);
	assert_null(slab_next(&slab, &at));
	at = (struct slab_place){};
	for (uint32_t i = 0; i < N; i++) {
		objects[i] = slab_get(&slab);
		objects[i][0] = i;
	}
	while ((object = slab_next(&slab, &at))) {
		assert_in_range(*object, 0, N - 1);
		seen[*object]++;
		/* Behind the walk and in front of it; each is looked at by its own number. */
		if (steps < N && steps % 3 == 0) {
			slab_put(&slab, objects[steps]);
			objects[steps] = NULL;
		}
		steps++;
	}
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
	/* What is left, once more; those that have gone are not met. */
	memset(seen, 0, sizeof(seen));
	at = (struct slab_place){};
	while ((object = slab_next(&slab, &at)))
		seen[*object]++;
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(seen[i], objects[i] != NULL);
		if (objects[i])
			slab_put(&slab, objects[i]);
	}
	at = (struct slab_place){};
	assert_null(slab_next(&slab, &at));
	slab_release(&slab);
}

/* Chunks that a walk stood in are gone: it goes on with the next. */
static void test_slab_walk_of_gone_chunks(void **state)
{
	static uint32_t *objects[N];
	struct slab_place at = {};
	struct slab slab;
	uint32_t *object;
	uint32_t met = 0;

	(void)state;
	slab_init(&slab, SIZE);
	for (uint32_t i = 0; i < N; i++) {
		objects[i] = slab_get(&slab);
		objects[i][0] = i;
	}
	for (int i = 0; i < 10; i++)
		assert_non_null(slab_next(&slab, &at));
	for (uint32_t i = 0; i < N / 2; i++)
		slab_put(&slab, objects[i]);
	while ((object = slab_next(&slab, &at))) {
		assert_in_range(*object, N / 2, N - 1);
		met++;
	}
	assert_int_equal(met, N - N / 2);
	for (uint32_t i = N / 2; i < N; i++)
		slab_put(&slab, objects[i]);
	slab_release(&slab);
}

static void test_pipe_reuse(void **state)
{
	struct pipe_limit limit = { .max = 4 };
	struct pipe_pool pool;
	struct pipe *a, *b;

	(void)state;
	pipe_pool_init(&pool, &limit);
	a = pipe_pool_get(&pool);
	assert_non_null(a);
	assert_true(fcntl(a->read_fd, F_GETPIPE_SZ) >= PIPE_SIZE_MIN);
	assert_true(fcntl(a->write_fd, F_GETFL) & O_NONBLOCK);
	pipe_pool_put(&pool, a);
	b = pipe_pool_get(&pool);
	assert_ptr_equal(a, b);
	pipe_pool_put(&pool, b);
	pipe_pool_release(&pool);
	assert_int_equal(limit.open, 0);
}

/* What one flow left in a pipe must not reach the next. */
static void test_pipe_with_data_is_closed(void **state)
{
	struct pipe_limit limit = { .max = 4 };
	struct pipe_pool pool;
	struct pipe *p;
	char byte;
	int read_fd;

	(void)state;
	pipe_pool_init(&pool, &limit);
	p = pipe_pool_get(&pool);
	assert_non_null(p);
	assert_int_equal(write(p->write_fd, "secret", 6), 6);
	p->held = 6;
	read_fd = p->read_fd;
	pipe_pool_put(&pool, p);
	assert_int_equal(limit.open, 0);
	assert_int_equal(fcntl(read_fd, F_GETFD), -1);
	p = pipe_pool_get(&pool);
	assert_non_null(p);
	assert_int_equal(read(p->read_fd, &byte, 1), -1);
	pipe_pool_put(&pool, p);
	pipe_pool_release(&pool);
}

static void test_pipe_limit(void **state)
{
	struct pipe_limit limit = { .max = 3 };
	struct pipe_pool one, two;
	struct pipe *p[3];

	(void)state;
	pipe_pool_init(&one, &limit);
	pipe_pool_init(&two, &limit);
	for (int i = 0; i < 3; i++) {
		p[i] = pipe_pool_get(i % 2 ? &two : &one);
		assert_non_null(p[i]);
	}
	assert_null(pipe_pool_get(&one));
	assert_null(pipe_pool_get(&two));
	assert_int_equal(limit.open, 3);
	for (int i = 0; i < 3; i++)
		pipe_pool_put(i % 2 ? &two : &one, p[i]);
	pipe_pool_put(&one, NULL);
	pipe_pool_release(&one);
	pipe_pool_release(&two);
	assert_int_equal(limit.open, 0);
}

static void test_pipe_keeps_few(void **state)
{
	struct pipe_limit limit = { .max = 2 * PIPE_IDLE_MAX };
	struct pipe *p[2 * PIPE_IDLE_MAX];
	struct pipe_pool pool;
	int n = 0;

	(void)state;
	pipe_pool_init(&pool, &limit);
	while (n < 2 * PIPE_IDLE_MAX && (p[n] = pipe_pool_get(&pool)))
		n++;
	assert_true(n > PIPE_IDLE_MAX);
	while (n)
		pipe_pool_put(&pool, p[--n]);
	assert_int_equal(limit.open, PIPE_IDLE_MAX);
	pipe_pool_release(&pool);
	assert_int_equal(limit.open, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slab),
		cmocka_unit_test(test_slab_walk),
		cmocka_unit_test(test_slab_walk_of_gone_chunks),
		cmocka_unit_test(test_pipe_reuse),
		cmocka_unit_test(test_pipe_with_data_is_closed),
		cmocka_unit_test(test_pipe_limit),
		cmocka_unit_test(test_pipe_keeps_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
