/* SPDX-License-Identifier: Apache-2.0 */
#include "index/tail.h"

#include "base/panic.h"

#include <stdlib.h>

#define NOWHERE UINT32_MAX

void tail_release(struct tail *t)
{
	free(t->slots);
	free(t->places);
	*t = (struct tail){ 0 };
}

static enum err grow(uint32_t **array, uint32_t *cap, uint64_t want)
{
	if (want <= *cap)
		return ERR_NONE;
	uint64_t next = MAX(want, (uint64_t)*cap + *cap / 2 + 16);
	uint32_t *grown = reallocarray(*array, next, sizeof(*grown));

	if (!grown)
		return ERR_NO_MEMORY;
	*array = grown;
	*cap = (uint32_t)MIN(next, (uint64_t)UINT32_MAX);
	return ERR_NONE;
}

enum err tail_reserve(struct tail *t, uint32_t slot, uint32_t more)
{
	enum err e = grow(&t->slots, &t->cap, (uint64_t)t->count + more);

	if (e)
		return e;
	uint32_t old = t->place_count;

	e = grow(&t->places, &t->place_count, (uint64_t)slot + 1);
	for (uint32_t i = old; i < t->place_count; i++)
		t->places[i] = NOWHERE;
	return e;
}

void tail_add(struct tail *t, uint32_t slot)
{
	ASSERT(slot < t->place_count && t->count < t->cap && t->places[slot] == NOWHERE);
	t->places[slot] = t->count;
	t->slots[t->count++] = slot;
}

void tail_remove(struct tail *t, uint32_t slot)
{
	if (!tail_has(t, slot))
		return;
	uint32_t place = t->places[slot];
	uint32_t last = t->slots[--t->count];

	t->slots[place] = last;
	t->places[last] = place;
	t->places[slot] = NOWHERE;
}

bool tail_has(const struct tail *t, uint32_t slot)
{
	return slot < t->place_count && t->places[slot] != NOWHERE;
}
