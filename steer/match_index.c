// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "match_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_KEYS = 64,	    /* of a match in one dimension; more become the one that holds all */
	MAX_PLACES = 256,   /* of a match in the whole tree */
	LEVEL_DEVICE = DIM_MAX,
	LEVEL_CGROUP,
	CGROUP_PARTS = SHUNT_CGROUP_LEVELS - 1,
	FIRST_SLOTS = 1024,
};

struct index_node {
	uint64_t lengths[3]; /* bits of the lengths that keys of its children have */
	uint32_t entry;	     /* last level: the list of matches, 0 none */
};

struct index_child {
	addr_t key;
	uint32_t parent, node; /* node 0: free */
	uint8_t length;
};

struct index_entry {
	uint32_t match, next; /* next 0: none */
};

struct key {
	addr_t bits; /* `length` of them, the others shifted out */
	uint8_t length;
};

static int no_memory(void)
{
	return shunt_err(-ENOMEM, "out of memory");
}

/* ---- keys ------------------------------------------------------------------------------------- */

static unsigned int width_of(int level, bool v6)
{
	if (level == DIM_PORT || level == DIM_SPORT)
		return 16;
	return level == DIM_UID || !v6 ? 32 : 128;
}

static addr_t shift(addr_t value, unsigned int by)
{
	return by < 128 ? value >> by : 0;
}

/* The longest prefix that holds all of the span. */
static struct key key_of_span(const struct span *s, unsigned int width)
{
	addr_t differs = s->lo ^ s->hi;
	unsigned int by = 0;

	while (shift(differs, by))
		by++;
	return (struct key){ shift(s->lo, by), (uint8_t)(width - by) };
}

/* Of the device's own name: it stands for one bit that is set, and the name. */
static addr_t device_bits(const char *name)
{
	addr_t bits = 0;

	memcpy(&bits, name, strnlen(name, IF_NAMESIZE));
	return bits;
}

/* The first parts of a path, at most so many. */
static struct key cgroup_key(const char *path, unsigned int parts)
{
	struct key key = {};

	for (; *path && (*path != '/' || key.length < parts); path++) {
		key.length += *path == '/';
		key.bits = (key.bits ^ (unsigned char)*path) * SHUNT_K1;
	}
	return key;
}

static size_t device_keys(const struct shunt_rule *rule, struct key *out)
{
	if (!rule->n_devices || rule->n_devices > MAX_KEYS) {
		out[0] = (struct key){};
		return 1;
	}
	for (size_t i = 0; i < rule->n_devices; i++)
		out[i] = (struct key){ device_bits(rule->devices[i]), 1 };
	return rule->n_devices;
}

static size_t level_keys(const struct match_index *index, const struct match *m, int level, bool v6,
			 struct key *out)
{
	const struct spans *s;

	if (level == LEVEL_DEVICE)
		return device_keys(m->rule, out);
	if (level == LEVEL_CGROUP) {
		out[0] = m->rule->cgroup ? cgroup_key(m->rule->cgroup, CGROUP_PARTS)
					 : (struct key){};
		return 1;
	}
	s = m->dim[v6][level];
	if (index->levels_off[level] || s->n > MAX_KEYS) {
		out[0] = (struct key){};
		return 1;
	}
	for (size_t i = 0; i < s->n; i++)
		out[i] = key_of_span(&s->v[i], width_of(level, v6));
	return s->n;
}

/* ---- the tree ----------------------------------------------------------------------------------- */

static size_t slot_of(const struct match_index *index, uint32_t parent, struct key key)
{
	uint64_t h = (uint64_t)key.bits * SHUNT_K1 + (uint64_t)(key.bits >> 64) * SHUNT_K2 +
		     ((uint64_t)parent << 8 | key.length) * SHUNT_K3;
	const struct index_child *c;
	size_t i;

	for (i = shunt_hash_end(h); ; i++) {
		c = &index->children[i & (index->n_slots - 1)];
		if (!c->node || (c->parent == parent && c->length == key.length && c->key == key.bits))
			return i & (index->n_slots - 1);
	}
}

static int grow_children(struct match_index *index)
{
	struct index_child *old = index->children;
	size_t n = index->n_slots;

	index->children = calloc(n ? 2 * n : FIRST_SLOTS, sizeof(*old));
	if (!index->children) {
		index->children = old;
		return no_memory();
	}
	index->n_slots = n ? 2 * n : FIRST_SLOTS;
	for (size_t i = 0; i < n; i++)
		if (old[i].node)
			index->children[slot_of(index, old[i].parent,
						(struct key){ old[i].key, old[i].length })] = old[i];
	free(old);
	return 0;
}

static int new_node(struct match_index *index, uint32_t *out)
{
	size_t room = index->nodes_room ? 2 * index->nodes_room : FIRST_SLOTS;
	struct index_node *grown;

	if (index->n_nodes == index->nodes_room) {
		grown = reallocarray(index->nodes, room, sizeof(*grown));
		if (!grown)
			return no_memory();
		index->nodes = grown;
		index->nodes_room = room;
	}
	*out = (uint32_t)index->n_nodes;
	index->nodes[index->n_nodes++] = (struct index_node){};
	return 0;
}

/* The child of that key, which is made if it is new. */
static int get_child(struct match_index *index, uint32_t parent, struct key key, uint32_t *out)
{
	struct index_child *c;
	int r = 0;

	if (index->n_children * 2 >= index->n_slots)
		r = grow_children(index);
	if (r)
		return r;
	c = &index->children[slot_of(index, parent, key)];
	if (!c->node) {
		r = new_node(index, out);
		if (r)
			return r;
		*c = (struct index_child){ key.bits, parent, *out, key.length };
		index->n_children++;
		index->nodes[parent].lengths[key.length / 64] |= 1ULL << key.length % 64;
	}
	*out = c->node;
	return 0;
}

static int add_entry(struct match_index *index, uint32_t node, uint32_t match)
{
	size_t room = index->entries_room ? 2 * index->entries_room : FIRST_SLOTS;
	struct index_entry *grown;

	if (index->n_entries == index->entries_room) {
		grown = reallocarray(index->entries, room, sizeof(*grown));
		if (!grown)
			return no_memory();
		index->entries = grown;
		index->entries_room = room;
	}
	index->entries[index->n_entries] = (struct index_entry){ match, index->nodes[node].entry };
	index->nodes[node].entry = (uint32_t)index->n_entries++;
	return 0;
}

int match_index_init(struct match_index *index, const struct match *matches)
{
	uint32_t root;
	int r = 0;

	index->matches = matches;
	index->n_entries = 0;
	for (int v6 = 0; v6 < 2 && !r; v6++)
		r = new_node(index, &root);
	if (!r)
		r = add_entry(index, 0, 0); /* 0 is no entry */
	if (!r) {
		index->nodes[0].entry = 0;
		r = grow_children(index);
	}
	if (r)
		match_index_clear(index);
	return r;
}

void match_index_clear(struct match_index *index)
{
	free(index->nodes);
	free(index->children);
	free(index->entries);
	*index = (struct match_index){};
}

/* ---- in and out --------------------------------------------------------------------------------- */

struct places {
	struct key keys[INDEX_LEVELS][MAX_KEYS];
	size_t n[INDEX_LEVELS];
};

static void find_places(const struct match_index *index, const struct match *m, bool v6,
			struct places *out)
{
	size_t product = 1;
	int most;

	for (int level = 0; level < INDEX_LEVELS; level++) {
		out->n[level] = level_keys(index, m, level, v6, out->keys[level]);
		product *= out->n[level];
	}
	while (product > MAX_PLACES) {
		most = 0;
		for (int level = 1; level < INDEX_LEVELS; level++)
			if (out->n[level] > out->n[most])
				most = level;
		product /= out->n[most];
		out->n[most] = 1;
		out->keys[most][0] = (struct key){};
	}
}

static int add_below(struct match_index *index, const struct places *places, int level,
		     uint32_t node, uint32_t match)
{
	uint32_t child = 0;
	int r = 0;

	if (level == INDEX_LEVELS)
		return add_entry(index, node, match);
	for (size_t i = 0; i < places->n[level] && !r; i++) {
		r = get_child(index, node, places->keys[level][i], &child);
		if (!r)
			r = add_below(index, places, level + 1, child, match);
	}
	return r;
}

int match_index_add(struct match_index *index, uint32_t match)
{
	const struct match *m = &index->matches[match];
	struct places places;
	int r = 0;

	for (int v6 = 0; v6 < 2 && !r; v6++) {
		if (!(m->fams & (v6 ? SHUNT_FAM_V6 : SHUNT_FAM_V4)))
			continue;
		find_places(index, m, v6, &places);
		r = add_below(index, &places, 0, (uint32_t)v6, match);
	}
	return r;
}

struct search {
	const struct match_index *index;
	const struct point *p;
	match_index_fn fn;
	void *arg;
};

static bool find_below(const struct search *s, int level, uint32_t node);

static bool find_child(const struct search *s, int level, uint32_t node, unsigned int length)
{
	struct key key = { .length = (uint8_t)length };
	const struct index_child *c;

	if (level == LEVEL_CGROUP)
		key = cgroup_key(s->p->cgroup ? s->p->cgroup : "", length);
	else if (level == LEVEL_DEVICE && length)
		key.bits = s->p->device ? device_bits(s->p->device) : 0;
	else if (level != LEVEL_DEVICE)
		key.bits = shift(s->p->at[level], width_of(level, s->p->v6) - length);
	c = &s->index->children[slot_of(s->index, node, key)];
	return c->node && find_below(s, level + 1, c->node);
}

static bool find_below(const struct search *s, int level, uint32_t node)
{
	const struct index_node *n = &s->index->nodes[node];
	const struct index_entry *e;

	if (level == INDEX_LEVELS) {
		for (uint32_t i = n->entry; i; i = e->next) {
			e = &s->index->entries[i];
			if (s->fn(s->arg, e->match))
				return true;
		}
		return false;
	}
	for (unsigned int word = 0; word < 3; word++)
		for (uint64_t left = n->lengths[word]; left; left &= left - 1)
			if (find_child(s, level, node,
				       word * 64 + (unsigned int)__builtin_ctzll(left)))
				return true;
	return false;
}

bool match_index_find(const struct match_index *index, const struct point *p, match_index_fn fn,
		      void *arg)
{
	const struct search s = { index, p, fn, arg };

	return find_below(&s, 0, p->v6);
}
