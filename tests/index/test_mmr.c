/* SPDX-License-Identifier: Apache-2.0 */
#include "index/mmr.h"

#include <check.h>
#include <stdlib.h>

#include "base/macros.h"

#define N 4

/* Candidates 0 and 1 are twins, 2 is a bit unlike them, 3 is the odd one. */
static const float relevance[N] = { 0.9F, 0.89F, 0.5F, 0.1F };
static const float alike[N][N] = {
	{ 1, 0.99F, 0.3F, 0 }, { 0.99F, 1, 0.3F, 0 }, { 0.3F, 0.3F, 1, 0.2F }, { 0, 0, 0.2F, 1 }
};

static float similarity(const void *ctx, uint32_t a, uint32_t b)
{
	const float(*matrix)[N] = ctx;

	return matrix[a][b];
}

static const struct {
	float lambda;
	uint32_t limit, count;
	uint32_t picks[N];
} cases[] = {
	{ 1, 4, 4, { 0, 1, 2, 3 } }, /* relevance alone */
	/* After 0: 1 gets .45 - .495, 2 gets .25 - .15 = .1, 3 gets .05 - 0. Then 1: -.05, 3: .05 - .1 = -.05 … by float */
	{ 0.5F, 2, 2, { 0, 2 } },
	/* After 0 what counts is to be unlike: 3 (0), then 2 (-.3), then 1. */
	{ 0, 4, 4, { 0, 3, 2, 1 } },
	{ 0.5F, 0, 0, { 0 } },
	{ 0.7F, 9, 4, { 0, 1, 2, 3 } }, /* 1: .623 - .297 = .326; 2: .35 - .09 = .26 */
};

START_TEST(relevance_and_being_unlike_are_weighed)
{
	const struct mmr m = { .relevance = relevance,
			       .count = N,
			       .lambda = cases[_i].lambda,
			       .similarity = similarity,
			       .ctx = alike };
	uint32_t picks[9], n;

	ck_assert_int_eq(mmr_pick(&m, cases[_i].limit, picks, &n), ERR_NONE);
	ck_assert_uint_eq(n, cases[_i].count);
	for (uint32_t i = 0; i < n; i++)
		ck_assert_uint_eq(picks[i], cases[_i].picks[i]);
}
END_TEST

START_TEST(of_no_candidates_none_is_picked)
{
	const struct mmr m = { .relevance = relevance,
			       .count = 0,
			       .lambda = 0.5F,
			       .similarity = similarity,
			       .ctx = alike };
	uint32_t pick, n = 7;

	ck_assert_int_eq(mmr_pick(&m, 1, &pick, &n), ERR_NONE);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(picking_ends_when_it_is_late_or_called_off)
{
	const atomic_bool cancel = true;
	struct mmr m = { .relevance = relevance,
			 .count = N,
			 .lambda = 0.5F,
			 .similarity = similarity,
			 .ctx = alike };
	uint32_t picks[N], n;

	m.deadline = (struct deadline){ .mono_ns = 1 };
	ck_assert_int_eq(mmr_pick(&m, N, picks, &n), ERR_TIMEOUT);
	m.deadline = (struct deadline){ .cancel = &cancel };
	ck_assert_int_eq(mmr_pick(&m, N, picks, &n), ERR_CANCELLED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mmr");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, relevance_and_being_unlike_are_weighed, 0, (int)LEN(cases));
	tcase_add_test(t, of_no_candidates_none_is_picked);
	tcase_add_test(t, picking_ends_when_it_is_late_or_called_off);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
