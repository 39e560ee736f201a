/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit_report.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/index/scratch.h"

static struct scratch scratch;
static struct audit_report report;

static void hash(struct bytes b, uint8_t out[AUDIT_DIGEST_BYTES])
{
	for (unsigned i = 0; i < AUDIT_DIGEST_BYTES; i += 8) {
		uint64_t h = hash64(b.data, b.len, i);
		memcpy(out + i, &h, 8);
	}
}

static void set_up(void)
{
	scratch_new(&scratch);
	report = (struct audit_report){ .wall_ms = 1700000000123, .duration_ms = 12, .mark = 7, .position = { 257, 9 } };
	report.shards = 2;
	report.region_count = 2;
	snprintf(report.regions[0].name, AUDIT_NAME_TEXT, "eu");
	snprintf(report.regions[1].name, AUDIT_NAME_TEXT, "us");
	report.regions[1].id = 2;
	report.regions[1].rows = 5;
}

static void tear_down(void)
{
	scratch_remove(&scratch);
}

static struct audit_reports *reports_open(void)
{
	struct audit_reports *a;
	struct fault f = { 0 };

	ck_assert_msg(!audit_reports_open(scratch_path(&scratch, "audits"), hash, &a, &f), "%s", f.text);
	return a;
}

static uint64_t list(struct audit_reports *a, uint32_t limit, struct buf *out)
{
	uint64_t broken = 999;

	buf_reset(out);
	ck_assert_int_eq(audit_reports_list(a, limit, out, &broken), ERR_NONE);
	ck_assert(!buf_append_byte(out, '\0'));
	return broken;
}

static unsigned count_of(const struct buf *b, const char *words)
{
	unsigned n = 0;

	for (const char *p = (const char *)b->data; (p = strstr(p, words)); p++)
		n++;
	return n;
}

START_TEST(a_report_is_this_json)
{
	struct buf out = BUF_INIT(1u << 20);
	static const char expected[] =
		"{\"number\":0,\"time\":\"2023-11-14T22:13:20Z\",\"duration_ms\":12,\"deep\":true,"
		"\"verdict\":\"different\",\"mark\":7,\"position\":[257,9],\"shards\":2,\"regions\":["
		"{\"name\":\"eu\",\"id\":0,\"standing\":\"equal\",\"position\":[0,0],\"rows\":0},"
		"{\"name\":\"us\",\"id\":2,\"standing\":\"different\",\"position\":[0,0],\"rows\":5}],"
		"\"differences\":{\"missing\":0,\"extra\":0,\"stale\":1,\"corrupt\":0,\"tree\":0},\"unsure\":0,"
		"\"repaired\":1,\"unrepaired\":0,\"stopped\":false,\"points\":["
		"{\"collection\":\"c\",\"id\":\"17\",\"region\":\"us\",\"class\":\"stale\",\"repaired\":true}],"
		"\"asked_bytes\":0,\"read_rows\":3,\"read_bytes\":4,\"previous\":\"ab\"}";

	report.deep = true;
	report.read_rows = 3;
	report.read_bytes = 4;
	report.regions[1].standing = AUDIT_DIFFERENT;
	report.differences[AUDIT_STALE] = report.repaired = 1;
	report.points[report.point_count++] =
		(struct audit_point){ .collection = "c", .id = { .lo = 17 }, .region = 1, .class = AUDIT_STALE, .repaired = true };
	ck_assert_int_eq(audit_report_write(&report, "ab", &out), ERR_NONE);
	ck_assert(!buf_append_byte(&out, '\0'));
	ck_assert_str_eq((const char *)out.data, expected);
	buf_release(&out);
}
END_TEST

START_TEST(the_verdict_is_the_worst_of_all)
{
	ck_assert_str_eq(audit_report_verdict(&report), "equal");
	ck_assert(audit_report_clean(&report));
	report.regions[1].standing = AUDIT_LATE;
	ck_assert_str_eq(audit_report_verdict(&report), "late");
	ck_assert(!audit_report_clean(&report));
	report.regions[0].standing = AUDIT_DIFFERENT;
	ck_assert_str_eq(audit_report_verdict(&report), "different");
	report.failed = true;
	ck_assert_str_eq(audit_report_verdict(&report), "failed");
	report = (struct audit_report){ .unsure = 1 };
	ck_assert_str_eq(audit_report_verdict(&report), "late");
	ck_assert(!audit_report_clean(&report));
	report = (struct audit_report){ .differences = { [AUDIT_TREE] = 1 } };
	ck_assert_str_eq(audit_report_verdict(&report), "different");
}
END_TEST

START_TEST(reports_are_numbered_and_listed_newest_first)
{
	struct audit_reports *a = reports_open();
	struct buf out = BUF_INIT(1u << 20);
	struct fault f = { 0 };

	ck_assert_uint_eq(list(a, 10, &out), 0);
	ck_assert_str_eq((const char *)out.data, "[]");
	for (uint64_t i = 1; i <= 5; i++) {
		ck_assert_int_eq(audit_reports_add(a, &report, &f), ERR_NONE);
		ck_assert_uint_eq(report.number, i);
	}
	audit_reports_close(a);
	/* And goes on after a restart. */
	a = reports_open();
	ck_assert_int_eq(audit_reports_add(a, &report, &f), ERR_NONE);
	ck_assert_uint_eq(report.number, 6);
	ck_assert_uint_eq(list(a, 3, &out), 0);
	ck_assert_uint_eq(count_of(&out, "\"number\":"), 3);
	ck_assert_ptr_eq(strstr((const char *)out.data, "\"number\":"), strstr((const char *)out.data, "\"number\":6"));
	ck_assert_uint_eq(list(a, 100, &out), 0);
	ck_assert_uint_eq(count_of(&out, "\"number\":"), 6);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

static const char *file_of(uint64_t number)
{
	static char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%010u.json", scratch_path(&scratch, "audits"), (unsigned)number);
	return path;
}

static void add(struct audit_reports *a, unsigned count)
{
	struct fault f = { 0 };

	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(audit_reports_add(a, &report, &f), ERR_NONE);
}

static void change_file(uint64_t number)
{
	FILE *f = fopen(file_of(number), "r+");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, 11, SEEK_SET), 0);
	ck_assert_int_ne(fputc('8', f), EOF);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_changed_report_breaks_the_chain)
{
	struct audit_reports *a = reports_open();
	struct buf out = BUF_INIT(1u << 20);

	add(a, 5);
	ck_assert_uint_eq(list(a, 10, &out), 0);
	change_file(3);
	ck_assert_uint_eq(list(a, 10, &out), 4);
	/* Where the list ends, the one before it still counts. */
	ck_assert_uint_eq(list(a, 2, &out), 4);
	ck_assert_uint_eq(list(a, 1, &out), 0);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

START_TEST(the_newest_report_cannot_be_changed_unnoticed_either)
{
	struct audit_reports *a = reports_open();
	struct buf out = BUF_INIT(1u << 20);

	add(a, 3);
	change_file(3);
	ck_assert_uint_eq(list(a, 10, &out), 3);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

START_TEST(a_report_taken_out_breaks_the_chain)
{
	struct audit_reports *a = reports_open();
	struct buf out = BUF_INIT(1u << 20);

	add(a, 5);
	ck_assert_int_eq(unlink(file_of(3)), 0);
	ck_assert_uint_eq(list(a, 10, &out), 4);
	ck_assert_uint_eq(count_of(&out, "\"number\":"), 4);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

START_TEST(old_reports_go)
{
	struct audit_reports *a = reports_open();
	struct buf out = BUF_INIT(64u << 20);

	add(a, AUDIT_REPORTS_MAX + 3);
	ck_assert_int_lt(access(file_of(3), F_OK), 0);
	ck_assert_int_eq(access(file_of(4), F_OK), 0);
	ck_assert_uint_eq(list(a, 5000, &out), 0);
	ck_assert_uint_eq(count_of(&out, "\"number\":"), AUDIT_REPORTS_MAX);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

START_TEST(without_a_folder_the_last_one_is_kept)
{
	struct audit_reports *a;
	struct buf out = BUF_INIT(1u << 20);
	struct fault f = { 0 };

	ck_assert_int_eq(audit_reports_open(NULL, hash, &a, &f), ERR_NONE);
	add(a, 3);
	ck_assert_uint_eq(list(a, 10, &out), 0);
	ck_assert_uint_eq(count_of(&out, "\"number\":"), 1);
	ck_assert_uint_eq(count_of(&out, "\"number\":3"), 1);
	audit_reports_close(a);
	buf_release(&out);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_told)
{
	struct audit_reports *a;
	struct fault f = { 0 };

	ck_assert_int_ne(audit_reports_open("/proc/none/audits", hash, &a, &f), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(f.text, "/proc/none/audits"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("audit_report");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_report_is_this_json);
	tcase_add_test(t, the_verdict_is_the_worst_of_all);
	tcase_add_test(t, reports_are_numbered_and_listed_newest_first);
	tcase_add_test(t, a_changed_report_breaks_the_chain);
	tcase_add_test(t, the_newest_report_cannot_be_changed_unnoticed_either);
	tcase_add_test(t, a_report_taken_out_breaks_the_chain);
	tcase_add_test(t, old_reports_go);
	tcase_add_test(t, without_a_folder_the_last_one_is_kept);
	tcase_add_test(t, a_folder_that_cannot_be_made_is_told);
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
