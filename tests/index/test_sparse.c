/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sparse index against a walk over all vectors.
 */
#include "index/sparse.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

/* More rows than a window of scores has. */
#define ROWS 40000u
#define DIMENSIONS 200u
#define ENTRIES_MAX 6u

struct entry {
	bool there;
	uint32_t count;
	uint32_t indices[ENTRIES_MAX];
	float values[ENTRIES_MAX];
};

static void random_entry(struct random *r, struct entry *e)
{
	uint32_t at = 0;

	e->there = true;
	e->count = 0;
	for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
		at += 1 + (uint32_t)(random_u64(r) % 40);
		if (at >= DIMENSIONS)
			return;
		e->indices[e->count] = at * 65537;
		e->values[e->count++] = random_normal(r);
	}
}

static struct vector vector_of(const struct entry *e)
{
	return (struct vector){
		.kind = VECTOR_SPARSE, .count = e->count, .indices = e->indices, .values = e->values
	};
}

static enum err accept_some(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id)
{
	const uint32_t *modulo = ctx;

	*ret_accept = row % *modulo == 0;
	ret_id->lo = row;
	return ERR_NONE;
}

static enum err refuse(void *ctx, uint32_t row, bool *ret_accept, struct point_id *ret_id)
{
	(void)ctx;
	(void)row;
	(void)ret_accept;
	(void)ret_id;
	return ERR_IO;
}

static void check_search(const struct sparse *s, const struct entry *rows,
			 const struct entry *query, uint32_t k, uint32_t modulo)
{
	struct vector v = vector_of(query);
	struct sparse_query q = { .vector = &v, .accept = accept_some, .ctx = &modulo };
	struct topk got, expected;

	ck_assert_int_eq(topk_init(&got, k), ERR_NONE);
	ck_assert_int_eq(topk_init(&expected, k), ERR_NONE);
	ck_assert_int_eq(sparse_search(s, &q, &got), ERR_NONE);
	for (uint32_t row = 0; row < ROWS; row += modulo) {
		double sum = 0;
		bool any = false;

		for (uint32_t i = 0; rows[row].there && i < query->count; i++)
			for (uint32_t n = 0; n < rows[row].count; n++)
				if (query->indices[i] == rows[row].indices[n]) {
					sum += (double)query->values[i] *
					       (double)rows[row].values[n];
					any = true;
				}
		if (any)
			topk_offer(
				&expected,
				(struct hit){ .row = row, .id.lo = row, .similarity = (float)sum });
	}
	topk_sort(&got);
	topk_sort(&expected);
	ck_assert_uint_eq(got.count, expected.count);
	for (uint32_t i = 0; i < got.count; i++) {
		ck_assert_uint_eq(got.hits[i].row, expected.hits[i].row);
		ck_assert(got.hits[i].similarity == expected.hits[i].similarity);
	}
	topk_release(&got);
	topk_release(&expected);
}

START_TEST(answers_are_exact_whatever_changed)
{
	struct entry *rows = calloc(ROWS, sizeof(*rows)), query;
	struct random r = { 11 };
	struct sparse *s;
	uint64_t count = 0;

	ck_assert_int_eq(sparse_new(&s), ERR_NONE);
	for (uint32_t i = 0; i < 60000; i++) {
		uint32_t row = i < ROWS && i % 3 ? i : (uint32_t)(random_u64(&r) % ROWS);
		struct entry before = rows[row];
		struct vector old = vector_of(&before), new;
		bool remove = before.there && random_u64(&r) % 3 == 0;

		random_entry(&r, &rows[row]);
		rows[row].there = !remove;
		new = vector_of(&rows[row]);
		ck_assert_int_eq(
			sparse_change(s, row, before.there ? &old : NULL, remove ? NULL : &new),
			ERR_NONE);
		count += rows[row].there;
		count -= before.there;
	}
	ck_assert_uint_eq(sparse_count(s), count);
	ck_assert_uint_gt(sparse_memory(s), count * 8);
	for (int i = 0; i < 30; i++) {
		random_entry(&r, &query);
		check_search(s, rows, &query, 1 + (uint32_t)i * 3, i % 2 ? 1 : 7);
	}
	query.count = 0;
	check_search(s, rows, &query, 10, 1);
	sparse_free(s);
	free(rows);
}
END_TEST

START_TEST(rows_without_overlap_are_not_found)
{
	static const uint32_t indices[] = { 1, 5 }, others[] = { 2, 9 };
	static const float values[] = { 1, -1 };
	struct vector v = {
		.kind = VECTOR_SPARSE, .count = 2, .indices = indices, .values = values
	};
	struct vector w = {
		.kind = VECTOR_SPARSE, .count = 2, .indices = others, .values = values
	};
	uint32_t modulo = 1;
	struct sparse_query q = { .vector = &w, .accept = accept_some, .ctx = &modulo };
	struct sparse *s;
	struct topk top;

	ck_assert_int_eq(sparse_new(&s), ERR_NONE);
	ck_assert_int_eq(topk_init(&top, 5), ERR_NONE);
	ck_assert_int_eq(sparse_search(s, &q, &top), ERR_NONE);
	ck_assert_int_eq(sparse_change(s, 3, NULL, &v), ERR_NONE);
	ck_assert_int_eq(sparse_search(s, &q, &top), ERR_NONE);
	ck_assert_uint_eq(top.count, 0);
	q.vector = &v;
	ck_assert_int_eq(sparse_search(s, &q, &top), ERR_NONE);
	ck_assert(top.count == 1 && top.hits[0].similarity == 2.0F && top.hits[0].row == 3);
	topk_release(&top);
	sparse_free(s);
	sparse_free(NULL);
}
END_TEST

START_TEST(errors_and_deadlines_end_the_search)
{
	static const uint32_t indices[] = { 1 };
	static const float values[] = { 1 };
	struct vector v = {
		.kind = VECTOR_SPARSE, .count = 1, .indices = indices, .values = values
	};
	struct sparse_query q = { .vector = &v, .accept = refuse };
	struct sparse *s;
	struct topk top;

	ck_assert_int_eq(sparse_new(&s), ERR_NONE);
	ck_assert_int_eq(topk_init(&top, 5), ERR_NONE);
	ck_assert_int_eq(sparse_change(s, 3, NULL, &v), ERR_NONE);
	ck_assert_int_eq(sparse_search(s, &q, &top), ERR_IO);
	q.deadline.mono_ns = 1;
	ck_assert_int_eq(sparse_search(s, &q, &top), ERR_TIMEOUT);
	topk_release(&top);
	sparse_free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sparse");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, answers_are_exact_whatever_changed);
	tcase_add_test(t, rows_without_overlap_are_not_found);
	tcase_add_test(t, errors_and_deadlines_end_the_search);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
