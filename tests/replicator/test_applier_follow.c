/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region's history becomes another's: copied by whoever is to begin an epoch, followed by whoever was away, whatever it holds
 * itself; in the end all hold the same to the byte.
 */
#include "tests/replicator/follow_bed.h"

static void set_up(void)
{
	bed_begin(3);
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

	ck_assert_msg(!copy(1, 0, (struct position){ upto.epoch, 4 }, &f), "%s", f.text);
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

	bed_deliver(0, 1);
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

	bed_deliver(0, 1);
	bed_write_some(0, 7, 100);   /* nobody has these */
	bed_elect(1, 1u << 1 | 1u << 2, 2);
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

/* --- following --- */

#define SET(a, b) (1u << (a) | 1u << (b))

static void set_up_five(void)
{
	bed_begin(5);
}

/* Nothing of what is here changes. */
static void check_stays(uint32_t region, struct position at, uint64_t rows)
{
	ck_assert_int_eq(position_compare(bed_position(region), at), 0);
	ck_assert_uint_eq(bed_rows(region), rows);
}

START_TEST(a_history_that_is_not_newer_takes_nothing_back)
{
	/* Region 2 begins epoch 2 alone with region 3's promise, and is cut off; region 1 begins epoch 3. */
	bed_set_up(0, false);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(0, true);
	bed_elect(0, SET(0, 2), 3);
	bed_set_up(1, false);
	bed_check_level(0);
	bed_write_some(0, 5, 100);
	bed_check_level(0);
	struct position at = bed_position(0);
	uint64_t rows = bed_rows(0);
	/* Whoever says that it stands in a newer epoch is asked, and believed only what its history says. */
	applier_stop(bed[1].applier);
	bed_set_up(1, true);
	struct heartbeat h = {
		.fleet = BED_FLEET, .region = 2, .position = { epoch_make(9, 2), 1 }, .wall_ms = UINT64_C(1) << 40
	};
	for (uint32_t i = 0; i < 3; i += 2)
		ck_assert(peers_beat(bed[i].peers, &h));
	bed_pass();
	ck_assert_uint_gt(atomic_load(&bed[1].chains), 0);
	check_stays(0, at, rows);
	check_stays(2, at, rows);
	ck_assert(region_state(&bed[0].r).writing);
	ck_assert(!bed_is_aside(0) && !bed_is_aside(2));
}
END_TEST

START_TEST(a_history_older_than_the_promise_is_not_followed)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 3, 100);
	ck_assert_int_eq(bed_promise(0, epoch_make(5, 3)), ERR_NONE);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(0, true);
	struct position at = bed_position(0);
	uint64_t rows = bed_rows(0);
	bed_pass();
	check_stays(0, at, rows);
	ck_assert_uint_eq(bed_orphans(0), 0);
	/* The holder meets that promise and begins anew above it. */
	bed_elect(1, SET(1, 2), 6);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(0), 3);
}
END_TEST

static bool has_taken_back(uint32_t region)
{
	return bed_orphans(region) > 0;
}

START_TEST(a_returning_primary_takes_back_what_nobody_else_has)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 7, 100);
	bed_elect(1, SET(1, 2), 2);
	bed_write_some(1, 4, 200);
	/* Should nobody of that epoch be left now, it may stand for the next one. */
	atomic_store(&bed[1].no_log, true);
	bed_set_up(0, true);
	bed_wait(has_taken_back, 0);
	bed_pass();
	ck_assert(bed_state(0).aside && !bed_state(0).stopped);
	ck_assert_ptr_nonnull(strstr(bed_state(0).trouble.text, "outside the history of epoch 514"));
	atomic_store(&bed[1].no_log, false);
	bed_check_level(1);
	ck_assert(!bed_state(0).aside);
	ck_assert(!region_state(&bed[0].r).writing);
	ck_assert_uint_eq(bed_orphans(0), 7);
	ck_assert_uint_eq(bed_orphans(1) + bed_orphans(2), 0);
	ck_assert_int_eq(payload_number(&bed[0].r, "c", 1, "n"), 200);
	ck_assert_int_eq(payload_number(&bed[0].r, "c", 5, "n"), 0);
	/* And follows from then on. */
	bed_write_some(1, 4, 300);
	bed_check_level(1);
}
END_TEST

/* It slept, heard nothing, and took from the old primary's stream what only that one had. */
START_TEST(a_secondary_takes_back_what_only_the_old_primary_had)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_set_up(3, false);
	bed_write_some(0, 6, 100);
	bed_deliver(0, 3);
	bed_write_some(0, 2, 150);
	bed_elect(1, SET(1, 2) | 1u << 4, 2);
	bed_write_some(1, 4, 200);
	bed_check_level(1);
	bed_set_up(3, true);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(3), 6);
	bed_set_up(0, true);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(0), 8);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(payload_number(&bed[i].r, "c", 5, "n"), 0);
}
END_TEST

/* Figure 8 of Raft: an op that region 3 took as history of epoch 3, which was lost itself, goes again. */
START_TEST(what_came_as_the_history_of_a_lost_epoch_is_taken_back)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 2, 100);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(1, false);
	bed_set_up(0, true);
	struct position inherited = bed_position(0);
	bed_elect(0, SET(0, 2), 3);
	bed_set_up(0, false);
	struct fault f;
	ck_assert_int_eq(copy(2, 0, inherited, &f), ERR_UNAVAILABLE);
	bed_set_up(0, true);
	ck_assert_msg(!copy(2, 0, inherited, &f), "%s", f.text);
	bed_set_up(0, false);
	bed_set_up(1, true);
	bed_elect(1, SET(1, 2), 4);
	bed_write_some(1, 3, 200);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(2), 2);
	bed_set_up(0, true);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(0), 2);
}
END_TEST

/* Region 1 alone has two ops and the start of epoch 3, region 2 alone the start of epoch 2, region 3 has promised both. */
static void two_failovers(void)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 2, 100);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(1, false);
	bed_set_up(0, true);
	bed_elect(0, SET(0, 2), 3);
	bed_set_up(0, false);
	bed_set_up(2, false);
}

START_TEST(after_two_failovers_all_orders_of_return_end_equal)
{
	static const uint32_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	const uint32_t *o = orders[_i];

	two_failovers();
	bed_set_up(o[0], true);
	bed_set_up(o[1], true);
	bed_elect(o[1], SET(o[0], o[1]), 4);
	bed_write_some(o[1], 3, 200);
	bed_check_level(o[1]);
	bed_write_some(o[1], 1, 300);
	bed_set_up(o[2], true);
	bed_check_level(o[1]);
	/* The two ops are in the history wherever region 1 took part, and orphans where it did not: never both. */
	bool survived = o[2] != 0;
	ck_assert_int_eq(payload_number(&bed[1].r, "c", 2, "n"), 201);
	ck_assert_uint_eq(bed_orphans(0), survived ? 0 : 2);
	ck_assert_uint_eq(bed_orphans(1) + bed_orphans(2), 0);
}
END_TEST

/* --- a region that slept --- */

#define OLD_MESSAGES_MAX 64
static struct {
	uint32_t from;
	struct buf payload;
} old[OLD_MESSAGES_MAX];
static uint32_t old_count;

static void keep_message(uint32_t from, struct position after)
{
	ck_assert_uint_lt(old_count, OLD_MESSAGES_MAX);
	old[old_count].from = from;
	buf_init(&old[old_count].payload, STREAM_PAYLOAD_BYTES_MAX);
	bed_message(from, after, &old[old_count].payload);
	old_count++;
}

/* Regions 1 and 2 take turns; before each failover the holder writes what all have, and then what nobody else has. Region 5 sleeps.
 * All messages are kept, as streams do. */
static void live_through(uint32_t epochs)
{
	bed_set_up(4, false);
	for (uint32_t n = 0; n < epochs; n++) {
		uint32_t holder = n % 2;
		struct position at = bed_position(holder);
		bed_write_some(holder, 4, 1000 * (n + 1));
		bed_check_level(holder);
		bed_set_up(holder, false);
		bed_write_some(holder, 3, 1000 * (n + 1) + 500);
		keep_message(holder, at);
		bed_elect(1 - holder, 1u << (1 - holder) | SET(2, 3), n + 2);
		keep_message(1 - holder, (struct position){ region_state(&bed[1 - holder].r).epoch, 0 });
		bed_set_up(holder, true);
		bed_check_level(1 - holder);
	}
}

static void free_old(void)
{
	while (old_count > 0)
		buf_release(&old[--old_count].payload);
}

START_TEST(a_region_that_slept_through_epochs_is_fed_by_old_streams_then_by_peers)
{
	static const uint32_t epochs[] = { 1, 2, 5 };
	uint32_t n = epochs[_i];

	bed_check_level(0);
	live_through(n);
	/* It hears nobody yet: what the first holder alone had is taken, too. */
	ck_assert(bed_deliver_message(old[0].from, 4, &old[0].payload));
	ck_assert_uint_gt(bed_position(4).seq, 11);
	bed_set_up(4, true);
	bed_check_level(n % 2);
	ck_assert_uint_eq(bed_orphans(4), 3);
	struct position at = bed_position(4);
	uint64_t rows = bed_rows(4);
	/* Streams deliver all of it for days. */
	for (unsigned twice = 0; twice < 2; twice++)
		for (uint32_t i = 0; i < old_count; i++)
			ck_assert(bed_deliver_message(old[i].from, 4, &old[i].payload));
	bed_pass();
	check_stays(4, at, rows);
	ck_assert(!bed_state(4).stopped);
	free_old();
}
END_TEST

static bool was_asked_for_its_history(uint32_t region)
{
	return atomic_load(&bed[region].chains) > 0;
}

/* Region 5 was shown epoch 2; all that it gets is what the old primary's stream still has. */
START_TEST(of_an_old_stream_only_what_the_shown_history_has_is_taken)
{
	bed_check_level(0);
	bed_set_up(4, false);
	struct position at = bed_position(0);
	bed_write_some(0, 4, 100);
	struct position end = bed_position(0);
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 3, 500);
	keep_message(0, at);
	keep_message(0, end);
	bed_elect(1, 1u << 1 | SET(2, 3), 2);
	for (uint32_t i = 0; i < 4; i++)
		atomic_store(&bed[i].no_log, true);
	bed_set_up(4, true);
	bed_wait(was_asked_for_its_history, 1);
	bed_pass();
	check_stays(4, at, bed_rows(4));
	ck_assert(bed_deliver_message(0, 4, &old[0].payload));
	ck_assert_int_eq(position_compare(bed_position(4), end), 0);
	ck_assert(bed_deliver_message(0, 4, &old[1].payload));
	ck_assert_int_eq(position_compare(bed_position(4), end), 0);
	for (uint32_t i = 0; i < 4; i++)
		atomic_store(&bed[i].no_log, false);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(4), 0);
	free_old();
}
END_TEST

/* The start of epoch 2 stays in its stream until this region can ask for the history that leaves out what it has. */
START_TEST(a_stream_whose_epoch_leaves_out_what_is_here_waits_without_alarm)
{
	bed_check_level(0);
	live_through(1);
	for (uint32_t i = 0; i < 4; i++)
		bed_set_up(i, false);
	ck_assert(bed_deliver_message(old[0].from, 4, &old[0].payload));
	struct position at = bed_position(4);
	uint64_t rows = bed_rows(4);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(!bed_deliver_message(old[1].from, 4, &old[1].payload));
	bed_pass();
	check_stays(4, at, rows);
	ck_assert(!bed_state(4).stopped);
	for (uint32_t i = 0; i < 5; i++)
		bed_set_up(i, true);
	bed_check_level(1);
	ck_assert(bed_deliver_message(old[1].from, 4, &old[1].payload));
	free_old();
}
END_TEST

/* --- what cannot be taken back --- */

START_TEST(a_full_orphan_store_keeps_the_region_aside_and_says_so)
{
	bed_check_level(0);
	bed_shut(&bed[0]);
	bed[0].r.options.orphan_bytes_max = 300;
	bed_open(&bed[0]);
	bed_elect(0, SET(0, 1), 2);
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 9, 100);
	bed_elect(1, SET(1, 2), 3);
	bed_write_some(1, 4, 200);
	bed_set_up(0, true);
	bed_wait(bed_is_aside, 0);
	bed_pass();
	struct applier_state s = bed_state(0);
	ck_assert(s.stopped && s.aside);
	ck_assert_int_eq(s.trouble.err, ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(s.trouble.text, "orphan store is full"));
	ck_assert_int_eq(position_compare(bed_position(1), bed_position(2)), 0);
	bed_shut(&bed[0]);
	bed[0].r.options.orphan_bytes_max = 0;
	bed_open(&bed[0]);
	bed_check_level(1);
	ck_assert_uint_eq(bed_orphans(0), 9);
}
END_TEST

static void forget_undo_records(uint32_t region)
{
	struct store *s = bed[region].r.store;
	struct bytes key, value;
	struct store_cursor *c;
	struct store_txn *t;
	uint8_t copy[64];

	for (enum err err = ERR_NONE; !err;) {
		size_t len = 0;
		ck_assert_int_eq(s->ops->begin(s, true, &t), ERR_NONE);
		ck_assert_int_eq(s->ops->cursor_open(t, STORE_UNDO, &c), ERR_NONE);
		err = s->ops->next(c, &key, &value);
		if (!err) {
			ck_assert_uint_le(key.len, sizeof(copy));
			len = key.len;
			memcpy(copy, key.data, len);
		}
		s->ops->cursor_close(c);
		if (!err)
			ck_assert_int_eq(s->ops->del(t, STORE_UNDO, (struct bytes){ copy, len }), ERR_NONE);
		ck_assert_int_eq(s->ops->commit(t, NULL), ERR_NONE);
	}
}

START_TEST(without_undo_records_a_copy_is_asked_for)
{
	bed_check_level(0);
	bed_set_up(0, false);
	ck_assert_int_eq(bed_try(0, create_of(&bed[0].r, "d", DISTANCE_DOT)), ERR_NONE);
	bed_shut(&bed[0]);
	forget_undo_records(0);
	bed_open(&bed[0]);
	bed_set_up(0, false);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(0, true);
	struct position at = bed_position(0);
	bed_wait(bed_is_aside, 0);
	bed_pass();
	ck_assert_int_eq(bed_state(0).trouble.err, ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(bed_state(0).trouble.text, "needs a copy of"));
	ck_assert_int_eq(position_compare(bed_position(0), at), 0);
}
END_TEST

START_TEST(what_is_confirmed_is_not_taken_back_for_any_history)
{
	bed_check_level(0);
	bed_set_up(0, false);
	bed_write_some(0, 3, 100);
	pthread_mutex_lock(&bed[0].lock);
	bed[0].confirmed = bed_position(0);
	pthread_mutex_unlock(&bed[0].lock);
	struct position at = bed_position(0);
	uint64_t rows = bed_rows(0);
	bed_elect(1, SET(1, 2), 2);
	bed_set_up(0, true);
	bed_wait(bed_is_aside, 0);
	bed_pass();
	ck_assert_int_eq(bed_state(0).trouble.err, ERR_FORK);
	ck_assert_ptr_nonnull(strstr(bed_state(0).trouble.text, "confirmed"));
	check_stays(0, at, rows);
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
	t = tcase_create("follow");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_history_that_is_not_newer_takes_nothing_back);
	tcase_add_test(t, a_history_older_than_the_promise_is_not_followed);
	tcase_add_test(t, a_returning_primary_takes_back_what_nobody_else_has);
	tcase_add_test(t, what_came_as_the_history_of_a_lost_epoch_is_taken_back);
	tcase_add_loop_test(t, after_two_failovers_all_orders_of_return_end_equal, 0, 6);
	tcase_add_test(t, a_full_orphan_store_keeps_the_region_aside_and_says_so);
	tcase_add_test(t, without_undo_records_a_copy_is_asked_for);
	tcase_add_test(t, what_is_confirmed_is_not_taken_back_for_any_history);
	suite_add_tcase(s, t);
	t = tcase_create("five");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_five, tear_down);
	tcase_add_test(t, a_secondary_takes_back_what_only_the_old_primary_had);
	tcase_add_loop_test(t, a_region_that_slept_through_epochs_is_fed_by_old_streams_then_by_peers, 0, 3);
	tcase_add_test(t, of_an_old_stream_only_what_the_shown_history_has_is_taken);
	tcase_add_test(t, a_stream_whose_epoch_leaves_out_what_is_here_waits_without_alarm);
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
