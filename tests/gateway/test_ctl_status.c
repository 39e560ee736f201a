/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_status.h"

#include "base/buf.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char shown[1 << 16];
static bool ready;

static enum err print(const char *json)
{
	struct fault fault;
	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	enum err err = ctl_status_print((struct str){ json, strlen(json) }, f, &ready, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static const char *const refused[] = {
	"",
	"[]",
	"{}",
	"{\"region\":5}",
	"{\"region\":\"a\"",
	"{\"region\":\"a\",\"epoch\":\"x\"}",
	"{\"region\":\"a\",\"collections\":{}}",
	"{\"region\":\"a\",\"collections\":[1]}",
};

START_TEST(what_is_no_status_is_refused_and_shows_nothing)
{
	ck_assert_int_eq(print(refused[_i]), ERR_BAD_REQUEST);
	ck_assert_str_eq(shown, "");
}
END_TEST

START_TEST(a_region_with_collections_is_a_page)
{
	ck_assert_int_eq(
		print("{\"version\":\"0.1.0\",\"region\":\"fra\",\"region_id\":1,\"role\":\"primary\",\"ready\":true,"
		      "\"epoch\":3,\"seq\":17,\"position\":[3,17],\"queue_bytes\":0,\"log_ops\":20,\"log_bytes\":2048,"
		      "\"uptime_seconds\":61.5,\"memory_bytes\":1048576,\"disk_free_bytes\":1073741824,"
		      "\"unknown\":{\"a\":[1]},\"collections\":[{\"name\":\"packages\",\"points\":5000,"
		      "\"vectors\":5000,\"indexed_vectors\":4000,\"segments\":2,\"shards\":1,\"optimizing\":true,"
		      "\"disk_bytes\":10485760,\"memory_bytes\":512},{\"name\":\"x\",\"error\":\"disk full\"}]}"),
		ERR_NONE);
	ck_assert(ready);
	ck_assert_str_eq(
		shown,
		"region    fra (id 1)\n"
		"role      primary, epoch 3, seq 17\n"
		"ready     yes\n"
		"version   0.1.0, up 1 min\n"
		"log       20 ops, 2.0 KiB; 0 B waiting to be written\n"
		"memory    1.0 MiB\n"
		"disk      1.0 GiB free\n"
		"\n"
		"COLLECTION      POINTS     INDEXED  SEGMENTS  SHARDS        DISK      MEMORY  STATE\n"
		"packages          5000        4000         2       1    10.0 MiB       512 B  building\n"
		"x                    0           0         0       0         0 B         0 B  error: disk full\n");
}
END_TEST

START_TEST(a_region_that_is_not_ready_says_why)
{
	ck_assert_int_eq(
		print("{\"region\":\"a\",\"role\":\"none\",\"ready\":false,\"why\":\"loading\\u001b[1m\"}"),
		ERR_NONE);
	ck_assert(!ready);
	ck_assert_ptr_nonnull(strstr(shown, "ready     no: loading?[1m\n"));
	ck_assert_ptr_null(strstr(shown, "COLLECTION"));
}
END_TEST

START_TEST(a_region_that_stopped_writing_is_not_ready)
{
	ck_assert_int_eq(
		print("{\"region\":\"a\",\"ready\":true,\"failed\":true,\"failure\":\"I/O error\"}"),
		ERR_NONE);
	ck_assert(!ready);
	ck_assert_ptr_nonnull(strstr(shown, "failed    I/O error\n"));
}
END_TEST

START_TEST(a_log_that_waits_is_shown_with_its_reason_and_what_to_do)
{
	ck_assert_int_eq(
		print("{\"region\":\"fra\",\"ready\":true,\"clock_off\":true,\"clock_ahead_ms\":-4100,"
		      "\"logs_waiting\":[{\"log\":\"8000000000000302\",\"seq\":7,\"region\":\"ams\",\"reason\":\"clock\","
		      "\"seconds\":61.5,\"words\":\"op 7 is ahead\",\"action\":\"set the clocks right\",\"new\":[1]}],"
		      "\"own_logs_waiting\":[{\"log\":\"8000000000000301\",\"seq\":3,\"region\":\"nyc\","
		      "\"reason\":\"lost\"}]}"),
		ERR_NONE);
	ck_assert_ptr_nonnull(strstr(shown, "clock     4100 ms behind most other regions: writes of collections that every "
					    "region writes are refused until it is set right (NTP)\n"
					    "waits     clock for 1 min: op 7 is ahead\n"
					    "          set the clocks right\n"
					    "waits     region nyc cannot go on with this region's log 8000000000000301 after "
					    "op 2: lost\n"));
}
END_TEST

START_TEST(more_waiting_logs_than_fit_are_left_out)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);

	buf_append_cstr(&b, "{\"region\":\"fra\",\"clock_ahead_ms\":0,\"logs_waiting\":[");
	for (unsigned i = 0; i < 1000; i++)
		buf_append_cstr(&b, i == 0 ? "{\"seq\":1}" : ",{\"seq\":[{}]}");
	buf_append_cstr(&b, "]}");
	/* The second is not a number, the thousandth is not looked at. */
	buf_append_byte(&b, 0);
	ck_assert_int_eq(print((const char *)b.data), ERR_BAD_REQUEST);
	buf_reset(&b);
	buf_append_cstr(&b, "{\"region\":\"fra\",\"logs_waiting\":[");
	for (unsigned i = 0; i < 1000; i++)
		buf_append_cstr(&b, i == 0 ? "{\"seq\":1}" : i < 256 ? ",{\"seq\":1}" : ",{\"seq\":[{}]}");
	buf_append_cstr(&b, "]}");
	buf_append_byte(&b, 0);
	shown[sizeof(shown) - 1] = 0;
	ck_assert_int_eq(print((const char *)b.data), ERR_NONE);
	ck_assert_ptr_null(strstr(shown, "clock  "));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_status");
	TCase *tests = tcase_create("ctl_status");

	tcase_add_loop_test(tests, what_is_no_status_is_refused_and_shows_nothing, 0, LEN(refused));
	tcase_add_test(tests, a_region_with_collections_is_a_page);
	tcase_add_test(tests, a_region_that_is_not_ready_says_why);
	tcase_add_test(tests, a_region_that_stopped_writing_is_not_ready);
	tcase_add_test(tests, a_log_that_waits_is_shown_with_its_reason_and_what_to_do);
	tcase_add_test(tests, more_waiting_logs_than_fit_are_left_out);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
