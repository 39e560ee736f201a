/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/apt_records.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static FILE *text_stream(const char *text)
{
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, strlen(text), f), strlen(text));
	rewind(f);
	return f;
}

START_TEST(records_come_with_name_summary_section_and_folded_tags)
{
	FILE *in = text_stream("Package: 0ad\nSection: games\nDescription: strategy game\nTag: game::strategy, role::program,\n"
			       " x11::application\nSize: 7\n\nPackage: b\nDescription-en: second\n more of it\n");
	struct apt_reader r;
	struct apt_record a;

	apt_reader_of(&r, in);
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NONE);
	ck_assert_str_eq(a.name, "0ad");
	ck_assert_str_eq(a.summary, "strategy game");
	ck_assert_str_eq(a.section, "games");
	ck_assert_uint_eq(a.tag_count, 3);
	ck_assert_str_eq(a.tags[2], "x11::application");
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NONE);
	ck_assert_str_eq(a.name, "b");
	ck_assert_str_eq(a.summary, "second");
	ck_assert_uint_eq(a.tag_count, 0);
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NOT_FOUND);
	ck_assert_int_eq(apt_reader_close(&r, NULL), ERR_NONE);
	(void)fclose(in);
}
END_TEST

START_TEST(a_record_without_a_summary_is_passed_over)
{
	FILE *in = text_stream("Package: a\n\n\nPackage: b\nDescription: kept\n\n");
	struct apt_reader r;
	struct apt_record a;

	apt_reader_of(&r, in);
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NONE);
	ck_assert_str_eq(a.name, "b");
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NOT_FOUND);
	ck_assert_int_eq(apt_reader_close(&r, NULL), ERR_NONE);
	(void)fclose(in);
}
END_TEST

START_TEST(a_field_that_is_too_long_is_cut_at_a_whole_character)
{
	char text[2048] = "Package: p\nDescription: x";
	struct apt_reader r;
	struct apt_record a;
	size_t at = strlen(text);

	for (int i = 0; i < 400; i++) {
		text[at++] = (char)0xC3;
		text[at++] = (char)0xA9;
	}
	text[at++] = '\n';
	FILE *in = text_stream(text);

	apt_reader_of(&r, in);
	ck_assert_int_eq(apt_reader_next(&r, &a), ERR_NONE);
	ck_assert_uint_eq(strlen(a.summary), 511);
	ck_assert_int_eq((unsigned char)a.summary[510], 0xA9);
	ck_assert_int_eq(apt_reader_close(&r, NULL), ERR_NONE);
	(void)fclose(in);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("apt_records");
	TCase *t = tcase_create("apt_records");

	tcase_add_test(t, records_come_with_name_summary_section_and_folded_tags);
	tcase_add_test(t, a_record_without_a_summary_is_passed_over);
	tcase_add_test(t, a_field_that_is_too_long_is_cut_at_a_whole_character);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
