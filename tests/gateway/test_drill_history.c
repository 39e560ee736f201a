/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reports of drills as a region keeps them.
 */
#include "gateway/drill_history.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static struct drill_history *history;

static void begin(void)
{
	ck_assert_int_eq(drill_history_open(dir, &history, NULL), ERR_NONE);
}

static void set_up(void)
{
	memcpy(dir, "/tmp/isthmus-drill-XXXXXX", 26);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	begin();
}

static void tear_down(void)
{
	char path[128];

	drill_history_close(history);
	(void)snprintf(path, sizeof(path), "%s/drills.jsonl", dir);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void add(unsigned n)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "{\"kind\":\"failover\",\n\"verdict\":\"passed\",\"time_ms\":%u}", n);
	ck_assert_int_eq(drill_history_add(history, (struct str){ text, strlen(text) }, NULL), ERR_NONE);
}

/* The reports listed, as their times. */
static void expect(uint32_t limit, unsigned newest, unsigned count)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(DRILL_HISTORY_BYTES_MAX + 1024);
	CLEANUP(arena_release) struct arena a;
	unsigned found = 0;

	arena_init(&a, 1u << 20);
	ck_assert_int_eq(drill_history_list(history, limit, &b), ERR_NONE);
	struct json_reader r = json_reader_of(buf_str(&b), &a);
	ck_assert(json_enter_array(&r));
	while (json_next_element(&r)) {
		struct drill_summary s;

		ck_assert_int_eq(drill_summary_read(json_raw(&r), &a, &s, NULL), ERR_NONE);
		ck_assert_uint_eq(s.wall_ms, newest - found);
		found++;
	}
	ck_assert_int_eq(json_end(&r, NULL), ERR_NONE);
	ck_assert_uint_eq(found, count);
}

START_TEST(reports_survive_a_restart_the_newest_first)
{
	expect(20, 0, 0);
	add(1);
	add(2);
	add(3);
	expect(20, 3, 3);
	expect(2, 3, 2);
	drill_history_close(history);
	begin();
	expect(20, 3, 3);
	add(4);
	expect(20, 4, 4);
}
END_TEST

START_TEST(beyond_the_bound_the_oldest_report_is_left_out)
{
	for (unsigned n = 1; n <= DRILL_HISTORY_MAX + 2; n++)
		add(n);
	expect(DRILL_HISTORY_MAX + 2, DRILL_HISTORY_MAX + 2, DRILL_HISTORY_MAX);
	drill_history_close(history);
	begin();
	expect(DRILL_HISTORY_MAX + 2, DRILL_HISTORY_MAX + 2, DRILL_HISTORY_MAX);
}
END_TEST

START_TEST(a_line_that_is_no_report_is_passed_over)
{
	char path[128];

	add(1);
	drill_history_close(history);
	(void)snprintf(path, sizeof(path), "%s/drills.jsonl", dir);
	FILE *f = fopen(path, "ae");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fputs("half a repo\n{\"kind\":\"failover\",\"verdict\":\"failed\",\"time_ms\":2}\n\n{\"kind\"", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	begin();
	expect(20, 2, 2);
}
END_TEST

START_TEST(what_is_no_report_is_not_kept)
{
	struct fault f = { 0 };
	CLEANUP(buf_release) struct buf big = BUF_INIT(2 * DRILL_REPORT_BYTES_MAX);

	ck_assert_int_eq(drill_history_add(history, STR("{\"kind\":\"failover\"}"), &f), ERR_BAD_REQUEST);
	ck_assert_int_eq(drill_history_add(history, (struct str){ 0 }, &f), ERR_BAD_REQUEST);
	ck_assert_ptr_nonnull(buf_reserve(&big, DRILL_REPORT_BYTES_MAX + 1));
	memset(big.data, ' ', DRILL_REPORT_BYTES_MAX + 1);
	buf_commit(&big, DRILL_REPORT_BYTES_MAX + 1);
	ck_assert_int_eq(drill_history_add(history, buf_str(&big), &f), ERR_TOO_LARGE);
	expect(20, 0, 0);
}
END_TEST

START_TEST(without_a_folder_reports_are_kept_in_memory)
{
	drill_history_close(history);
	ck_assert_int_eq(drill_history_open(NULL, &history, NULL), ERR_NONE);
	add(1);
	expect(20, 1, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("drill_history");
	TCase *t = tcase_create("drill_history");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, reports_survive_a_restart_the_newest_first);
	tcase_add_test(t, beyond_the_bound_the_oldest_report_is_left_out);
	tcase_add_test(t, a_line_that_is_no_report_is_passed_over);
	tcase_add_test(t, what_is_no_report_is_not_kept);
	tcase_add_test(t, without_a_folder_reports_are_kept_in_memory);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
