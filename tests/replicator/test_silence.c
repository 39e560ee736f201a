/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region that takes no part for a while, for a drill.
 */
#include "replicator/silence.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct clock_manual time_here;
static struct silence silence;

static void set_up(void)
{
	clock_manual_init(&time_here, 1000);
	silence_init(&silence, &time_here.clock);
}

static void tear_down(void)
{
	silence_release(&silence);
}

START_TEST(a_silence_ends_at_its_own_deadline)
{
	uint64_t left;

	ck_assert_int_eq(silence_now(&silence, &left), SILENCE_NONE);
	ck_assert_uint_eq(left, 0);
	ck_assert_int_eq(silence_begin(&silence, SILENCE_OUT, 8000, NULL), ERR_NONE);
	ck_assert_int_eq(silence_now(&silence, &left), SILENCE_OUT);
	ck_assert_uint_eq(left, 8000);
	time_here.mono_ns += UINT64_C(7999999999);
	ck_assert_int_eq(silence_now(&silence, &left), SILENCE_OUT);
	ck_assert_uint_eq(left, 1);
	time_here.mono_ns += 1;
	ck_assert_int_eq(silence_now(&silence, &left), SILENCE_NONE);
	ck_assert_uint_eq(left, 0);
}
END_TEST

START_TEST(a_silence_under_way_is_neither_prolonged_nor_changed)
{
	struct fault f = { 0 };

	ck_assert_int_eq(silence_begin(&silence, SILENCE_CUT, 2000, NULL), ERR_NONE);
	ck_assert_int_eq(silence_begin(&silence, SILENCE_OUT, 9000, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "ends by itself"));
	ck_assert_int_eq(silence_now(&silence, NULL), SILENCE_CUT);
	time_here.mono_ns += UINT64_C(2000000000);
	ck_assert_int_eq(silence_now(&silence, NULL), SILENCE_NONE);
	ck_assert_int_eq(silence_begin(&silence, SILENCE_OUT, 9000, NULL), ERR_NONE);
}
END_TEST

START_TEST(a_silence_beyond_its_bounds_is_refused)
{
	ck_assert_int_eq(silence_begin(&silence, SILENCE_OUT, SILENCE_MS_MIN - 1, NULL), ERR_BAD_INPUT);
	ck_assert_int_eq(silence_begin(&silence, SILENCE_OUT, SILENCE_MS_MAX + 1, NULL), ERR_BAD_INPUT);
	ck_assert_int_eq(silence_begin(&silence, SILENCE_NONE, SILENCE_MS_MIN, NULL), ERR_BAD_INPUT);
	ck_assert_int_eq(silence_now(&silence, NULL), SILENCE_NONE);
}
END_TEST

START_TEST(without_drills_there_is_no_silence)
{
	ck_assert_int_eq(silence_now(NULL, NULL), SILENCE_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("silence");
	TCase *t = tcase_create("silence");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_silence_ends_at_its_own_deadline);
	tcase_add_test(t, a_silence_under_way_is_neither_prolonged_nor_changed);
	tcase_add_test(t, a_silence_beyond_its_bounds_is_refused);
	tcase_add_test(t, without_drills_there_is_no_silence);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
