/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a shard's sparse vector: dimension -> (row, weight), sorted by row, in memory; searched
 * exactly. Only rows that share a dimension with the query are found. Sums are taken in double, the
 * dimensions ascending: the products of two floats are exact there, so every processor gets the same bits.
 * Thread: the shard's lock guards it.
 */
#pragma once

#include "index/collection.h"
#include "index/rowset.h"
#include "index/topk.h"

struct sparse;

MUST_USE enum err sparse_new(struct sparse **ret_sparse);
void sparse_free(struct sparse *s);
/* before, after: NULL where the row had or has none. */
MUST_USE enum err sparse_change(struct sparse *s, uint32_t row, const struct vector *before,
				const struct vector *after);
uint64_t sparse_count(const struct sparse *s);
/* Has the row a vector, be it empty? */
bool sparse_has(const struct sparse *s, uint32_t row);
/* sums[i]: the dot product with that of row first + i; 0 where there is none. */
void sparse_dots(const struct sparse *s, const struct vector *query, uint32_t first, uint32_t count, double *sums);
size_t sparse_memory(const struct sparse *s);
/* How many rows have that dimension. */
uint32_t sparse_having(const struct sparse *s, uint32_t dimension);

struct sparse_query {
	const struct vector *vector;
	/* May this row be an answer, given that its similarity could be kept? ret_id is its id. An error ends the search. */
	enum err (*accept)(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id);
	void *ctx;
	struct deadline deadline;
};
MUST_USE enum err sparse_search(const struct sparse *s, const struct sparse_query *q,
				struct topk *out);
