/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises: after one, nothing of an older epoch is written or taken, also after a restart, until an epoch as great begins.
 */
#include "tests/replicator/region.h"

static struct region r;      /* region 1, the writer of the first epoch */
static struct region other;  /* region 2 */

static void set_up(void)
{
	region_init(&r, 1);
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 5));
	region_init(&other, 2);
	region_open(&other);
}

static void tear_down(void)
{
	region_release(&other);
	region_release(&r);
}

static void restart(struct region *at)
{
	region_shut(at);
	region_open(at);
}

static struct bytes text(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static enum err promise(struct region *at, uint64_t epoch, const char *record, struct position *ret_position)
{
	struct promise p = { .epoch = epoch, .record = text(record) };
	struct fault f = { 0 };
	enum err err = committer_promise(at->committer, &p, &f);

	if (ret_position)
		*ret_position = p.position;
	return err;
}

static void check_record(struct region *at, const char *expected)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes record;
	struct fault f = { 0 };

	arena_init(&a, SIZE_MAX);
	ck_assert_msg(!committer_promise_record(at->store, &a, &record, &f), "%s", f.text);
	ck_assert_uint_eq(record.len, strlen(expected));
	if (record.len > 0)
		ck_assert_mem_eq(record.data, expected, record.len);
}

static const uint64_t first_of_2 = 2 * 256 + 2;
static const uint64_t third_of_1 = 3 * 256 + 1;

START_TEST(an_epoch_is_promised_once_and_no_older_one_after_it)
{
	ck_assert_int_eq(promise(&r, first_of_2, "a", NULL), ERR_NONE);
	ck_assert_int_eq(promise(&r, first_of_2, "b", NULL), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(promise(&r, first_of_2 - 1, "b", NULL), ERR_ALREADY_EXISTS);
	check_record(&r, "a");
	restart(&r);
	ck_assert_int_eq(promise(&r, first_of_2, "b", NULL), ERR_ALREADY_EXISTS);
	check_record(&r, "a");
	ck_assert_int_eq(promise(&r, third_of_1, "c", NULL), ERR_NONE);
	check_record(&r, "c");
}
END_TEST

START_TEST(an_epoch_in_the_log_is_not_promised)
{
	uint64_t epoch = region_state(&r).epoch;

	ck_assert_int_eq(promise(&r, epoch, "a", NULL), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(promise(&r, epoch - 256, "a", NULL), ERR_ALREADY_EXISTS);
	check_record(&r, "");
}
END_TEST

START_TEST(a_damaged_promise_ends_the_start)
{
	static const uint8_t key[2] = { 0, 0 };
	struct store_txn *t;
	struct bytes value;
	uint8_t copy[256];
	struct committer *c;
	struct fault f = { 0 };

	ck_assert_int_eq(promise(&r, first_of_2, "record", NULL), ERR_NONE);
	committer_close(TAKE(r.committer));
	ck_assert_int_eq(r.store->ops->begin(r.store, true, &t), ERR_NONE);
	ck_assert_int_eq(r.store->ops->get(t, STORE_VOTERS, (struct bytes){ key, 2 }, &value), ERR_NONE);
	size_t len = value.len;
	memcpy(copy, value.data, len);
	copy[3] ^= 1;
	ck_assert_int_eq(r.store->ops->put(t, STORE_VOTERS, (struct bytes){ key, 2 }, (struct bytes){ copy, len }), ERR_NONE);
	ck_assert_int_eq(r.store->ops->commit(t, NULL), ERR_NONE);
	ck_assert_int_eq(committer_open(&r.options, &c, &f), ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.text, "promise"));
	catalog_close(TAKE(r.catalog));
	ck_assert_int_eq(r.store->ops->begin(r.store, true, &t), ERR_NONE);
	copy[3] ^= 1;
	ck_assert_int_eq(r.store->ops->put(t, STORE_VOTERS, (struct bytes){ key, 2 }, (struct bytes){ copy, len }), ERR_NONE);
	ck_assert_int_eq(r.store->ops->commit(t, NULL), ERR_NONE);
	region_open(&r);
}
END_TEST

START_TEST(the_position_that_is_told_is_the_last_that_is_written)
{
	struct position p;
	struct region_write *late = submit(&r, (struct intent[]){ upsert_of(&r, "c", 50, 1) }, 1);

	/* In the queue before the promise: written before it. */
	ck_assert_int_eq(promise(&r, first_of_2, "a", &p), ERR_NONE);
	ck_assert_uint_eq(late->done, 1);
	ck_assert_int_eq(late->w.err, ERR_NONE);
	ck_assert_int_eq(position_compare(late->w.position, p), 0);
	struct region_write *w = try_write(&r, upsert_of(&r, "c", 51, 1));
	ck_assert_int_ne(w->w.err, ERR_NONE);
	ck_assert_int_eq(position_compare(region_state(&r).position, p), 0);
}
END_TEST

START_TEST(the_writer_that_promised_writes_no_more)
{
	struct position end;
	struct fault f = { 0 };

	ck_assert_int_eq(promise(&r, first_of_2, "a", NULL), ERR_NONE);
	ck_assert(!region_state(&r).writing);
	ck_assert_int_ne(try_write(&r, upsert_of(&r, "c", 51, 1))->w.err, ERR_NONE);
	ck_assert_int_eq(committer_mark(r.committer, 5, &end, &f), ERR_NOT_PRIMARY);
	ck_assert_int_eq(committer_release(r.committer, 2, &end, &f), ERR_NOT_PRIMARY);
}
END_TEST

START_TEST(only_the_promised_epoch_is_begun)
{
	struct fault f = { 0 };

	ck_assert_int_eq(promise(&r, third_of_1, "a", NULL), ERR_NONE);
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1 + 256, &f), ERR_FORK);
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1 - 256, &f), ERR_FORK);
	ck_assert_int_eq(promise(&r, third_of_1 + 1, "to region 2", NULL), ERR_NONE);
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1, &f), ERR_FORK);
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1 + 1, &f), ERR_FORK);
	ck_assert_int_eq(promise(&r, third_of_1 + 256, "a", NULL), ERR_NONE);
	f = (struct fault){ 0 };
	ck_assert_msg(!committer_begin_promised(r.committer, third_of_1 + 256, &f), "%s", f.text);
	ck_assert_uint_eq(region_state(&r).epoch, third_of_1 + 256);
	write_well(&r, upsert_of(&r, "c", 51, 1));
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1 + 256, &f), ERR_FORK);
}
END_TEST

START_TEST(ops_of_older_epochs_are_taken_only_as_history)
{
	struct log_part log = read_log_after(&r, (struct position){ 0 }, 100);
	struct fault f = { 0 };

	ck_assert_int_eq(apply_part(&other, &log, 0, 2, &f), ERR_NONE);
	ck_assert_int_eq(promise(&other, first_of_2, "a", NULL), ERR_NONE);
	restart(&other);
	struct position before = region_state(&other).position;
	ck_assert_int_eq(apply_part(&other, &log, 2, 1, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "promised"));
	ck_assert_int_eq(position_compare(before, region_state(&other).position), 0);
	/* What is known may come again. */
	ck_assert_int_eq(apply_part(&other, &log, 0, 2, &f), ERR_NONE);
	struct remote_batch b = { .ops = &log.ops[2],
				  .count = 1,
				  .scope = SCOPE_FLEET,
				  .chain_hash = log.hashes[2],
				  .history_epoch = first_of_2 };
	ck_assert_int_eq(committer_apply(other.committer, &b, &f), ERR_NONE);
	ck_assert_uint_eq(count_points(&other, "c"), 5);
}
END_TEST

START_TEST(an_epoch_as_great_as_the_promise_lifts_it)
{
	struct log_part log;
	struct fault f = { 0 };

	ck_assert_int_eq(promise(&other, first_of_2, "to itself, and never begun", NULL), ERR_NONE);
	ck_assert_int_eq(promise(&r, third_of_1, "a", NULL), ERR_NONE);
	ck_assert_int_eq(committer_begin_promised(r.committer, third_of_1, &f), ERR_NONE);
	write_well(&r, upsert_of(&r, "c", 51, 1));
	log = read_log_after(&r, (struct position){ 0 }, 100);
	struct remote_batch b = { .ops = log.ops,
				  .count = log.count,
				  .scope = SCOPE_FLEET,
				  .chain_hash = log.hashes[log.count - 1],
				  .history_epoch = third_of_1 };
	ck_assert_msg(!committer_apply(other.committer, &b, &f), "%s", f.text);
	struct position p = region_state(&r).position;
	write_well(&r, upsert_of(&r, "c", 52, 1));
	log = read_log_after(&r, p, 100);
	ck_assert_msg(!apply_part(&other, &log, 0, log.count, &f), "%s", f.text);
	ck_assert_uint_eq(count_points(&other, "c"), 7);
}
END_TEST

START_TEST(an_epoch_that_begins_here_is_promised_with_it)
{
	struct log_part log = read_log_after(&r, (struct position){ 0 }, 100);
	struct fault f = { 0 };

	ck_assert_uint_eq(region_state(&r).promised, region_state(&r).epoch);
	ck_assert_int_eq(promise(&other, 0, "kept", NULL), ERR_NONE);
	ck_assert_uint_eq(region_state(&other).promised, 0);
	ck_assert_int_eq(apply_part(&other, &log, 0, log.count, &f), ERR_NONE);
	ck_assert_uint_eq(region_state(&other).promised, region_state(&r).epoch);
	check_record(&other, "kept");
	/* Also when it is taken back. */
	struct rewind w = { .to = { 0 } };
	other.options.undo = true;
	ck_assert_int_eq(committer_rewind(other.committer, &w, &f), ERR_FORK);
	restart(&other);
	ck_assert_uint_eq(region_state(&other).promised, region_state(&r).epoch);
	ck_assert_int_eq(promise(&other, region_state(&r).epoch, "again", NULL), ERR_ALREADY_EXISTS);
}
END_TEST

START_TEST(ops_after_the_last_that_is_wanted_are_checked_and_left_out)
{
	struct log_part log = read_log_after(&r, (struct position){ 0 }, 100);
	struct remote_batch b = { .ops = log.ops,
				  .count = log.count,
				  .scope = SCOPE_FLEET,
				  .chain_hash = log.hashes[log.count - 1],
				  .upto = log.positions[1] };
	struct fault f = { 0 };

	ck_assert_uint_gt(log.count, 2);
	b.chain_hash++;
	ck_assert_int_eq(committer_apply(other.committer, &b, &f), ERR_FORK);
	ck_assert_uint_eq(region_state(&other).position.epoch, 0);
	b.chain_hash--;
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(committer_apply(other.committer, &b, &f), ERR_NONE);
		ck_assert_int_eq(position_compare(region_state(&other).position, log.positions[1]), 0);
		ck_assert_uint_eq(region_state(&other).chain_hash, log.hashes[1]);
	}
	b.upto = (struct position){ 0 };
	ck_assert_int_eq(committer_apply(other.committer, &b, &f), ERR_NONE);
	ck_assert_uint_eq(region_state(&other).chain_hash, region_state(&r).chain_hash);
}
END_TEST

START_TEST(a_record_alone_fences_nothing)
{
	ck_assert_int_eq(promise(&r, 0, "seen: region 2", NULL), ERR_NONE);
	check_record(&r, "seen: region 2");
	ck_assert(region_state(&r).writing);
	write_well(&r, upsert_of(&r, "c", 51, 1));
	ck_assert_int_eq(promise(&r, first_of_2, "a", NULL), ERR_NONE);
	ck_assert_int_eq(promise(&r, 0, "seen more", NULL), ERR_NONE);
	restart(&r);
	check_record(&r, "seen more");
	ck_assert_int_eq(promise(&r, first_of_2, "b", NULL), ERR_ALREADY_EXISTS);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("commit_promise");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, an_epoch_is_promised_once_and_no_older_one_after_it);
	tcase_add_test(t, an_epoch_in_the_log_is_not_promised);
	tcase_add_test(t, a_damaged_promise_ends_the_start);
	tcase_add_test(t, the_position_that_is_told_is_the_last_that_is_written);
	tcase_add_test(t, the_writer_that_promised_writes_no_more);
	tcase_add_test(t, only_the_promised_epoch_is_begun);
	tcase_add_test(t, ops_of_older_epochs_are_taken_only_as_history);
	tcase_add_test(t, an_epoch_as_great_as_the_promise_lifts_it);
	tcase_add_test(t, an_epoch_that_begins_here_is_promised_with_it);
	tcase_add_test(t, ops_after_the_last_that_is_wanted_are_checked_and_left_out);
	tcase_add_test(t, a_record_alone_fences_nothing);
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
