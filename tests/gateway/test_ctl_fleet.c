/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_fleet.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *text;
static size_t text_len;

static enum err print(const char *json, struct fault *f)
{
	free(text);
	FILE *out = open_memstream(&text, &text_len);
	ck_assert_ptr_nonnull(out);
	enum err err = ctl_fleet_print_regions((struct str){ json, strlen(json) }, out, f);
	ck_assert_int_eq(fclose(out), 0);
	return err;
}

START_TEST(what_is_no_table_is_refused)
{
	static const char *const rows[] = { "", "[]", "{\"regions\":7}", "{\"regions\":[{\"name\":1}]}",
					    "{\"regions\":[{}]} x", "{\"regions\":[{\"position\":{}}]}" };
	struct fault f = { 0 };

	for (size_t i = 0; i < LEN(rows); i++)
		ck_assert_msg(print(rows[i], &f) == ERR_BAD_REQUEST, "%s", rows[i]);
	free(text);
	text = NULL;
}
END_TEST

START_TEST(regions_are_lines_of_a_table)
{
	ck_assert_int_eq(print("{\"primary\":\"eu\",\"later\":[1,{}],\"regions\":["
			       "{\"name\":\"eu\",\"role\":\"primary\",\"self\":true,\"position\":[257,9],\"lag_seconds\":0.0,"
			       "\"silent_ms\":0,\"rtt_ms\":0.0,\"connected\":true},"
			       "{\"name\":\"u\\u0007s\",\"role\":\"secondary\",\"self\":false,\"position\":[257,8],"
			       "\"lag_seconds\":null,\"silent_ms\":null,\"rtt_ms\":80.25,\"connected\":false}]}",
			       NULL),
			 ERR_NONE);
	ck_assert_str_eq(text, "  REGION       ROLE            EPOCH        SEQ         LAG       HEARD         RTT CONNECTED\n"
			       "* eu           primary           257          9      0.0 s       0.0 ms      0.0 ms yes\n"
			       "  u?s          secondary         257          8           -           -     80.2 ms no\n");
	free(text);
	text = NULL;
}
END_TEST

START_TEST(a_region_that_is_alone_says_so)
{
	ck_assert_int_eq(print("{\"region\":\"local\",\"regions\":[]}", NULL), ERR_NONE);
	ck_assert_str_eq(text, "this region is alone\n");
	free(text);
	text = NULL;
}
END_TEST

START_TEST(a_configuration_without_a_stream_provisions_nothing)
{
	char path[] = "/tmp/isthmus-ctl-XXXXXX";
	struct fault f = { 0 };
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	ck_assert_int_eq(ctl_fleet_provision(path, stdout, &f), ERR_CONFIG);
	ck_assert_msg(strstr(f.text, "has no regions") != NULL, "%s", f.text);
	(void)unlink(path);
	ck_assert_int_eq(ctl_fleet_provision("/no/such.conf", stdout, &f), ERR_CONFIG);
	ck_assert_msg(strstr(f.text, "/no/such.conf") != NULL, "%s", f.text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl_fleet");
	TCase *t = tcase_create("ctl_fleet");

	tcase_add_test(t, what_is_no_table_is_refused);
	tcase_add_test(t, regions_are_lines_of_a_table);
	tcase_add_test(t, a_region_that_is_alone_says_so);
	tcase_add_test(t, a_configuration_without_a_stream_provisions_nothing);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
