/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region's history becomes another's: copied by whoever is to begin an epoch.
 */
#include "tests/replicator/follow_bed.h"

static void set_up(void)
{
	bed_begin();
}

static void tear_down(void)
{
	bed_free();
}

static enum err copy(uint32_t to, uint32_t from, struct position upto, struct fault *f)
{
	*f = (struct fault){ 0 };
	return applier_copy(bed[to].applier, (uint8_t)(from + 1), upto, f);
}

/* --- copying --- */

START_TEST(a_copy_that_is_not_possible_changes_nothing_and_says_why)
{
	struct position upto = bed_position(0);
	struct fault f;

	bed_deliver_well(0, 1, 4);
	struct position at = bed_position(1);
	ck_assert_int_eq(bed_promise(1, epoch_make(2, 2)), ERR_NONE);
	/* Beyond what that region has; in an epoch that it does not know. */
	ck_assert_int_eq(copy(1, 0, (struct position){ upto.epoch, upto.seq + 1 }, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "does not have that position"));
	ck_assert_int_eq(copy(1, 0, (struct position){ epoch_make(2, 1), 1 }, &f), ERR_UNAVAILABLE);
	/* Behind this region. */
	ck_assert_int_eq(copy(1, 0, (struct position){ at.epoch, at.seq - 1 }, &f), ERR_FORK);
	ck_assert_ptr_nonnull(strstr(f.text, "stands beyond it"));
	atomic_store(&bed[0].up, false);
	ck_assert_int_eq(copy(1, 0, upto, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "down"));
	ck_assert_int_eq(position_compare(bed_position(1), at), 0);
	/* It can be done again. */
	atomic_store(&bed[0].up, true);
	ck_assert_msg(!copy(1, 0, upto, &f), "%s", f.text);
	bed_check_equal(0, 1);
	applier_stop(bed[2].applier);
	ck_assert_int_eq(copy(2, 0, upto, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "being stopped"));
}
END_TEST

START_TEST(where_the_region_stands_already_nobody_is_asked)
{
	struct fault f;

	bed_deliver_well(0, 1, UINT64_MAX);
	atomic_store(&bed[0].up, false);
	ck_assert_int_eq(copy(1, 0, bed_position(1), &f), ERR_NONE);
	ck_assert_int_eq(copy(2, 0, (struct position){ 0 }, &f), ERR_NONE);
	ck_assert_uint_eq(atomic_load(&bed[0].chains), 0);
}
END_TEST

START_TEST(a_promised_region_copies_to_the_very_op_and_not_beyond_it)
{
	struct fault f;

	bed_write_some(0, 20, 100);
	struct position end = bed_position(0);
	ck_assert_int_eq(bed_promise(1, epoch_make(2, 2)), ERR_NONE);
	for (uint64_t seq = 1; seq < end.seq; seq += 4) {
		struct position upto = { end.epoch, seq };
		ck_assert_msg(!copy(1, 0, upto, &f), "%s", f.text);
		ck_assert_int_eq(position_compare(bed_position(1), upto), 0);
	}
	ck_assert_msg(!copy(1, 0, end, &f), "%s", f.text);
	bed_check_equal(0, 1);
	ck_assert_uint_gt(atomic_load(&bed[0].logs), 2);
	ck_assert_uint_eq(bed_orphans(1), 0);
	ck_assert_msg(!committer_begin_promised(bed[1].r.committer, epoch_make(2, 2), &f), "%s", f.text);
	bed_write_some(1, 3, 200);
}
END_TEST

START_TEST(a_copy_takes_back_first_what_the_other_history_does_not_have)
{
	struct fault f;

	bed_deliver_well(0, 1, UINT64_MAX);
	bed_write_some(0, 7, 100);   /* nobody has these */
	bed_elect(1, 2, 2);
	bed_write_some(1, 5, 200);
	ck_assert_int_eq(bed_promise(0, epoch_make(3, 1)), ERR_NONE);
	ck_assert_msg(!copy(0, 1, bed_position(1), &f), "%s", f.text);
	bed_check_equal(0, 1);
	ck_assert_uint_eq(bed_orphans(0), 7);
	ck_assert_msg(!committer_begin_promised(bed[0].r.committer, epoch_make(3, 1), &f), "%s", f.text);
	ck_assert_int_eq(payload_number(&bed[0].r, "c", 1, "n"), 200);
}
END_TEST

/* Region 2 promises region 3 an epoch while it copies for its own. */
static void promise_another(struct bed_region *asked)
{
	if (atomic_load(&asked->logs) == 2)
		ck_assert_int_eq(bed_promise(1, epoch_make(3, 3)), ERR_NONE);
}

START_TEST(whoever_promises_another_epoch_meanwhile_copies_no_further)
{
	struct fault f;

	bed_write_some(0, 20, 100);
	ck_assert_int_eq(bed_promise(1, epoch_make(2, 2)), ERR_NONE);
	bed[0].on_log = promise_another;
	ck_assert_int_eq(copy(1, 0, bed_position(0), &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "promised"));
	ck_assert_uint_eq(atomic_load(&bed[0].logs), 2);
	ck_assert_int_lt(position_compare(bed_position(1), bed_position(0)), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("applier_follow");
	TCase *t = tcase_create("copy");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_copy_that_is_not_possible_changes_nothing_and_says_why);
	tcase_add_test(t, where_the_region_stands_already_nobody_is_asked);
	tcase_add_test(t, a_promised_region_copies_to_the_very_op_and_not_beyond_it);
	tcase_add_test(t, a_copy_takes_back_first_what_the_other_history_does_not_have);
	tcase_add_test(t, whoever_promises_another_epoch_meanwhile_copies_no_further);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
