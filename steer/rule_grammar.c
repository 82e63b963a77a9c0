/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rule_grammar.h"

#include <string.h>

const struct rule_word rule_words[RULE_WORD_MAX] = {
#define RULE_WORD_ROW(id, name_, value, place_, kind_, needs_, excludes_, help_)               \
	[RULE_WORD_##id] = {                                                                   \
		.name = name_,                                                                 \
		.len = sizeof(name_) - 1,                                                      \
		.place = RULE_##place_,                                                        \
		.kind = RULE_##kind_,                                                          \
		.needs = needs_,                                                               \
		.excludes = excludes_,                                                         \
		.help = help_,                                                                 \
	},
	RULE_WORDS(RULE_WORD_ROW)
#undef RULE_WORD_ROW
};

static_assert(RULE_WORD_MAX <= 64, "RULE_W has a bit for each word");

#define RULE_WORD_FITS(id, name, value, place, kind, needs, excludes, help)                    \
	static_assert(sizeof(name value) - 1 == 16, "help column of " name);                   \
	static_assert(sizeof(help) - 1 <= 59, "help line of " name);
RULE_WORDS(RULE_WORD_FITS)
#undef RULE_WORD_FITS

/* Text that is put together by the compiler: there is no buffer to own and none to fill. */
#define RULE_WORD_LINE(id, name, value, place, kind, needs, excludes, help)                    \
	"  " name value "  " help "\n"

static const char grammar[] =
	"RULE   := PRIORITY [MATCH ...] ACTION [OPTION ...] [# comment]\n"
	"PRIORITY  1..2147483647; lowest number first, the first rule that matches decides\n"
	"\n"
	"MATCH  := each at most once, in any order, before or after the action\n"
	RULE_MATCH_WORDS(RULE_WORD_LINE)
	"\n"
	"ACTION := one of\n"
	RULE_ACTION_WORDS(RULE_WORD_LINE)
	"\n"
	"OPTION := each at most once, after the action\n"
	RULE_OPTION_WORDS(RULE_WORD_LINE)
	"\n"
	"ADDRS  := any | PREFIX[,PREFIX...] | @SET | not ADDRS\n"
	"PORTS  := PORT | LOW-HIGH | several of these with commas\n"
	"IFACES := IFACE[,IFACE...]\n"
	"PREFIX    10.0.0.0/8, 10.1.2.3, 2001:db8::/32; IPv4 and IPv6 may be mixed\n"
	"PORT      1..65535\n"
	"TARGET, SET, GROUP  1..31 of letters, digits, '.', '_', '-'; not '.' or '-' first\n"
	"\n"
	"FILE   := one of these a line\n"
	"  RULE\n"
	"  " RULE_FILE_SET " SET [PREFIX[,PREFIX...]]  the set has these; again: these, too\n"
	"  " RULE_FILE_SET " SET PREFIX[,PREFIX...] " RULE_FILE_TIMEOUT " TIME  for so long, as 5m or 1h30m\n"
	"  " RULE_FILE_SET " SET " RULE_FILE_FILE " PATH             and those of a file, one a line\n";

const char *shunt_rule_grammar(void)
{
	return grammar;
}

const struct rule_word *rule_word_find(const char *text, size_t len)
{
	for (size_t i = 0; i < RULE_WORD_MAX; i++) {
		const struct rule_word *word = &rule_words[i];

		if (word->len == len && !memcmp(word->name, text, len))
			return word;
	}
	return NULL;
}

enum { GUESS_MAX = 16, GUESS_FAR = 2 };

/* Letters to add, take away or change (Levenshtein); both texts are at most GUESS_MAX long. */
static unsigned int edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned int row[GUESS_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int corner = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > row[j - 1] + 1)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

static size_t common_start(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = 0;

	while (n < a_len && n < b_len && a[n] == b[n])
		n++;
	return n;
}

const struct rule_word *rule_word_guess(const char *text, size_t len)
{
	const struct rule_word *best = NULL;
	unsigned int best_far = 0;
	size_t best_start = 0;

	if (len < 2 || len > GUESS_MAX)
		return NULL;
	for (size_t i = 0; i < RULE_WORD_MAX; i++) {
		const struct rule_word *word = &rule_words[i];
		unsigned int far = edit_distance(text, len, word->name, word->len);
		size_t start = common_start(text, len, word->name, word->len);

		/* Half of a word is no likeness: "ab" is not "to". */
		if (far > GUESS_FAR || far * 2 > len || far * 2 > word->len)
			continue;
		/* People err late in a word: of two as near, the longer common start wins. */
		if (!best || far < best_far || (far == best_far && start > best_start)) {
			best = word;
			best_far = far;
			best_start = start;
		}
	}
	return best;
}

char *rule_words_list(char *buf, size_t size, uint64_t bits, const char *last)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < RULE_WORD_MAX; i++) {
		const char *before = ", ";

		if (!(bits & UINT64_C(1) << i))
			continue;
		if (at == 0)
			before = "";
		else if (!(bits >> i >> 1))
			before = last;
		at += (size_t)snprintf(buf + at, size - at, "%s%s", before, rule_words[i].name);
		if (at >= size)
			break;
	}
	return buf;
}

uint64_t rule_words_of_kind(enum rule_kind kind)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < RULE_WORD_MAX; i++)
		if (rule_words[i].place == RULE_VALUE && rule_words[i].kind == kind)
			bits |= UINT64_C(1) << i;
	return bits;
}
