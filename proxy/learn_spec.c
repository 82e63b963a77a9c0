/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "learn_spec.h"

#include <stdlib.h>
#include <string.h>

#include "settings_value.h"
#include "shunt/shunt.h"

enum { WORDS = 7, TEXT_MAX = 256 };

/* "10M"; false if it is no number from 1 to 2^60 */
static bool parse_size(uint64_t *out, const char *text)
{
	static const char units[] = "KMG";
	size_t len = strspn(text, "0123456789");
	const char *unit = text[len] ? strchr(units, text[len]) : NULL;
	uint64_t n;

	if (!len || len > 18 || (text[len] && (!unit || text[len + 1])))
		return false;
	n = strtoull(text, NULL, 10);
	for (const char *u = units; unit && u <= unit; u++) {
		if (n >> 50)
			return false;
		n *= 1024;
	}
	if (!n || n >> 60)
		return false;
	*out = n;
	return true;
}

static bool parse_flows(uint32_t *out, const char *text)
{
	size_t len = strlen(text);
	unsigned long n;

	if (!len || len > 5 || strspn(text, "0123456789") != len)
		return false;
	n = strtoul(text, NULL, 10);
	if (!n || n > LEARN_FLOWS_MAX)
		return false;
	*out = (uint32_t)n;
	return true;
}

/* The words behind the timeout, a blank between each two, as of a pattern in which # is any. */
static bool words_are(char *const *words, size_t n, const char *const *pattern)
{
	for (size_t i = 0; i < 4; i++)
		if (i == n || (pattern[i][0] != '#' && strcmp(words[i], pattern[i])))
			return false;
	return n == 4;
}

static bool parse_words(struct learn_spec *spec, char *const *words, size_t n, const char **why)
{
	static const char *const bytes[] = { "when", "bytes", "over", "#" };
	static const char *const flows[] = { "after", "#", "clean", "flows" };

	*why = "not SET timeout TIME when bytes over N, or ... after N clean flows";
	if (n != WORDS || strcmp(words[1], "timeout"))
		return false;
	if (!setting_is_name(words[0])) {
		*why = "its first word is not the name of a set";
		return false;
	}
	if (shunt_time_parse(&spec->timeout, words[2], why))
		return false;
	memcpy(spec->set, words[0], strlen(words[0]));
	if (words_are(words + 3, n - 3, bytes)) {
		*why = "its bytes are not a number, with K, M or G behind it or nothing";
		return parse_size(&spec->bytes, words[6]);
	}
	*why = "not SET timeout TIME when bytes over N, or ... after N clean flows";
	if (!words_are(words + 3, n - 3, flows))
		return false;
	*why = "its flows are not a number from 1 to 10000";
	return parse_flows(&spec->flows, words[4]);
}

bool learn_spec_parse(struct learn_spec *out, const char *text, const char **why)
{
	struct learn_spec spec = {};
	char copy[TEXT_MAX], *words[WORDS + 1], *rest = copy, *word;
	size_t n = 0;

	*why = "too long";
	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	while (n <= WORDS && (word = strsep(&rest, " \t")))
		if (*word)
			words[n++] = word;
	if (!parse_words(&spec, words, n, why))
		return false;
	*out = spec;
	return true;
}
