/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hybrid logical clock: always upwards, never far ahead of the wall.
 */
#include "replicator/hlc.h"

#include <check.h>
#include <stdlib.h>

#define MS(n) ((uint64_t)(n) << 16)

static struct clock_manual wall;
static struct hlc hlc;

static void set_up(void)
{
	clock_manual_init(&wall, 1000);
	hlc_init(&hlc, &wall.clock, 0, 500);
}

static uint64_t now(void)
{
	uint64_t stamp = 0;
	ck_assert_int_eq(hlc_now(&hlc, &stamp), ERR_NONE);
	return stamp;
}

START_TEST(stamp_too_far_ahead_is_not_observed)
{
	static const struct {
		uint64_t stamp;
		bool taken;
	} cases[] = {
		{ MS(1000), true },
		{ MS(1500) + 0xffff, true },
		{ MS(1501), false },
		{ UINT64_MAX, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		hlc_init(&hlc, &wall.clock, MS(999), 500);
		ck_assert_msg(hlc_observe(&hlc, cases[i].stamp) == cases[i].taken, "row %zu", i);
		ck_assert_msg(hlc.last == (cases[i].taken ? cases[i].stamp : MS(999)), "row %zu",
			      i);
	}
}
END_TEST

START_TEST(clock_behind_its_last_stamp_refuses_until_it_has_caught_up)
{
	uint64_t stamp = 77;
	hlc_init(&hlc, &wall.clock, MS(2000), 500);
	ck_assert_int_eq(hlc_now(&hlc, &stamp), ERR_UNAVAILABLE);
	ck_assert_uint_eq(stamp, 77);
	wall.wall_ms = 1500;
	ck_assert_uint_eq(now(), MS(2000) + 1);
}
END_TEST

START_TEST(next_stamp_does_not_wait_for_the_wall)
{
	uint64_t stamp;
	hlc_init(&hlc, &wall.clock, MS(2000), 500);
	ck_assert_int_eq(hlc_next(&hlc, &stamp), ERR_NONE);
	ck_assert_uint_eq(stamp, MS(2000) + 1);
	ck_assert_int_eq(hlc_now(&hlc, &stamp), ERR_UNAVAILABLE);
	wall.wall_ms = 3000;
	ck_assert_int_eq(hlc_next(&hlc, &stamp), ERR_NONE);
	ck_assert_uint_eq(stamp, MS(3000));
}
END_TEST

START_TEST(last_stamp_of_all_is_the_end)
{
	uint64_t stamp;
	hlc_init(&hlc, &wall.clock, UINT64_MAX, 500);
	wall.wall_ms = UINT64_MAX;
	ck_assert_int_eq(hlc_now(&hlc, &stamp), ERR_UNAVAILABLE);
	ck_assert_int_eq(hlc_next(&hlc, &stamp), ERR_UNAVAILABLE);
}
END_TEST

START_TEST(stamps_grow_while_the_wall_stands_or_steps_back)
{
	ck_assert_uint_eq(now(), MS(1000));
	ck_assert_uint_eq(now(), MS(1000) + 1);
	wall.wall_ms = 900;
	ck_assert_uint_eq(now(), MS(1000) + 2);
	wall.wall_ms = 1001;
	ck_assert_uint_eq(now(), MS(1001));
}
END_TEST

START_TEST(stamp_follows_what_was_observed)
{
	ck_assert(hlc_observe(&hlc, MS(1200) + 7));
	ck_assert_uint_eq(now(), MS(1200) + 8);
	ck_assert(hlc_observe(&hlc, MS(3)));
	ck_assert_uint_eq(now(), MS(1200) + 9);
}
END_TEST

START_TEST(full_counter_carries_into_the_milliseconds)
{
	hlc_init(&hlc, &wall.clock, MS(1000) + 0xffff, 500);
	uint64_t stamp = now();
	ck_assert_uint_eq(stamp, MS(1001));
	ck_assert_uint_eq(hlc_ms(stamp), 1001);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hlc");
	TCase *t = tcase_create("hlc");
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, stamp_too_far_ahead_is_not_observed);
	tcase_add_test(t, clock_behind_its_last_stamp_refuses_until_it_has_caught_up);
	tcase_add_test(t, next_stamp_does_not_wait_for_the_wall);
	tcase_add_test(t, last_stamp_of_all_is_the_end);
	tcase_add_test(t, stamps_grow_while_the_wall_stands_or_steps_back);
	tcase_add_test(t, stamp_follows_what_was_observed);
	tcase_add_test(t, full_counter_carries_into_the_milliseconds);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
