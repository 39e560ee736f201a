/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multivectors: compared with a plain model, through changes, rows beyond the end, filters and deadlines.
 */
#include "index/multi.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/index/random.h"

#define DIM 5
#define ROWS 200
#define VECTORS_MAX 7

static struct multi *multi;
static float values[ROWS][VECTORS_MAX * DIM];
static uint32_t counts[ROWS]; /* vectors; 0: none */

static struct vector_config config_of(enum distance distance)
{
	return (struct vector_config){ .name = STR(""), .dim = DIM, .distance = distance, .multi = true };
}

static struct vector vector_of(uint32_t row)
{
	return (struct vector){ .kind = VECTOR_MULTI, .count = counts[row] * DIM, .rows = counts[row], .values = values[row] };
}

static void change(struct random *r, uint32_t row)
{
	counts[row] = (uint32_t)(random_u64(r) % (VECTORS_MAX + 1));
	for (uint32_t i = 0; i < counts[row] * DIM; i++)
		values[row][i] = random_normal(r);
	struct vector v = vector_of(row);
	ck_assert_int_eq(multi_set(multi, row, counts[row] ? &v : NULL), ERR_NONE);
}

static double model(enum distance d, const struct vector *q, uint32_t row)
{
	double sum = 0;

	for (uint32_t i = 0; i < q->rows; i++) {
		float best = -INFINITY;
		for (uint32_t k = 0; k < counts[row]; k++)
			best = fmaxf(best, distance_exact(d, q->values + i * DIM, values[row] + k * DIM, DIM));
		sum += (double)best;
	}
	return sum;
}

/* Rows that a filter would take. */
static enum err accept_even(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id)
{
	(void)ctx;
	*ret_accept = row % 2 == 0;
	*ret_id = (struct point_id){ .lo = row };
	return ERR_NONE;
}

static enum err accept_never(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id)
{
	(void)row;
	(void)ret_accept;
	(void)ret_id;
	return *(enum err *)ctx;
}

START_TEST(an_error_of_the_filter_and_a_passed_deadline_end_the_search)
{
	struct random r = { 3 };
	struct vector_config config = config_of(DISTANCE_DOT);
	enum err wrong = ERR_CORRUPT;
	struct topk top;

	ck_assert_int_eq(multi_new(&config, &multi), ERR_NONE);
	for (uint32_t row = 0; row < ROWS; row++)
		change(&r, row);
	counts[0] = VECTORS_MAX;
	struct vector q = vector_of(0);
	struct multi_query query = { .vector = &q, .accept = accept_never, .ctx = &wrong };
	ck_assert_int_eq(topk_init(&top, 3), ERR_NONE);
	ck_assert_int_eq(multi_search(multi, &query, &top), ERR_CORRUPT);
	query = (struct multi_query){ .vector = &q, .accept = accept_even, .deadline = { .mono_ns = 1 } };
	top.count = 0;
	ck_assert_int_eq(multi_search(multi, &query, &top), ERR_TIMEOUT);
	topk_release(&top);
	multi_free(multi);
}
END_TEST

static const enum distance distances[] = { DISTANCE_COSINE, DISTANCE_EUCLID, DISTANCE_DOT, DISTANCE_MANHATTAN };

START_TEST(the_best_are_those_of_a_plain_model)
{
	enum distance d = distances[_i / 2];
	struct random r = { 7 };
	struct vector_config config = config_of(d);
	float query_values[3 * DIM];

	ck_assert_int_eq(multi_new(&config, &multi), ERR_NONE);
	memset(counts, 0, sizeof(counts));
	for (int turn = 0; turn < 30; turn++) {
		uint64_t expected = 0, live = 0;
		struct topk top;
		for (int i = 0; i < 40; i++)
			change(&r, (uint32_t)(random_u64(&r) % ROWS));
		for (size_t i = 0; i < LEN(query_values); i++)
			query_values[i] = random_normal(&r);
		struct vector q = { .kind = VECTOR_MULTI, .count = 3 * DIM, .rows = 3, .values = query_values };
		struct multi_query query = { .vector = &q, .exact = _i % 2 == 1, .accept = accept_even };
		ck_assert_int_eq(topk_init(&top, 5), ERR_NONE);
		ck_assert_int_eq(multi_search(multi, &query, &top), ERR_NONE);
		topk_sort(&top);
		for (uint32_t row = 0; row < ROWS; row++) {
			live += counts[row] > 0;
			expected += counts[row] > 0 && row % 2 == 0;
		}
		ck_assert_uint_eq(multi_count(multi), live);
		ck_assert_uint_eq(top.count, MIN(expected, 5));
		for (uint32_t i = 0; i < top.count; i++) {
			double similarity = model(d, &q, top.hits[i].row);
			ck_assert(fabs(similarity - (double)top.hits[i].similarity) < 1e-4);
			ck_assert(_i % 2 == 0 || (float)similarity == top.hits[i].similarity);
			ck_assert_uint_eq(top.hits[i].id.lo, top.hits[i].row);
		}
		for (uint32_t row = 0; row < ROWS && top.count > 0; row += 2)
			ck_assert(counts[row] == 0 ||
				  model(d, &q, row) <= model(d, &q, top.hits[0].row) + 1e-4);
		topk_release(&top);
	}
	multi_free(multi);
}
END_TEST

START_TEST(what_a_row_no_longer_has_takes_no_memory)
{
	struct random r = { 9 };
	struct vector_config config = config_of(DISTANCE_DOT);

	ck_assert_int_eq(multi_new(&config, &multi), ERR_NONE);
	ck_assert_int_eq(multi_set(multi, 1000, NULL), ERR_NONE);
	ck_assert_uint_eq(multi_memory(multi), 0);
	for (uint32_t row = 0; row < ROWS; row++)
		change(&r, row);
	for (uint32_t row = 0; row < ROWS; row++)
		ck_assert_int_eq(multi_set(multi, row, NULL), ERR_NONE);
	size_t empty = multi_memory(multi);
	ck_assert_uint_eq(multi_count(multi), 0);
	counts[0] = 2;
	struct vector v = vector_of(0);
	ck_assert_int_eq(multi_set(multi, 0, &v), ERR_NONE);
	ck_assert_uint_eq(multi_memory(multi), empty + 2 * DIM * sizeof(float));
	multi_free(multi);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("multi");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, an_error_of_the_filter_and_a_passed_deadline_end_the_search);
	tcase_add_loop_test(t, the_best_are_those_of_a_plain_model, 0, 2 * (int)LEN(distances));
	tcase_add_test(t, what_a_row_no_longer_has_takes_no_memory);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
