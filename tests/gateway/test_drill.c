/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a drill is refused, what it has failed by, and its report as it is kept.
 */
#include "gateway/drill.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct drill_view view;

/* Three data regions, one of them the primary; and a gateway, which is asked. */
static void set_up(void)
{
	static const char *const names[] = { "eu", "us", "ap", "edge" };

	view = (struct drill_view){ .asked = "edge", .primary = "eu", .epoch = 257, .elects = true, .audit = "equal",
				    .region_count = LEN(names) };
	for (uint32_t i = 0; i < LEN(names); i++) {
		struct drill_region *g = &view.regions[i];

		*g = (struct drill_region){ .data = i < 3, .answers = true, .ready = i < 3 };
		memcpy(g->name, names[i], strlen(names[i]) + 1);
	}
}

static void expect(enum drill_kind kind, const char *target, const char *words)
{
	struct drill_reasons r;

	drill_check(&view, kind, target, &r);
	if (!words) {
		ck_assert_msg(r.count == 0, "%s of %s: %s", drill_kind_word(kind), target, r.text[0]);
		return;
	}
	for (uint32_t i = 0; i < r.count; i++)
		if (strstr(r.text[i], words))
			return;
	ck_abort_msg("%s of %s was not refused by '%s'", drill_kind_word(kind), target, words);
}

START_TEST(a_fleet_that_is_well_may_practise_everything)
{
	expect(DRILL_SWITCHOVER, "us", NULL);
	expect(DRILL_FAILOVER, "eu", NULL);
	expect(DRILL_PARTITION, "eu", NULL);
	/* A switchover needs no election. */
	view.elects = false;
	expect(DRILL_SWITCHOVER, "us", NULL);
}
END_TEST

START_TEST(a_target_that_makes_no_sense_is_refused)
{
	expect(DRILL_SWITCHOVER, "eu", "the primary already");
	expect(DRILL_SWITCHOVER, "edge", "no data region");
	expect(DRILL_FAILOVER, "nowhere", "no data region");
	expect(DRILL_FAILOVER, "us", "not the primary");
	memcpy(view.asked, "eu", 3);
	expect(DRILL_PARTITION, "eu", "ask another one");
}
END_TEST

START_TEST(a_region_that_is_not_well_refuses_every_drill)
{
	static const enum drill_kind kinds[] = { DRILL_SWITCHOVER, DRILL_FAILOVER, DRILL_PARTITION };

	for (size_t i = 0; i < LEN(kinds); i++) {
		const char *target = kinds[i] == DRILL_SWITCHOVER ? "us" : "eu";

		set_up();
		view.regions[2].lag_seconds = DRILL_LAG_SECONDS_MAX + 1;
		expect(kinds[i], target, "region ap lags behind");
		view.regions[2].lag_seconds = -1;
		expect(kinds[i], target, "region ap lags behind");
		view.regions[2].ready = false;
		expect(kinds[i], target, "region ap is not ready");
		view.regions[2].answers = false;
		expect(kinds[i], target, "region ap does not answer");
	}
}
END_TEST

START_TEST(nobody_is_taken_out_when_a_majority_would_not_be_left)
{
	view.regions[2].ready = false;
	expect(DRILL_FAILOVER, "eu", "2 of 3 voters are healthy, and 3 are needed");
	/* Two data regions and a witness can spare one. */
	view.regions[2] = (struct drill_region){ .name = "ap", .witness = true, .answers = true };
	expect(DRILL_FAILOVER, "eu", NULL);
	view.regions[2].answers = false;
	expect(DRILL_FAILOVER, "eu", "2 of 3 voters are healthy");
	set_up();
	view.elects = false;
	expect(DRILL_PARTITION, "eu", "failover.mode is off");
}
END_TEST

START_TEST(what_is_under_way_or_unproved_refuses_a_drill)
{
	view.handing_over = true;
	expect(DRILL_SWITCHOVER, "us", "a switchover is under way");
	set_up();
	view.under_way = true;
	expect(DRILL_FAILOVER, "eu", "another drill is under way");
	set_up();
	memcpy(view.audit, "different", 10);
	expect(DRILL_SWITCHOVER, "us", "the newest audit says different");
	view.audit[0] = '\0';
	expect(DRILL_SWITCHOVER, "us", "no audit yet");
	set_up();
	view.primary[0] = '\0';
	expect(DRILL_SWITCHOVER, "us", "nobody is the primary");
}
END_TEST

START_TEST(reasons_are_bounded)
{
	struct drill_reasons r = { 0 };

	for (int i = 0; i < 2 * DRILL_REASONS_MAX; i++)
		drill_reasons_add(&r, "reason %d", i);
	ck_assert_uint_eq(r.count, DRILL_REASONS_MAX);
	ck_assert_str_eq(r.text[DRILL_REASONS_MAX - 1], "reason 15");
}
END_TEST

/* --- afterwards --- */

static struct drill_report good(enum drill_kind kind)
{
	struct drill_report r = { .kind = kind, .wall_ms = 1795248011335, .target = "us", .asked = "edge", .from = "eu", .to = "us",
				  .detected_ms = 10, .elected_ms = 20, .audit = "equal" };

	for (unsigned l = 0; l < DRILL_LEVELS; l++)
		r.writes[l] = (struct drill_counts){ .acknowledged = 100, .gap_ms = 31, .first_ms = 40 };
	r.reads = r.writes[0];
	return r;
}

static void fails(struct drill_report r, const char *words)
{
	drill_judge(&r);
	ck_assert_msg(r.failures.count == 1 && strstr(r.failures.text[0], words), "%u: %s instead of %s", r.failures.count,
		      r.failures.text[0], words);
}

START_TEST(a_switchover_may_lose_and_refuse_nothing)
{
	struct drill_report r = good(DRILL_SWITCHOVER);

	drill_judge(&r);
	ck_assert_uint_eq(r.failures.count, 0);
	r.writes[DRILL_WEAK].missing = 1;
	fails(r, "1 writes that were acknowledged as weak are missing");
	r = good(DRILL_SWITCHOVER);
	r.writes[DRILL_MEDIUM].unknown = 2;
	fails(r, "of 2 nobody knows");
	r = good(DRILL_SWITCHOVER);
	memcpy(r.to, "ap", 3);
	fails(r, "ap became the primary in place of us");
}
END_TEST

START_TEST(a_failover_may_lose_weak_writes_and_no_strong_ones)
{
	struct drill_report r = good(DRILL_FAILOVER);

	memcpy(r.target, "eu", 3);
	r.writes[DRILL_WEAK].missing = r.writes[DRILL_MEDIUM].missing = 7;
	r.writes[DRILL_WEAK].refused = r.writes[DRILL_WEAK].unknown = 5;
	drill_judge(&r);
	ck_assert_uint_eq(r.failures.count, 0);
	r.writes[DRILL_STRONG].missing = 1;
	fails(r, "acknowledged as strong are missing");
}
END_TEST

START_TEST(what_did_not_come_to_its_end_has_failed)
{
	struct drill_report r = good(DRILL_FAILOVER);

	r.elected_ms = DRILL_NEVER;
	fails(r, "no other region became the primary");
	r = good(DRILL_PARTITION);
	r.writes[DRILL_WEAK].first_ms = DRILL_NEVER;
	fails(r, "no write was acknowledged afterwards");
	r = good(DRILL_PARTITION);
	r.reads.first_ms = DRILL_NEVER;
	fails(r, "no read was answered afterwards");
	r = good(DRILL_PARTITION);
	r.level_ms = DRILL_NEVER;
	fails(r, "one position");
	r = good(DRILL_PARTITION);
	r.audit[0] = '\0';
	fails(r, "could not be made");
	r = good(DRILL_PARTITION);
	memcpy(r.audit, "late", 5);
	fails(r, "says late");
	r = good(DRILL_PARTITION);
	r.writes[DRILL_STRONG].acknowledged = 0;
	fails(r, "no strong write was acknowledged at all");
}
END_TEST

/* --- as JSON --- */

static void summarize(const struct drill_report *r, struct drill_summary *ret_summary)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(DRILL_REPORT_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, DRILL_REPORT_BYTES_MAX);
	ck_assert_int_eq(drill_report_write(r, &text), ERR_NONE);
	ck_assert_int_eq(drill_summary_read(buf_str(&text), &a, ret_summary, NULL), ERR_NONE);
}

START_TEST(a_report_comes_back_as_its_summary)
{
	struct drill_report r = good(DRILL_PARTITION);
	struct drill_summary s;

	r.has_inside = true;
	summarize(&r, &s);
	ck_assert_int_eq(s.kind, DRILL_PARTITION);
	ck_assert_uint_eq(s.wall_ms, r.wall_ms);
	ck_assert(s.passed && s.interrupted);
	ck_assert_double_eq_tol(s.interruption_seconds, 0.031, 1e-9);
	r.writes[DRILL_WEAK].gap_ms = DRILL_NEVER;
	drill_reasons_add(&r.failures, "a \"quoted\" reason");
	summarize(&r, &s);
	ck_assert(!s.passed && !s.interrupted);
}
END_TEST

START_TEST(what_is_no_report_is_refused)
{
	static const char *const rows[] = {
		"", "[]", "{}", "{\"kind\":\"failover\",\"verdict\":\"passed\"}", "{\"kind\":\"fire\",\"verdict\":\"passed\",\"time_ms\":1}",
		"{\"kind\":\"failover\",\"verdict\":\"good\",\"time_ms\":1}", "{\"kind\":\"failover\",\"verdict\":\"passed\",\"time_ms\":1} x",
		"{\"kind\":\"failover\",\"verdict\":\"passed\",\"time_ms\":-1}",
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(arena_release) struct arena a;
		struct drill_summary s;

		arena_init(&a, DRILL_REPORT_BYTES_MAX);
		ck_assert_msg(drill_summary_read((struct str){ rows[i], strlen(rows[i]) }, &a, &s, NULL) == ERR_BAD_REQUEST, "%s", rows[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("drill");
	TCase *t = tcase_create("drill");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, a_fleet_that_is_well_may_practise_everything);
	tcase_add_test(t, a_target_that_makes_no_sense_is_refused);
	tcase_add_test(t, a_region_that_is_not_well_refuses_every_drill);
	tcase_add_test(t, nobody_is_taken_out_when_a_majority_would_not_be_left);
	tcase_add_test(t, what_is_under_way_or_unproved_refuses_a_drill);
	tcase_add_test(t, reasons_are_bounded);
	tcase_add_test(t, a_switchover_may_lose_and_refuse_nothing);
	tcase_add_test(t, a_failover_may_lose_weak_writes_and_no_strong_ones);
	tcase_add_test(t, what_did_not_come_to_its_end_has_failed);
	tcase_add_test(t, a_report_comes_back_as_its_summary);
	tcase_add_test(t, what_is_no_report_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
