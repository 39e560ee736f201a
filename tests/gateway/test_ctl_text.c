/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *text, *shown;
	size_t columns;
} texts[] = {
	{ "", "", 0 },
	{ "", "  ", 2 },
	{ "abc", "abc", 2 },
	{ "abc", "abc  ", 5 },
	{ "\xC3\xA4\xE2\x82\xAC", "\xC3\xA4\xE2\x82\xAC ", 3 },
	{ "a\x1B[31mb\n\x7F", "a?[31mb??", 0 },
	{ "\xC2\x9B"
	  "x",
	  "?x", 0 },
	{ "\xC2\xA0", "\xC2\xA0", 0 },
	{ "\xC3", "?", 0 },
	{ "\xFFz", "?z  ", 4 },
};

START_TEST(text_commands_no_terminal_and_fills_its_columns)
{
	char shown[64] = { 0 };
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	ctl_text_put(f, (struct str){ texts[_i].text, strlen(texts[_i].text) }, texts[_i].columns);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_str_eq(shown, texts[_i].shown);
}
END_TEST

static const struct {
	uint64_t bytes;
	const char *shown;
} sizes[] = {
	{ 0, "0 B" },
	{ 1023, "1023 B" },
	{ 1024, "1.0 KiB" },
	{ 1536, "1.5 KiB" },
	{ 5ull << 30, "5.0 GiB" },
	{ 3ull << 40, "3.0 TiB" },
	{ UINT64_MAX, "16.0 EiB" },
};

START_TEST(sizes_have_units)
{
	char shown[16];
	ctl_text_size(shown, sizes[_i].bytes);
	ck_assert_str_eq(shown, sizes[_i].shown);
}
END_TEST

static const struct {
	double seconds;
	const char *shown;
} durations[] = {
	{ -1, "0 s" },      { 0.9, "0 s" },        { 59.9, "59 s" },     { 60, "1 min" },
	{ 3599, "59 min" }, { 3600, "1 h 0 min" }, { 90061, "1 d 1 h" }, { 1e300, "0 s" },
};

START_TEST(durations_have_two_units_at_most)
{
	char shown[24];
	ctl_text_duration(shown, durations[_i].seconds);
	ck_assert_str_eq(shown, durations[_i].shown);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_text");
	TCase *tests = tcase_create("ctl_text");

	tcase_add_loop_test(tests, text_commands_no_terminal_and_fills_its_columns, 0, LEN(texts));
	tcase_add_loop_test(tests, sizes_have_units, 0, LEN(sizes));
	tcase_add_loop_test(tests, durations_have_two_units_at_most, 0, LEN(durations));
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
