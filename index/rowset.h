/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of row numbers. A rowset changes with the rows: chunks of 65,536 numbers, each a sorted array
 * while it is sparse, a bitmap when it is not (Roaring bitmaps, arXiv:1402.6407). A row_bits is one flat
 * bitmap: what a query makes of rowsets, joins and asks.
 * Thread: the shard's lock guards a rowset; a row_bits is whoever's made it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct rowset_chunk;
struct rowset {
	struct rowset_chunk *chunks; /* sorted by their high halves */
	uint32_t chunk_count, chunk_cap;
	uint32_t rows;
};

struct row_bits {
	uint64_t *words;
	uint32_t bits;
};

/* An empty set is all zero. */
void rowset_release(struct rowset *s);
/* Adding a row that is there, and removing one that is not, changes nothing. */
MUST_USE enum err rowset_add(struct rowset *s, uint32_t row);
void rowset_remove(struct rowset *s, uint32_t row);
bool rowset_has(const struct rowset *s, uint32_t row);
uint32_t rowset_count(const struct rowset *s);
size_t rowset_memory(const struct rowset *s);
/* Adds all rows of s to out; those beyond out's end are left out. */
void rowset_fill(const struct rowset *s, struct row_bits *out);
/* Rows that are in both. */
uint32_t rowset_count_in(const struct rowset *s, const struct row_bits *b);

/* Empty, for rows below bits. */
MUST_USE enum err row_bits_init(struct row_bits *b, uint32_t bits);
void row_bits_release(struct row_bits *b);
void row_bits_add(struct row_bits *b, uint32_t row);
bool row_bits_has(const struct row_bits *b, uint32_t row);
/* Both have the same length. */
void row_bits_and(struct row_bits *b, const struct row_bits *other);
void row_bits_or(struct row_bits *b, const struct row_bits *other);
void row_bits_and_not(struct row_bits *b, const struct row_bits *other);
uint32_t row_bits_count(const struct row_bits *b);
/* The first row >= *row; false when there is none. */
bool row_bits_next(const struct row_bits *b, uint32_t *row);
