/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The voter: what it promises, grants and refuses, and what it remembers.
 */
#include "tests/replicator/lease_bed.h"

static struct bed bed;

/* Region 1 is a witness here, so that it never stands itself. */
static void set_up(void)
{
	bed_init(&bed, "WDDD");
}

static void tear_down(void)
{
	bed_release(&bed);
}

/* A promise asked and stored. */
static void promise(uint8_t region, uint64_t epoch)
{
	ck_assert_int_eq(bed_ask(&bed, region, LEASE_PROMISE, epoch), -1);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert_int_eq(bed_reply(&bed, region, LEASE_PROMISE).answer, LEASE_ANSWER_YES);
}

static void restart(void)
{
	static struct lease_record record;

	record = bed.stored;
	lease_free(bed.lease);
	bed.storing = false;
	bed_start(&bed, &record, NULL);
}

/* --- rule 15: poll --- */

START_TEST(a_poll_changes_nothing)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
		ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_YES);
		ck_assert(!bed.storing || bed.promise == 0);
	}
	ck_assert_uint_eq(lease_promised(bed.lease), 0);
}
END_TEST

/* --- rule 5: promise --- */

START_TEST(a_promise_is_told_only_when_it_is_stored)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	ck_assert(bed.storing);
	ck_assert_uint_eq(bed.promise, 0x202);
	ck_assert_uint_eq(bed.stored.epoch, 0x202);
	ck_assert_uint_eq(bed.stored.holder, 2);
	bed_store(&bed, true, (struct position){ 0x102, 6 });
	const struct lease_item *a = bed_sent(&bed, 2, LEASE_PROMISE);
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(a->answer, LEASE_ANSWER_YES);
	/* The position of the promise's transaction, not that of when it was asked. */
	ck_assert_uint_eq(a->position.seq, 6);
	ck_assert_uint_eq(lease_promised(bed.lease), 0x202);
}
END_TEST

START_TEST(a_promise_that_could_not_be_stored_is_none)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	bed_store(&bed, false, (struct position){ 0 });
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_PROMISE).answer, LEASE_ANSWER_FAILED);
	ck_assert_uint_eq(lease_promised(bed.lease), 0);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_UNPROMISED);
}
END_TEST

START_TEST(while_a_promise_is_being_stored_no_other_is_made)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), LEASE_ANSWER_BUSY);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_BUSY);
}
END_TEST

START_TEST(only_a_higher_epoch_is_promised)
{
	promise(2, 0x502);
	bed_pass(&bed, 10000);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x403), LEASE_ANSWER_PROMISED);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x503), -1);
}
END_TEST

START_TEST(an_epoch_of_the_log_counts_as_promised)
{
	struct lease_here here = { .position = { 0x503, 1 }, .epoch = 0x503 };

	lease_set_here(bed.lease, bed.now, &here, &bed.out);
	ck_assert_uint_eq(lease_promised(bed.lease), 0x503);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x402), LEASE_ANSWER_PROMISED);
	/* It follows that epoch, so its holder may be granted it without another promise. */
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_GRANT, 0x503), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(a_log_that_went_beyond_while_a_promise_was_stored_outdoes_it)
{
	struct lease_here here = { .position = { 0x603, 1 }, .epoch = 0x603 };

	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x502), -1);
	lease_set_here(bed.lease, bed.now, &here, &bed.out);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_PROMISE).answer, LEASE_ANSWER_PROMISED);
	ck_assert_uint_eq(lease_promised(bed.lease), 0x603);
}
END_TEST

START_TEST(a_lost_answer_is_told_again_with_the_same_position)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	bed_store(&bed, true, (struct position){ 0x102, 6 });
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), LEASE_ANSWER_YES);
	ck_assert_uint_eq(bed_reply(&bed, 2, LEASE_PROMISE).position.seq, 6);
}
END_TEST

/* --- rule 14 --- */

START_TEST(an_epoch_belongs_to_the_region_in_its_low_byte)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x203), LEASE_ANSWER_OVER);
	promise(3, 0x203);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x203), LEASE_ANSWER_OVER);
}
END_TEST

START_TEST(an_epoch_too_far_ahead_is_refused)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, epoch_make(EPOCH_JUMP_MAX + 1, 2)), LEASE_ANSWER_JUMP);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, epoch_make(EPOCH_JUMP_MAX, 2)), -1);
}
END_TEST

/* --- binding --- */

START_TEST(a_voter_is_bound_for_wait_from_its_grant)
{
	promise(2, 0x202);
	bed_pass(&bed, 300);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	bed_pass(&bed, bed.options.config.wait_ms - 1);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	ck_assert_uint_eq(bed_reply(&bed, 3, LEASE_POLL).remaining_ms, 1);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), LEASE_ANSWER_HELD);
	bed_pass(&bed, 1);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), -1);
}
END_TEST

START_TEST(only_what_was_promised_is_granted)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_UNPROMISED);
	promise(2, 0x202);
	bed_pass(&bed, 10000);
	promise(3, 0x303);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_PROMISED);
	ck_assert_uint_eq(bed_reply(&bed, 2, LEASE_GRANT).promised, 0x303);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_GRANT, 0x303), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(a_renewal_is_refused_while_a_promise_to_another_is_stored)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	bed_pass(&bed, bed.options.config.wait_ms);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), -1);
	/* It may be on the disk already. */
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_BUSY);
}
END_TEST

START_TEST(abandoning_frees_the_voter_at_once)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	bed_hear(&bed, 3, bed_item(LEASE_ABANDON, 0x202)); /* not theirs */
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	bed_hear(&bed, 2, bed_item(LEASE_ABANDON, 0x202));
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_OVER);
}
END_TEST

START_TEST(an_abandoned_epoch_is_not_promised_when_the_question_comes_late)
{
	bed_hear(&bed, 2, bed_item(LEASE_ABANDON, 0x202));
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), LEASE_ANSWER_OVER);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x302), -1);
}
END_TEST

/* --- rule 16 --- */

START_TEST(a_holder_may_ask_for_a_higher_epoch_without_waiting_for_itself)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x302), -1);
}
END_TEST

START_TEST(a_promise_whose_epoch_does_not_begin_is_told_once)
{
	promise(2, 0x202);
	bed_pass(&bed, 2 * bed.options.config.wait_ms - 1);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_PROMISE_STUCK));
	bed_pass(&bed, 1);
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_PROMISE_STUCK));
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_PROMISE_STUCK));
}
END_TEST

/* --- rule 17 --- */

START_TEST(a_restarted_voter_renews_what_it_promised_and_lets_others_wait)
{
	promise(2, 0x202);
	bed_pass(&bed, 100000);
	restart();
	ck_assert_uint_eq(lease_promised(bed.lease), 0x202);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	restart();
	bed_pass(&bed, bed.options.config.wait_ms);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x303), -1);
}
END_TEST

START_TEST(a_restarted_voter_waits_for_the_epoch_of_its_log_too)
{
	struct lease_here here = { .position = { 0x302, 9 }, .epoch = 0x302 };

	promise(3, 0x203);
	bed.options.here = here;
	restart();
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_PROMISE, 0x403), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x302), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(a_later_start_of_the_holder_need_not_wait_for_its_earlier_one)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	bed.others[2].boots++;
	bed.others[2].nonce++;
	struct lease_item m = bed_item(LEASE_PROMISE, 0x302);
	m.promised = 0x202;
	/* It never goes on in an epoch of the earlier start (rule 2). */
	ck_assert_int_eq(bed_ask_item(&bed, 2, bed_item(LEASE_GRANT, 0x202)), LEASE_ANSWER_OVER);
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	ck_assert(bed.storing);
}
END_TEST

/* --- rule 18 --- */

START_TEST(a_release_lets_its_target_go_first)
{
	struct lease_item m = bed_item(LEASE_RELEASE, 0x202);

	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	m.target = 3;
	m.position = (struct position){ 0x202, 50 };
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 4, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_YES);
	/* But not for long. */
	bed_pass(&bed, 2 * bed.options.config.step_ms);
	ck_assert_int_eq(bed_ask(&bed, 4, LEASE_POLL, 0), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(a_released_epoch_is_not_granted_again)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_RELEASE, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 4, LEASE_POLL, 0), LEASE_ANSWER_YES);
	/* A renewal that was sent before and comes after. */
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_OVER);
	ck_assert_int_eq(bed_ask(&bed, 4, LEASE_POLL, 0), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(only_the_holder_releases)
{
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_RELEASE, 0x202), -1);
	ck_assert_int_eq(bed_ask(&bed, 4, LEASE_POLL, 0), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(an_old_release_binds_nobody)
{
	struct lease_item m = bed_item(LEASE_RELEASE, 0x202);

	promise(2, 0x202);
	bed_pass(&bed, 10000);
	promise(3, 0x303);
	bed_pass(&bed, 10000);
	m.target = 4;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_YES);
}
END_TEST

/* --- rules 11, 25 --- */

START_TEST(only_a_fit_data_region_of_the_list_may_stand)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	m.flags = LEASE_ITEM_DATA;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_UNFIT);
	m.flags = LEASE_ITEM_FIT;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_UNFIT);
	m.flags = LEASE_ITEM_DATA | LEASE_ITEM_FIT;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	/* One that says it holds data is a witness in the list all the same. */
	bed_release(&bed);
	bed_init(&bed, "DWDD");
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_UNFIT);
}
END_TEST

START_TEST(a_region_whose_clock_is_surely_ahead_is_refused)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	/* 80 % of 500 ms; a late message makes it look less ahead, never more. */
	lease_receive(bed.lease, bed.now, &bed.others[2], bed.now.wall_ms + 399, &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_YES);
	lease_receive(bed.lease, bed.now, &bed.others[2], bed.now.wall_ms + 400, &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_CLOCK);
	lease_receive(bed.lease, bed.now, &bed.others[2], bed.now.wall_ms - 60000, &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_YES);
	/* A year ahead, and a clock that can show anything. */
	lease_receive(bed.lease, bed.now, &bed.others[2], bed.now.wall_ms + UINT64_C(31557600000), &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_CLOCK);
	lease_receive(bed.lease, bed.now, &bed.others[2], INT64_MAX, &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_CLOCK);
	lease_receive(bed.lease, bed.now, &bed.others[2], UINT64_MAX, &m, &bed.out);
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_POLL).answer, LEASE_ANSWER_CLOCK);
}
END_TEST

/* --- rule 9 --- */

START_TEST(another_store_of_a_region_has_no_vote)
{
	bed.others[2].store_id[0] ^= 1;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_NO_MEMBER);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), LEASE_ANSWER_NO_MEMBER);
	ck_assert_int_eq(bed_ask(&bed, 9, LEASE_POLL, 0), LEASE_ANSWER_NO_MEMBER);
	ck_assert(!bed.storing || bed.promise == 0);
}
END_TEST

START_TEST(a_start_seen_with_another_nonce_is_a_store_put_back)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
	bed.others[2].nonce++;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_ROLLED_BACK);
	ck_assert(bed_told(&bed, LEASE_EVENT_ROLLED_BACK));
	bed.others[2].boots--;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), LEASE_ANSWER_ROLLED_BACK);
	ck_assert(!bed_told(&bed, LEASE_EVENT_ROLLED_BACK)); /* once is enough */
}
END_TEST

START_TEST(a_later_start_that_has_forgotten_its_promises_is_a_store_put_back)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	m.promised = 0x703;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	bed.others[2].boots++;
	bed.others[2].nonce++;
	m.promised = 0x702;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_ROLLED_BACK);
	m.promised = 0x703;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(which_starts_were_seen_survives_a_restart)
{
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
	bed_tick(&bed);
	ck_assert(bed.storing);
	bed_store(&bed, true, (struct position){ 0 });
	restart();
	bed.others[2].nonce++;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_ROLLED_BACK);
}
END_TEST

/* --- rule 10 --- */

START_TEST(who_has_an_older_list_is_refused_and_told_the_newer)
{
	struct lease_item m = bed_item(LEASE_PROMISE, 0x202);

	m.list_number = 0;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_OLD_LIST);
	const struct lease_item *a = bed_sent(&bed, 2, LEASE_PROMISE);
	ck_assert_ptr_nonnull(a->list);
	ck_assert_uint_eq(a->list->number, 1);
	m = bed_item(LEASE_GRANT, 0x202);
	m.list_number = 0;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_OLD_LIST);
}
END_TEST

static struct voter_list five(uint64_t number, uint64_t epoch)
{
	struct voter_list l = bed_list(number, "WDDDD");

	l.epoch = epoch;
	return l;
}

START_TEST(a_pending_list_is_taken_only_from_the_holder_that_was_promised)
{
	struct voter_list next = five(2, 0x202);
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	m.pending = &next;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_UNPROMISED);
	promise(2, 0x202);
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), LEASE_ANSWER_UNPROMISED);
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	ck_assert(bed.storing);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert_int_eq(bed_reply(&bed, 2, LEASE_LIST).answer, LEASE_ANSWER_YES);
	ck_assert(voters_equal(&bed.stored.pending, &next));
	/* Not in effect yet: nobody but the holder knows whether a majority has it. */
	ck_assert_uint_eq(lease_voters(bed.lease)->number, 1);
	/* And any answer from here on tells of it. */
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	ck_assert_ptr_nonnull(bed_reply(&bed, 2, LEASE_GRANT).pending);
}
END_TEST

START_TEST(a_pending_list_of_a_later_holder_takes_the_place_of_an_earlier_one)
{
	struct voter_list next = five(2, 0x202), other = five(2, 0x303);
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	promise(2, 0x202);
	m.pending = &next;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	bed_pass(&bed, 10000);
	promise(3, 0x303);
	m.epoch = 0x303;
	m.pending = &next; /* stamped by the earlier holder */
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), LEASE_ANSWER_YES);
	m.pending = &other;
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert_uint_eq(bed.stored.pending.epoch, 0x303);
}
END_TEST

START_TEST(a_pending_list_that_a_later_holder_has_not_met_is_dropped)
{
	struct voter_list next = five(2, 0x202), now = bed_list(1, "WDDD");
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	promise(2, 0x202);
	m.pending = &next;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	bed_pass(&bed, 10000);
	promise(3, 0x303);
	m.epoch = 0x303;
	m.list = &now;
	m.pending = NULL;
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert_uint_eq(bed.stored.pending.count, 0);
}
END_TEST

START_TEST(a_list_that_changes_two_members_is_not_taken)
{
	struct voter_list next = bed_list(2, "WDDDDD");
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	promise(2, 0x202);
	next.epoch = 0x202;
	m.pending = &next;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_OLD_LIST);
	ck_assert(!bed.storing);
}
END_TEST

START_TEST(a_list_in_effect_is_taken_over_and_ends_the_pending_one)
{
	struct voter_list next = five(2, 0x202);
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	promise(2, 0x202);
	m.pending = &next;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	m.list = &next;
	m.list_number = 2;
	m.pending = NULL;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	ck_assert(bed_told(&bed, LEASE_EVENT_LIST_IN_EFFECT));
	ck_assert_uint_eq(lease_voters(bed.lease)->number, 2);
	ck_assert_uint_eq(bed.stored.pending.count, 0);
	/* Its new member votes and stands like the others. */
	m = bed_item(LEASE_POLL, 0);
	m.list_number = 2;
	bed_hear(&bed, 2, bed_item(LEASE_ABANDON, 0x202));
	ck_assert_int_eq(bed_ask_item(&bed, 5, m), LEASE_ANSWER_YES);
}
END_TEST

START_TEST(a_region_that_is_taken_out_says_so)
{
	struct voter_list next = { .number = 2, .epoch = 0x202, .count = 3 };
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	for (uint32_t i = 0; i < 3; i++)
		next.members[i] = bed_list(1, "WDDD").members[i + 1];
	promise(2, 0x202);
	m.list = &next;
	m.list_number = 2;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_EXCLUDED));
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_EXCLUDED));
}
END_TEST

START_TEST(a_holder_that_was_taken_out_still_lets_go)
{
	struct voter_list next = { .number = 2, .epoch = 0x202, .count = 3 }, now = bed_list(1, "WDDD");
	struct lease_item m = bed_item(LEASE_LIST, 0x202);

	next.members[0] = now.members[0];
	next.members[1] = now.members[2];
	next.members[2] = now.members[3];
	promise(2, 0x202);
	m.list = &next;
	m.list_number = 2;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), -1);
	bed_store(&bed, true, (struct position){ 0 });
	m = bed_item(LEASE_POLL, 0);
	m.list_number = 2;
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), LEASE_ANSWER_HELD);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_NO_MEMBER);
	/* Another store of that region may not speak for it. */
	bed.others[2].store_id[0] ^= 1;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_RELEASE, 0x202), LEASE_ANSWER_NO_MEMBER);
	bed.others[2].store_id[0] ^= 1;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_RELEASE, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(bed_ask_item(&bed, 3, m), LEASE_ANSWER_YES);
}
END_TEST

/* --- rule 19 --- */

START_TEST(how_far_a_holder_was_survives_the_restart_of_a_witness)
{
	struct lease_item m = bed_item(LEASE_GRANT, 0x202);

	promise(2, 0x202);
	m.position = (struct position){ 0x202, 70 };
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	bed_pass(&bed, bed.options.config.max_loss_ms / 4);
	bed_tick(&bed);
	ck_assert(bed.storing);
	bed_store(&bed, true, (struct position){ 0 });
	restart();
	bed_pass(&bed, 10000);
	ck_assert_int_eq(bed_ask(&bed, 3, LEASE_POLL, 0), LEASE_ANSWER_YES);
	ck_assert_uint_eq(bed_reply(&bed, 3, LEASE_POLL).renewed.position.seq, 70);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_voter");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_poll_changes_nothing);
	tcase_add_test(t, a_promise_is_told_only_when_it_is_stored);
	tcase_add_test(t, a_promise_that_could_not_be_stored_is_none);
	tcase_add_test(t, while_a_promise_is_being_stored_no_other_is_made);
	tcase_add_test(t, only_a_higher_epoch_is_promised);
	tcase_add_test(t, an_epoch_of_the_log_counts_as_promised);
	tcase_add_test(t, a_log_that_went_beyond_while_a_promise_was_stored_outdoes_it);
	tcase_add_test(t, a_lost_answer_is_told_again_with_the_same_position);
	tcase_add_test(t, an_epoch_belongs_to_the_region_in_its_low_byte);
	tcase_add_test(t, an_epoch_too_far_ahead_is_refused);
	tcase_add_test(t, a_voter_is_bound_for_wait_from_its_grant);
	tcase_add_test(t, only_what_was_promised_is_granted);
	tcase_add_test(t, a_renewal_is_refused_while_a_promise_to_another_is_stored);
	tcase_add_test(t, abandoning_frees_the_voter_at_once);
	tcase_add_test(t, an_abandoned_epoch_is_not_promised_when_the_question_comes_late);
	tcase_add_test(t, a_holder_may_ask_for_a_higher_epoch_without_waiting_for_itself);
	tcase_add_test(t, a_promise_whose_epoch_does_not_begin_is_told_once);
	tcase_add_test(t, a_restarted_voter_renews_what_it_promised_and_lets_others_wait);
	tcase_add_test(t, a_restarted_voter_waits_for_the_epoch_of_its_log_too);
	tcase_add_test(t, a_later_start_of_the_holder_need_not_wait_for_its_earlier_one);
	tcase_add_test(t, a_release_lets_its_target_go_first);
	tcase_add_test(t, a_released_epoch_is_not_granted_again);
	tcase_add_test(t, only_the_holder_releases);
	tcase_add_test(t, an_old_release_binds_nobody);
	tcase_add_test(t, only_a_fit_data_region_of_the_list_may_stand);
	tcase_add_test(t, a_region_whose_clock_is_surely_ahead_is_refused);
	tcase_add_test(t, another_store_of_a_region_has_no_vote);
	tcase_add_test(t, a_start_seen_with_another_nonce_is_a_store_put_back);
	tcase_add_test(t, a_later_start_that_has_forgotten_its_promises_is_a_store_put_back);
	tcase_add_test(t, which_starts_were_seen_survives_a_restart);
	tcase_add_test(t, who_has_an_older_list_is_refused_and_told_the_newer);
	tcase_add_test(t, a_pending_list_is_taken_only_from_the_holder_that_was_promised);
	tcase_add_test(t, a_pending_list_of_a_later_holder_takes_the_place_of_an_earlier_one);
	tcase_add_test(t, a_pending_list_that_a_later_holder_has_not_met_is_dropped);
	tcase_add_test(t, a_list_that_changes_two_members_is_not_taken);
	tcase_add_test(t, a_list_in_effect_is_taken_over_and_ends_the_pending_one);
	tcase_add_test(t, a_region_that_is_taken_out_says_so);
	tcase_add_test(t, a_holder_that_was_taken_out_still_lets_go);
	tcase_add_test(t, how_far_a_holder_was_survives_the_restart_of_a_witness);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
