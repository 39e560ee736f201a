/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of a point made of its similarities (distance.h) to several examples; a larger score is better. The formulas
 * are Qdrant's, with s(x) = x / (1 + |x|):
 *   BEST      p: the most similar positive example, n: the most similar negative one;
 *             p > n ? (s(p) + 1) / 2 : -(s(n) + 1) / 2
 *   WEIGHTED  the sum of weight * similarity
 *   DISCOVER  for each pair 1, 0 or -1 as the positive example is nearer than the negative one; then (s(target) + 1) / 2
 *   CONTEXT   for each pair s(min(positive - negative - epsilon, 0))
 * Thread: any; nothing here has state.
 */
#pragma once

#include "index/distance.h"
#include "index/point.h"

#define SCORING_EXAMPLES_MAX 1024u

enum scoring_kind { SCORING_BEST, SCORING_WEIGHTED, SCORING_DISCOVER, SCORING_CONTEXT };

struct scoring {
	enum scoring_kind kind;
	/* In this order: BEST: positives, negatives. DISCOVER: the target, then pairs. CONTEXT: pairs. A pair is a positive
	 * example and a negative one. Of one kind and dimension, and as the collection compares them (collection_normalize). */
	const struct vector *examples;
	uint32_t count;
	uint32_t positives;   /* BEST */
	const float *weights; /* WEIGHTED: one an example */
};

/* similarities[i] is that to examples[i]. Never infinite, never NaN. */
float scoring_score(const struct scoring *s, const float *similarities);

/* What is better by feedback on results: a * similarity to the target, and for each two results of which one was judged
 * better, (difference of the judgements)^b * c * (difference of the similarities). That is a sum of weighted similarities:
 * weights[0] is the target's, weights[1 + i] that of the result judged[i]. ERR_BAD_INPUT: they are not finite. */
struct scoring_feedback {
	float a, b, c;
	const float *judged;
	uint32_t count;
};
MUST_USE enum err scoring_feedback_weights(const struct scoring_feedback *f, float *weights,
					   struct fault *reterr_fault);

/* The vector in the middle of the positives; when there are negatives, as far again away from theirs. Sparse and dense; of
 * several multivectors all rows, those of negatives with their signs changed. In the arena. ERR_BAD_INPUT: they do not fit each
 * other, or there is no positive one. */
struct scoring_examples {
	const struct vector *items; /* positives, then negatives */
	uint32_t positives, count;
};
MUST_USE enum err scoring_average(const struct scoring_examples *e, struct arena *a,
				  struct vector *ret_vector, struct fault *reterr_fault);

/* Of two vectors of one kind that fit each other, bit-equal everywhere. Sparse ones: their dot product. Multivectors: the sum,
 * over those of a, of the best similarity to one of b's. */
float scoring_similarity(enum distance d, const struct vector *a, const struct vector *b);
