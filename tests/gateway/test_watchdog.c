/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/watchdog.h"

#include <check.h>
#include <stdlib.h>

static struct watchdog watchdog;

static void set_up(void)
{
	static const uint64_t turns[] = { 10, 20, 30 };
	ck_assert_int_eq(watchdog_init(&watchdog, turns, LEN(turns)), ERR_NONE);
}

static void tear_down(void)
{
	watchdog_release(&watchdog);
}

START_TEST(the_first_that_stands_still_is_named)
{
	static const uint64_t second[] = { 11, 20, 31 };
	static const uint64_t all[] = { 11, 20, 31 };
	ck_assert_int_eq(watchdog_check(&watchdog, second), 1);
	ck_assert_int_eq(watchdog_check(&watchdog, all), 0);
}
END_TEST

START_TEST(all_that_move_are_alive_again_and_again)
{
	static const uint64_t once[] = { 11, 21, 31 };
	static const uint64_t twice[] = { 12, 99, 32 };
	ck_assert_int_eq(watchdog_check(&watchdog, once), -1);
	ck_assert_int_eq(watchdog_check(&watchdog, twice), -1);
}
END_TEST

START_TEST(one_that_stood_still_and_moves_is_alive)
{
	static const uint64_t still[] = { 11, 21, 30 };
	static const uint64_t moved[] = { 12, 22, 31 };
	ck_assert_int_eq(watchdog_check(&watchdog, still), 2);
	ck_assert_int_eq(watchdog_check(&watchdog, moved), -1);
}
END_TEST

START_TEST(with_nobody_to_watch_all_is_well)
{
	struct watchdog empty;
	ck_assert_int_eq(watchdog_init(&empty, NULL, 0), ERR_NONE);
	ck_assert_int_eq(watchdog_check(&empty, NULL), -1);
	watchdog_release(&empty);
	watchdog_release(&empty);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watchdog");
	TCase *tests = tcase_create("watchdog");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, the_first_that_stands_still_is_named);
	tcase_add_test(tests, all_that_move_are_alive_again_and_again);
	tcase_add_test(tests, one_that_stood_still_and_moves_is_alive);
	tcase_add_test(tests, with_nobody_to_watch_all_is_well);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
