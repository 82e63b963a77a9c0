// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "compile.h"
#include "rule_pack.h"
#include "setstore.h"

static int unpack(const struct arena *a, uint32_t cell, struct shunt_rule *out)
{
	_cleanup_free_ char *source = NULL;
	struct shunt_rule2 rec;

	if (!arena_holds(a, cell, 1))
		return -EAGAIN;
	rec = *(const struct shunt_rule2 *)arena_at(a, cell);
	if (!arena_holds(a, rec.source_at, cells_for(rec.source_len)))
		return -EAGAIN;
	/* A copy: what is checked is then what is used. */
	source = malloc(rec.source_len + 1UL);
	if (!source)
		return -ENOMEM;
	memcpy(source, arena_at(a, rec.source_at), rec.source_len);
	return rule_unpack(out, source, rec.source_len);
}

/* What is wrong is so because a change was made meanwhile, if one was. */
static int failed(const struct arena *a, uint64_t generation, int r, const char *what)
{
	if (!arena_is_current(a, generation))
		return -EAGAIN;
	return shunt_err(r, "cannot read the %s back: %s", what, strerror(-r));
}

int decompile_rules(const struct arena *a, struct shunt_rules *out)
{
	const struct shunt_gen gen = *arena_gen(a);
	const uint32_t *index = arena_at(a, arena_head(a)->index_at[gen.side & 1]);
	struct shunt_rules rules = {};
	int r = 0;

	if (gen.n_rules > arena_head(a)->index_max)
		return failed(a, gen.generation, -EPROTO, "rules");
	rules.v = calloc(gen.n_rules + 1UL, sizeof(*rules.v));
	if (!rules.v)
		return shunt_err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < gen.n_rules && !r; i++) {
		r = unpack(a, index[i], &rules.v[i]);
		rules.n += !r;
	}
	if (!r && !arena_is_current(a, gen.generation))
		r = -EAGAIN;
	if (r) {
		shunt_rules_clear(&rules);
		return failed(a, gen.generation, r, "rules");
	}
	*out = rules;
	return 0;
}

static int decompile_set(const struct arena *a, const struct shunt_set_rec *rec,
			 struct shunt_set *out)
{
	struct prefixes p;
	int r = setstore_read(a, rec, &p);

	if (r)
		return r;
	r = prefixes_list(&p, &out->v, &out->n);
	prefixes_clear(&p);
	if (!r)
		memcpy(out->name, rec->name, sizeof(out->name));
	out->name[sizeof(out->name) - 1] = '\0';
	return r;
}

int decompile_sets(const struct arena *a, struct shunt_sets *out)
{
	const struct shunt_gen gen = *arena_gen(a);
	const struct shunt_set_rec *at = arena_at(a, gen.sets_at);
	struct shunt_sets sets = {};
	struct shunt_set_rec rec;
	int r = 0;

	if (gen.n_sets && !arena_holds(a, gen.sets_at, 2UL * gen.n_sets))
		return failed(a, gen.generation, -EPROTO, "sets");
	sets.v = calloc(gen.n_sets + 1UL, sizeof(*sets.v));
	if (!sets.v)
		return shunt_err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < gen.n_sets && !r; i++) {
		rec = at[i];
		if (!(rec.flags & 1) || !rec.name[0])
			continue;
		r = decompile_set(a, &rec, &sets.v[sets.n]);
		sets.n += !r;
	}
	if (!r && !arena_is_current(a, gen.generation))
		r = -EAGAIN;
	if (r) {
		shunt_sets_clear(&sets);
		return failed(a, gen.generation, r, "sets");
	}
	*out = sets;
	return 0;
}
