/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moments: the forms that are read, what is none, and the form that is written.
 */
#include "index/datetime.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *text;
	int64_t us;
} good[] = {
	{ "1970-01-01", 0 },
	{ "1970-01-01T00:00:00Z", 0 },
	{ "1970-01-01t00:00:00z", 0 },
	{ "1970-01-01 00:00:00", 0 },
	{ "1970-01-01 00:01", 60000000 },
	{ "1970-01-01T00:00:01.5Z", 1500000 },
	{ "1970-01-01T00:00:01.123456789", 1123456 },
	{ "1970-01-01T01:00:00+01:00", 0 },
	{ "1970-01-01T01:00:00+0100", 0 },
	{ "1970-01-01T01:00:00+01", 0 },
	{ "1969-12-31T19:30:00-04:30", 0 },
	{ "1969-12-31T23:59:59.999999Z", -1 },
	{ "2024-02-29", 1709164800000000 },
	{ "2000-02-29T12:34:56Z", 951827696000000 },
	{ "2016-12-31T23:59:60Z", 1483228800000000 },
	{ "0001-01-01T00:00:00Z", -62135596800000000 },
	{ "9999-12-31T23:59:59.999999Z", 253402300799999999 },
	{ "2020-1-5 7:05:09", 1578207909000000 },
};

START_TEST(forms_that_qdrant_reads_are_moments)
{
	for (size_t i = 0; i < LEN(good); i++) {
		int64_t us = INT64_MIN;
		struct str text = { good[i].text, strlen(good[i].text) };

		ck_assert_msg(datetime_parse(text, &us), "%s", good[i].text);
		ck_assert_msg(us == good[i].us, "%s is %lld", good[i].text, (long long)us);
	}
}
END_TEST

START_TEST(what_is_no_moment_is_none)
{
	static const char *const bad[] = {
		"",
		"today",
		"2023-02-29",
		"1900-02-29",
		"2024-13-01",
		"2024-00-01",
		"2024-04-31",
		"2024-01-00",
		"2024-01",
		"24-01-01",
		"2024-01-01T",
		"2024-01-01T10:00",
		"2024-01-01 10",
		"2024-01-01T24:00:00",
		"2024-01-01T10:60:00",
		"2024-01-01T10:00:61",
		"2024-01-01T10:00:00.",
		"2024-01-01T10:00:00+",
		"2024-01-01T10:00:00+1",
		"2024-01-01T10:00:00+24:00",
		"2024-01-01T10:00:00+01:60",
		"2024-01-01T10:00:00+01:",
		"2024-01-01T10:00:00ZZ",
		"2024-01-01T10:00:00 Z",
		" 2024-01-01",
		"2024-01-01 ",
		"2024-01-01Z",
		"2024/01/01",
	};
	int64_t us;

	for (size_t i = 0; i < LEN(bad); i++)
		ck_assert_msg(!datetime_parse((struct str){ bad[i], strlen(bad[i]) }, &us), "%s", bad[i]);
	ck_assert(!datetime_parse((struct str){ NULL, 0 }, &us));
}
END_TEST

START_TEST(a_moment_is_written_so_that_it_is_read_back)
{
	char text[DATETIME_TEXT_MAX];

	ck_assert_uint_eq(datetime_format(-1, text), 27);
	ck_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
	/* Every 11 days and some, over all of the calendar. */
	for (int64_t us = -62135596800000000; us <= 253402300799999999; us += 1000003000007) {
		int64_t again;
		size_t len = datetime_format(us, text);

		ck_assert_msg(datetime_parse((struct str){ text, len }, &again) && again == us, "%s", text);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("datetime");
	TCase *t = tcase_create("datetime");

	tcase_add_test(t, what_is_no_moment_is_none);
	tcase_add_test(t, forms_that_qdrant_reads_are_moments);
	tcase_add_test(t, a_moment_is_written_so_that_it_is_read_back);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
