/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several rankings of points made one: best first, equal scores by id. The formulas are Qdrant's.
 *   RRF   each ranking gives its point at `rank` (from 0) 1 / ((rank + 1) / weight + k - 1); nothing when its weight is 0
 *   DBSF  each ranking's scores are spread so that mean - 3 deviations is 0 and mean + 3 deviations is 1 (sample deviation);
 *         a single one, or all equal, count 0.5
 * A point of several rankings gets the sum.
 * Thread: any; nothing here has state.
 */
#pragma once

#include "index/collection.h"

#define FUSION_RRF_K 2u

enum fusion_kind { FUSION_RRF, FUSION_DBSF };

struct ranking {
	const struct scored *items; /* best first */
	uint32_t count;
};

struct fusion {
	enum fusion_kind kind;
	uint32_t k;           /* RRF: at least 1 */
	const float *weights; /* RRF: one a ranking; NULL: all 1 */
};

/* In the arena. A point keeps the order value of the first ranking that has it. */
MUST_USE enum err fusion_merge(const struct fusion *f, const struct ranking *rankings,
			       uint32_t count, struct arena *a, struct scored **ret_items,
			       uint32_t *ret_count);
