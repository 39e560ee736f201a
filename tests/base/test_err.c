/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of errors and the words of faults.
 */
#include "base/err.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(number_outside_the_enum_is_an_internal_error)
{
	ck_assert_str_eq(err_name((enum err)(ERR_COUNT + 7)), "INTERNAL");
	ck_assert_str_eq(err_name((enum err) - 1), "INTERNAL");
	ck_assert_int_eq(err_http_status((enum err) - 1), 500);
}
END_TEST

START_TEST(table_gives_name_and_statuses)
{
	static const struct {
		enum err err;
		const char *name;
		int http, grpc;
	} rows[] = {
		{ ERR_NONE, "NONE", 200, 0 },
		{ ERR_BAD_REQUEST, "BAD_REQUEST", 400, 3 },
		{ ERR_NOT_FOUND, "NOT_FOUND", 404, 5 },
		{ ERR_RATE_LIMITED, "RATE_LIMITED", 429, 8 },
		{ ERR_NO_PRIMARY, "NO_PRIMARY", 503, 14 },
		{ ERR_VERSION, "VERSION", 500, 9 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		ck_assert_str_eq(err_name(rows[i].err), rows[i].name);
		ck_assert_int_eq(err_http_status(rows[i].err), rows[i].http);
		ck_assert_int_eq(err_grpc_status(rows[i].err), rows[i].grpc);
	}
}
END_TEST

START_TEST(every_error_has_a_sentence_and_sane_statuses)
{
	for (unsigned e = ERR_NONE + 1; e < ERR_COUNT; e++) {
		ck_assert_msg(strlen(err_sentence((enum err)e)) > 3, "%s", err_name((enum err)e));
		ck_assert_int_ge(err_http_status((enum err)e), 400);
		ck_assert_int_le(err_http_status((enum err)e), 599);
		ck_assert_int_ge(err_grpc_status((enum err)e), 1);
		ck_assert_int_le(err_grpc_status((enum err)e), 16);
		for (unsigned other = 0; other < e; other++)
			ck_assert_str_ne(err_name((enum err)e), err_name((enum err)other));
	}
}
END_TEST

START_TEST(errno_is_translated)
{
	static const struct {
		int errnum;
		enum err err;
	} rows[] = {
		{ 0, ERR_IO },
		{ EIO, ERR_IO },
		{ EACCES, ERR_IO },
		{ 123456, ERR_IO },
		{ ENOMEM, ERR_NO_MEMORY },
		{ ENOSPC, ERR_NO_SPACE },
		{ EDQUOT, ERR_NO_SPACE },
		{ ENOENT, ERR_NOT_FOUND },
		{ EEXIST, ERR_ALREADY_EXISTS },
		{ ETIMEDOUT, ERR_TIMEOUT },
		{ ECONNREFUSED, ERR_UNAVAILABLE },
		{ EFBIG, ERR_TOO_LARGE },
		{ ECANCELED, ERR_CANCELLED },
	};
	for (size_t i = 0; i < LEN(rows); i++)
		ck_assert_msg(err_from_errno(rows[i].errnum) == rows[i].err, "errno %d",
			      rows[i].errnum);
}
END_TEST

START_TEST(fault_keeps_error_and_words)
{
	struct fault f = { 0 };
	ck_assert_int_eq(fault_set(&f, ERR_IO, "file=%s byte=%d", "a.slots", 7), ERR_IO);
	ck_assert_int_eq(f.err, ERR_IO);
	ck_assert_str_eq(fault_text(&f), "file=a.slots byte=7");
}
END_TEST

START_TEST(fault_may_be_absent)
{
	ck_assert_int_eq(fault_set(NULL, ERR_IO, "nobody reads %d", 1), ERR_IO);
	ck_assert_str_eq(fault_text(NULL), "");
}
END_TEST

START_TEST(fault_without_words_says_the_sentence)
{
	struct fault f = { .err = ERR_CORRUPT };
	ck_assert_str_eq(fault_text(&f), "stored data are damaged");
}
END_TEST

START_TEST(fault_may_quote_itself)
{
	struct fault f;
	(void)fault_set(&f, ERR_IO, "disk gone");
	(void)fault_set(&f, ERR_UNAVAILABLE, "shard 3: %s", f.text);
	ck_assert_str_eq(f.text, "shard 3: disk gone");
	ck_assert_int_eq(f.err, ERR_UNAVAILABLE);
}
END_TEST

/* The cut falls into every byte of characters of two, three and four bytes. */
START_TEST(long_words_are_cut_between_characters)
{
	static const char *const characters[] = { "a", "é", "€", "😀" };
	char words[2 * FAULT_TEXT_MAX];

	for (size_t c = 0; c < LEN(characters); c++) {
		size_t width = strlen(characters[c]);
		for (size_t shift = 0; shift < 4; shift++) {
			size_t len = 0;
			for (; len < shift; len++)
				words[len] = '.';
			for (; len + width < sizeof(words); len += width)
				memcpy(words + len, characters[c], width);
			words[len] = '\0';
			struct fault f;
			(void)fault_set(&f, ERR_IO, "%s", words);
			size_t kept = strlen(f.text);
			ck_assert_uint_eq((kept - shift) % width, 0);
			ck_assert_uint_gt(kept + width, FAULT_TEXT_MAX - 1);
			ck_assert_int_eq(memcmp(f.text, words, kept), 0);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");
	tcase_add_test(t, number_outside_the_enum_is_an_internal_error);
	tcase_add_test(t, table_gives_name_and_statuses);
	tcase_add_test(t, every_error_has_a_sentence_and_sane_statuses);
	tcase_add_test(t, errno_is_translated);
	tcase_add_test(t, fault_keeps_error_and_words);
	tcase_add_test(t, fault_may_be_absent);
	tcase_add_test(t, fault_without_words_says_the_sentence);
	tcase_add_test(t, fault_may_quote_itself);
	tcase_add_test(t, long_words_are_cut_between_characters);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
