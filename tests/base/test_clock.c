/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks: the machine's tells plausible time and does not go back, the manual one obeys.
 */
#include "base/clock.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

START_TEST(machine_clock_tells_the_time_of_day)
{
	/* Between 2024 and 2100: in milliseconds, not in seconds or microseconds. */
	uint64_t ms = clock_wall_ms(clock_system());
	ck_assert_uint_gt(ms, 1704067200000);
	ck_assert_uint_lt(ms, 4102444800000);
}
END_TEST

START_TEST(machine_clock_never_goes_back)
{
	uint64_t last = clock_mono_ns(clock_system());
	const uint64_t first = last;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t ns = clock_mono_ns(clock_system());
		ck_assert_uint_ge(ns, last);
		last = ns;
	}
	ck_assert_uint_gt(last, first);
}
END_TEST

START_TEST(manual_clock_stands_until_it_is_set)
{
	struct clock_manual c;
	clock_manual_init(&c, 1234567);
	ck_assert_uint_eq(clock_wall_ms(&c.clock), 1234567);
	ck_assert_uint_eq(clock_mono_ns(&c.clock), 0);
	c.wall_ms = 5;
	c.mono_ns = 7;
	ck_assert_uint_eq(clock_wall_ms(&c.clock), 5);
	ck_assert_uint_eq(clock_mono_ns(&c.clock), 7);
}
END_TEST

START_TEST(deadlines_are_in_order_and_well_formed)
{
	static const uint64_t timeouts_ms[] = { 0, 1, 999, 1000, 1001, 86400000, UINT64_MAX };
	struct timespec last = { 0 };
	for (size_t i = 0; i < LEN(timeouts_ms); i++) {
		struct timespec t;
		clock_wait_deadline(timeouts_ms[i], &t);
		ck_assert_int_ge(t.tv_nsec, 0);
		ck_assert_int_lt(t.tv_nsec, 1000000000);
		ck_assert(t.tv_sec > last.tv_sec ||
			  (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec));
		last = t;
	}
	struct timespec soon;
	clock_wait_deadline(0, &soon);
	ck_assert_int_gt(last.tv_sec, soon.tv_sec + 86400);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");
	tcase_add_test(t, machine_clock_tells_the_time_of_day);
	tcase_add_test(t, machine_clock_never_goes_back);
	tcase_add_test(t, manual_clock_stands_until_it_is_set);
	tcase_add_test(t, deadlines_are_in_order_and_well_formed);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
