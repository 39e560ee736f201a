/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_conflicts.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char shown[8192];

static enum err print(const char *json)
{
	struct fault fault = { 0 };
	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	enum err err = ctl_conflicts_print((struct str){ json, strlen(json) }, f, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static const char *const refused[] = {
	"",
	"[]",
	"{\"conflicts\":{}}",
	"{\"conflicts\":[1]}",
	"{\"conflicts\":[{\"winner\":5}]}",
	"{\"conflicts\":[{\"loser\":{\"time_ms\":\"x\"}}]}",
	"{\"conflicts\":[{\"id\":1}]}",
	"{\"conflicts\":[]",
};

START_TEST(what_is_no_list_of_conflicts_is_refused)
{
	ck_assert_int_eq(print(refused[_i]), ERR_BAD_REQUEST);
	ck_assert_ptr_null(strstr(shown, "no conflicts"));
}
END_TEST

START_TEST(that_there_are_none_is_said)
{
	ck_assert_int_eq(print("{\"conflicts\":[]}"), ERR_NONE);
	ck_assert_str_eq(shown, "no conflicts\n");
	ck_assert_int_eq(print("{\"other\":[1,{}]}"), ERR_NONE);
	ck_assert_str_eq(shown, "no conflicts\n");
}
END_TEST

START_TEST(each_conflict_is_a_line_with_both_sides)
{
	ck_assert_int_eq(
		print("{\"conflicts\":[{\"number\":4,\"time_ms\":1700000000123,\"collection\":\"packages\",\"id\":\"17\","
		      "\"field\":\"payload:k\",\"reason\":\"lww\",\"winner\":{\"region\":\"fra\",\"region_id\":2,"
		      "\"time_ms\":1700000000001},\"loser\":{\"region\":\"ams\",\"region_id\":1,\"time_ms\":1699999999999,"
		      "\"value\":{\"a\":[1,2]}},\"later\":null},{\"collection\":\"c\",\"id\":\"1\",\"field\":\"\","
		      "\"reason\":\"delete\"}]}"),
		ERR_NONE);
	ck_assert_str_eq(shown,
			 "TIME                     COLLECTION   ID           FIELD                REASON WINNER"
			 "                            LOSER\n"
			 "2023-11-14T22:13:20.123Z packages     17           payload:k            lww    fra      "
			 "2023-11-14T22:13:20.001Z ams      2023-11-14T22:13:19.999Z {\"a\":[1,2]}\n"
			 "1970-01-01T00:00:00.000Z c            1            (point)              delete          "
			 "1970-01-01T00:00:00.000Z          1970-01-01T00:00:00.000Z \n");
}
END_TEST

/* What a client stored must not drive the terminal of who looks at it. */
START_TEST(control_characters_of_a_value_are_not_passed_on)
{
	ck_assert_int_eq(print("{\"conflicts\":[{\"collection\":\"a\\u001b[2Jb\",\"loser\":{\"value\":\"\\u001b[31m\"}}]}"), ERR_NONE);
	ck_assert_ptr_null(strchr(shown, '\033'));
	ck_assert_ptr_nonnull(strstr(shown, "a?[2Jb"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_conflicts");
	TCase *tests = tcase_create("ctl_conflicts");

	tcase_add_loop_test(tests, what_is_no_list_of_conflicts_is_refused, 0, LEN(refused));
	tcase_add_test(tests, that_there_are_none_is_said);
	tcase_add_test(tests, each_conflict_is_a_line_with_both_sides);
	tcase_add_test(tests, control_characters_of_a_value_are_not_passed_on);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
