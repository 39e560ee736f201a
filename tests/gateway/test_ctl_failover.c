/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_failover.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t text_len;

typedef enum err print_fn(struct str json, FILE *out, struct fault *f);

static enum err print(print_fn *fn, const char *json, struct fault *f)
{
	free(text);
	FILE *out = open_memstream(&text, &text_len);
	ck_assert_ptr_nonnull(out);
	enum err err = fn((struct str){ json, strlen(json) }, out, f);
	ck_assert_int_eq(fclose(out), 0);
	return err;
}

static void tear_down(void)
{
	free(text);
	text = NULL;
}

START_TEST(answers_that_are_none_are_refused)
{
	static const char *const rows[] = { "", "[]", "{\"primary\":1}", "{\"loss\":7}", "{\"members\":7}", "{} x",
					    "{\"members\":[{\"position\":{}}]}", "{\"list\":[]}" };

	for (size_t i = 0; i < LEN(rows); i++) {
		bool both = rows[i][0] != '{' || rows[i][1] == '}';

		ck_assert_msg(!both || print(ctl_failover_print, rows[i], NULL) == ERR_BAD_REQUEST, "%s", rows[i]);
		ck_assert_msg(print(ctl_failover_print, rows[i], NULL) == ERR_BAD_REQUEST ||
				      print(ctl_voters_print, rows[i], NULL) == ERR_BAD_REQUEST, "%s", rows[i]);
	}
}
END_TEST

START_TEST(a_failover_is_told_with_what_may_be_lost)
{
	static const struct {
		const char *json, *words;
	} rows[] = {
		{ "{\"primary\":\"us\",\"before\":\"eu\",\"epoch\":514,\"took_ms\":5312,\"loss\":{\"ms\":0,\"writes\":0,\"last_told\":[257,9],"
		  "\"kept\":[257,9]},\"voter_list\":null}",
		  "us is the primary now, after eu; epoch 514, after 5.3 s\n"
		  "it has all that the last primary told of; what that one wrote in its last second may be missing\n" },
		{ "{\"primary\":\"u\\u0007s\",\"before\":null,\"epoch\":514,\"took_ms\":40,\"loss\":{\"ms\":40000,\"writes\":900},"
		  "\"voter_list\":1052672}",
		  "voter list 1052672 is in place, without the lost regions\nu?s is the primary now; epoch 514, after 0.0 s\n"
		  "it was 40.0 s and 900 writes behind what the last primary told of: these are orphans\n" },
		{ "{\"primary\":\"us\",\"epoch\":514,\"took_ms\":40,\"loss\":{\"ms\":40000,\"writes\":null}}",
		  "us is the primary now; epoch 514, after 0.0 s\n"
		  "it was 40.0 s behind what the last primary told of: what is missing are orphans\n" },
		{ "{\"primary\":\"us\",\"epoch\":514,\"took_ms\":40,\"loss\":null}",
		  "us is the primary now; epoch 514, after 0.0 s\nhow far it was behind is not known\n" },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		ck_assert_int_eq(print(ctl_failover_print, rows[i].json, NULL), ERR_NONE);
		ck_assert_str_eq(text, rows[i].words);
	}
}
END_TEST

START_TEST(voters_are_lines_of_a_table)
{
	ck_assert_int_eq(print(ctl_voters_print,
			       "{\"fleet\":\"demo\",\"list\":{\"number\":4,\"epoch\":257,\"voters\":3,\"majority\":2},"
			       "\"pending\":{\"number\":5,\"epoch\":257,\"voters\":2,\"majority\":2},\"members\":["
			       "{\"name\":\"eu\",\"id\":1,\"role\":\"data\",\"self\":true,\"voter\":true,\"store\":\"0a0b0c0d\",\"silent_ms\":0,"
			       "\"position\":[257,9],\"state\":\"fit\"},"
			       "{\"name\":null,\"id\":9,\"role\":\"witness\",\"self\":false,\"voter\":false,\"store\":null,\"silent_ms\":null,"
			       "\"position\":[0,0],\"state\":\"not in this region's configuration\"}]}",
			       NULL),
			 ERR_NONE);
	ck_assert_str_eq(text, "voter list 4: 3 voters, a majority is 2\n"
			       "voter list 5 is on its way: a majority has not stored it yet\n"
			       "  REGION       ROLE     VOTER STORE         EPOCH        SEQ      HEARD  STATE\n"
			       "* eu           data     yes   0a0b0c0d        257          9      0.0 s  fit\n"
			       "  region 9     witness  no    -                 0          0          -  not in this region's "
			       "configuration\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl_failover");
	TCase *t = tcase_create("ctl_failover");
	tcase_add_checked_fixture(t, NULL, tear_down);
	tcase_add_test(t, answers_that_are_none_are_refused);
	tcase_add_test(t, a_failover_is_told_with_what_may_be_lost);
	tcase_add_test(t, voters_are_lines_of_a_table);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
