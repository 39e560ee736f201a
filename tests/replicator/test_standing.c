/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a region stands in its logs, as it is told to others.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "replicator/standing.h"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct log_end ends[] = {
	{ MULTI_LOG_BIT | 1000 << 8 | 1, 7, true },
	{ MULTI_LOG_BIT | 1000 << 8 | 2, 9, false },
	{ MULTI_LOG_BIT | 2000 << 8 | 1, 3, false },
};

static struct standing standing_of(void)
{
	return (struct standing){ .fleet = 77,
				  .region = 2,
				  .whole = true,
				  .wall_ms = 5,
				  .hlc = 6,
				  .ends = ends,
				  .count = 3,
				  .waits = { { ends[1].log, 10, 4 }, { ends[2].log, 4, 200 } },
				  .wait_count = 2 };
}

START_TEST(any_damage_is_found)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct standing s = standing_of();
	struct standing out;

	ck_assert_int_eq(standing_encode(&s, &b), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		ck_assert_int_eq(standing_decode(buf_bytes(&b), &arena, &out, NULL), ERR_CORRUPT);
		b.data[i] ^= 1;
	}
	for (size_t len = 0; len < b.len; len++)
		ck_assert_int_eq(standing_decode((struct bytes){ b.data, len }, &arena, &out, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(logs_out_of_order_are_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct log_end wrong[] = { ends[1], ends[0] };
	struct standing s = standing_of();
	struct standing out;

	s.ends = wrong;
	s.count = 2;
	ck_assert_int_eq(standing_encode(&s, &b), ERR_NONE);
	ck_assert_int_eq(standing_decode(buf_bytes(&b), &arena, &out, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(a_standing_comes_back_as_it_was)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct standing s = standing_of();
	struct standing out;

	ck_assert_int_eq(standing_encode(&s, &b), ERR_NONE);
	ck_assert_int_eq(standing_decode(buf_bytes(&b), &arena, &out, NULL), ERR_NONE);
	ck_assert_uint_eq(out.fleet, 77);
	ck_assert_uint_eq(out.region, 2);
	ck_assert(out.whole);
	ck_assert_uint_eq(out.wall_ms, 5);
	ck_assert_uint_eq(out.hlc, 6);
	ck_assert_uint_eq(out.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(out.ends[i].log, ends[i].log);
		ck_assert_uint_eq(out.ends[i].seq, ends[i].seq);
		ck_assert_int_eq(out.ends[i].floor, ends[i].floor);
	}
	ck_assert_uint_eq(out.wait_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(out.waits[i].log, s.waits[i].log);
		ck_assert_uint_eq(out.waits[i].seq, s.waits[i].seq);
		ck_assert_uint_eq(out.waits[i].kind, s.waits[i].kind);
	}
}
END_TEST

/* Puts the right checksum at the end of it. */
static struct bytes sealed(struct buf *b)
{
	b->len -= 8;
	wire_put_u64(b, hash64(b->data, b->len, 0));
	return buf_bytes(b);
}

START_TEST(a_standing_of_the_version_before_has_no_waits)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct standing s = standing_of();
	struct standing out;

	s.wait_count = 0;
	ck_assert_int_eq(standing_encode(&s, &b), ERR_NONE);
	b.data[4] = 1;
	b.len -= 4;
	ck_assert_int_eq(standing_decode(sealed(&b), &arena, &out, NULL), ERR_NONE);
	ck_assert_uint_eq(out.count, 3);
	ck_assert_uint_eq(out.wait_count, 0);
}
END_TEST

START_TEST(more_waits_than_the_bound_are_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * STANDING_BYTES_MAX);
	struct standing s = standing_of();
	struct standing out;

	s.wait_count = STANDING_WAITS_MAX + 1;
	ck_assert_int_eq(standing_encode(&s, &b), ERR_TOO_LARGE);
	s.wait_count = STANDING_WAITS_MAX;
	ck_assert_int_eq(standing_encode(&s, &b), ERR_NONE);
	ck_assert_int_eq(standing_decode(buf_bytes(&b), &arena, &out, NULL), ERR_NONE);
	b.data[STANDING_HEAD_BYTES + 3 * 16]++;
	for (unsigned i = 0; i < STANDING_WAIT_BYTES; i++)
		wire_put_u8(&b, 0);
	ck_assert_int_eq(standing_decode(sealed(&b), &arena, &out, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(the_newest_log_of_each_region_is_kept)
{
	struct log_end copy[3];

	memcpy(copy, ends, sizeof(ends));
	ck_assert_uint_eq(standing_newest(copy, 3), 2);
	ck_assert_uint_eq(copy[0].log, ends[1].log);
	ck_assert_uint_eq(copy[1].log, ends[2].log);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("standing");
	TCase *t = tcase_create("messages");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, any_damage_is_found);
	tcase_add_test(t, logs_out_of_order_are_refused);
	tcase_add_test(t, a_standing_comes_back_as_it_was);
	tcase_add_test(t, a_standing_of_the_version_before_has_no_waits);
	tcase_add_test(t, more_waits_than_the_bound_are_refused);
	tcase_add_test(t, the_newest_log_of_each_region_is_kept);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
