/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable bytes: the maximum holds, the error sticks, the bytes are right.
 */
#include "base/buf.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizers end the process on a huge malloc unless told otherwise. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

START_TEST(append_beyond_the_maximum_is_refused_and_sticks)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4);
	ck_assert_int_eq(buf_append(&b, "abc", 3), ERR_NONE);
	ck_assert_int_eq(buf_append(&b, "de", 2), ERR_TOO_LARGE);
	ck_assert_uint_eq(b.len, 3);
	ck_assert_int_eq(buf_append_byte(&b, 'd'), ERR_TOO_LARGE);
	ck_assert_int_eq(buf_append(&b, "", 0), ERR_TOO_LARGE);
	ck_assert_int_eq(buf_printf(&b, "d"), ERR_TOO_LARGE);
	ck_assert_ptr_null(buf_reserve(&b, 1));
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
	ck_assert_uint_eq(b.len, 3);
}
END_TEST

START_TEST(reset_forgets_the_error_and_keeps_the_memory)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4);
	buf_append(&b, "abcd", 4);
	buf_append(&b, "e", 1);
	const uint8_t *data = b.data;
	buf_reset(&b);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	ck_assert_int_eq(buf_append(&b, "wxyz", 4), ERR_NONE);
	ck_assert_ptr_eq(b.data, data);
	ck_assert_mem_eq(b.data, "wxyz", 4);
}
END_TEST

START_TEST(lack_of_memory_is_an_error_that_sticks)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX / 2);
	ck_assert_int_eq(buf_append(&b, "abc", 3), ERR_NONE);
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX / 2 - 3));
	ck_assert_int_eq(buf_err(&b), ERR_NO_MEMORY);
	ck_assert_int_eq(buf_append(&b, "d", 1), ERR_NO_MEMORY);
	ck_assert_mem_eq(b.data, "abc", 3);
}
END_TEST

START_TEST(length_that_overflows_is_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	buf_append(&b, "abc", 3);
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
}
END_TEST

START_TEST(many_appends_give_their_bytes_in_order)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(100000);
	for (unsigned i = 0; i < 10000; i++) {
		buf_append_byte(&b, (uint8_t)(i & 0x7F));
		buf_append_cstr(&b, "xy");
		buf_append_str(&b, STR("z"));
	}
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	ck_assert_uint_eq(buf_bytes(&b).len, 40000);
	for (unsigned i = 0; i < 10000; i++) {
		ck_assert_uint_eq(b.data[4 * i], i & 0x7F);
		ck_assert_mem_eq(b.data + 4 * i + 1, "xyz", 3);
	}
}
END_TEST

START_TEST(capacity_doubles_and_ends_at_the_maximum)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	buf_append_byte(&b, 'a');
	ck_assert_uint_eq(b.cap, 64);
	for (unsigned i = 1; i < 100; i++)
		ck_assert_int_eq(buf_append_byte(&b, 'a'), ERR_NONE);
	ck_assert_uint_eq(b.cap, 100);
	ck_assert_int_eq(buf_append_byte(&b, 'a'), ERR_TOO_LARGE);
}
END_TEST

START_TEST(printf_writes_short_and_long_text_to_the_last_byte)
{
	static const int widths[] = { 0, 1, 255, 256, 257, 1000 };
	for (size_t i = 0; i < LEN(widths); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT((size_t)widths[i]);
		ck_assert_int_eq(buf_printf(&b, "%.*d", widths[i], 0), ERR_NONE);
		ck_assert_uint_eq(b.len, (size_t)widths[i]);
		for (size_t n = 0; n < b.len; n++)
			ck_assert_int_eq(b.data[n], '0');
		ck_assert_int_eq(buf_printf(&b, "%.*d", 1000, 0), ERR_TOO_LARGE);
		ck_assert_uint_eq(b.len, (size_t)widths[i]);
	}
}
END_TEST

START_TEST(reserved_room_counts_only_when_committed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	buf_append_cstr(&b, "ab");
	uint8_t *room = buf_reserve(&b, 500);
	ck_assert_ptr_nonnull(room);
	memset(room, 'c', 500);
	buf_commit(&b, 1);
	ck_assert_uint_eq(buf_str(&b).len, 3);
	ck_assert_mem_eq(buf_str(&b).data, "abc", 3);
}
END_TEST

START_TEST(consume_drops_from_the_front)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10);
	buf_append_cstr(&b, "abcdef");
	buf_consume(&b, 0);
	ck_assert_uint_eq(b.len, 6);
	buf_consume(&b, 4);
	ck_assert_uint_eq(b.len, 2);
	ck_assert_mem_eq(b.data, "ef", 2);
	buf_consume(&b, 2);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(buf_append_cstr(&b, "0123456789"), ERR_NONE);
}
END_TEST

START_TEST(consuming_more_than_there_is_aborts)
{
	struct buf b = BUF_INIT(10);
	buf_append_cstr(&b, "ab");
	buf_consume(&b, 3);
}
END_TEST

START_TEST(maximum_of_nothing_takes_nothing)
{
	CLEANUP(buf_release) struct buf b;
	buf_init(&b, 0);
	ck_assert_ptr_nonnull(buf_reserve(&b, 0));
	ck_assert_int_eq(buf_append(&b, NULL, 0), ERR_NONE);
	ck_assert_int_eq(buf_append_byte(&b, 'a'), ERR_TOO_LARGE);
}
END_TEST

START_TEST(released_buf_may_be_used_again)
{
	struct buf b = BUF_INIT(3);
	buf_append_cstr(&b, "abc");
	buf_release(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_int_eq(buf_append_cstr(&b, "xyz"), ERR_NONE);
	ck_assert_int_eq(buf_append_cstr(&b, "!"), ERR_TOO_LARGE);
	buf_release(&b);
	buf_release(&b);
}
END_TEST

START_TEST(str_dup_copies_the_view_and_not_a_byte_more)
{
	char *whole = malloc(3);
	ck_assert_ptr_nonnull(whole);
	memcpy(whole, "abc", 3);
	char *copy = str_dup((struct str){ whole, 3 });
	ck_assert_str_eq(copy, "abc");
	free(copy);
	free(whole);
	copy = str_dup((struct str){ 0 });
	ck_assert_str_eq(copy, "");
	free(copy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");
	tcase_add_test(t, str_dup_copies_the_view_and_not_a_byte_more);
	tcase_add_test(t, append_beyond_the_maximum_is_refused_and_sticks);
	tcase_add_test(t, reset_forgets_the_error_and_keeps_the_memory);
	tcase_add_test(t, lack_of_memory_is_an_error_that_sticks);
	tcase_add_test(t, length_that_overflows_is_refused);
	tcase_add_test(t, many_appends_give_their_bytes_in_order);
	tcase_add_test(t, capacity_doubles_and_ends_at_the_maximum);
	tcase_add_test(t, printf_writes_short_and_long_text_to_the_last_byte);
	tcase_add_test(t, reserved_room_counts_only_when_committed);
	tcase_add_test(t, consume_drops_from_the_front);
	tcase_add_test_raise_signal(t, consuming_more_than_there_is_aborts, SIGABRT);
	tcase_add_test(t, maximum_of_nothing_takes_nothing);
	tcase_add_test(t, released_buf_may_be_used_again);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
