/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rankings merged, against values worked out by hand from the formulas of fusion.h.
 */
#include "index/fusion.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define P(n, s)                                                                                    \
	{                                                                                          \
		.id = { .lo = (n) }, .score = (s), .version = (n) + 100                            \
	}

static struct arena arena;

static struct ranking merge(const struct fusion *f, const struct ranking *rankings, uint32_t count)
{
	struct scored *items;
	uint32_t n;

	arena_release(&arena);
	arena_init(&arena, 1 << 20);
	ck_assert_int_eq(fusion_merge(f, rankings, count, &arena, &items, &n), ERR_NONE);
	return (struct ranking){ .items = items, .count = n };
}

static void expect(struct ranking got, const struct scored *want, uint32_t count)
{
	ck_assert_uint_eq(got.count, count);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_eq(got.items[i].id.lo, want[i].id.lo);
		ck_assert_uint_eq(got.items[i].version, want[i].version);
		ck_assert(fabsf(got.items[i].score - want[i].score) < 1e-6F);
	}
}

static const struct scored one[] = { P(2, 0.9F), P(1, 0.8F) };
static const struct scored two[] = { P(1, 0.7F), P(2, 0.6F), P(3, 0.5F) };
static const struct scored three[] = { P(5, 0.9F), P(3, 0.5F), P(1, 0.4F) };
static const struct ranking rankings[] = { { one, 2 }, { two, 3 }, { three, 3 } };

START_TEST(ranks_count_and_scores_do_not)
{
	const struct fusion f = { .kind = FUSION_RRF, .k = FUSION_RRF_K };
	const struct scored want[] = { P(1, 1 / 3.0F + 1 / 2.0F + 1 / 4.0F),
				       P(2, 1 / 2.0F + 1 / 3.0F), P(3, 1 / 4.0F + 1 / 3.0F),
				       P(5, 1 / 2.0F) };

	expect(merge(&f, rankings, 3), want, LEN(want));
}
END_TEST

START_TEST(k_and_weights_change_what_a_rank_gives)
{
	/* weight 3: 1 / (1/3 + 59), 1 / (2/3 + 59); weight 1: 1 / (1 + 59), … */
	const float weights[] = { 3, 1, 0 };
	const struct fusion f = { .kind = FUSION_RRF, .k = 60, .weights = weights };
	const struct scored want[] = { P(1, 1 / (2 / 3.0F + 59) + 1 / 60.0F),
				       P(2, 1 / (1 / 3.0F + 59) + 1 / 61.0F), P(3, 1 / 62.0F),
				       P(5, 0) };

	expect(merge(&f, rankings, 3), want, LEN(want));
}
END_TEST

START_TEST(scores_are_spread_over_six_deviations)
{
	/* 1, 2, 3: mean 2, deviation 1, so -1 to 5. 10, 20: mean 15, deviation sqrt(50). */
	const struct scored a[] = { P(1, 3), P(2, 2), P(3, 1) }, b[] = { P(3, 20), P(1, 10) };
	const struct ranking r[] = { { a, 3 }, { b, 2 } };
	const struct fusion f = { .kind = FUSION_DBSF };
	const float d = sqrtf(50);
	const float high = (20 - (15 - 3 * d)) / (6 * d), low = (10 - (15 - 3 * d)) / (6 * d);
	const struct scored want[] = { P(1, 4 / 6.0F + low), P(3, 2 / 6.0F + high), P(2, 0.5F) };

	expect(merge(&f, r, 2), want, LEN(want));
}
END_TEST

START_TEST(a_single_score_and_equal_ones_count_a_half)
{
	const struct scored a[] = { P(4, 85) }, b[] = { P(4, 7), P(6, 7) };
	const struct ranking r[] = { { a, 1 }, { b, 2 }, { NULL, 0 } };
	const struct fusion f = { .kind = FUSION_DBSF };
	const struct scored want[] = { P(4, 1), P(6, 0.5F) };

	expect(merge(&f, r, 3), want, LEN(want));
}
END_TEST

START_TEST(scores_that_overflow_leave_no_infinity)
{
	const struct scored a[] = { P(1, 3e38F), P(2, -3e38F) };
	const struct ranking r[] = { { a, 2 } };
	const struct fusion f = { .kind = FUSION_DBSF };
	struct ranking got = merge(&f, r, 1);

	ck_assert_uint_eq(got.count, 2);
	ck_assert(isfinite(got.items[0].score) && isfinite(got.items[1].score));
}
END_TEST

START_TEST(equal_scores_are_ordered_by_id_whatever_the_order_of_the_rankings)
{
	const struct scored a[] = { P(9, 1) }, b[] = { P(3, 1) };
	const struct ranking ab[] = { { a, 1 }, { b, 1 } }, ba[] = { { b, 1 }, { a, 1 } };
	const struct fusion f = { .kind = FUSION_RRF, .k = FUSION_RRF_K };
	const struct scored want[] = { P(3, 0.5F), P(9, 0.5F) };

	expect(merge(&f, ab, 2), want, 2);
	expect(merge(&f, ba, 2), want, 2);
}
END_TEST

START_TEST(a_point_keeps_the_order_value_of_its_first_ranking)
{
	struct scored a[] = { P(4, 1) }, b[] = { P(4, 1), P(5, 1) };
	const struct ranking r[] = { { a, 1 }, { b, 2 } };
	const struct fusion f = { .kind = FUSION_RRF, .k = FUSION_RRF_K };

	b[0].order = (struct order_value){ .kind = ORDER_VALUE_INT, .integer = 7 };
	b[1].order = (struct order_value){ .kind = ORDER_VALUE_INT, .integer = 8 };
	struct ranking got = merge(&f, r, 2);

	ck_assert_int_eq(got.items[0].order.kind, ORDER_VALUE_NONE);
	ck_assert_int_eq(got.items[1].order.integer, 8);
}
END_TEST

START_TEST(nothing_merged_is_nothing)
{
	const struct fusion f = { .kind = FUSION_RRF, .k = FUSION_RRF_K };

	expect(merge(&f, NULL, 0), NULL, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fusion");
	TCase *t = tcase_create("all");

	tcase_add_test(t, ranks_count_and_scores_do_not);
	tcase_add_test(t, k_and_weights_change_what_a_rank_gives);
	tcase_add_test(t, scores_are_spread_over_six_deviations);
	tcase_add_test(t, a_single_score_and_equal_ones_count_a_half);
	tcase_add_test(t, scores_that_overflow_leave_no_infinity);
	tcase_add_test(t, equal_scores_are_ordered_by_id_whatever_the_order_of_the_rankings);
	tcase_add_test(t, a_point_keeps_the_order_value_of_its_first_ranking);
	tcase_add_test(t, nothing_merged_is_nothing);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
