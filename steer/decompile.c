// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "rule_pack.h"
#include "setstore.h"

int decompile_rules(const struct arena *a, struct shunt_rules *out)
{
	const struct shunt_gen *gen = arena_gen(a);
	const uint32_t *index = arena_at(a, arena_head(a)->index_at[gen->side]);
	struct shunt_rules rules = {};
	int r = 0;

	rules.v = calloc(gen->n_rules + 1UL, sizeof(*rules.v));
	if (!rules.v)
		return shunt_err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < gen->n_rules && !r; i++) {
		const struct shunt_rule2 *rec = arena_at(a, index[i]);

		r = rule_unpack(&rules.v[i], arena_at(a, rec->source_at), rec->source_len);
		rules.n += !r;
	}
	if (r) {
		shunt_rules_clear(&rules);
		return shunt_err(r, "cannot read the rules back: %s", strerror(-r));
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
	return r;
}

int decompile_sets(const struct arena *a, struct shunt_sets *out)
{
	const struct shunt_gen *gen = arena_gen(a);
	const struct shunt_set_rec *rec = arena_at(a, gen->sets_at);
	struct shunt_sets sets = {};
	int r = 0;

	sets.v = calloc(gen->n_sets + 1UL, sizeof(*sets.v));
	if (!sets.v)
		return shunt_err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < gen->n_sets && !r; i++) {
		if (!(rec[i].flags & 1) || !rec[i].name[0])
			continue;
		r = decompile_set(a, &rec[i], &sets.v[sets.n]);
		sets.n += !r;
	}
	if (r) {
		shunt_sets_clear(&sets);
		return shunt_err(r, "cannot read the sets back: %s", strerror(-r));
	}
	*out = sets;
	return 0;
}
