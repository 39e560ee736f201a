/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of publishing: bounds first, then order.
 */
#include "replicator/window.h"

#include <check.h>
#include <stdlib.h>

static struct window w;
static int keys[STREAM_WINDOW_MESSAGES_MAX + 1];

static enum err add(size_t i, size_t bytes, uint64_t *ret_before)
{
	struct stream_message m = { .scope = 1,
				    .last = { .epoch = 1, .seq = i + 1 },
				    .payload = { .len = bytes } };
	return window_add(&w, &keys[i], &m, ret_before);
}

static void set_up(void)
{
	w = (struct window){ 0 };
	window_open(&w, 100);
}

START_TEST(closed_window_takes_nothing)
{
	uint64_t before, due;
	ck_assert(window_close(&w));
	ck_assert(!window_close(&w));
	ck_assert_int_eq(add(0, 1, &before), ERR_UNAVAILABLE);
	ck_assert_int_eq(window_accept(&w, &keys[0], 101, &due), ERR_NOT_FOUND);
}
END_TEST

START_TEST(messages_are_bounded)
{
	uint64_t before;
	for (size_t i = 0; i < STREAM_WINDOW_MESSAGES_MAX; i++) {
		ck_assert_int_eq(add(i, 1, &before), ERR_NONE);
		ck_assert_uint_eq(before, 100 + i);
	}
	ck_assert_int_eq(add(STREAM_WINDOW_MESSAGES_MAX, 1, &before), ERR_RATE_LIMITED);
}
END_TEST

START_TEST(bytes_are_bounded_but_one_message_always_fits)
{
	uint64_t before, due;
	struct window_flight f;
	ck_assert_int_eq(add(0, STREAM_WINDOW_BYTES_MAX + 1, &before), ERR_NONE);
	ck_assert_int_eq(add(1, 1, &before), ERR_RATE_LIMITED);
	ck_assert_int_eq(window_accept(&w, &keys[0], 101, &due), ERR_NONE);
	ck_assert(window_land(&w, &f));
	ck_assert_int_eq(add(1, STREAM_WINDOW_BYTES_MAX, &before), ERR_NONE);
	ck_assert_int_eq(add(2, 1, &before), ERR_RATE_LIMITED);
}
END_TEST

START_TEST(wrong_sequence_is_a_gap)
{
	uint64_t before, due;
	ck_assert_int_eq(add(0, 1, &before), ERR_NONE);
	ck_assert_int_eq(window_accept(&w, &keys[0], 102, &due), ERR_GAP);
	ck_assert_uint_eq(due, 101);
	ck_assert_int_eq(window_accept(&w, &keys[5], 101, &due), ERR_NOT_FOUND);
	ck_assert(window_has(&w, &keys[0]));
	ck_assert(!window_has(&w, &keys[5]));
}
END_TEST

START_TEST(messages_land_in_order_however_they_are_accepted)
{
	uint64_t before, due;
	struct window_flight f;
	/* Around the end of the ring more than once. */
	for (size_t round = 0; round < STREAM_WINDOW_MESSAGES_MAX; round++) {
		uint64_t base = 100 + 3 * round;
		for (size_t i = 0; i < 3; i++)
			ck_assert_int_eq(add(i, 10, &before), ERR_NONE);
		ck_assert_int_eq(window_accept(&w, &keys[2], base + 3, &due), ERR_NONE);
		ck_assert(!window_land(&w, &f));
		ck_assert_int_eq(window_accept(&w, &keys[0], base + 1, &due), ERR_NONE);
		ck_assert(window_land(&w, &f));
		ck_assert_ptr_eq(f.key, &keys[0]);
		ck_assert_uint_eq(f.last.seq, 1);
		ck_assert_uint_eq(f.scope, 1);
		ck_assert(!window_land(&w, &f));
		ck_assert_int_eq(window_accept(&w, &keys[1], base + 2, &due), ERR_NONE);
		ck_assert(window_land(&w, &f));
		ck_assert_ptr_eq(f.key, &keys[1]);
		ck_assert(window_land(&w, &f));
		ck_assert_ptr_eq(f.key, &keys[2]);
		ck_assert_uint_eq(w.count, 0);
		ck_assert_uint_eq(w.bytes, 0);
	}
}
END_TEST

START_TEST(only_the_last_message_is_undone)
{
	uint64_t before;
	ck_assert_int_eq(add(0, 7, &before), ERR_NONE);
	ck_assert_int_eq(add(1, 8, &before), ERR_NONE);
	window_undo(&w, &keys[0]);
	ck_assert_uint_eq(w.count, 2);
	window_undo(&w, &keys[1]);
	ck_assert_uint_eq(w.count, 1);
	ck_assert_uint_eq(w.bytes, 7);
	ck_assert_int_eq(add(2, 1, &before), ERR_NONE);
	ck_assert_uint_eq(before, 101);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("window");
	TCase *t = tcase_create("window");
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, closed_window_takes_nothing);
	tcase_add_test(t, messages_are_bounded);
	tcase_add_test(t, bytes_are_bounded_but_one_message_always_fits);
	tcase_add_test(t, wrong_sequence_is_a_gap);
	tcase_add_test(t, messages_land_in_order_however_they_are_accepted);
	tcase_add_test(t, only_the_last_message_is_undone);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
