/* SPDX-License-Identifier: Apache-2.0 */
#include "index/fusion.h"

#include <math.h>
#include <stdlib.h>

/* What one ranking gives a point. */
struct share {
	struct scored point; /* its score is the share */
	uint32_t ranking, rank;
};

/* --- shares --- */

static float rrf_share(const struct fusion *f, uint32_t ranking, uint32_t rank)
{
	float weight = f->weights ? f->weights[ranking] : 1.0f;

	return weight > 0 ? 1.0f / ((float)(rank + 1) / weight + (float)f->k - 1.0f) : 0.0f;
}

struct spread {
	float min, max;
};

/* One pass, by Welford: a sum of squares would lose what matters. */
static struct spread spread_of(const struct ranking *r)
{
	float mean = 0, squares = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		float before = r->items[i].score - mean;

		mean += before / (float)(i + 1);
		squares += before * (r->items[i].score - mean);
	}
	float deviation = r->count > 1 ? sqrtf(squares / (float)(r->count - 1)) : 0;

	return (struct spread){ .min = mean - 3 * deviation, .max = mean + 3 * deviation };
}

static float dbsf_share(struct spread s, float score)
{
	float share = (score - s.min) / (s.max - s.min);

	/* All equal; and what overflowed. */
	return s.max > s.min && isfinite(share) ? share : 0.5f;
}

static uint32_t add_shares(const struct fusion *f, const struct ranking *r, uint32_t number,
			   struct share *out)
{
	struct spread spread = f->kind == FUSION_DBSF ? spread_of(r) : (struct spread){ 0 };

	for (uint32_t i = 0; i < r->count; i++) {
		const struct scored *p = &r->items[i];

		out[i] = (struct share){ .point = *p, .ranking = number, .rank = i };
		out[i].point.score = f->kind == FUSION_DBSF ? dbsf_share(spread, p->score)
							    : rrf_share(f, number, i);
	}
	return r->count;
}

/* --- sums --- */

/* By id; of one point in the order of the rankings, so that sums do not depend on the sorting. */
static int by_point(const void *a, const void *b)
{
	const struct share *x = a, *y = b;
	int order = point_id_compare(x->point.id, y->point.id);

	if (order == 0)
		order = (x->ranking > y->ranking) - (x->ranking < y->ranking);
	return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return point_id_compare(x->id, y->id);
}

static uint32_t sum_shares(const struct share *shares, uint32_t count, struct scored *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (n > 0 && point_id_equal(out[n - 1].id, shares[i].point.id))
			out[n - 1].score += shares[i].point.score;
		else
			out[n++] = shares[i].point;
	}
	return n;
}

enum err fusion_merge(const struct fusion *f, const struct ranking *rankings, uint32_t count,
		      struct arena *a, struct scored **ret_items, uint32_t *ret_count)
{
	uint32_t total = 0, n = 0;

	for (uint32_t i = 0; i < count; i++)
		total += rankings[i].count;
	struct share *shares = arena_array(a, total, sizeof(*shares));
	struct scored *items = arena_array(a, total, sizeof(*items));

	if (!shares || !items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		n += add_shares(f, &rankings[i], i, shares + n);
	if (n > 1)
		qsort(shares, n, sizeof(*shares), by_point);
	n = sum_shares(shares, n, items);
	if (n > 1)
		qsort(items, n, sizeof(*items), by_score);
	*ret_items = items;
	*ret_count = n;
	return ERR_NONE;
}
