/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip: damaged streams and bombs are refused, and nothing of them stays.
 */
#include "base/gzip.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* gzip -n9 of "hello hello hello hello\n"; zlib.compress() of the same, level 9. */
static const uint8_t gzip_hello[] = {
	0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xCB, 0x48, 0xCD, 0xC9, 0xC9,
	0x57, 0xC8, 0x40, 0x27, 0xB9, 0x00, 0x00, 0x88, 0x59, 0x0B, 0x18, 0x00, 0x00, 0x00,
};
static const uint8_t zlib_hello[] = {
	0x78, 0xDA, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x57, 0xC8,
	0x40, 0x27, 0xB9, 0x00, 0x70, 0xBE, 0x08, 0xBB,
};
static const char hello[] = "hello hello hello hello\n";

/* From memory of the exact size. */
static enum err inflate_copy(const void *data, size_t len, struct buf *out)
{
	uint8_t *copy = malloc(len ? len : 1);
	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, data, len);
	enum err err = gzip_inflate((struct bytes){ .data = copy, .len = len }, out);
	free(copy);
	return err;
}

START_TEST(stream_cut_anywhere_is_refused)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	buf_append_cstr(&out, "before");
	for (size_t len = 0; len < sizeof(gzip_hello); len++) {
		ck_assert_int_eq(inflate_copy(gzip_hello, len, &out), ERR_BAD_REQUEST);
		ck_assert_uint_eq(out.len, 6);
	}
	for (size_t len = 0; len < sizeof(zlib_hello); len++)
		ck_assert_int_eq(inflate_copy(zlib_hello, len, &out), ERR_BAD_REQUEST);
	ck_assert_int_eq(gzip_inflate((struct bytes){ 0 }, &out), ERR_BAD_REQUEST);
	ck_assert_int_eq(buf_err(&out), ERR_NONE);
}
END_TEST

/* A flipped bit: of the time, the system and unused flags nothing depends. */
START_TEST(damaged_stream_is_refused_or_unchanged)
{
	for (size_t bit = 0; bit < 8 * sizeof(gzip_hello); bit++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
		uint8_t damaged[sizeof(gzip_hello)];
		memcpy(damaged, gzip_hello, sizeof(damaged));
		damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
		enum err err = inflate_copy(damaged, sizeof(damaged), &out);
		bool harmless = bit / 8 >= 3 && bit / 8 <= 9;
		ck_assert_msg(err || harmless, "bit %zu", bit);
		ck_assert_msg(err ? out.len == 0
				  : out.len == 24 && memcmp(out.data, hello, 24) == 0,
			      "bit %zu", bit);
	}
}
END_TEST

START_TEST(bytes_behind_the_stream_are_refused)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	uint8_t twice[2 * sizeof(gzip_hello)];
	memcpy(twice, gzip_hello, sizeof(gzip_hello));
	memcpy(twice + sizeof(gzip_hello), gzip_hello, sizeof(gzip_hello));
	ck_assert_int_eq(inflate_copy(twice, sizeof(twice), &out), ERR_BAD_REQUEST);
	ck_assert_int_eq(inflate_copy(twice, sizeof(gzip_hello) + 1, &out), ERR_BAD_REQUEST);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(raw_text_is_refused)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	ck_assert_int_eq(inflate_copy("plain text", 10, &out), ERR_BAD_REQUEST);
}
END_TEST

START_TEST(bomb_is_refused)
{
	CLEANUP(buf_release) struct buf zeroes = BUF_INIT((size_t)4 << 20);
	CLEANUP(buf_release) struct buf bomb = BUF_INIT((size_t)1 << 20);
	CLEANUP(buf_release) struct buf out = BUF_INIT((size_t)64 << 20);
	memset(buf_reserve(&zeroes, zeroes.max), 0, zeroes.max);
	buf_commit(&zeroes, zeroes.max);
	ck_assert_int_eq(gzip_deflate(buf_bytes(&zeroes), 9, &bomb), ERR_NONE);
	ck_assert_uint_lt(bomb.len * 900, zeroes.len);
	ck_assert_int_eq(inflate_copy(bomb.data, bomb.len, &out), ERR_TOO_LARGE);
	ck_assert_uint_eq(out.len, 0);
	/* It was noticed at a hundred times its size. */
	ck_assert_uint_le(out.cap, 2 * 100 * bomb.len + 65536);
}
END_TEST

START_TEST(maximum_of_the_output_holds_to_the_byte)
{
	for (size_t max = 0; max < 40; max++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(max);
		enum err wanted = max < 24 ? ERR_TOO_LARGE : ERR_NONE;
		ck_assert_int_eq(inflate_copy(gzip_hello, sizeof(gzip_hello), &out), wanted);
		ck_assert_uint_eq(out.len, wanted ? 0 : 24);
	}
}
END_TEST

START_TEST(deflated_output_beyond_the_maximum_is_refused)
{
	CLEANUP(buf_release) struct buf exact = BUF_INIT(1000);
	struct bytes in = { .data = (const uint8_t *)hello, .len = 24 };
	ck_assert_int_eq(gzip_deflate(in, 9, &exact), ERR_NONE);
	for (size_t max = 0; max <= exact.len; max++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(max);
		ck_assert_int_eq(gzip_deflate(in, 9, &out),
				 max < exact.len ? ERR_TOO_LARGE : ERR_NONE);
		ck_assert_uint_eq(out.len, max < exact.len ? 0 : exact.len);
	}
}
END_TEST

START_TEST(buf_with_an_error_is_left_alone)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1);
	buf_append_cstr(&out, "too long");
	ck_assert_int_eq(inflate_copy(gzip_hello, sizeof(gzip_hello), &out), ERR_TOO_LARGE);
	ck_assert_int_eq(gzip_deflate((struct bytes){ 0 }, 1, &out), ERR_TOO_LARGE);
}
END_TEST

START_TEST(both_formats_are_inflated)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	buf_append_cstr(&out, ">");
	ck_assert_int_eq(inflate_copy(gzip_hello, sizeof(gzip_hello), &out), ERR_NONE);
	ck_assert_int_eq(inflate_copy(zlib_hello, sizeof(zlib_hello), &out), ERR_NONE);
	ck_assert_uint_eq(out.len, 49);
	ck_assert_mem_eq(out.data, ">hello hello hello hello\nhello hello hello hello\n", 49);
}
END_TEST

START_TEST(deflated_stream_is_zlib)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	ck_assert_int_eq(
		gzip_deflate((struct bytes){ .data = (const uint8_t *)hello, .len = 24 }, 9, &out),
		ERR_NONE);
	ck_assert_uint_eq(out.len, sizeof(zlib_hello));
	ck_assert_mem_eq(out.data, zlib_hello, sizeof(zlib_hello));
}
END_TEST

/* Text of few letters, so that it shrinks; lengths around the size of a chunk. */
START_TEST(any_length_at_any_level_comes_back)
{
	static const size_t lengths[] = { 0, 1, 1000, 65535, 65536, 65537, 131072, 300000 };
	CLEANUP(buf_release) struct buf in = BUF_INIT(300000);
	uint64_t random = 1;
	while (in.len < in.max) {
		random = random * 6364136223846793005U + 1442695040888963407U;
		buf_append_byte(&in, (uint8_t)('a' + (random >> 60)));
	}
	for (size_t i = 0; i < LEN(lengths) * 3; i++) {
		CLEANUP(buf_release) struct buf small = BUF_INIT(400000);
		CLEANUP(buf_release) struct buf back = BUF_INIT(lengths[i / 3]);
		struct bytes part = { .data = in.data, .len = lengths[i / 3] };
		ck_assert_int_eq(gzip_deflate(part, (const int[]){ 1, 6, 9 }[i % 3], &small),
				 ERR_NONE);
		ck_assert_int_eq(inflate_copy(small.data, small.len, &back), ERR_NONE);
		ck_assert_uint_eq(back.len, part.len);
		ck_assert(part.len == 0 || memcmp(back.data, part.data, part.len) == 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gzip");
	TCase *t = tcase_create("gzip");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, stream_cut_anywhere_is_refused);
	tcase_add_test(t, damaged_stream_is_refused_or_unchanged);
	tcase_add_test(t, bytes_behind_the_stream_are_refused);
	tcase_add_test(t, raw_text_is_refused);
	tcase_add_test(t, bomb_is_refused);
	tcase_add_test(t, maximum_of_the_output_holds_to_the_byte);
	tcase_add_test(t, deflated_output_beyond_the_maximum_is_refused);
	tcase_add_test(t, buf_with_an_error_is_left_alone);
	tcase_add_test(t, both_formats_are_inflated);
	tcase_add_test(t, deflated_stream_is_zlib);
	tcase_add_test(t, any_length_at_any_level_comes_back);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
