/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_orphans.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char shown[8192];

static FILE *open_shown(void)
{
	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	ck_assert_ptr_nonnull(f);
	return f;
}

static struct str text_of(const char *text)
{
	return (struct str){ text, strlen(text) };
}

static enum err list(const char *json)
{
	struct fault fault = { 0 };
	FILE *f = open_shown();
	enum err err = ctl_orphans_print_list(text_of(json), f, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static enum err show(const char *json)
{
	struct fault fault = { 0 };
	FILE *f = open_shown();
	enum err err = ctl_orphans_print_one(text_of(json), f, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static enum err decided(const char *json, bool *ret_all_done)
{
	struct fault fault = { 0 };
	FILE *f = open_shown();
	enum err err = ctl_orphans_print_decided(text_of(json), f, ret_all_done, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static const char *const refused[] = {
	"",
	"[]",
	"{\"orphans\":{}}",
	"{\"orphans\":[1]}",
	"{\"orphans\":[{\"id\":5}]}",
	"{\"orphans\":[{\"points\":\"x\"}]}",
	"{\"totals\":{\"open\":\"x\"}}",
	"{\"orphans\":[]",
};

START_TEST(what_is_no_list_of_orphans_is_refused)
{
	ck_assert_int_eq(list(refused[_i]), ERR_BAD_REQUEST);
	ck_assert_ptr_null(strstr(shown, "no orphans"));
}
END_TEST

START_TEST(what_is_no_orphan_or_no_decision_is_refused)
{
	static const char *const bad[] = { "", "[]", "{\"id\":1}", "{\"op\":[]}", "{\"op\":{\"points\":[1]}}" };
	static const char *const bad_decisions[] = { "", "[]", "{\"applied\":\"x\"}", "{\"errors\":{}}", "{\"errors\":[{\"id\":1}]}" };
	bool all_done;

	for (size_t i = 0; i < LEN(bad); i++)
		ck_assert_msg(show(bad[i]) == ERR_BAD_REQUEST, "%s", bad[i]);
	for (size_t i = 0; i < LEN(bad_decisions); i++)
		ck_assert_msg(decided(bad_decisions[i], &all_done) == ERR_BAD_REQUEST, "%s", bad_decisions[i]);
}
END_TEST

START_TEST(that_there_are_none_is_said)
{
	ck_assert_int_eq(list("{\"region\":\"eu\",\"totals\":{\"local\":0,\"open\":0,\"applied\":2},\"orphans\":[]}"), ERR_NONE);
	ck_assert_str_eq(shown, "no orphans\n0 local, 0 open, 2 applied\n");
}
END_TEST

START_TEST(each_orphan_is_a_line)
{
	ck_assert_int_eq(
		list("{\"orphans\":[{\"id\":\"257-3\",\"hash\":\"00ff\",\"state\":\"open\",\"kind\":\"set-payload\",\"collection\":"
		     "\"c\",\"points\":2,\"time_ms\":1700000000123,\"region\":\"fra\",\"later\":[{}]},{\"id\":\"257-4\",\"state\":"
		     "\"local\",\"kind\":\"upsert\",\"collection\":null,\"points\":1000,\"time_ms\":0,\"region\":\"\\u001b[2J\"}],"
		     "\"totals\":{\"open\":1},\"next\":\"open.x\"}"),
		ERR_NONE);
	ck_assert_str_eq(shown, "ID               STATE   KIND              COLLECTION       POINTS WRITTEN                  REGION\n"
				"257-3            open    set-payload       c                     2 2023-11-14T22:13:20.123Z fra\n"
				"257-4            local   upsert            -                  1000 1970-01-01T00:00:00.000Z ?[2J\n"
				"and more: see --limit\n1 open\n");
}
END_TEST

START_TEST(one_is_shown_with_what_is_there_now)
{
	ck_assert_int_eq(show("{\"id\":\"257-3\",\"state\":\"open\",\"kind\":\"set-payload\",\"collection\":\"c\",\"points\":2,\"time_ms\":0,"
			      "\"region\":\"fra\",\"op\":{\"payload\":{\"k\":5},\"points\":[{\"id\":\"3\",\"now\":{\"vectors\":{\"\":[1]},"
			      "\"payload\":{\"k\":1}}},{\"id\":\"4\",\"now\":null}]}}"),
			 ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "\n  payload {\"k\":5}\n  point 3\n    now vectors      {\"\":[1]}\n"
					    "    now payload      {\"k\":1}\n  point 4\n    now              not there\n"));
	ck_assert_int_eq(show("{\"id\":\"257-3\",\"state\":\"dropped\",\"op\":null}"), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "kept no longer"));
}
END_TEST

START_TEST(what_was_decided_is_counted_and_what_was_not_says_why)
{
	bool all_done = false;

	ck_assert_int_eq(decided("{\"applied\":3,\"refused\":0,\"confirmed\":true,\"errors\":[]}", &all_done), ERR_NONE);
	ck_assert_str_eq(shown, "3 applied, 0 dropped, 0 refused\n");
	ck_assert(all_done);
	ck_assert_int_eq(decided("{\"dropped\":1,\"refused\":1,\"confirmed\":false,\"errors\":[{\"id\":\"1-1\",\"error\":\"no\\n\"}]}",
				 &all_done),
			 ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "1-1: no?\n0 applied, 1 dropped, 1 refused; not confirmed"));
	ck_assert(!all_done);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ctl_orphans");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, what_is_no_list_of_orphans_is_refused, 0, LEN(refused));
	tcase_add_test(t, what_is_no_orphan_or_no_decision_is_refused);
	tcase_add_test(t, that_there_are_none_is_said);
	tcase_add_test(t, each_orphan_is_a_line);
	tcase_add_test(t, one_is_shown_with_what_is_there_now);
	tcase_add_test(t, what_was_decided_is_counted_and_what_was_not_says_why);
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
