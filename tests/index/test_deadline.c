/* SPDX-License-Identifier: Apache-2.0 */
#include "index/deadline.h"

#include <check.h>
#include <stdlib.h>

#include "base/clock.h"

START_TEST(past_deadline_is_a_timeout_and_cancelling_comes_first)
{
	atomic_bool cancel = false;
	uint64_t now = clock_mono_ns(clock_system());
	struct deadline d = { 0 };

	ck_assert_int_eq(deadline_check(&d), ERR_NONE);
	d.cancel = &cancel;
	ck_assert_int_eq(deadline_check(&d), ERR_NONE);
	d.mono_ns = now;
	ck_assert_int_eq(deadline_check(&d), ERR_TIMEOUT);
	atomic_store(&cancel, true);
	ck_assert_int_eq(deadline_check(&d), ERR_CANCELLED);
	d = (struct deadline){ .mono_ns = now + 3600ull * 1000000000ull };
	ck_assert_int_eq(deadline_check(&d), ERR_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deadline");
	TCase *t = tcase_create("all");

	tcase_add_test(t, past_deadline_is_a_timeout_and_cancelling_comes_first);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
