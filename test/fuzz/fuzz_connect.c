/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as what an HTTP proxy answers, at once and byte by byte: both must come to the same
 * end at the same byte. Seeds: corpus/connect.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http_connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int run(const char *in, size_t n, size_t piece, size_t *used, uint16_t *status)
{
	struct peer_name to = { .name = "a", .address.port = 80 };
	char out[HTTP_CONNECT_OUT];
	struct http_connect h;
	size_t taken;
	int r = 0;

	check(http_connect_begin(&h, "user", "secret", &to, out) < sizeof(out));
	for (*used = 0; !r && *used < n; *used += taken) {
		size_t size = n - *used < piece ? n - *used : piece;

		r = http_connect_feed(&h, in + *used, size, &taken);
		check(taken > 0 && taken <= size);
	}
	*status = h.status;
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *in = (const char *)data;
	size_t used, used_again;
	uint16_t status, status_again;
	int r = run(in, size, size ? size : 1, &used, &status);

	check(r == run(in, size, 1, &used_again, &status_again));
	check(used == used_again && status == status_again);
	check(used <= HTTP_CONNECT_IN_MAX + 1);
	if (r == 1)
		check(status >= 200 && status < 300 && in[used - 1] == '\n');
	if (r == -EKEYREJECTED)
		check(status == 407);
	return 0;
}
