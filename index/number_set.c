/* SPDX-License-Identifier: Apache-2.0 */
#include "index/number_set.h"

#include <stdlib.h>
#include <string.h>

int number_compare(const struct number *a, const struct number *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->is_whole != b->is_whole)
		return a->is_whole ? 1 : -1;
	if (a->is_whole && a->whole != b->whole)
		return a->whole < b->whole ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

uint32_t number_set_seek(const struct number_set *s, const struct number *n, uint32_t *ret_at)
{
	uint32_t from = 0, to = s->count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		const struct number_block *b = &s->blocks[mid];

		if (number_compare(&b->items[b->count - 1], n) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	uint32_t block = from;

	*ret_at = 0;
	if (block == s->count)
		return block;
	from = 0;
	to = s->blocks[block].count;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (number_compare(&s->blocks[block].items[mid], n) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	*ret_at = from;
	return block;
}

static enum err block_insert(struct number_set *s, uint32_t at)
{
	if (s->count == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;
		struct number_block *blocks = reallocarray(s->blocks, cap, sizeof(*blocks));

		if (!blocks)
			return ERR_NO_MEMORY;
		s->blocks = blocks;
		s->cap = cap;
	}
	struct number *items = calloc(NUMBER_BLOCK_MAX, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	memmove(s->blocks + at + 1, s->blocks + at, (s->count - at) * sizeof(*s->blocks));
	s->blocks[at] = (struct number_block){ .items = items };
	s->count++;
	return ERR_NONE;
}

/* Moves the upper half of a full block into one after it. */
static enum err block_split(struct number_set *s, uint32_t at)
{
	enum err e = block_insert(s, at + 1);

	if (e)
		return e;
	struct number_block *low = &s->blocks[at], *high = &s->blocks[at + 1];

	high->count = NUMBER_BLOCK_MAX / 2;
	low->count = NUMBER_BLOCK_MAX - high->count;
	memcpy(high->items, low->items + low->count, high->count * sizeof(*high->items));
	return ERR_NONE;
}

enum err number_set_add(struct number_set *s, const struct number *n)
{
	uint32_t at;
	uint32_t block = number_set_seek(s, n, &at);
	enum err e = ERR_NONE;

	if (s->count == 0)
		e = block_insert(s, 0);
	if (e)
		return e;
	if (block == s->count) { /* beyond all: the end of the last block */
		block--;
		at = s->blocks[block].count;
	}
	if (s->blocks[block].count == NUMBER_BLOCK_MAX) {
		e = block_split(s, block);
		if (e)
			return e;
		if (at > s->blocks[block].count) {
			at -= s->blocks[block].count;
			block++;
		}
	}
	struct number_block *b = &s->blocks[block];

	memmove(b->items + at + 1, b->items + at, (b->count - at) * sizeof(*b->items));
	b->items[at] = *n;
	b->count++;
	return ERR_NONE;
}

void number_set_remove(struct number_set *s, const struct number *n)
{
	uint32_t at;
	uint32_t block = number_set_seek(s, n, &at);

	if (block == s->count)
		return;
	struct number_block *b = &s->blocks[block];

	if (at == b->count || number_compare(&b->items[at], n) != 0)
		return;
	b->count--;
	memmove(b->items + at, b->items + at + 1, (b->count - at) * sizeof(*b->items));
	if (b->count)
		return;
	free(b->items);
	s->count--;
	memmove(s->blocks + block, s->blocks + block + 1, (s->count - block) * sizeof(*s->blocks));
}

void number_set_release(struct number_set *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		free(s->blocks[i].items);
	free(s->blocks);
}

size_t number_set_memory(const struct number_set *s)
{
	return (size_t)s->count * NUMBER_BLOCK_MAX * sizeof(struct number) + (size_t)s->cap * sizeof(*s->blocks);
}
