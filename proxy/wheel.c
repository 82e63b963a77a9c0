/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "wheel.h"

#include <stddef.h>

static struct wheel_node *wheel_slot(struct wheel *w, uint64_t tick)
{
	return &w->slots[tick % WHEEL_SLOTS];
}

void wheel_init(struct wheel *w, uint64_t now)
{
	for (int i = 0; i < WHEEL_SLOTS; i++) {
		w->slots[i].next = &w->slots[i];
		w->slots[i].prev = &w->slots[i];
	}
	w->tick = now / WHEEL_TICK;
	w->count = 0;
}

void wheel_remove(struct wheel *w, struct wheel_node *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	w->count--;
}

void wheel_set(struct wheel *w, struct wheel_node *node, uint64_t due)
{
	struct wheel_node *head;

	wheel_remove(w, node);
	node->due = (due + WHEEL_TICK - 1) / WHEEL_TICK;
	/* The slot of the present tick is done with: the next one is the earliest. */
	if (node->due <= w->tick)
		node->due = w->tick + 1;
	head = wheel_slot(w, node->due);
	node->next = head;
	node->prev = head->prev;
	head->prev->next = node;
	head->prev = node;
	w->count++;
}

/*
 * The slot's nodes move to a list of our own first: fn may add to the slot or take away the
 * very node that a walk would visit next.
 */
static void run_slot(struct wheel *w, struct wheel_node *head, bool all, wheel_fn fn, void *arg)
{
	struct wheel_node todo = *head;

	if (head->next == head)
		return;
	todo.next->prev = &todo;
	todo.prev->next = &todo;
	head->next = head;
	head->prev = head;
	while (todo.next != &todo) {
		struct wheel_node *node = todo.next;

		wheel_remove(w, node);
		if (all || node->due <= w->tick)
			fn(node, arg);
		else
			wheel_set(w, node, node->due * WHEEL_TICK); /* a later round */
	}
}

void wheel_advance(struct wheel *w, uint64_t now, wheel_fn fn, void *arg)
{
	uint64_t last = now / WHEEL_TICK;

	/* After a long stop (SIGSTOP, suspend) one round over all slots finds everything. */
	if (last > w->tick + WHEEL_SLOTS) {
		w->tick = last;
		for (int i = 0; i < WHEEL_SLOTS; i++)
			run_slot(w, &w->slots[i], false, fn, arg);
		return;
	}
	while (w->tick < last) {
		w->tick++;
		run_slot(w, wheel_slot(w, w->tick), false, fn, arg);
	}
}

void wheel_empty(struct wheel *w, wheel_fn fn, void *arg)
{
	for (int i = 0; i < WHEEL_SLOTS; i++)
		run_slot(w, &w->slots[i], true, fn, arg);
}
