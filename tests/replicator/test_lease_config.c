/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The times of a lease: which leave no margin and are refused.
 */
#include "replicator/lease_config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(the_default_times_have_their_margins)
{
	struct lease_config c = LEASE_CONFIG_DEFAULT;

	ck_assert_int_eq(lease_config_check(&c, NULL), ERR_NONE);
	/* Three regions, 150 ms there and back: nobody waits 9 s for the next primary. */
	ck_assert_uint_lt(lease_config_failover_ms(&c, 3, 150), 9000);
}
END_TEST

START_TEST(times_without_margin_are_refused_in_words)
{
	const struct lease_config good = LEASE_CONFIG_DEFAULT;
	struct lease_config c;
	struct fault f;
#define REFUSED(change, word)                                              \
	c = good;                                                          \
	c.change;                                                          \
	f = (struct fault){ 0 };                                           \
	ck_assert_int_eq(lease_config_check(&c, &f), ERR_CONFIG);          \
	ck_assert_msg(strstr(f.text, word) != NULL, "%s: %s", #change, f.text)

	REFUSED(wait_ms = 4000, "WAIT");
	REFUSED(wait_ms = 4888, "4888 ms"); /* 4000 * 110 / 90 = 4888.9 */
	REFUSED(drift_percent = 20, "20 %");
	REFUSED(drift_percent = 51, "drift");
	REFUSED(renew_ms = 1334, "renewing");
	REFUSED(hold_ms = 0, "HOLD");
	REFUSED(wait_ms = 3600001, "WAIT");
	REFUSED(step_ms = 0, "step");
	REFUSED(linger_ms = 1000, "step");
	REFUSED(poll_ms = 0, "poll");
	REFUSED(rank_ms = 0, "rank");
	REFUSED(clock_offset_ms_max = 0, "offset");
#undef REFUSED
	c = good;
	c.wait_ms = 4889;
	ck_assert_int_eq(lease_config_check(&c, NULL), ERR_NONE);
}
END_TEST

START_TEST(a_failover_takes_longer_with_slow_clocks_and_more_candidates)
{
	struct lease_config c = LEASE_CONFIG_DEFAULT;
	uint32_t usual = lease_config_failover_ms(&c, 3, 100);

	ck_assert_uint_gt(usual, c.wait_ms);
	ck_assert_uint_eq(lease_config_failover_ms(&c, 5, 100), usual + 2 * c.rank_ms);
	ck_assert_uint_eq(lease_config_failover_ms(&c, 3, 200), usual + 300);
	c.drift_percent = 0;
	ck_assert_uint_lt(lease_config_failover_ms(&c, 3, 100), usual);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_config");
	TCase *t = tcase_create("lease_config");
	tcase_add_test(t, the_default_times_have_their_margins);
	tcase_add_test(t, times_without_margin_are_refused_in_words);
	tcase_add_test(t, a_failover_takes_longer_with_slow_clocks_and_more_candidates);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
