// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What happens to a flow, and why: the decision is that of the loaded program; the rules in front
 * of it, the target and the route are looked up for the person who asks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "explain.h"
#include "explain_why.h"
#include "generation.h"
#include "route_find.h"
#include "timed.h"

enum { MISSES_MAX = 16 };

/* ---- candidates ----------------------------------------------------------------------------- */

/*
 * Which rules are shown: counts[i] is how many words of rule i miss. *limit: all with less, and
 * of those with just as many the last *last.
 */
static void choose(const uint8_t *counts, size_t n, size_t max, unsigned int *limit, size_t *last)
{
	size_t have[MISSES_MAX] = {}, sum = 0;

	for (size_t i = 0; i < n; i++)
		have[counts[i]]++;
	for (*limit = 0; *limit < MISSES_MAX - 1 && sum + have[*limit] <= max; (*limit)++)
		sum += have[*limit];
	*last = max - sum < have[*limit] ? max - sum : have[*limit];
}

static int add_candidates(struct asked *a, const struct shunt_rules *rules, const uint8_t *counts,
			  size_t max, struct shunt_answer *out)
{
	size_t last, skip = 0;
	unsigned int limit;
	int r = 0;

	choose(counts, out->n_before, max, &limit, &last);
	for (size_t i = 0; i < out->n_before; i++)
		skip += counts[i] == limit;
	skip -= last;
	for (size_t i = 0; i < out->n_before && !r; i++) {
		if (counts[i] > limit || (counts[i] == limit && skip && skip--))
			continue;
		r = asked_candidate(a, &rules->v[i], &out->candidates[out->n_candidates]);
		out->n_candidates += !r;
	}
	return r;
}

static int find_candidates(struct asked *a, const struct shunt_rules *rules, size_t max,
			   struct shunt_answer *out)
{
	_cleanup_free_ uint8_t *counts = malloc(rules->n + 1);
	unsigned int misses;

	while (out->n_before < rules->n &&
	       (out->e.action == SHUNT_ACT_NONE ||
		rules->v[out->n_before].priority < out->e.priority))
		out->n_before++;
	if (max > out->n_before)
		max = out->n_before;
	out->candidates = calloc(max + 1, sizeof(*out->candidates));
	if (!counts || !out->candidates)
		return shunt_err(-ENOMEM, "out of memory");
	for (size_t i = 0; i < out->n_before; i++) {
		misses = asked_misses(a, &rules->v[i]);
		counts[i] = (uint8_t)(misses < MISSES_MAX ? misses : MISSES_MAX - 1);
	}
	return add_candidates(a, rules, counts, max, out);
}

/* ---- what the decision refers to ------------------------------------------------------------ */

/* Moved out of the rules, which are read for this alone. */
static void take_rule(struct shunt_rules *rules, struct shunt_answer *out)
{
	struct shunt_rule *rule = &rules->v[out->n_before];

	if (out->e.action == SHUNT_ACT_NONE || out->n_before == rules->n ||
	    rule->priority != out->e.priority)
		return;
	out->rule = *rule;
	*rule = (struct shunt_rule){};
}

static int find_target(struct shunt *s, struct shunt_answer *out)
{
	struct shunt_target_info targets[SHUNT_MAX_TARGETS];
	int n;

	if (out->e.action != SHUNT_ACT_PROXY)
		return 0;
	n = shunt_targets_read(s, targets, SHUNT_MAX_TARGETS);
	for (int i = 0; i < n; i++) {
		if (targets[i].index != (int)out->e.target)
			continue;
		out->target = targets[i];
		out->has_target = true;
	}
	return n < 0 ? n : 0;
}

/* Nothing goes on of what is dropped or rejected. */
static bool goes_on(const struct shunt_explain *e)
{
	switch ((enum shunt_counter)e->counter) {
	case SHUNT_CTR_NO_MATCH:
	case SHUNT_CTR_NO_RULESET:
	case SHUNT_CTR_RULE_PASS:
	case SHUNT_CTR_FAIL_OPEN:
	case SHUNT_CTR_ROUTE_NO_HOP:
	case SHUNT_CTR_ROUTE_NO_NEIGH:
	case SHUNT_CTR_ROUTE_OTHER:
	case SHUNT_CTR_STEER_NEW:
	case SHUNT_CTR_STEER_TIMEWAIT:
	case SHUNT_CTR_REDIRECT:
		return true;
	default:
		return false;
	}
}

/* The program has found the way itself. */
static void take_way(struct shunt_answer *out)
{
	struct shunt_route *route = &out->route;

	out->has_route = true;
	memcpy(&route->via, out->e.via, sizeof(route->via));
	route->has_via = !IN6_IS_ADDR_UNSPECIFIED(&route->via);
	if (!if_indextoname(out->e.oif, route->device))
		snprintf(route->device, sizeof(route->device), "#%u", out->e.oif);
}

static int find_route(struct shunt *s, const struct asked *a, const struct shunt_question *q,
		      struct shunt_answer *out)
{
	bool proxied = out->e.counter == SHUNT_CTR_STEER_NEW ||
		       out->e.counter == SHUNT_CTR_STEER_TIMEWAIT ||
		       out->e.counter == SHUNT_CTR_REDIRECT;
	struct route_question rq = { .dst = a->dst };
	int r;

	if (out->e.counter == SHUNT_CTR_ROUTED)
		take_way(out);
	if (!goes_on(&out->e))
		return 0;
	if (proxied) {
		rq.mark = s->info.own_mark;
	} else {
		rq.src = a->src;
		rq.has_src = true;
		rq.iif = q->dir == SHUNT_DIR_IN ? if_nametoindex(out->device) : 0;
		rq.has_uid = q->has_uid;
		rq.uid = q->uid;
	}
	r = route_find(&rq, &out->route);
	out->has_route = !r;
	return r;
}

/* ---- all ------------------------------------------------------------------------------------ */

static bool were_asked(const struct shunt_explain *e)
{
	return e->action != SHUNT_ACT_NONE || e->counter == SHUNT_CTR_NO_MATCH;
}

static int look_up(struct shunt *s, const struct shunt_question *q, size_t max,
		   struct shunt_config *config, struct shunt_answer *out)
{
	struct asked a;
	int r = asked_init(&a, config, q, out->device);

	if (r)
		return r;
	if (out->asked)
		r = find_candidates(&a, &config->rules, max, out);
	if (!r)
		take_rule(&config->rules, out);
	if (!r)
		r = find_target(s, out);
	if (!r)
		r = find_route(s, &a, q, out);
	asked_clear(&a);
	return r;
}

int shunt_answer(struct shunt *s, const struct shunt_question *q, size_t max,
		 struct shunt_answer *out)
{
	_cleanup_close_ int lock = instance_lock(s); /* decision and rules are of one generation */
	struct shunt_answer answer = {};
	struct shunt_config config;
	int r = lock < 0 ? lock : explain_locked(s, q, answer.device, &answer.e);

	if (r)
		return r;
	r = generation_read_locked(s, &config);
	if (r)
		return r;
	r = timed_read(s, &config.sets);
	answer.asked = were_asked(&answer.e);
	if (!r)
		r = look_up(s, q, max, &config, &answer);
	shunt_config_clear(&config);
	if (r)
		shunt_answer_clear(&answer);
	else
		*out = answer;
	return r;
}

void shunt_answer_clear(struct shunt_answer *answer)
{
	for (size_t i = 0; i < answer->n_candidates; i++)
		candidate_clear(&answer->candidates[i]);
	free(answer->candidates);
	shunt_rule_clear(&answer->rule);
	*answer = (struct shunt_answer){};
}
