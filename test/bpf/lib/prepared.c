// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "prepared.h"

#include <errno.h>
#include <stdlib.h>

static void make(struct preparer *p, struct prepared *v)
{
	const struct shunt_rule *rule;
	int r = random_case_make(&v->c, v->seed, &p->options);

	for (uint32_t i = 0; i < p->n_packets && !r; i++)
		random_packet(&v->c, &v->packets[i]);
	if (!r)
		questions_sort(v->packets, p->n_packets, v->ends);
	for (uint32_t i = 0; i < p->n_packets && !r; i++) {
		rule = reference_decide(&v->c.rules, &v->c.sets, &v->packets[i]);
		v->right[i] = rule ? rule->priority : 0;
	}
	v->err = r ? r : questions_load(p->questions, v->instance, &v->c);
}

static void *work(void *arg)
{
	struct prepared_thread *t = arg;
	struct preparer *p = t->p;

	for (; t->v.seed <= p->last; t->v.seed += QUESTION_INSTANCES) {
		make(p, &t->v);
		pthread_mutex_lock(&p->lock);
		t->ready = true;
		pthread_cond_broadcast(&p->changed);
		while (t->ready) /* until it is given back */
			pthread_cond_wait(&p->changed, &p->lock);
		pthread_mutex_unlock(&p->lock);
		random_case_clear(&t->v.c);
	}
	return NULL;
}

int preparer_start(struct preparer *p)
{
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	for (int i = 0; i < QUESTION_INSTANCES; i++) {
		struct prepared_thread *t = &p->threads[i];

		t->p = p;
		t->v.instance = i;
		t->v.seed = p->first + (uint64_t)i;
		t->v.packets = calloc(p->n_packets, sizeof(*t->v.packets));
		t->v.right = calloc(p->n_packets, sizeof(*t->v.right));
		if (!t->v.packets || !t->v.right || pthread_create(&t->thread, NULL, work, t))
			return -ENOMEM;
	}
	return 0;
}

static struct prepared_thread *thread_of(struct preparer *p, uint64_t seed)
{
	return &p->threads[(seed - p->first) % QUESTION_INSTANCES];
}

struct prepared *preparer_get(struct preparer *p, uint64_t seed)
{
	struct prepared_thread *t = thread_of(p, seed);

	pthread_mutex_lock(&p->lock);
	while (!t->ready)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return &t->v;
}

void preparer_give_back(struct preparer *p, uint64_t seed)
{
	pthread_mutex_lock(&p->lock);
	thread_of(p, seed)->ready = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void preparer_end(struct preparer *p)
{
	for (int i = 0; i < QUESTION_INSTANCES; i++) {
		struct prepared_thread *t = &p->threads[i];

		pthread_join(t->thread, NULL);
		free(t->v.packets);
		free(t->v.right);
	}
}
