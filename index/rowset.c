/* SPDX-License-Identifier: Apache-2.0 */
#include "index/rowset.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_ROWS 65536u
#define CHUNK_WORDS (CHUNK_ROWS / 64)
/* Beyond this a bitmap is smaller than an array. */
#define ARRAY_MAX 4096u

struct rowset_chunk {
	uint16_t high;
	uint32_t count;
	uint32_t cap; /* of lows; 0: a bitmap */
	union {
		uint16_t *lows;
		uint64_t *words;
	};
};

/* Index of the chunk, or of where it belongs. */
static uint32_t chunk_find(const struct rowset *s, uint16_t high, bool *ret_found)
{
	uint32_t from = 0, to = s->chunk_count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (s->chunks[mid].high < high)
			from = mid + 1;
		else
			to = mid;
	}
	*ret_found = from < s->chunk_count && s->chunks[from].high == high;
	return from;
}

static uint32_t low_find(const struct rowset_chunk *c, uint16_t low, bool *ret_found)
{
	uint32_t from = 0, to = c->count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (c->lows[mid] < low)
			from = mid + 1;
		else
			to = mid;
	}
	*ret_found = from < c->count && c->lows[from] == low;
	return from;
}

static bool bit_has(const uint64_t *words, uint32_t at)
{
	return words[at / 64] >> (at % 64) & 1;
}

static enum err chunk_insert(struct rowset *s, uint32_t at, uint16_t high)
{
	if (s->chunk_count == s->chunk_cap) {
		uint32_t cap = s->chunk_cap ? s->chunk_cap * 2 : 2;
		struct rowset_chunk *chunks = reallocarray(s->chunks, cap, sizeof(*chunks));

		if (!chunks)
			return ERR_NO_MEMORY;
		s->chunks = chunks;
		s->chunk_cap = cap;
	}
	uint16_t *lows = malloc(4 * sizeof(*lows));

	if (!lows)
		return ERR_NO_MEMORY;
	memmove(s->chunks + at + 1, s->chunks + at, (s->chunk_count - at) * sizeof(*s->chunks));
	s->chunks[at] = (struct rowset_chunk){ .high = high, .cap = 4, .lows = lows };
	s->chunk_count++;
	return ERR_NONE;
}

static void chunk_erase(struct rowset *s, uint32_t at)
{
	free(s->chunks[at].lows);
	s->chunk_count--;
	memmove(s->chunks + at, s->chunks + at + 1, (s->chunk_count - at) * sizeof(*s->chunks));
}

static enum err chunk_to_bitmap(struct rowset_chunk *c)
{
	uint64_t *words = calloc(CHUNK_WORDS, sizeof(*words));

	if (!words)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->count; i++)
		words[c->lows[i] / 64] |= 1ull << (c->lows[i] % 64);
	free(c->lows);
	c->words = words;
	c->cap = 0;
	return ERR_NONE;
}

static enum err array_grow(struct rowset_chunk *c)
{
	uint32_t cap = c->cap * 2;
	uint16_t *lows = reallocarray(c->lows, cap, sizeof(*lows));

	if (!lows)
		return ERR_NO_MEMORY;
	c->lows = lows;
	c->cap = cap;
	return ERR_NONE;
}

static enum err array_add(struct rowset *s, struct rowset_chunk *c, uint16_t low)
{
	bool found;
	uint32_t at = low_find(c, low, &found);

	if (found)
		return ERR_NONE;
	if (c->count == c->cap) {
		enum err e = array_grow(c);

		if (e)
			return e;
	}
	memmove(c->lows + at + 1, c->lows + at, (c->count - at) * sizeof(*c->lows));
	c->lows[at] = low;
	c->count++;
	s->rows++;
	return ERR_NONE;
}

void rowset_release(struct rowset *s)
{
	for (uint32_t i = 0; i < s->chunk_count; i++)
		free(s->chunks[i].lows);
	free(s->chunks);
	*s = (struct rowset){ 0 };
}

enum err rowset_add(struct rowset *s, uint32_t row)
{
	uint16_t high = (uint16_t)(row >> 16), low = (uint16_t)row;
	bool found;
	uint32_t at = chunk_find(s, high, &found);

	if (!found) {
		enum err e = chunk_insert(s, at, high);

		if (e)
			return e;
	}
	struct rowset_chunk *c = &s->chunks[at];

	if (c->cap && c->count >= ARRAY_MAX) {
		enum err e = chunk_to_bitmap(c);

		if (e)
			return e;
	}
	if (c->cap)
		return array_add(s, c, low);
	if (bit_has(c->words, low))
		return ERR_NONE;
	c->words[low / 64] |= 1ull << (low % 64);
	c->count++;
	s->rows++;
	return ERR_NONE;
}

void rowset_remove(struct rowset *s, uint32_t row)
{
	uint16_t low = (uint16_t)row;
	bool found;
	uint32_t at = chunk_find(s, (uint16_t)(row >> 16), &found);

	if (!found)
		return;
	struct rowset_chunk *c = &s->chunks[at];

	if (c->cap) {
		uint32_t i = low_find(c, low, &found);

		if (!found)
			return;
		memmove(c->lows + i, c->lows + i + 1, (c->count - i - 1) * sizeof(*c->lows));
	} else {
		if (!bit_has(c->words, low))
			return;
		c->words[low / 64] &= ~(1ull << (low % 64));
	}
	c->count--;
	s->rows--;
	if (c->count == 0)
		chunk_erase(s, at);
}

bool rowset_has(const struct rowset *s, uint32_t row)
{
	bool found;
	uint32_t at = chunk_find(s, (uint16_t)(row >> 16), &found);

	if (!found)
		return false;
	const struct rowset_chunk *c = &s->chunks[at];

	if (!c->cap)
		return bit_has(c->words, (uint16_t)row);
	(void)low_find(c, (uint16_t)row, &found); /* only whether it is there matters */
	return found;
}

uint32_t rowset_count(const struct rowset *s)
{
	return s->rows;
}

size_t rowset_memory(const struct rowset *s)
{
	size_t bytes = s->chunk_cap * sizeof(*s->chunks);

	for (uint32_t i = 0; i < s->chunk_count; i++)
		bytes += s->chunks[i].cap ? s->chunks[i].cap * sizeof(uint16_t) : CHUNK_ROWS / 8;
	return bytes;
}

static void bitmap_fill(const struct rowset_chunk *c, struct row_bits *out)
{
	uint32_t first = (uint32_t)c->high * CHUNK_WORDS;
	uint32_t end = (out->bits + 63) / 64;

	for (uint32_t i = 0; i < CHUNK_WORDS && first + i < end; i++)
		out->words[first + i] |= c->words[i];
}

void rowset_fill(const struct rowset *s, struct row_bits *out)
{
	for (uint32_t n = 0; n < s->chunk_count; n++) {
		const struct rowset_chunk *c = &s->chunks[n];

		if (!c->cap) {
			bitmap_fill(c, out);
			continue;
		}
		for (uint32_t i = 0; i < c->count; i++)
			row_bits_add(out, (uint32_t)c->high << 16 | c->lows[i]);
	}
}

static uint32_t bitmap_count_in(const struct rowset_chunk *c, const struct row_bits *b)
{
	size_t first = (size_t)c->high * CHUNK_WORDS, words = (size_t)b->bits / 64 + 1;
	uint32_t count = 0;

	for (size_t i = 0; i < CHUNK_WORDS && first + i < words; i++)
		count += (uint32_t)__builtin_popcountll(c->words[i] & b->words[first + i]);
	return count;
}

uint32_t rowset_count_in(const struct rowset *s, const struct row_bits *b)
{
	uint32_t count = 0;

	for (uint32_t n = 0; n < s->chunk_count; n++) {
		const struct rowset_chunk *c = &s->chunks[n];

		if (!c->cap) {
			count += bitmap_count_in(c, b);
			continue;
		}
		for (uint32_t i = 0; i < c->count; i++)
			count += row_bits_has(b, (uint32_t)c->high << 16 | c->lows[i]);
	}
	return count;
}

enum err row_bits_init(struct row_bits *b, uint32_t bits)
{
	*b = (struct row_bits){ .words = calloc((size_t)bits / 64 + 1, sizeof(uint64_t)),
				.bits = bits };
	return b->words ? ERR_NONE : ERR_NO_MEMORY;
}

void row_bits_release(struct row_bits *b)
{
	free(b->words);
	*b = (struct row_bits){ 0 };
}

void row_bits_add(struct row_bits *b, uint32_t row)
{
	if (row < b->bits)
		b->words[row / 64] |= 1ull << (row % 64);
}

bool row_bits_has(const struct row_bits *b, uint32_t row)
{
	return row < b->bits && bit_has(b->words, row);
}

void row_bits_and(struct row_bits *b, const struct row_bits *other)
{
	for (size_t i = 0; i < ((size_t)b->bits + 63) / 64; i++)
		b->words[i] &= other->words[i];
}

void row_bits_or(struct row_bits *b, const struct row_bits *other)
{
	for (size_t i = 0; i < ((size_t)b->bits + 63) / 64; i++)
		b->words[i] |= other->words[i];
}

void row_bits_and_not(struct row_bits *b, const struct row_bits *other)
{
	for (size_t i = 0; i < ((size_t)b->bits + 63) / 64; i++)
		b->words[i] &= ~other->words[i];
}

uint32_t row_bits_count(const struct row_bits *b)
{
	uint32_t n = 0;

	for (size_t i = 0; i < ((size_t)b->bits + 63) / 64; i++)
		n += (uint32_t)__builtin_popcountll(b->words[i]);
	return n;
}

bool row_bits_next(const struct row_bits *b, uint32_t *row)
{
	size_t words = ((size_t)b->bits + 63) / 64;
	size_t at = *row / 64;

	if (at >= words)
		return false;
	uint64_t word = b->words[at] & ~0ull << (*row % 64);

	while (word == 0) {
		if (++at >= words)
			return false;
		word = b->words[at];
	}
	*row = (uint32_t)(at * 64 + (size_t)__builtin_ctzll(word));
	return true;
}
