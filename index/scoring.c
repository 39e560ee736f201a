/* SPDX-License-Identifier: Apache-2.0 */
#include "index/scoring.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* --- scores --- */

/* Sums of large components overflow; what is not finite cannot be ordered. */
static float clamped(float v)
{
	if (isnan(v))
		return -FLT_MAX;
	return MAX(-FLT_MAX, MIN(v, FLT_MAX));
}

static float squash(float x)
{
	return x / (1.0f + fabsf(x));
}

static float squash_to_one(float x)
{
	return 0.5f * (squash(x) + 1.0f);
}

/* The largest, or less than all numbers when there is none. */
static float largest(const float *v, uint32_t count)
{
	float most = -INFINITY;

	for (uint32_t i = 0; i < count; i++)
		most = MAX(most, clamped(v[i]));
	return most;
}

static float best(const struct scoring *s, const float *similarities)
{
	float p = largest(similarities, s->positives);
	float n = largest(similarities + s->positives, s->count - s->positives);

	return p > n ? squash_to_one(p) : -squash_to_one(n);
}

static float weighted(const struct scoring *s, const float *similarities)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->count; i++)
		sum += (double)s->weights[i] * (double)clamped(similarities[i]);
	return clamped((float)sum);
}

static float discover(const struct scoring *s, const float *similarities)
{
	int rank = 0;

	for (uint32_t i = 1; i + 1 < s->count; i += 2) {
		float p = clamped(similarities[i]), n = clamped(similarities[i + 1]);

		rank += (p > n) - (p < n);
	}
	return (float)rank + squash_to_one(clamped(similarities[0]));
}

static float context(const struct scoring *s, const float *similarities)
{
	float sum = 0;

	for (uint32_t i = 0; i + 1 < s->count; i += 2) {
		float difference =
			clamped(similarities[i]) - clamped(similarities[i + 1]) - FLT_EPSILON;

		sum += squash(clamped(MIN(difference, 0.0f)));
	}
	return sum;
}

float scoring_score(const struct scoring *s, const float *similarities)
{
	switch (s->kind) {
	case SCORING_BEST:
		return best(s, similarities);
	case SCORING_WEIGHTED:
		return weighted(s, similarities);
	case SCORING_DISCOVER:
		return discover(s, similarities);
	case SCORING_CONTEXT:
		break;
	}
	return context(s, similarities);
}

enum err scoring_feedback_weights(const struct scoring_feedback *f, float *weights,
				  struct fault *reterr_fault)
{
	weights[0] = f->a;
	for (uint32_t i = 0; i < f->count; i++) {
		double weight = 0;

		for (uint32_t k = 0; k < f->count; k++) {
			double better = (double)f->judged[i] - (double)f->judged[k];
			double share = pow(fabs(better), (double)f->b) * (double)f->c;

			if (better > 0)
				weight += share;
			else if (better < 0)
				weight -= share;
		}
		weights[1 + i] = (float)weight;
		if (!isfinite(weights[1 + i]))
			return fault_set(
				reterr_fault, ERR_BAD_INPUT,
				"the scores and coefficients of the relevance feedback give no finite weight");
	}
	return ERR_NONE;
}

/* --- the vector in the middle --- */

static enum err average_dense(const struct scoring_examples *e, struct arena *a,
			      struct vector *ret_vector)
{
	uint32_t negatives = e->count - e->positives;
	uint32_t dim = e->items[0].count;
	float *values = arena_array(a, dim, sizeof(*values));

	if (!values)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < dim; i++) {
		float p = 0, n = 0;

		for (uint32_t k = 0; k < e->count; k++)
			*(k < e->positives ? &p : &n) += e->items[k].values[i];
		p /= (float)e->positives;
		values[i] = negatives ? p + p - n / (float)negatives : p;
	}
	*ret_vector = (struct vector){ .kind = VECTOR_DENSE, .count = dim, .values = values };
	return ERR_NONE;
}

/* The sum of factor_a * a and factor_b * b. */
static enum err add_sparse(const struct vector *a, float factor_a, const struct vector *b,
			   float factor_b, struct arena *arena, struct vector *ret_sum)
{
	uint32_t most = a->count + b->count, n = 0, i = 0, k = 0;
	uint32_t *indices = arena_array(arena, most, sizeof(*indices));
	float *values = arena_array(arena, most, sizeof(*values));

	if (!indices || !values)
		return ERR_NO_MEMORY;
	while (i < a->count || k < b->count) {
		bool from_a = k == b->count || (i < a->count && a->indices[i] <= b->indices[k]);
		bool from_b = i == a->count || (k < b->count && b->indices[k] <= a->indices[i]);

		indices[n] = from_a ? a->indices[i] : b->indices[k];
		values[n] = from_a ? factor_a * a->values[i++] : 0;
		values[n] += from_b ? factor_b * b->values[k++] : 0;
		n++;
	}
	*ret_sum = (struct vector){
		.kind = VECTOR_SPARSE, .count = n, .values = values, .indices = indices
	};
	return ERR_NONE;
}

static enum err mean_sparse(const struct vector *examples, uint32_t count, struct arena *a,
			    struct vector *ret_mean)
{
	struct vector mean = { .kind = VECTOR_SPARSE };
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < count && !err; i++)
		err = add_sparse(&mean, 1, &examples[i], 1.0f / (float)count, a, &mean);
	*ret_mean = mean;
	return err;
}

static enum err average_sparse(const struct scoring_examples *e, struct arena *a,
			       struct vector *ret_vector)
{
	struct vector p = { 0 }, n = { 0 };
	enum err err = mean_sparse(e->items, e->positives, a, &p);

	if (!err && e->count > e->positives) {
		err = mean_sparse(e->items + e->positives, e->count - e->positives, a, &n);
		if (!err)
			err = add_sparse(&p, 2, &n, -1, a, &p);
	}
	*ret_vector = p;
	return err;
}

static enum err average_multi(const struct scoring_examples *e, struct arena *a,
			      struct vector *ret_vector)
{
	struct vector all = { .kind = VECTOR_MULTI };
	uint32_t at = 0;

	for (uint32_t i = 0; i < e->count; i++) {
		all.count += e->items[i].count;
		all.rows += e->items[i].rows;
	}
	float *values = arena_array(a, all.count, sizeof(*values));

	if (!values)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < e->count; i++)
		for (uint32_t k = 0; k < e->items[i].count; k++)
			values[at++] =
				i < e->positives ? e->items[i].values[k] : -e->items[i].values[k];
	all.values = values;
	*ret_vector = all;
	return ERR_NONE;
}

static enum err check_examples(const struct scoring_examples *e, struct fault *reterr_fault)
{
	const struct vector *first = e->items;

	if (e->positives == 0)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "Positive vectors should not be empty with `average` strategy");
	for (uint32_t i = 1; i < e->count; i++) {
		if (e->items[i].kind != first->kind)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "Can't average vectors with different types");
		if (e->items[i].kind == VECTOR_DENSE && e->items[i].count != first->count)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "Vector dimension error: expected dim: %u, got %u",
					 first->count, e->items[i].count);
	}
	return ERR_NONE;
}

enum err scoring_average(const struct scoring_examples *e, struct arena *a,
			 struct vector *ret_vector, struct fault *reterr_fault)
{
	enum err err = check_examples(e, reterr_fault);

	if (err)
		return err;
	switch (e->items[0].kind) {
	case VECTOR_DENSE:
		return average_dense(e, a, ret_vector);
	case VECTOR_SPARSE:
		return average_sparse(e, a, ret_vector);
	case VECTOR_MULTI:
		break;
	}
	return average_multi(e, a, ret_vector);
}

/* --- two vectors --- */

static float dot_sparse(const struct vector *a, const struct vector *b)
{
	double sum = 0;
	uint32_t i = 0, k = 0;

	while (i < a->count && k < b->count) {
		if (a->indices[i] == b->indices[k])
			sum += (double)a->values[i++] * (double)b->values[k++];
		else if (a->indices[i] < b->indices[k])
			i++;
		else
			k++;
	}
	return (float)sum;
}

static float max_sim(enum distance d, const struct vector *a, const struct vector *b)
{
	uint32_t dim = a->rows ? a->count / a->rows : 0;
	double sum = 0;

	for (uint32_t i = 0; i < a->rows; i++) {
		float most = -INFINITY;

		for (uint32_t k = 0; k < b->rows; k++)
			most = MAX(most, clamped(distance_exact(d, a->values + (size_t)i * dim,
								b->values + (size_t)k * dim, dim)));
		sum += (double)most;
	}
	return (float)sum;
}

float scoring_similarity(enum distance d, const struct vector *a, const struct vector *b)
{
	switch (a->kind) {
	case VECTOR_SPARSE:
		return clamped(dot_sparse(a, b));
	case VECTOR_MULTI:
		return clamped(max_sim(d, a, b));
	case VECTOR_DENSE:
		break;
	}
	return clamped(distance_exact(d, a->values, b->values, MIN(a->count, b->count)));
}
