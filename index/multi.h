/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multivectors of a shard: for each row as many vectors of one size as it likes, in memory, compared one by one. The
 * similarity of two multivectors is the sum, over the vectors of the query, of the best similarity to one of the row's (MaxSim).
 * Sums are taken in double, in the order of the query; so every processor gets the same bits from the exact kernels.
 * Thread: the shard's lock guards it.
 */
#pragma once

#include "index/collection.h"
#include "index/topk.h"

struct multi;

MUST_USE enum err multi_new(const struct vector_config *config, struct multi **ret_multi);
void multi_free(struct multi *m);
/* The row's multivector from here on; NULL: it has none. Values are copied. */
MUST_USE enum err multi_set(struct multi *m, uint32_t row, const struct vector *v);
bool multi_has(const struct multi *m, uint32_t row);
/* That of a row that has one; the query is normalised. exact: by kernels that are bit-equal everywhere. */
float multi_similarity(const struct multi *m, const struct vector *query, bool exact, uint32_t row);
uint64_t multi_count(const struct multi *m);
size_t multi_memory(const struct multi *m);

struct multi_query {
	const struct vector *vector; /* VECTOR_MULTI, normalised */
	bool exact;                  /* by kernels that are bit-equal everywhere */
	/* As in struct sparse_query. */
	enum err (*accept)(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id);
	void *ctx;
	struct deadline deadline;
};
MUST_USE enum err multi_search(const struct multi *m, const struct multi_query *q, struct topk *out);
