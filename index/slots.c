/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slots are free, whatever holds them: the part that slots_file.c and slots_mem.c share.
 * The list of free slots always has room for every slot there is, so that slots_free() cannot fail.
 */
#include "index/slots.h"

#include "base/panic.h"

#include <stdlib.h>

#define FREE_CAP_MIN 256

static bool reserve_free_list(struct slots *s, uint32_t slots)
{
	if (slots <= s->free_cap)
		return true;
	uint64_t cap = MAX(MAX((uint64_t)slots, (uint64_t)s->free_cap * 2), FREE_CAP_MIN);
	cap = MIN(cap, SLOT_NONE);
	uint32_t *list = reallocarray(s->free_list, cap, sizeof(*list));
	if (!list)
		return false;
	s->free_list = list;
	s->free_cap = (uint32_t)cap;
	return true;
}

enum err slots_mark(struct slots *s, uint32_t slot)
{
	if (slot >= s->high)
		return ERR_CORRUPT;
	ASSERT(s->used);
	s->used[slot / 64] |= (uint64_t)1 << (slot % 64);
	return ERR_NONE;
}

enum err slots_mark_done(struct slots *s)
{
	if (!s->used)
		return ERR_NONE;
	if (!reserve_free_list(s, s->high))
		return ERR_NO_MEMORY;
	/* The lowest is taken first, so it is put last. */
	for (uint32_t slot = s->high; slot-- > 0;)
		if (!(s->used[slot / 64] >> (slot % 64) & 1))
			s->free_list[s->free_count++] = slot;
	free(s->used);
	s->used = NULL;
	return ERR_NONE;
}

enum err slots_add(struct slots *s, const void *record, uint32_t *ret_slot,
		   struct fault *reterr_fault)
{
	bool again = s->free_count > 0;

	ASSERT(!s->used);
	if (!again && s->high == SLOT_NONE)
		return fault_set(reterr_fault, ERR_NO_SPACE, "a shard has no more slots");
	if (!again && !reserve_free_list(s, s->high + 1))
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	uint32_t slot = again ? s->free_list[s->free_count - 1] : s->high;
	enum err e = s->ops->write(s, slot, record, reterr_fault);
	if (e)
		return e;
	if (again)
		s->free_count--;
	else
		s->high++;
	*ret_slot = slot;
	return ERR_NONE;
}

void slots_free(struct slots *s, uint32_t slot)
{
	ASSERT(slot < s->high && s->free_count < s->high);
	s->free_list[s->free_count++] = slot;
}
