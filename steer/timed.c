// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "timed.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "generation.h"
#include "set_edit.h"
#include "set_file.h"

enum { PAGE = 1024 }; /* prefixes read at once */

uint64_t timed_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* ---- places ------------------------------------------------------------------------------------- */

static int read_place(const struct shunt *s, __u32 place, struct shunt_timed_set *out)
{
	if (bpf_map_lookup_elem(s->map.timed_sets, &place, out))
		return shunt_err(-errno, "cannot read the map 'timed_sets': %s", strerror(errno));
	return 0;
}

static int write_place(const struct shunt *s, __u32 place, const struct shunt_timed_set *set)
{
	if (bpf_map_update_elem(s->map.timed_sets, &place, set, BPF_ANY))
		return shunt_err(-errno, "cannot write the map 'timed_sets': %s", strerror(errno));
	return 0;
}

int timed_names_read(struct shunt *s)
{
	struct shunt_timed_set set;
	int r = 0;

	for (__u32 i = 0; i < SHUNT_MAX_TIMED_SETS && !r; i++) {
		r = read_place(s, i, &set);
		if (!r)
			memcpy(s->timed_names[i], set.name, SHUNT_NAME_LEN);
	}
	return r;
}

int timed_name_place(const struct shunt *s, const char *set)
{
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS; i++)
		if (!strncmp(s->timed_names[i], set, SHUNT_NAME_LEN))
			return i;
	return -ENOENT;
}

bool timed_is_named(const struct shunt *s, int place, const char *set)
{
	struct shunt_timed_set named;

	return !read_place(s, (__u32)place, &named) && !strncmp(named.name, set, SHUNT_NAME_LEN);
}

int timed_find(struct shunt *s, const char *set)
{
	int r = timed_names_read(s);

	return r ? r : timed_name_place(s, set);
}

int timed_no_place(const char *set)
{
	return shunt_err(-E2BIG, "set '%s': more than %d sets with timeouts are not possible: "
			 "delete one with 'shuntctl set del'", set, SHUNT_MAX_TIMED_SETS);
}

int timed_take(struct shunt *s, const char *set)
{
	struct shunt_timed_set fresh = { .n = { 1, 1 } };
	int place = timed_find(s, set), r;

	if (place != -ENOENT)
		return place;
	place = timed_name_place(s, "");
	if (place == -ENOENT)
		return timed_no_place(set);
	memcpy(fresh.name, set, strlen(set));
	fresh.len[0][0] = fresh.len[1][0] = 128;
	/* What somebody put there who had not seen that the set before was deleted. */
	r = timed_drop_all(s, place);
	if (!r)
		r = write_place(s, (__u32)place, &fresh);
	return r ? r : place;
}

/* The name first: who looks before each put finds no set any more. */
int timed_release(struct shunt *s, int place)
{
	static const struct shunt_timed_set none;
	int r = write_place(s, (__u32)place, &none);

	return r ? r : timed_drop_all(s, place);
}

int timed_purge(struct shunt *s)
{
	struct shunt_timed_set set;
	struct arena a;
	int r = generation_open(&a, s);
	bool none = r == -ENOENT;

	if (r && !none)
		return r;
	r = 0;
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS && !r; i++) {
		r = read_place(s, (__u32)i, &set);
		if (!r && set.name[0] && (none || !set_find_id(&a, set.name)))
			r = timed_release(s, i);
	}
	if (!none)
		arena_release(&a);
	return r;
}

int timed_use_length(struct shunt *s, int place, const struct shunt_prefix *p)
{
	int v6 = !shunt_prefix_is_v4(p), at = -1;
	struct shunt_timed_set set;
	int r = read_place(s, (__u32)place, &set);

	if (r)
		return r;
	for (int i = 0; i < set.n[v6]; i++) {
		if (set.len[v6][i] == p->len)
			return 0;
		if (set.len[v6][i] == SHUNT_TIMED_NO_LEN)
			at = i;
	}
	if (at < 0)
		at = set.n[v6]++;
	set.len[v6][at] = p->len;
	return write_place(s, (__u32)place, &set);
}

static bool has_length(const struct shunt_set *set, bool v6, uint8_t len)
{
	for (size_t i = 0; i < set->n_timed; i++)
		if (set->timed[i].prefix.len == len &&
		    shunt_prefix_is_v4(&set->timed[i].prefix) != v6)
			return true;
	return false;
}

/* Packets look for each length: those that no prefix has any more are given up. */
static int keep_lengths(const struct shunt *s, int place, const struct shunt_set *kept)
{
	struct shunt_timed_set set;
	int r = read_place(s, (__u32)place, &set);

	if (r)
		return r;
	for (int v6 = 0; v6 < 2; v6++)
		for (int i = 1; i < set.n[v6]; i++)
			if (!has_length(kept, v6, set.len[v6][i]))
				set.len[v6][i] = SHUNT_TIMED_NO_LEN;
	return write_place(s, (__u32)place, &set);
}

/* ---- all of them, page by page ------------------------------------------------------------------ */

struct timed_page {
	struct shunt_timed_key key[PAGE];
	__u64 until[PAGE];
	__u32 n, next;
	bool begun, last;
};

/* The next page. The map may change meanwhile: what is there all the time is seen. */
static int read_page(const struct shunt *s, struct timed_page *page)
{
	__u32 from = page->next, n = PAGE;
	int r = bpf_map_lookup_batch(s->map.timed, page->begun ? &from : NULL, &page->next,
				     page->key, page->until, &n, NULL);

	page->begun = true;
	page->last = r == -ENOENT;
	page->n = n;
	if (r && !page->last)
		return shunt_err(r, "cannot read the map 'timed': %s", strerror(-r));
	return 0;
}

/*
 * An entry that has expired. A program may renew it just now: then it comes back, unless it is
 * there anew already.
 */
static void collect_one(const struct shunt *s, const struct shunt_timed_key *key)
{
	__u64 until;

	if (!bpf_map_lookup_and_delete_elem(s->map.timed, key, &until) && until > timed_now())
		bpf_map_update_elem(s->map.timed, key, &until, BPF_NOEXIST);
}

static bool has_places(struct shunt *s)
{
	if (timed_names_read(s))
		return true;
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS; i++)
		if (s->timed_names[i][0])
			return true;
	return false;
}

struct shunt_collector {
	struct timed_page page;
};

int shunt_collector_new(struct shunt_collector **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : shunt_err(-ENOMEM, "out of memory");
}

void shunt_collector_free(struct shunt_collector *c)
{
	free(c);
}

int shunt_collect(struct shunt *s, struct shunt_collector *c)
{
	uint64_t now = timed_now();
	int r;

	/* To look through an empty map costs more than to see that no set has anything. */
	if (!c->page.begun && !has_places(s))
		return 0;
	r = read_page(s, &c->page);
	for (uint32_t i = 0; i < c->page.n && !r; i++)
		if (c->page.until[i] <= now)
			collect_one(s, &c->page.key[i]);
	if (r || c->page.last)
		c->page.begun = false;
	return r ? r : !c->page.last;
}

int timed_collect(struct shunt *s)
{
	struct shunt_collector *c;
	int r = shunt_collector_new(&c);

	if (r)
		return r;
	while ((r = shunt_collect(s, c)) > 0)
		;
	shunt_collector_free(c);
	return r;
}

static struct shunt_timed_key key_of(int place, const struct shunt_prefix *p)
{
	struct shunt_timed_key key = { .set = (__u32)place, .len = p->len };

	memcpy(key.addr, &p->addr, sizeof(key.addr));
	return key;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct shunt_timed_key));
}

/* But these, which are in order. */
static int drop_but(struct shunt *s, int place, const struct shunt_timed_key *kept, size_t n)
{
	_cleanup_free_ struct timed_page *page = calloc(1, sizeof(*page));
	int r = page ? 0 : shunt_err(-ENOMEM, "out of memory");

	while (!r && !page->last) {
		r = read_page(s, page);
		for (uint32_t i = 0; i < page->n && !r; i++) {
			const struct shunt_timed_key *key = &page->key[i];

			if (key->set == (__u32)place &&
			    !(n && bsearch(key, kept, n, sizeof(*kept), compare_keys)))
				bpf_map_delete_elem(s->map.timed, key);
		}
	}
	return r;
}

int timed_drop_all(struct shunt *s, int place)
{
	return drop_but(s, place, NULL, 0);
}

int timed_drop_others(struct shunt *s, int place, const struct shunt_set *set)
{
	_cleanup_free_ struct shunt_timed_key *kept = calloc(set->n_timed + 1, sizeof(*kept));
	int r;

	if (!kept)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < set->n_timed; i++)
		kept[i] = key_of(place, &set->timed[i].prefix);
	qsort(kept, set->n_timed, sizeof(*kept), compare_keys);
	r = drop_but(s, place, kept, set->n_timed);
	return r ? r : keep_lengths(s, place, set);
}

int timed_count(struct shunt *s, int except, size_t *out)
{
	_cleanup_free_ struct timed_page *page = calloc(1, sizeof(*page));
	int r = page ? 0 : shunt_err(-ENOMEM, "out of memory");
	uint64_t now = timed_now();

	*out = 0;
	while (!r && !page->last) {
		r = read_page(s, page);
		for (uint32_t i = 0; i < page->n && !r; i++)
			*out += page->until[i] > now && page->key[i].set != (__u32)except;
	}
	return r;
}

/* ---- one ---------------------------------------------------------------------------------------- */

int timed_put(struct shunt *s, int place, const struct shunt_prefix *p, uint64_t until)
{
	const struct shunt_timed_key key = key_of(place, p);
	char text[SHUNT_PREFIX_STR];

	if (!bpf_map_update_elem(s->map.timed, &key, &until, BPF_ANY))
		return 0;
	if (errno == E2BIG)
		return -E2BIG;
	return shunt_err(-errno, "cannot add %s: %s", shunt_prefix_str(text, p), strerror(errno));
}

uint64_t timed_until(const struct shunt *s, int place, const struct shunt_prefix *p)
{
	const struct shunt_timed_key key = key_of(place, p);
	__u64 until;

	return bpf_map_lookup_elem(s->map.timed, &key, &until) ? 0 : until;
}

bool timed_holds(const struct shunt *s, int place, const struct shunt_prefix *p)
{
	return timed_until(s, place, p) > timed_now();
}

void timed_drop(struct shunt *s, int place, const struct shunt_prefix *p)
{
	const struct shunt_timed_key key = key_of(place, p);

	bpf_map_delete_elem(s->map.timed, &key);
}

/* ---- read --------------------------------------------------------------------------------------- */

/* The sets by place; NULL where there is none. Returns how many, or -errno. */
static int sets_by_place(const struct shunt *s, struct shunt_sets *sets,
			 struct shunt_set *out[SHUNT_MAX_TIMED_SETS])
{
	struct shunt_timed_set named;
	int r, n = 0;

	for (__u32 place = 0; place < SHUNT_MAX_TIMED_SETS; place++) {
		out[place] = NULL;
		r = read_place(s, place, &named);
		if (r)
			return r;
		for (size_t i = 0; named.name[0] && i < sets->n && !out[place]; i++)
			if (!strcmp(sets->v[i].name, named.name))
				out[place] = &sets->v[i];
		if (!out[place])
			continue;
		out[place]->expires = true;
		n++;
	}
	return n;
}

static int append(struct shunt_set *set, const struct shunt_timed_key *key, uint64_t left)
{
	struct shunt_prefix p = { .len = (uint8_t)key->len };

	memcpy(&p.addr, key->addr, sizeof(key->addr));
	return set_append_timed(set, &p, left) ? shunt_err(-ENOMEM, "out of memory") : 0;
}

static int by_address(const void *a, const void *b)
{
	const struct shunt_prefix *x = &((const struct shunt_timed *)a)->prefix;
	const struct shunt_prefix *y = &((const struct shunt_timed *)b)->prefix;
	bool v4 = shunt_prefix_is_v4(x);
	int r;

	if (v4 != shunt_prefix_is_v4(y))
		return v4 ? -1 : 1;
	r = memcmp(&x->addr, &y->addr, sizeof(x->addr));
	return r ? r : x->len - y->len;
}

int timed_read(const struct shunt *s, struct shunt_sets *sets)
{
	_cleanup_free_ struct timed_page *page = calloc(1, sizeof(*page));
	struct shunt_set *by_place[SHUNT_MAX_TIMED_SETS];
	int r = page ? sets_by_place(s, sets, by_place) : shunt_err(-ENOMEM, "out of memory");
	uint64_t now = timed_now();

	if (r <= 0)
		return r;
	for (r = 0; !r && !page->last;) {
		r = read_page(s, page);
		for (uint32_t i = 0; i < page->n && !r; i++) {
			const struct shunt_timed_key *key = &page->key[i];

			if (key->set < SHUNT_MAX_TIMED_SETS && by_place[key->set] &&
			    key->len <= 128 && page->until[i] > now)
				r = append(by_place[key->set], key, page->until[i] - now);
		}
	}
	for (int i = 0; i < SHUNT_MAX_TIMED_SETS && !r; i++)
		if (by_place[i] && by_place[i]->n_timed)
			qsort(by_place[i]->timed, by_place[i]->n_timed,
			      sizeof(*by_place[i]->timed), by_address);
	return r;
}
