/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rule_value.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"
#include "rule_grammar.h"

/* ---- numbers and names -------------------------------------------------------------- */

/* Decimal digits alone; NULL, or why not. A number too large for *out becomes UINT64_MAX. */
static const char *scan_number(uint64_t *out, struct rule_span text)
{
	uint64_t value = 0;

	if (text.len == 0)
		return "not a number";
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return "not a number";
		/* 19 digits always fit. */
		value = i < 19 ? value * 10 + (uint64_t)(text.at[i] - '0') : UINT64_MAX;
	}
	if (text.at[0] == '0' && text.len > 1)
		return "not a number (it begins with 0)";
	*out = value;
	return NULL;
}

int rule_value_range(uint32_t *out_lo, uint32_t *out_hi, const char *what, struct rule_span text,
		     uint32_t lo, uint32_t hi, struct rule_error *e)
{
	const char *dash = text.len ? memchr(text.at, '-', text.len) : NULL;
	struct rule_span left = text, right = text;
	uint64_t first, last;
	const char *why;

	if (dash) {
		left.len = (size_t)(dash - text.at);
		right = (struct rule_span){ dash + 1, text.len - left.len - 1 };
	}
	why = scan_number(&first, left);
	if (!why)
		why = scan_number(&last, right);
	if (why)
		return rule_error_at(e, what, text, "%s", why);
	if (first < lo || first > hi || last < lo || last > hi)
		return rule_error_at(e, what, text, "not in %u..%u", lo, hi);
	if (first > last)
		return rule_error_at(e, what, text, "the range runs backwards");
	*out_lo = (uint32_t)first;
	*out_hi = (uint32_t)last;
	return 0;
}

int rule_value_number(uint32_t *out, const char *what, struct rule_span text, uint32_t lo,
		      uint32_t hi, struct rule_error *e)
{
	const char *why;
	uint64_t value;

	why = scan_number(&value, text);
	if (why)
		return rule_error_at(e, what, text, "%s", why);
	if (value < lo || value > hi)
		return rule_error_at(e, what, text, "not in %u..%u", lo, hi);
	*out = (uint32_t)value;
	return 0;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

int rule_value_name(char *out, const char *what, struct rule_span text, struct rule_error *e)
{
	if (text.len == 0 || text.len >= SHUNT_NAME_LEN)
		return rule_error_at(e, what, text, "a name has 1..%d characters",
				     SHUNT_NAME_LEN - 1);
	if (text.at[0] == '-' || text.at[0] == '.')
		return rule_error_at(e, what, text, "a name does not begin with '%c'", text.at[0]);
	for (size_t i = 0; i < text.len; i++)
		if (!is_name_char(text.at[i]))
			return rule_error_at(e, what, text,
					     "a name has letters, digits, '.', '_' and '-' only");
	memset(out, 0, SHUNT_NAME_LEN);
	memcpy(out, text.at, text.len);
	return 0;
}

int rule_value_target(char *out, const char *what, struct rule_span text, struct rule_error *e)
{
	if (rule_word_find(text.at, text.len))
		return rule_error_at(e, what, text, "a word of the rule language");
	return rule_value_name(out, what, text, e);
}

int rule_value_iface(char *out, const char *what, struct rule_span text, struct rule_error *e)
{
	if (text.len == 0 || text.len >= IF_NAMESIZE)
		return rule_error_at(e, what, text, "an interface name has 1..%d characters",
				     IF_NAMESIZE - 1);
	if (text.at[0] == '.' && (text.len == 1 || (text.len == 2 && text.at[1] == '.')))
		return rule_error_at(e, what, text, "not an interface name");
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		/* What the kernel refuses, and what a rule's text could not carry. */
		if (c <= ' ' || c > '~' || c == '/' || c == ':' || c == ',')
			return rule_error_at(e, what, text, "not an interface name");
	}
	memset(out, 0, IF_NAMESIZE);
	memcpy(out, text.at, text.len);
	return 0;
}

char *rule_span_dup(struct rule_span text)
{
	char *copy = malloc(text.len + 1);

	if (copy) {
		memcpy(copy, text.at, text.len);
		copy[text.len] = '\0';
	}
	return copy;
}

/* ---- paths, comments, addresses ------------------------------------------------------- */

/* Append "/part" to path; NULL, or why not. */
static const char *path_add(char *path, size_t *len, const char *part, size_t part_len)
{
	if (part_len == 0) /* of "//", of a '/' at an end */
		return NULL;
	if (part[0] == '.' && (part_len == 1 || (part_len == 2 && part[1] == '.')))
		return "'.' and '..' are not parts of a cgroup's path";
	if (part_len > NAME_MAX)
		return "a part of the path is longer than 255 bytes";
	path[(*len)++] = '/';
	memcpy(path + *len, part, part_len);
	*len += part_len;
	return NULL;
}

int rule_value_cgroup(char **out, const char *what, struct rule_span text, struct rule_error *e)
{
	char path[PATH_MAX];
	const char *why = NULL;
	size_t len = 0;

	if (text.len + 2 > sizeof(path))
		return rule_error_at(e, what, text, "the path is too long");
	if (!rule_span_is_text(text))
		return rule_error_at(e, what, text, "the path is not printable UTF-8");
	for (size_t i = 0, start = 0; i <= text.len && !why; i++) {
		if (i < text.len && text.at[i] != '/')
			continue;
		why = path_add(path, &len, text.at + start, i - start);
		start = i + 1;
	}
	if (!why && len == 0)
		why = "every process is in the root; leave 'cgroup' out";
	if (why)
		return rule_error_at(e, what, text, "%s", why);
	*out = rule_span_dup((struct rule_span){ path, len });
	return *out ? 0 : rule_error_memory(e);
}

int rule_value_comment(char **out, struct rule_span text, struct rule_error *e)
{
	char *copy = NULL;

	text = rule_span_trim(text);
	if (!rule_span_is_text(text))
		return rule_error_at(e, "comment", text, "not printable UTF-8");
	if (text.len > 0) {
		copy = rule_span_dup(text);
		if (!copy)
			return rule_error_memory(e);
	}
	*out = copy;
	return 0;
}

int rule_value_next_hop(struct in6_addr *out, const char *what, struct rule_span text,
			struct rule_error *e)
{
	struct in6_addr addr;
	const char *why;
	bool unicast;

	if (shunt_addr_scan(&addr, text.at, text.len, &why))
		return rule_error_at(e, what, text, "%s", why);
	if (IN6_IS_ADDR_V4MAPPED(&addr)) /* not 0/8, not 127/8, not 224/4 and above */
		unicast = addr.s6_addr[12] != 0 && addr.s6_addr[12] != 127 &&
			  addr.s6_addr[12] < 224;
	else
		unicast = !IN6_IS_ADDR_UNSPECIFIED(&addr) && !IN6_IS_ADDR_LOOPBACK(&addr) &&
			  !IN6_IS_ADDR_MULTICAST(&addr);
	if (!unicast)
		return rule_error_at(e, what, text, "not the address of a next hop");
	*out = addr;
	return 0;
}

/* ---- lists ---------------------------------------------------------------------------- */

struct list {
	char *v;
	size_t n;
	size_t size; /* of an element */
	size_t key;  /* its first bytes, which are compared (what follows is padding) */
};

typedef int (*read_element_fn)(void *element, const char *what, struct rule_span text,
			       struct rule_error *e);

/* Order of indices: by element, and of equal elements by place. */
static int compare_indices(const void *a, const void *b, void *arg)
{
	const struct list *list = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int r = memcmp(list->v + i * list->size, list->v + j * list->size, list->key);

	return r ? r : (i > j) - (i < j);
}

/* Sorted, because one line may hold ten thousands of elements. */
static int list_unique_long(struct list *list)
{
	uint32_t *order = malloc(list->n * sizeof(*order));
	bool *again = calloc(list->n, sizeof(*again));
	size_t kept = 0, size = list->size;

	if (!order || !again) {
		free(order);
		free(again);
		return -ENOMEM;
	}
	for (size_t i = 0; i < list->n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, list->n, sizeof(*order), compare_indices, list);
	for (size_t i = 1; i < list->n; i++)
		again[order[i]] = !memcmp(list->v + order[i] * size,
					  list->v + order[i - 1] * size, list->key);
	for (size_t i = 0; i < list->n; i++)
		if (!again[i])
			memmove(list->v + kept++ * size, list->v + i * size, size);
	list->n = kept;
	free(order);
	free(again);
	return 0;
}

static int list_unique(struct list *list)
{
	size_t kept = 0, size = list->size;

	if (list->n > 32)
		return list_unique_long(list);
	for (size_t i = 0; i < list->n; i++) {
		size_t j = 0;

		while (j < kept && memcmp(list->v + i * size, list->v + j * size, list->key))
			j++;
		if (j == kept)
			memmove(list->v + kept++ * size, list->v + i * size, size);
	}
	list->n = kept;
	return 0;
}

static size_t count_elements(struct rule_span text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == ',';
	return n;
}

/* Fill out->v, which the caller frees, and out->n with the elements of a list with commas. */
static int read_list(struct list *out, const char *what, struct rule_span text,
		     read_element_fn read, struct rule_error *e)
{
	struct list list = *out;
	const char *at = text.at, *end = text.at + text.len;
	int r = 0;

	list.v = calloc(count_elements(text), list.size);
	if (!list.v)
		return rule_error_memory(e);
	for (;; at++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct rule_span one = { at, (size_t)((comma ? comma : end) - at) };

		if (one.len == 0)
			r = rule_error_at(e, what, text, "nothing before or after a comma");
		else
			r = read(list.v + list.n++ * list.size, what, one, e);
		at += one.len;
		if (r || at == end)
			break;
	}
	if (!r && list_unique(&list))
		r = rule_error_memory(e);
	if (r)
		free(list.v);
	else
		*out = list;
	return r;
}

static int read_port(void *element, const char *what, struct rule_span text,
		     struct rule_error *e)
{
	struct shunt_port_range *range = element;
	uint32_t lo, hi;
	int r;

	r = rule_value_range(&lo, &hi, what, text, 1, 65535, e);
	if (r)
		return r;
	*range = (struct shunt_port_range){ (uint16_t)lo, (uint16_t)hi };
	return 0;
}

static int read_prefix(void *element, const char *what, struct rule_span text,
		       struct rule_error *e)
{
	struct shunt_prefix p;
	char buf[SHUNT_PREFIX_STR];
	const char *why;

	if (text.at[0] == '@')
		return rule_error_at(e, what, text, "a set stands alone, not in a list");
	if (shunt_prefix_scan(&p, text.at, text.len, &why))
		return rule_error_at(e, what, text, "%s", why);
	if (shunt_prefix_mask(&p))
		return rule_error_at(e, what, text, "host bits are set, did you mean %s",
				     shunt_prefix_str(buf, &p));
	*(struct shunt_prefix *)element = p;
	return 0;
}

static int read_iface(void *element, const char *what, struct rule_span text,
		      struct rule_error *e)
{
	return rule_value_iface(element, what, text, e);
}

int rule_value_ports(struct shunt_ports *out, const char *what, struct rule_span text,
		     struct rule_error *e)
{
	struct list list = {
		.size = sizeof(struct shunt_port_range),
		.key = sizeof(struct shunt_port_range),
	};
	int r;

	r = read_list(&list, what, text, read_port, e);
	if (r)
		return r;
	out->v = (struct shunt_port_range *)(void *)list.v;
	out->n = list.n;
	return 0;
}

int rule_value_addrs(struct shunt_addrs *out, const char *what, struct rule_span text,
		     struct rule_error *e)
{
	struct list list = {
		.size = sizeof(struct shunt_prefix),
		.key = offsetof(struct shunt_prefix, len) + sizeof(out->v->len),
	};
	int r;

	if (text.at[0] == '@' && !memchr(text.at, ',', text.len)) {
		struct rule_span name = { text.at + 1, text.len - 1 };

		return rule_value_name(out->set, "set", name, e);
	}
	r = read_list(&list, what, text, read_prefix, e);
	if (r)
		return r;
	out->v = (struct shunt_prefix *)(void *)list.v;
	out->n = list.n;
	return 0;
}

int rule_value_ifaces(char (**out)[IF_NAMESIZE], size_t *n, const char *what,
		      struct rule_span text, struct rule_error *e)
{
	struct list list = { .size = IF_NAMESIZE, .key = IF_NAMESIZE };
	int r;

	r = read_list(&list, what, text, read_iface, e);
	if (r)
		return r;
	*out = (char(*)[IF_NAMESIZE])(void *)list.v;
	*n = list.n;
	return 0;
}
