/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions and answers of a copy in bytes.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/snapshot_message.h"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 16u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct bytes text(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static void request_bytes(struct buf *b)
{
	const struct snapshot_request q = { .kind = SNAPSHOT_ROWS,
					    .fleet = 7,
					    .sender = 2,
					    .incarnation = { .hlc = 5, .region = 1 },
					    .shard = 3,
					    .next = 4096,
					    .after = text("key") };

	ck_assert_int_eq(snapshot_request_encode(&q, b), ERR_NONE);
}

static void reply_bytes(struct buf *b)
{
	static const float values[] = { 1.0F, 2.0F };
	struct vector v = { .kind = VECTOR_DENSE, .count = 2, .values = values };
	struct row_vector vectors[] = { { .name = STR("v"), .stamp = { 1, 2, 3 }, .present = true, .vector = v } };
	struct audit_row rows[] = { { .row = { .id = { .lo = 9 }, .present = true } } };
	const struct copy_record records[] = { { .table = STORE_META, .key = text("k"), .value = text("value") } };
	const struct log_mark logs[] = { { .log = 11, .seq = 12, .chain_hash = 13, .hlc = 14 } };

	vectors[0].hash = vector_hash(&v);
	rows[0].row.row = (struct row){ .id = { .lo = 9 }, .created = { 1, 2, 3 }, .op_number = 8, .vectors = vectors, .vector_count = 1, .visible = true };
	const struct snapshot_reply r = { .kind = SNAPSHOT_ROWS,
					  .position = { 257, 10 },
					  .chain_hash = 99,
					  .confirmed = { 257, 9 },
					  .logs = logs,
					  .log_count = 1,
					  .hlc = 77,
					  .points = 1000,
					  .records = records,
					  .record_count = 1,
					  .rows = rows,
					  .row_count = 1,
					  .next = 5,
					  .done = true };
	ck_assert_int_eq(snapshot_reply_encode(&r, b), ERR_NONE);
}

START_TEST(a_question_is_read_as_it_was_written)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SNAPSHOT_REQUEST_BYTES_MAX);
	struct snapshot_request q;

	request_bytes(&b);
	/* Version 1, kind ROWS, fleet 7 */
	ck_assert_mem_eq(b.data, "\1\2\7\0\0\0\0\0\0\0\2", 11);
	ck_assert_int_eq(snapshot_request_decode(buf_bytes(&b), &q, NULL), ERR_NONE);
	ck_assert_int_eq(q.kind, SNAPSHOT_ROWS);
	ck_assert_uint_eq(q.incarnation.hlc, 5);
	ck_assert_uint_eq(q.shard, 3);
	ck_assert_uint_eq(q.next, 4096);
	ck_assert_mem_eq(q.after.data, "key", 3);
}
END_TEST

START_TEST(an_answer_is_read_as_it_was_written)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	struct snapshot_reply r;

	reply_bytes(&b);
	ck_assert_int_eq(snapshot_reply_decode(buf_bytes(&b), &arena, &r, NULL), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_refusal(&r), ERR_NONE);
	ck_assert_uint_eq(r.position.seq, 10);
	ck_assert_uint_eq(r.confirmed.seq, 9);
	ck_assert_uint_eq(r.chain_hash, 99);
	ck_assert_uint_eq(r.logs[0].chain_hash, 13);
	ck_assert_uint_eq(r.points, 1000);
	ck_assert_uint_eq(r.records[0].table, STORE_META);
	ck_assert_mem_eq(r.records[0].value.data, "value", 5);
	ck_assert_uint_eq(r.row_count, 1);
	ck_assert(r.rows[0].row.row.vectors[0].vector.values[1] == 2.0F);
	ck_assert_uint_eq(r.rows[0].row.row.op_number, 8);
	ck_assert(r.done && !r.gone);
	ck_assert_uint_eq(r.next, 5);
}
END_TEST

/* Of either message, cut anywhere and with any byte changed. */
START_TEST(what_is_damaged_is_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	CLEANUP(buf_release) struct buf q = BUF_INIT(SNAPSHOT_REQUEST_BYTES_MAX);
	struct snapshot_reply r;
	struct snapshot_request request;

	reply_bytes(&b);
	request_bytes(&q);
	for (size_t i = 0; i < b.len; i++) {
		ck_assert_int_ne(snapshot_reply_decode((struct bytes){ .data = b.data, .len = i }, &arena, &r, NULL), ERR_NONE);
		b.data[i] ^= 16;
		ck_assert_int_ne(snapshot_reply_decode(buf_bytes(&b), &arena, &r, NULL), ERR_NONE);
		b.data[i] ^= 16;
	}
	for (size_t i = 0; i < q.len; i++) {
		ck_assert_int_ne(snapshot_request_decode((struct bytes){ .data = q.data, .len = i }, &request, NULL), ERR_NONE);
		q.data[i] ^= 16;
		ck_assert_int_ne(snapshot_request_decode(buf_bytes(&q), &request, NULL), ERR_NONE);
		q.data[i] ^= 16;
	}
}
END_TEST

START_TEST(a_table_that_there_is_not_and_a_row_that_is_absent_are_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	const struct copy_record bad = { .table = STORE_TABLE_COUNT, .key = text("k"), .value = text("v") };
	const struct audit_row absent = { .row = { .id = { .lo = 1 } } };
	struct snapshot_reply r = { .kind = SNAPSHOT_CONFLICTS, .records = &bad, .record_count = 1 };
	struct snapshot_reply read;

	ck_assert_int_eq(snapshot_reply_encode(&r, &b), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_decode(buf_bytes(&b), &arena, &read, NULL), ERR_CORRUPT);
	buf_reset(&b);
	r = (struct snapshot_reply){ .kind = SNAPSHOT_ROWS, .rows = &absent, .row_count = 1 };
	ck_assert_int_eq(snapshot_reply_encode(&r, &b), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_decode(buf_bytes(&b), &arena, &read, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(a_refusal_keeps_its_error_and_one_of_another_version_is_no_usable_answer)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	struct snapshot_reply r = { .kind = SNAPSHOT_HEAD, .refused = STR("UNAVAILABLE"), .words = STR("not now") };
	struct snapshot_reply read;

	ck_assert_int_eq(snapshot_reply_encode(&r, &b), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_decode(buf_bytes(&b), &arena, &read, NULL), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_refusal(&read), ERR_UNAVAILABLE);
	ck_assert_mem_eq(read.words.data, "not now", 7);
	r.refused = STR("TOO_LATE");
	ck_assert_int_eq(snapshot_reply_refusal(&r), ERR_BAD_GATEWAY);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("snapshot_message");
	TCase *tc = tcase_create("snapshot_message");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_question_is_read_as_it_was_written);
	tcase_add_test(tc, an_answer_is_read_as_it_was_written);
	tcase_add_test(tc, what_is_damaged_is_refused);
	tcase_add_test(tc, a_table_that_there_is_not_and_a_row_that_is_absent_are_refused);
	tcase_add_test(tc, a_refusal_keeps_its_error_and_one_of_another_version_is_no_usable_answer);
	suite_add_tcase(s, tc);
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
