/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of rows: in order whatever is added and removed, each as often as it was added.
 */
#include "index/number_set.h"

#include <check.h>
#include <stdlib.h>

#include "tests/index/random.h"

#define COUNT 6000u

static struct number number_at(uint64_t seed)
{
	return (struct number){ .key = (double)(seed % 700), .whole = (int64_t)(seed % 700), .is_whole = seed % 3 > 0,
				.row = (uint32_t)(seed / 700 % 50) };
}

static uint32_t check_order(const struct number_set *s)
{
	const struct number *last = NULL;
	uint32_t count = 0;

	for (uint32_t b = 0; b < s->count; b++) {
		ck_assert_uint_gt(s->blocks[b].count, 0);
		for (uint32_t i = 0; i < s->blocks[b].count; i++, count++) {
			if (last)
				ck_assert_int_le(number_compare(last, &s->blocks[b].items[i]), 0);
			last = &s->blocks[b].items[i];
		}
	}
	return count;
}

START_TEST(entries_stay_in_order_as_often_as_they_were_added)
{
	struct number_set s = { 0 };
	struct random r = { 3 };
	struct number *added = calloc(COUNT, sizeof(*added));

	ck_assert_ptr_nonnull(added);
	for (uint32_t i = 0; i < COUNT; i++) {
		added[i] = number_at(random_u64(&r));
		ck_assert_int_eq(number_set_add(&s, &added[i]), ERR_NONE);
	}
	ck_assert_uint_eq(check_order(&s), COUNT);
	ck_assert_uint_gt(s.count, COUNT / NUMBER_BLOCK_MAX);
	ck_assert_uint_gt(number_set_memory(&s), COUNT * sizeof(struct number));
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t at, block = number_set_seek(&s, &added[i], &at);

		ck_assert_int_eq(number_compare(&s.blocks[block].items[at], &added[i]), 0);
		number_set_remove(&s, &added[i]);
		if (i % 500 == 0)
			ck_assert_uint_eq(check_order(&s), COUNT - i - 1);
	}
	ck_assert_uint_eq(s.count, 0);
	number_set_remove(&s, &added[0]);
	number_set_release(&s);
	free(added);
}
END_TEST

START_TEST(beyond_the_last_there_is_nothing)
{
	struct number_set s = { 0 };
	const struct number one = { .key = 1 }, two = { .key = 2 };
	uint32_t at;

	ck_assert_uint_eq(number_set_seek(&s, &one, &at), 0);
	ck_assert_int_eq(number_set_add(&s, &one), ERR_NONE);
	ck_assert_uint_eq(number_set_seek(&s, &two, &at), s.count);
	ck_assert_uint_eq(at, 0);
	number_set_release(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("number_set");
	TCase *t = tcase_create("number_set");

	tcase_add_test(t, entries_stay_in_order_as_often_as_they_were_added);
	tcase_add_test(t, beyond_the_last_there_is_nothing);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
