/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries in several steps: what prefetches find is merged, or scored anew. A query without prefetches looks at the whole
 * collection; with them only at what they found. The filter of a query holds for its prefetches, too.
 *
 *   SCROLL   by id
 *   SEARCH   nearest to a vector, or best by a scoring
 *   MMR      of the nearest, those that are unlike each other; their scores are those of SEARCH
 *   ORDER    by a value of the payload
 *   SAMPLE   by chance
 *   FUSION   the rankings of the prefetches made one
 *   FORMULA  by a score made of the prefetches' scores and of the payload
 *
 * A query lives in the request's arena and does not change; any thread may run it.
 */
#pragma once

#include "index/formula.h"
#include "index/fusion.h"
#include "index/scoring.h"

#define QUERY_DEPTH_MAX 30u
#define QUERY_PREFETCHES_MAX 256u

enum query_kind {
	QUERY_SCROLL,
	QUERY_SEARCH,
	QUERY_MMR,
	QUERY_ORDER,
	QUERY_SAMPLE,
	QUERY_FUSION,
	QUERY_FORMULA
};

struct query {
	enum query_kind kind;
	struct query *prefetches; /* FUSION and FORMULA have some */
	uint32_t prefetch_count;
	const struct filter *filter; /* NULL: all */
	uint32_t limit;
	bool has_threshold; /* SEARCH, MMR: strictly better passes; FUSION, FORMULA: not less */
	float threshold;

	struct str vector_name;        /* SEARCH, MMR */
	struct vector vector;          /* as the client sent it */
	const struct scoring *scoring; /* SEARCH: instead of the vector; or NULL */
	uint32_t hnsw_ef;
	bool exact, indexed_only;
	float mmr_lambda;
	uint32_t mmr_candidates;
	const struct path *order_key;
	enum field_schema order_schema;
	bool order_descending;
	struct order_value order_start;
	uint64_t seed; /* SAMPLE */
	struct fusion fusion;
	const struct formula *formula;
};

/* Best first, in the arena; at most q->limit. pool may be NULL: all on this thread. ERR_BAD_INPUT has words. */
MUST_USE enum err query_run(struct collection *c, struct pool *pool, const struct query *q, const struct deadline *deadline,
			    struct arena *a, struct ranking *ret_found, struct fault *reterr_fault);
/* Both filters, in the arena; NULL is all. */
MUST_USE enum err query_both_filters(const struct filter *x, const struct filter *y, struct arena *a,
				     const struct filter **ret_filter);
