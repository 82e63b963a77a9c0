/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as what a SOCKS5 server says, at once and byte by byte: both must come to the same
 * end, with the same messages sent and the same number of bytes used. The first byte chooses
 * account and destination. Seeds: corpus/socks5.
 */
#include <stdlib.h>
#include <string.h>

#include "socks5.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct course {
	int r;
	size_t used, out_len;
	uint8_t out[4 * SOCKS5_OUT];
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void run(struct course *c, uint8_t choice, const uint8_t *in, size_t n, size_t piece)
{
	struct peer_name to = { .name = "example.net", .address.port = 80 };
	struct socks5 s;
	size_t used, len;

	memset(c, 0, sizeof(*c));
	if (choice & 1)
		to.name[0] = '\0';
	c->out_len = socks5_begin(&s, choice & 2 ? "user" : NULL, choice & 4 ? "secret" : NULL,
				  &to, c->out);
	while (!c->r && c->used < n) {
		size_t size = n - c->used < piece ? n - c->used : piece;

		c->r = socks5_feed(&s, in + c->used, size, &used, c->out + c->out_len, &len);
		check(used <= size && (used > 0 || c->r) && len <= SOCKS5_OUT);
		c->used += used;
		c->out_len += len;
		check(c->out_len <= 3 * SOCKS5_OUT);
	}
	check(socks5_reason(&s) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct course whole, bytes;

	if (!size)
		return 0;
	run(&whole, data[0], data + 1, size - 1, size);
	run(&bytes, data[0], data + 1, size - 1, 1);
	check(whole.r == bytes.r && whole.used == bytes.used && whole.out_len == bytes.out_len);
	check(!memcmp(whole.out, bytes.out, whole.out_len));
	/* 2 + 2 + the longest reply: no more is ever part of it. */
	check(whole.used <= 2 + 2 + 4 + 1 + 255 + 2);
	return 0;
}
