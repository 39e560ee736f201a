/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Row sets against a plain array of flags.
 */
#include "index/rowset.h"

#include <check.h>
#include <stdlib.h>

#include "tests/index/random.h"

#define ROWS 300000u

/* Sparse and dense stretches, ends of chunks. */
static uint32_t random_row(struct random *r)
{
	static const uint32_t edges[] = { 0, 63, 64, 65535, 65536, 131071, 131072, ROWS - 1 };
	uint64_t which = random_u64(r) % 10;

	if (which == 0)
		return edges[random_u64(r) % LEN(edges)];
	return which < 7 ? 65536 + (uint32_t)(random_u64(r) % 12000)
			 : (uint32_t)(random_u64(r) % ROWS);
}

START_TEST(set_holds_what_was_added_and_not_removed)
{
	struct rowset s = { 0 };
	struct row_bits bits;
	struct random r = { 7 };
	bool *model = calloc(ROWS, sizeof(*model));
	uint32_t count = 0, row = 0;

	for (int i = 0; i < 60000; i++) {
		row = random_row(&r);
		bool add = random_u64(&r) % 3 != 0 || (i > 30000 && i < 50000);

		ck_assert(rowset_has(&s, row) == model[row]);
		count += add && !model[row];
		count -= !add && model[row];
		model[row] = add;
		if (add)
			ck_assert_int_eq(rowset_add(&s, row), ERR_NONE);
		else
			rowset_remove(&s, row);
		ck_assert_uint_eq(rowset_count(&s), count);
	}
	ck_assert_uint_gt(rowset_memory(&s), count / 8);
	ck_assert_int_eq(row_bits_init(&bits, ROWS), ERR_NONE);
	rowset_fill(&s, &bits);
	ck_assert_uint_eq(row_bits_count(&bits), count);
	row = 0;
	for (uint32_t i = 0; i < ROWS; i++) {
		ck_assert(row_bits_has(&bits, i) == model[i]);
		ck_assert(rowset_has(&s, i) == model[i]);
		if (!model[i])
			continue;
		ck_assert(row_bits_next(&bits, &row) && row == i);
		row++;
	}
	ck_assert(!row_bits_next(&bits, &row));
	for (uint32_t i = 0; i < ROWS; i++)
		rowset_remove(&s, i);
	ck_assert_uint_eq(rowset_count(&s), 0);
	row_bits_release(&bits);
	rowset_release(&s);
	free(model);
}
END_TEST

START_TEST(rows_beyond_the_bits_are_left_out)
{
	static const uint32_t rows[] = { 0, 99, 100, 101, 70000 };
	struct rowset s = { 0 };
	struct row_bits bits;

	for (size_t i = 0; i < LEN(rows); i++)
		ck_assert_int_eq(rowset_add(&s, rows[i]), ERR_NONE);
	ck_assert_int_eq(row_bits_init(&bits, 101), ERR_NONE);
	rowset_fill(&s, &bits);
	ck_assert_uint_eq(row_bits_count(&bits), 3);
	ck_assert(!row_bits_has(&bits, 101) && !row_bits_has(&bits, 70000));
	row_bits_add(&bits, 5000);
	ck_assert_uint_eq(row_bits_count(&bits), 3);
	row_bits_release(&bits);
	for (uint32_t i = 0; i < 5000; i++) /* a bitmap that ends in the middle */
		ck_assert_int_eq(rowset_add(&s, i), ERR_NONE);
	ck_assert_int_eq(row_bits_init(&bits, 64), ERR_NONE);
	rowset_fill(&s, &bits);
	ck_assert_uint_eq(row_bits_count(&bits), 64);
	row_bits_release(&bits);
	rowset_release(&s);
}
END_TEST

START_TEST(bits_are_joined_and_parted)
{
	struct row_bits a, b;

	ck_assert_int_eq(row_bits_init(&a, 200), ERR_NONE);
	ck_assert_int_eq(row_bits_init(&b, 200), ERR_NONE);
	for (uint32_t i = 0; i < 200; i += 2)
		row_bits_add(&a, i);
	for (uint32_t i = 0; i < 200; i += 3)
		row_bits_add(&b, i);
	row_bits_and(&a, &b);
	ck_assert_uint_eq(row_bits_count(&a), 34);
	row_bits_and_not(&b, &a);
	ck_assert_uint_eq(row_bits_count(&b), 33);
	row_bits_or(&a, &b);
	ck_assert_uint_eq(row_bits_count(&a), 67);
	ck_assert(row_bits_has(&a, 198) && row_bits_has(&a, 3) && !row_bits_has(&a, 2));
	row_bits_release(&a);
	row_bits_release(&b);
	ck_assert_int_eq(row_bits_init(&a, 0), ERR_NONE);
	ck_assert(!row_bits_next(&a, &(uint32_t){ 0 }));
	row_bits_release(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rowset");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, set_holds_what_was_added_and_not_removed);
	tcase_add_test(t, rows_beyond_the_bits_are_left_out);
	tcase_add_test(t, bits_are_joined_and_parted);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
