/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover that an operator asks for, by whole regions.
 */
#include "tests/replicator/elect_bed.h"
#include "replicator/stand.h"

static bool writes_no_more(struct fleet *f, uint64_t number)
{
	return !fleet_writes(f, number);
}

static enum err fail_over(uint32_t at, uint32_t to, struct failover_report *ret_report, const char *words)
{
	const struct failover_options o = { .to = to < FLEET_REGIONS ? (uint8_t)(to + 1) : 0, .timeout_ms = 8000 };
	struct fault f = { 0 };
	enum err err = replicator_failover(replicator(at), &o, ret_report, &f);

	ck_assert_msg(words == NULL ? err == ERR_NONE : strstr(f.text, words) != NULL, "%s", f.text);
	return err;
}

START_TEST(a_primary_that_lives_is_not_failed_over)
{
	uint32_t writer = begin(), other = (writer + 1) % FLEET_REGIONS;
	struct failover_report report;

	ck_assert_int_eq(fail_over(writer, FLEET_REGIONS, &report, "is the primary and alive"), ERR_BAD_INPUT);
	ck_assert_int_eq(fail_over(other, FLEET_REGIONS, &report, "is the primary and was heard"), ERR_BAD_INPUT);
	ck_assert_int_eq(fail_over(other, writer, &report, "isthmusctl switchover"), ERR_BAD_INPUT);
	ck_assert(fleet_writes(&fleet, writer));
}
END_TEST

START_TEST(the_region_that_is_named_becomes_the_primary_and_says_what_is_lost)
{
	uint32_t writer = begin(), asked = (writer + 1) % FLEET_REGIONS, named = (writer + 2) % FLEET_REGIONS;
	struct failover_report report;

	fleet_upsert(&fleet, writer, 1, 10);
	fleet_check_equal(&fleet, writer);
	fleet_stop(&fleet, writer);
	wait_silent(asked, writer);
	ck_assert_int_eq(fail_over(asked, named, &report, NULL), ERR_NONE);
	ck_assert_uint_eq(report.primary, named + 1);
	ck_assert_uint_eq(report.before, writer + 1);
	ck_assert_uint_eq((uint8_t)report.epoch, named + 1);
	ck_assert(report.loss.known && report.loss.ms == 0);
	fleet_upsert(&fleet, named, 100, 10);
}
END_TEST

START_TEST(without_a_majority_it_is_said_who_is_missing_and_what_is_left_to_do)
{
	uint32_t left = begin(), a = (left + 1) % FLEET_REGIONS, b = (left + 2) % FLEET_REGIONS;
	struct failover_report report;
	struct voter_list list;
	struct voter_set lost = { 0 };
	struct fault f = { 0 };

	fleet_upsert(&fleet, left, 1, 10);
	fleet_check_equal(&fleet, left);
	fleet_stop(&fleet, a);
	fleet_stop(&fleet, b);
	wait_silent(left, a);
	wait_silent(left, b);
	fleet_wait(&fleet, writes_no_more, left);
	const struct failover_options o = { .timeout_ms = 3000 };
	enum err err = replicator_failover(replicator(left), &o, &report, &f);
	ck_assert_int_eq(err, ERR_UNAVAILABLE);
	ck_assert_msg(strstr(f.text, "1 of 3 voters answer") != NULL && strstr(f.text, "--force --lost") != NULL &&
			      strstr(f.text, fleet_names[a]) != NULL && strstr(f.text, fleet_names[b]) != NULL, "%s", f.text);
	voter_set_add(&lost, (uint8_t)(a + 1));
	ck_assert_int_eq(replicator_force(replicator(left), &lost, &o, &list, &report, &f), ERR_BAD_INPUT);
	ck_assert_uint_eq(list.count, 0);
	voter_set_add(&lost, (uint8_t)(b + 1));
	const struct failover_options longer = { .timeout_ms = 8000 };
	ck_assert_msg(replicator_force(replicator(left), &lost, &longer, &list, &report, &f) == ERR_NONE, "%s", f.text);
	ck_assert_uint_eq(list.count, 1);
	ck_assert_uint_eq(report.primary, left + 1);
	/* What is written there is confirmed by the majority of one. */
	struct fleet_answer done = fleet_submit(&fleet, left, upsert_of(region(left), "c", 500, 1), ACK_CONFIRMED, 5000);
	ck_assert_int_eq(done.reached, ACK_CONFIRMED);
	/* The lost ones are more than it, and nothing. */
	fleet_start(&fleet, a);
	fleet_start(&fleet, b);
	fleet_wait(&fleet, is_barred, a);
	fleet_wait(&fleet, is_barred, b);
	ck_assert(fleet_writes(&fleet, left));
	fleet_check_equal(&fleet, left);
}
END_TEST

START_TEST(orders_of_another_fleet_or_version_are_refused_by_name)
{
	uint32_t writer = begin();
	CLEANUP(buf_release) struct buf order = BUF_INIT(1024);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1024);
	const struct stand_order o = { .fleet = 1, .for_ms = 1000 };
	struct fault f = { 0 };

	ck_assert_int_eq(stand_order_encode(&o, &order), ERR_NONE);
	ck_assert_int_eq(replicator_stand(replicator(writer), buf_bytes(&order), &out, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "another fleet"));
	order.data[4] = 9;
	ck_assert_int_eq(replicator_stand(replicator(writer), buf_bytes(&order), &out, &f), ERR_VERSION);
	ck_assert_ptr_nonnull(strstr(f.text, "version 9"));
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_primary_that_lives_is_not_failed_over,
		the_region_that_is_named_becomes_the_primary_and_says_what_is_lost,
		without_a_majority_it_is_said_who_is_missing_and_what_is_left_to_do,
		orders_of_another_fleet_or_version_are_refused_by_name,
	};
	Suite *s = suite_create("replicator_failover");
	TCase *t = tcase_create("whole regions");

	tcase_add_checked_fixture(t, NULL, tear_down);
	tcase_set_timeout(t, 120);
	for (size_t i = 0; i < LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
