/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_audit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char shown[4096];
static bool equal;

static enum err print(const char *json)
{
	struct fault fault = { 0 };

	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	enum err err = ctl_audit_print((struct str){ json, strlen(json) }, f, &equal, &fault);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert(!err || fault.text[0]);
	return err;
}

static const char *const refused[] = {
	"",
	"{}",
	"[1]",
	"{\"reports\":5}",
	"{\"reports\":[{\"mark\":\"x\"}]}",
	"{\"reports\":[{\"mark\":1},{\"mark\":-1}]}",
	"[{\"position\":[1,2,{}]}]",
	"[{\"regions\":[{\"name\":4}]}]",
	"[{\"mark\":1}",
};

START_TEST(what_is_no_report_is_refused_and_shows_nothing)
{
	ck_assert_int_eq(print(refused[_i]), ERR_BAD_REQUEST);
	ck_assert_str_eq(shown, "");
}
END_TEST

#define HEAD                                                                                                           \
	"TIME                  MARK           POSITION          KIND   VERDICT    EQUAL   DIFF   LATE  REPAIRED     WRONG\n"

START_TEST(reports_are_lines_of_a_table)
{
	ck_assert_int_eq(
		print("{\"running\":false,\"broken\":0,\"reports\":[{\"number\":2,\"time\":\"2026-01-02T03:04:05Z\","
		      "\"deep\":true,\"verdict\":\"different\",\"mark\":1700000000001,\"position\":[257,12],\"regions\":["
		      "{\"name\":\"eu\",\"standing\":\"equal\"},{\"name\":\"us\",\"standing\":\"different\",\"rows\":3},"
		      "{\"name\":\"ap\",\"standing\":\"late\"}],\"differences\":{\"stale\":1,\"tree\":2},\"repaired\":3,"
		      "\"unrepaired\":1,\"unknown\":[{}],\"points\":[{}]},"
		      "{\"time\":\"2026-01-02T03:04:00Z\",\"verdict\":\"equal\\u001b[1m\",\"trouble\":\"no way\"}]}"),
		ERR_NONE);
	ck_assert(!equal);
	ck_assert_str_eq(shown,
			 HEAD "2026-01-02T03:04:05Z  1700000000001  257,12            deep   different      1      1"
			      "      1         3         1  different: us  late: ap\n"
			      "2026-01-02T03:04:00Z  0              0,0               roots  equal?[1m      0      0"
			      "      0         0         0  no way\n");
}
END_TEST

START_TEST(the_answer_to_a_request_is_an_array)
{
	ck_assert_int_eq(print("[{\"verdict\":\"equal\"}]"), ERR_NONE);
	ck_assert(equal);
	ck_assert_int_eq(print("[{\"verdict\":\"late\"},{\"verdict\":\"equal\"}]"), ERR_NONE);
	ck_assert(!equal);
}
END_TEST

START_TEST(whose_reports_they_are_and_what_was_not_compared_is_told)
{
	ck_assert_int_eq(print("{\"region\":\"eu\",\"reports\":[{\"verdict\":\"late\",\"unsure\":3}]}"), ERR_NONE);
	ck_assert_ptr_eq(strstr(shown, "audits are begun by the primary and kept there; these are of region eu\n"), shown);
	ck_assert_ptr_nonnull(strstr(shown, "not compared, as they were being written: 3\n"));
	ck_assert(!equal);
}
END_TEST

START_TEST(no_reports_and_broken_chains_are_told)
{
	ck_assert_int_eq(print("{\"reports\":[]}"), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "no audits yet"));
	ck_assert_int_eq(print("{\"broken\":17,\"reports\":[{\"verdict\":\"equal\"}]}"), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "report 17 does not fit"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ctl_audit");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, what_is_no_report_is_refused_and_shows_nothing, 0, (int)LEN(refused));
	tcase_add_test(t, reports_are_lines_of_a_table);
	tcase_add_test(t, the_answer_to_a_request_is_an_array);
	tcase_add_test(t, whose_reports_they_are_and_what_was_not_compared_is_told);
	tcase_add_test(t, no_reports_and_broken_chains_are_told);
	suite_add_tcase(s, t);
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
