/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary formats: bytes are compared with literals, and whatever is cut short is refused.
 */
#include "base/wire.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One of each, and how it must look. */
static const uint8_t all_fields[] = {
	0x01,                                           /* u8 */
	0x02, 0x01,                                     /* u16 */
	0x04, 0x03, 0x02, 0x01,                         /* u32 */
	0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* u64 */
	0x01, 0x02,                                     /* u16_be */
	0x01, 0x02, 0x03, 0x04,                         /* u32_be */
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* u64_be */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xF8, 0xBF, /* f64 -1.5 */
	0xAC, 0x02,                                     /* varint 300 */
	0x03, 'a',  'b',  'c',                          /* bytes */
	0x02, 'x',  'y',                                /* str */
};

/* Reads all_fields; says whether every value was right. */
static bool read_all_fields(struct wire_reader *r)
{
	bool right = wire_u8(r) == 1;
	right = wire_u16(r) == 0x0102 && right;
	right = wire_u32(r) == 0x01020304 && right;
	right = wire_u64(r) == 0x0102030405060708 && right;
	right = wire_u16_be(r) == 0x0102 && right;
	right = wire_u32_be(r) == 0x01020304 && right;
	right = wire_u64_be(r) == 0x0102030405060708 && right;
	double d = wire_f64(r);
	right = d <= -1.5 && d >= -1.5 && right;
	right = wire_varint(r) == 300 && right;
	struct bytes b = wire_bytes(r);
	right = b.len == 3 && memcmp(b.data, "abc", 3) == 0 && right;
	struct str s = wire_str(r);
	return s.len == 2 && memcmp(s.data, "xy", 2) == 0 && right;
}

START_TEST(input_cut_anywhere_is_refused)
{
	for (size_t len = 0; len < sizeof(all_fields); len++) {
		struct wire_reader r = wire_reader_of(all_fields, len);
		ck_assert_msg(!read_all_fields(&r), "%zu bytes", len);
		ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
		ck_assert_uint_eq(wire_left(&r), 0);
	}
}
END_TEST

START_TEST(bytes_left_over_are_refused)
{
	struct wire_reader r = wire_reader_of("ab", 2);
	ck_assert_uint_eq(wire_u8(&r), 'a');
	ck_assert_uint_eq(wire_left(&r), 1);
	ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
}
END_TEST

START_TEST(nothing_is_read_after_an_error)
{
	struct wire_reader r = wire_reader_of("\x01\x02\x03\x04", 4);
	ck_assert_uint_eq(wire_u64(&r), 0);
	ck_assert_uint_eq(wire_u8(&r), 0);
	ck_assert_uint_eq(wire_varint(&r), 0);
	ck_assert_ptr_null(wire_take(&r, 0).data);
	ck_assert_ptr_null(wire_bytes(&r).data);
	ck_assert_uint_eq(wire_str(&r).len, 0);
	ck_assert_int_eq(r.err, ERR_CORRUPT);
}
END_TEST

START_TEST(format_may_fail_the_reader_itself)
{
	struct wire_reader r = wire_reader_of("\x01", 1);
	wire_fail(&r);
	ck_assert_uint_eq(wire_u8(&r), 0);
	ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
}
END_TEST

START_TEST(bad_varints_are_refused)
{
	static const struct {
		const char *why;
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "empty", "", 0 },
		{ "unfinished", "\x80", 1 },
		{ "longer than needed", "\x80\x00", 2 },
		{ "300 with a needless byte", "\xAC\x82\x00", 3 },
		{ "65 bits", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10 },
		{ "eleven bytes", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct wire_reader r = wire_reader_of(rows[i].bytes, rows[i].len);
		ck_assert_msg(wire_varint(&r) == 0, "%s", rows[i].why);
		ck_assert_msg(r.err == ERR_CORRUPT, "%s", rows[i].why);
	}
}
END_TEST

START_TEST(length_beyond_the_input_is_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "\x04"
		  "abc",
		  4 },
		{ "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
		  "abc",
		  13 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct wire_reader r = wire_reader_of(rows[i].bytes, rows[i].len);
		ck_assert_uint_eq(wire_bytes(&r).len, 0);
		ck_assert_int_eq(r.err, ERR_CORRUPT);
	}
	struct wire_reader r = wire_reader_of("abc", 3);
	ck_assert_uint_eq(wire_take(&r, SIZE_MAX).len, 0);
	ck_assert_int_eq(r.err, ERR_CORRUPT);
}
END_TEST

START_TEST(writing_gives_these_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	wire_put_u8(&b, 1);
	wire_put_u16(&b, 0x0102);
	wire_put_u32(&b, 0x01020304);
	wire_put_u64(&b, 0x0102030405060708);
	wire_put_u16_be(&b, 0x0102);
	wire_put_u32_be(&b, 0x01020304);
	wire_put_u64_be(&b, 0x0102030405060708);
	wire_put_f64(&b, -1.5);
	wire_put_varint(&b, 300);
	wire_put_bytes(&b, "abc", 3);
	wire_put_str(&b, STR("xy"));
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	ck_assert_uint_eq(b.len, sizeof(all_fields));
	ck_assert_mem_eq(b.data, all_fields, sizeof(all_fields));
}
END_TEST

START_TEST(reading_takes_these_bytes)
{
	struct wire_reader r = wire_reader_of(all_fields, sizeof(all_fields));
	ck_assert(read_all_fields(&r));
	ck_assert_int_eq(wire_done(&r), ERR_NONE);
}
END_TEST

START_TEST(varints_keep_their_value_at_every_width)
{
	static const struct {
		uint64_t v;
		size_t len;
	} rows[] = {
		{ 0, 1 },
		{ 1, 1 },
		{ 127, 1 },
		{ 128, 2 },
		{ 16383, 2 },
		{ 16384, 3 },
		{ UINT32_MAX, 5 },
		{ UINT64_MAX >> 1, 9 },
		{ (UINT64_MAX >> 1) + 1, 10 },
		{ UINT64_MAX, 10 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(10);
		wire_put_varint(&b, rows[i].v);
		ck_assert_uint_eq(b.len, rows[i].len);
		struct wire_reader r = wire_reader_of(b.data, b.len);
		ck_assert_uint_eq(wire_varint(&r), rows[i].v);
		ck_assert_int_eq(wire_done(&r), ERR_NONE);
	}
}
END_TEST

START_TEST(empty_views_are_taken)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10);
	wire_put_bytes(&b, NULL, 0);
	ck_assert_uint_eq(b.len, 1);
	struct wire_reader r = wire_reader_of(b.data, b.len);
	ck_assert_uint_eq(wire_bytes(&r).len, 0);
	ck_assert_int_eq(wire_done(&r), ERR_NONE);

	r = wire_reader_of(NULL, 0);
	ck_assert_int_eq(wire_done(&r), ERR_NONE);
	ck_assert_uint_eq(wire_u8(&r), 0);
	ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
}
END_TEST

START_TEST(full_buf_carries_the_error)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(5);
	wire_put_u32(&b, 7);
	wire_put_u16(&b, 7);
	wire_put_u8(&b, 7);
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
	ck_assert_uint_eq(b.len, 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");
	tcase_add_test(t, input_cut_anywhere_is_refused);
	tcase_add_test(t, bytes_left_over_are_refused);
	tcase_add_test(t, nothing_is_read_after_an_error);
	tcase_add_test(t, format_may_fail_the_reader_itself);
	tcase_add_test(t, bad_varints_are_refused);
	tcase_add_test(t, length_beyond_the_input_is_refused);
	tcase_add_test(t, writing_gives_these_bytes);
	tcase_add_test(t, reading_takes_these_bytes);
	tcase_add_test(t, varints_keep_their_value_at_every_width);
	tcase_add_test(t, empty_views_are_taken);
	tcase_add_test(t, full_buf_carries_the_error);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
