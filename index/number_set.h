/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of rows, in order: blocks of sorted entries. A change moves one block's entries, a split the array of blocks.
 * Thread: whoever guards it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Entries of one block; a full one is split in two. */
#define NUMBER_BLOCK_MAX 512u

/* A number of a row. Whole numbers keep their exact value beside the double, which rounds above 2^53. */
struct number {
	double key; /* not NaN */
	int64_t whole;
	uint32_t row;
	bool is_whole;
};

struct number_block {
	struct number *items; /* NUMBER_BLOCK_MAX; sorted by number_compare */
	uint32_t count;       /* > 0 */
};

/* An empty set is all zero. */
struct number_set {
	struct number_block *blocks;
	uint32_t count, cap;
};

/* By key, then those that are not whole, then by the whole, then by row. */
int number_compare(const struct number *a, const struct number *b);

/* An entry may be there several times. */
MUST_USE enum err number_set_add(struct number_set *s, const struct number *n);
/* One of them; nothing happens when there is none. */
void number_set_remove(struct number_set *s, const struct number *n);
void number_set_release(struct number_set *s);
size_t number_set_memory(const struct number_set *s);
/* The first entry >= n: block and place in it; s->count and 0 when there is none. */
uint32_t number_set_seek(const struct number_set *s, const struct number *n, uint32_t *ret_at);
