/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores against values worked out by hand from the formulas of scoring.h.
 */
#include "index/scoring.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#define NEAR(a, b) ck_assert_msg(fabsf((a) - (b)) < 1e-5F, "%g is not %g", (double)(a), (double)(b))

static struct vector dense(const float *values, uint32_t count)
{
	return (struct vector){ .kind = VECTOR_DENSE, .count = count, .values = values };
}

static const struct {
	const char *name;
	struct scoring scoring;
	float similarities[5];
	float score;
} cases[] = {
	/* (s(3) + 1) / 2, s(x) = x / (1 + |x|) */
	{ "best: a positive is nearer",
	  { .kind = SCORING_BEST, .count = 3, .positives = 2 },
	  { 1, 3, 2 },
	  0.875F },
	{ "best: a negative is nearer",
	  { .kind = SCORING_BEST, .count = 3, .positives = 2 },
	  { 1, 0, 3 },
	  -0.875F },
	{ "best: equals are of the negative",
	  { .kind = SCORING_BEST, .count = 2, .positives = 1 },
	  { 1, 1 },
	  -0.75F },
	{ "best: below zero",
	  { .kind = SCORING_BEST, .count = 2, .positives = 1 },
	  { -1, -3 },
	  0.25F },
	{ "best: no negatives",
	  { .kind = SCORING_BEST, .count = 1, .positives = 1 },
	  { -4 },
	  0.1F },
	{ "best: no positives",
	  { .kind = SCORING_BEST, .count = 2, .positives = 0 },
	  { 0, -4 },
	  -0.5F },
	{ "weighted",
	  { .kind = SCORING_WEIGHTED, .count = 3, .weights = (const float[]){ 1, 0.5F, -2 } },
	  { 4, 2, 1 },
	  3 },
	{ "discover: the target alone", { .kind = SCORING_DISCOVER, .count = 1 }, { 1 }, 0.75F },
	{ "discover: two pairs won",
	  { .kind = SCORING_DISCOVER, .count = 5 },
	  { 0, 10, 4, 4, 2 },
	  2.5F },
	{ "discover: one won, one lost",
	  { .kind = SCORING_DISCOVER, .count = 5 },
	  { 0, 10, 4, 2, 4 },
	  0.5F },
	{ "discover: a draw", { .kind = SCORING_DISCOVER, .count = 3 }, { -1, 7, 7 }, 0.25F },
	{ "context: all well", { .kind = SCORING_CONTEXT, .count = 2 }, { 3, 1 }, 0 },
	{ "context: one lost by 1",
	  { .kind = SCORING_CONTEXT, .count = 4 },
	  { 3, 1, 1, 2 },
	  -0.5F },
	{ "context: none", { .kind = SCORING_CONTEXT, .count = 0 }, { 0 }, 0 },
};

START_TEST(scores_are_those_of_the_formulas)
{
	float score = scoring_score(&cases[_i].scoring, cases[_i].similarities);

	ck_assert_msg(fabsf(score - cases[_i].score) < 1e-6F, "%s: %g", cases[_i].name,
		      (double)score);
}
END_TEST

START_TEST(a_draw_of_context_is_not_as_good_as_a_win)
{
	const struct scoring s = { .kind = SCORING_CONTEXT, .count = 2 };

	ck_assert(scoring_score(&s, (const float[]){ 1, 1 }) < 0);
}
END_TEST

START_TEST(no_score_is_infinite_or_no_number)
{
	static const float bad[] = { INFINITY, -INFINITY, NAN };
	static const enum scoring_kind kinds[] = { SCORING_BEST, SCORING_WEIGHTED, SCORING_DISCOVER,
						   SCORING_CONTEXT };
	const float weights[] = { 1, -1, 1, -1, 1 };

	for (size_t k = 0; k < LEN(kinds); k++)
		for (size_t i = 0; i < LEN(bad); i++)
			for (size_t j = 0; j < LEN(bad); j++) {
				const struct scoring s = { .kind = kinds[k],
							   .count = 5,
							   .positives = 2,
							   .weights = weights };
				const float v[] = { bad[i], bad[j], bad[i], bad[j], bad[i] };

				ck_assert(isfinite(scoring_score(&s, v)));
			}
}
END_TEST

START_TEST(feedback_weighs_every_pair_that_was_judged_apart)
{
	/* Pairs: (0, 1): 0.5^2 * 3 = 0.75; (0, 2): 1 * 3 = 3; (1, 2): 0.75. */
	const float judged[] = { 1, 0.5F, 0 };
	const struct scoring_feedback f = { .a = 2, .b = 2, .c = 3, .judged = judged, .count = 3 };
	float weights[4];

	ck_assert_int_eq(scoring_feedback_weights(&f, weights, NULL), ERR_NONE);
	NEAR(weights[0], 2);
	NEAR(weights[1], 3.75F);
	NEAR(weights[2], 0);
	NEAR(weights[3], -3.75F);
}
END_TEST

START_TEST(feedback_that_was_judged_alike_has_no_weight)
{
	const float judged[] = { 0.5F, 0.5F };
	const struct scoring_feedback f = { .a = 1, .b = 0, .c = 3, .judged = judged, .count = 2 };
	float weights[3];

	ck_assert_int_eq(scoring_feedback_weights(&f, weights, NULL), ERR_NONE);
	NEAR(weights[1], 0);
	NEAR(weights[2], 0);
}
END_TEST

START_TEST(feedback_without_a_finite_weight_is_refused)
{
	const float judged[] = { 1e30F, -1e30F };
	const struct scoring_feedback f = { .a = 1, .b = 9, .c = 1, .judged = judged, .count = 2 };
	struct fault fault = { 0 };
	float weights[3];

	ck_assert_int_eq(scoring_feedback_weights(&f, weights, &fault), ERR_BAD_INPUT);
	ck_assert(fault.text[0]);
}
END_TEST

START_TEST(the_average_goes_from_the_negatives_over_the_positives)
{
	CLEANUP(arena_release) struct arena a;
	const float p1[] = { 1, 0 }, p2[] = { 3, 2 }, n[] = { 0, 4 };
	const struct vector items[] = { dense(p1, 2), dense(p2, 2), dense(n, 2) };
	struct scoring_examples e = { .items = items, .positives = 2, .count = 2 };
	struct vector v;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(scoring_average(&e, &a, &v, NULL), ERR_NONE);
	ck_assert(v.kind == VECTOR_DENSE && v.count == 2);
	NEAR(v.values[0], 2);
	NEAR(v.values[1], 1);
	e.count = 3;
	ck_assert_int_eq(scoring_average(&e, &a, &v, NULL), ERR_NONE);
	NEAR(v.values[0], 4);
	NEAR(v.values[1], -2);
}
END_TEST

START_TEST(the_average_of_sparse_vectors_has_all_their_dimensions)
{
	CLEANUP(arena_release) struct arena a;
	const struct vector items[] = {
		{ .kind = VECTOR_SPARSE,
		  .count = 2,
		  .indices = (const uint32_t[]){ 1, 5 },
		  .values = (const float[]){ 2, 4 } },
		{ .kind = VECTOR_SPARSE,
		  .count = 2,
		  .indices = (const uint32_t[]){ 5, 7 },
		  .values = (const float[]){ 2, 6 } },
		{ .kind = VECTOR_SPARSE,
		  .count = 2,
		  .indices = (const uint32_t[]){ 0, 7 },
		  .values = (const float[]){ 1, 1 } },
	};
	const struct scoring_examples e = { .items = items, .positives = 2, .count = 3 };
	static const uint32_t indices[] = { 0, 1, 5, 7 };
	static const float values[] = { -1, 2, 6, 5 };
	struct vector v;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(scoring_average(&e, &a, &v, NULL), ERR_NONE);
	ck_assert_uint_eq(v.count, 4);
	for (uint32_t i = 0; i < v.count; i++) {
		ck_assert_uint_eq(v.indices[i], indices[i]);
		NEAR(v.values[i], values[i]);
	}
}
END_TEST

START_TEST(multivectors_are_put_together_with_the_negatives_turned)
{
	CLEANUP(arena_release) struct arena a;
	const struct vector items[] = {
		{ .kind = VECTOR_MULTI,
		  .count = 4,
		  .rows = 2,
		  .values = (const float[]){ 1, 2, 3, 4 } },
		{ .kind = VECTOR_MULTI, .count = 2, .rows = 1, .values = (const float[]){ 5, 6 } },
	};
	const struct scoring_examples e = { .items = items, .positives = 1, .count = 2 };
	struct vector v;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(scoring_average(&e, &a, &v, NULL), ERR_NONE);
	ck_assert(v.kind == VECTOR_MULTI && v.rows == 3 && v.count == 6);
	NEAR(v.values[3], 4);
	NEAR(v.values[4], -5);
}
END_TEST

START_TEST(an_average_of_nothing_or_of_unlike_vectors_is_refused)
{
	CLEANUP(arena_release) struct arena a;
	const float two[] = { 1, 2 };
	const struct vector items[] = { dense(two, 2),
					dense(two, 1),
					{ .kind = VECTOR_SPARSE,
					  .count = 1,
					  .indices = (const uint32_t[]){ 1 },
					  .values = two } };
	const struct vector mixed[] = { items[0], items[2] };
	struct fault fault = { 0 };
	struct vector v;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(scoring_average(&(struct scoring_examples){ items, 0, 1 }, &a, &v, &fault),
			 ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text,
			 "Positive vectors should not be empty with `average` strategy");
	ck_assert_int_eq(scoring_average(&(struct scoring_examples){ items, 1, 2 }, &a, &v, &fault),
			 ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "Vector dimension error: expected dim: 2, got 1");
	ck_assert_int_eq(scoring_average(&(struct scoring_examples){ mixed, 1, 2 }, &a, &v, &fault),
			 ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "Can't average vectors with different types");
}
END_TEST

START_TEST(two_vectors_are_as_similar_as_the_distance_says)
{
	const float x[] = { 1, 2 }, y[] = { 4, 6 };
	const struct vector a = dense(x, 2), b = dense(y, 2);
	const struct vector s = { .kind = VECTOR_SPARSE,
				  .count = 2,
				  .indices = (const uint32_t[]){ 1, 5 },
				  .values = x };
	const struct vector t = { .kind = VECTOR_SPARSE,
				  .count = 2,
				  .indices = (const uint32_t[]){ 5, 6 },
				  .values = y };

	NEAR(scoring_similarity(DISTANCE_DOT, &a, &b), 16);
	NEAR(scoring_similarity(DISTANCE_EUCLID, &a, &b), -25);
	NEAR(scoring_similarity(DISTANCE_MANHATTAN, &a, &b), -7);
	NEAR(scoring_similarity(DISTANCE_DOT, &s, &t), 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scoring");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, scores_are_those_of_the_formulas, 0, (int)LEN(cases));
	tcase_add_test(t, a_draw_of_context_is_not_as_good_as_a_win);
	tcase_add_test(t, no_score_is_infinite_or_no_number);
	tcase_add_test(t, feedback_weighs_every_pair_that_was_judged_apart);
	tcase_add_test(t, feedback_that_was_judged_alike_has_no_weight);
	tcase_add_test(t, feedback_without_a_finite_weight_is_refused);
	tcase_add_test(t, the_average_goes_from_the_negatives_over_the_positives);
	tcase_add_test(t, the_average_of_sparse_vectors_has_all_their_dimensions);
	tcase_add_test(t, multivectors_are_put_together_with_the_negatives_turned);
	tcase_add_test(t, an_average_of_nothing_or_of_unlike_vectors_is_refused);
	tcase_add_test(t, two_vectors_are_as_similar_as_the_distance_says);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
