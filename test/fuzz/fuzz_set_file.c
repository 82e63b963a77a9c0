/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as a file of prefixes. What is accepted, put in order and printed, must be accepted
 * again, be the same, and be in order already; what is refused leaves the set as it was, with a
 * message that ends and is printable. Seeds: corpus/set_file.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/shunt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_message(const char *err)
{
	check(err[0] != '\0' && strlen(err) < 256);
	for (; *err; err++)
		check(isprint((unsigned char)*err));
}

static bool parse(struct shunt_set *set, const void *data, size_t size)
{
	FILE *in = fmemopen((void *)data, size, "r");
	char err[256] = "";
	size_t before = set->n, timed = set->n_timed;
	int r;

	check(in != NULL);
	r = shunt_set_parse(set, in, "fuzz", err, sizeof(err));
	fclose(in);
	if (r) {
		check_message(err);
		check(set->n == before && set->n_timed == timed);
	}
	return !r;
}

/* As `set list` prints it. */
static char *print(const struct shunt_set *set, size_t *size)
{
	char *text = NULL, buf[SHUNT_PREFIX_STR], time[SHUNT_TIME_STR];
	FILE *out = open_memstream(&text, size);

	check(out != NULL);
	for (size_t i = 0; i < set->n; i++)
		fprintf(out, "%s\n", shunt_prefix_str(buf, &set->v[i]));
	for (size_t i = 0; i < set->n_timed; i++)
		fprintf(out, "%s timeout %s\n", shunt_prefix_str(buf, &set->timed[i].prefix),
			shunt_time_str(time, set->timed[i].left));
	fclose(out);
	return text;
}

/* Prefixes have padding. */
static bool same_prefixes(const struct shunt_set *a, const struct shunt_set *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].len != b->v[i].len ||
		    memcmp(&a->v[i].addr, &b->v[i].addr, sizeof(a->v[i].addr)))
			return false;
	return true;
}

static bool same_timed(const struct shunt_set *a, const struct shunt_set *b)
{
	for (size_t i = 0; i < a->n_timed; i++)
		if (a->timed[i].left != b->timed[i].left ||
		    a->timed[i].prefix.len != b->timed[i].prefix.len ||
		    memcmp(&a->timed[i].prefix.addr, &b->timed[i].prefix.addr,
			   sizeof(a->timed[i].prefix.addr)))
			return false;
	return true;
}

static void check_same(const struct shunt_set *a, const struct shunt_set *b)
{
	check(a->n_timed == b->n_timed && same_timed(a, b));
	check(a->n == b->n && same_prefixes(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shunt_set set = {}, again = {};
	size_t printed;
	char *text;

	if (!size)
		return 0;
	if (parse(&set, data, size)) {
		check(!shunt_set_sort(&set));
		text = print(&set, &printed);
		check(!printed || parse(&again, text, printed));
		check_same(&set, &again);
		check(!shunt_set_sort(&again));
		check_same(&set, &again);
		free(text);
	}
	shunt_set_clear(&set);
	shunt_set_clear(&again);
	return 0;
}
