/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pattern.h"

#include <endian.h>
#include <string.h>

uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t pattern_key(uint64_t flow, int direction)
{
	uint64_t state = flow * 2 + (direction ? 1 : 0);

	return rng_next(&state);
}

static uint64_t word_at(uint64_t key, uint64_t index)
{
	uint64_t z = (key + index) * 0x9e3779b97f4a7c15;

	return z ^ z >> 29;
}

static uint8_t byte_at(uint64_t key, uint64_t offset)
{
	return (uint8_t)(word_at(key, offset / 8) >> offset % 8 * 8);
}

void pattern_fill(uint8_t *buf, size_t n, uint64_t key, uint64_t offset)
{
	size_t i = 0;

	for (; i < n && (offset + i) % 8; i++)
		buf[i] = byte_at(key, offset + i);
	for (; i + 8 <= n; i += 8) {
		uint64_t w = htole64(word_at(key, (offset + i) / 8));

		memcpy(buf + i, &w, 8);
	}
	for (; i < n; i++)
		buf[i] = byte_at(key, offset + i);
}

ssize_t pattern_check(const uint8_t *buf, size_t n, uint64_t key, uint64_t offset)
{
	size_t i = 0;

	for (; i < n && (offset + i) % 8; i++)
		if (buf[i] != byte_at(key, offset + i))
			return (ssize_t)i;
	for (; i + 8 <= n; i += 8) {
		uint64_t w = htole64(word_at(key, (offset + i) / 8));

		if (memcmp(buf + i, &w, 8))
			break;
	}
	for (; i < n; i++)
		if (buf[i] != byte_at(key, offset + i))
			return (ssize_t)i;
	return -1;
}
