/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which waiting logs a person is told of, and when.
 */
#include "replicator/log_waits.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define LOG_A (MULTI_LOG_BIT | 1000 << 8 | 1)
#define LOG_B (MULTI_LOG_BIT | 1000 << 8 | 2)

static struct log_waits waits;
static struct log_waits_news news[LOG_WAITS_MAX];
static struct log_waits_told told[LOG_WAITS_MAX];
static uint64_t now_ns;

static void set_up(void)
{
	waits = (struct log_waits){ 0 };
	now_ns = 77 * NS_PER_MS;
}

static void pass(uint64_t ms)
{
	now_ns += ms * NS_PER_MS;
}

static void note(uint64_t log, uint64_t seq, enum log_wait_kind kind)
{
	struct log_wait w = { .log = log, .seq = seq, .kind = kind, .source = kind == LOG_WAIT_FAULT ? 3 : 0 };

	log_waits_note(&waits, &w, now_ns);
}

static uint32_t end(void)
{
	return log_waits_end(&waits, now_ns, news);
}

/* A look that finds one log waiting. */
static uint32_t look(uint64_t seq, enum log_wait_kind kind)
{
	log_waits_begin(&waits);
	note(LOG_A, seq, kind);
	return end();
}

START_TEST(what_passes_within_its_time_is_never_told)
{
	ck_assert_uint_eq(look(5, LOG_WAIT_SEEN), 0);
	pass(4999);
	ck_assert_uint_eq(look(5, LOG_WAIT_SEEN), 0);
	pass(10);
	log_waits_begin(&waits);
	ck_assert_uint_eq(end(), 0);
	ck_assert_uint_eq(look(6, LOG_WAIT_SEEN), 0);
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 0);
}
END_TEST

START_TEST(what_lasts_is_told_once_and_once_that_it_is_over)
{
	ck_assert_uint_eq(look(5, LOG_WAIT_SEEN), 0);
	pass(5000);
	ck_assert_uint_eq(look(6, LOG_WAIT_SEEN), 1);
	ck_assert(!news[0].over);
	ck_assert_uint_eq(news[0].wait.seq, 6);
	for (int i = 0; i < 3; i++) {
		pass(5000);
		ck_assert_uint_eq(look(6, LOG_WAIT_SEEN), 0);
	}
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 1);
	ck_assert_uint_eq(told[0].waited_ms, 20000);
	log_waits_begin(&waits);
	ck_assert_uint_eq(end(), 1);
	ck_assert(news[0].over);
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 0);
	log_waits_begin(&waits);
	ck_assert_uint_eq(end(), 0);
}
END_TEST

START_TEST(what_stops_a_region_is_told_at_once)
{
	ck_assert_uint_eq(look(5, LOG_WAIT_TRIMMED), 1);
	ck_assert(log_wait_stops(news[0].wait.kind));
	ck_assert_uint_eq(look(5, LOG_WAIT_TRIMMED), 0);
}
END_TEST

START_TEST(another_reason_is_told_anew_when_it_lasts)
{
	(void)look(5, LOG_WAIT_SEEN);
	pass(5000);
	ck_assert_uint_eq(look(5, LOG_WAIT_SEEN), 1);
	pass(1000);
	ck_assert_uint_eq(look(5, LOG_WAIT_CLOCK), 0);
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 0);
	pass(5000);
	ck_assert_uint_eq(look(5, LOG_WAIT_CLOCK), 1);
	ck_assert_int_eq(news[0].wait.kind, LOG_WAIT_CLOCK);
}
END_TEST

START_TEST(a_copy_that_was_read_says_more_than_one_that_was_not)
{
	static const enum log_wait_kind kinds[] = { LOG_WAIT_TRIMMED, LOG_WAIT_SOURCE, LOG_WAIT_SEEN };

	for (unsigned a = 0; a < LEN(kinds); a++)
		for (unsigned b = 0; b < LEN(kinds); b++) {
			set_up();
			log_waits_begin(&waits);
			note(LOG_A, 5, kinds[a]);
			note(LOG_A, 5, kinds[b]);
			(void)end();
			ck_assert_uint_eq(waits.count, 1);
			ck_assert_int_eq(waits.entries[0].wait.kind, MAX(kinds[a], kinds[b]));
		}
}
END_TEST

START_TEST(a_log_that_was_not_looked_at_is_as_before)
{
	(void)look(5, LOG_WAIT_SEEN);
	pass(5000);
	log_waits_begin(&waits);
	log_waits_keep(&waits, LOG_A);
	log_waits_keep(&waits, LOG_B);
	ck_assert_uint_eq(end(), 1);
	ck_assert_uint_eq(waits.count, 1);
}
END_TEST

START_TEST(a_fault_stays_until_that_copy_is_cured)
{
	ck_assert_uint_eq(look(5, LOG_WAIT_FAULT), 1);
	log_waits_begin(&waits);
	ck_assert_uint_eq(end(), 0);
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 1);
	ck_assert(!log_waits_cured(&waits, LOG_A, 2));
	ck_assert(!log_waits_cured(&waits, LOG_B, 3));
	ck_assert(log_waits_cured(&waits, LOG_A, 3));
	ck_assert(!log_waits_cured(&waits, LOG_A, 3));
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 0);
}
END_TEST

START_TEST(a_fault_finds_room_in_a_full_table)
{
	log_waits_begin(&waits);
	for (uint64_t i = 0; i < LOG_WAITS_MAX + 10; i++)
		note(MULTI_LOG_BIT | i << 8 | 1, 1, LOG_WAIT_SEEN);
	ck_assert_uint_eq(waits.count, LOG_WAITS_MAX);
	note(LOG_B, 9, LOG_WAIT_FAULT);
	ck_assert_uint_eq(end(), 1);
	ck_assert_uint_eq(news[0].wait.log, LOG_B);
	ck_assert_uint_eq(waits.count, LOG_WAITS_MAX);
}
END_TEST

START_TEST(those_that_wait_longest_come_first)
{
	log_waits_begin(&waits);
	note(LOG_B, 1, LOG_WAIT_SEEN);
	(void)end();
	pass(2000);
	log_waits_begin(&waits);
	log_waits_keep(&waits, LOG_B);
	note(LOG_A, 1, LOG_WAIT_CLOCK);
	(void)end();
	pass(5000);
	log_waits_begin(&waits);
	log_waits_keep(&waits, LOG_B);
	log_waits_keep(&waits, LOG_A);
	ck_assert_uint_eq(end(), 2);
	ck_assert_uint_eq(log_waits_told(&waits, now_ns, told), 2);
	ck_assert_uint_eq(told[0].wait.log, LOG_B);
	ck_assert_uint_eq(told[1].wait.log, LOG_A);
}
END_TEST

START_TEST(every_reason_has_a_word_and_an_action)
{
	for (unsigned i = 0; i < LOG_WAIT_KINDS; i++) {
		ck_assert_uint_gt(strlen(log_wait_word((enum log_wait_kind)i)), 3);
		ck_assert_uint_gt(strlen(log_wait_action((enum log_wait_kind)i)), 10);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log_waits");
	TCase *t = tcase_create("looks");

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, what_passes_within_its_time_is_never_told);
	tcase_add_test(t, what_lasts_is_told_once_and_once_that_it_is_over);
	tcase_add_test(t, what_stops_a_region_is_told_at_once);
	tcase_add_test(t, another_reason_is_told_anew_when_it_lasts);
	tcase_add_test(t, a_copy_that_was_read_says_more_than_one_that_was_not);
	tcase_add_test(t, a_log_that_was_not_looked_at_is_as_before);
	tcase_add_test(t, a_fault_stays_until_that_copy_is_cured);
	tcase_add_test(t, a_fault_finds_room_in_a_full_table);
	tcase_add_test(t, those_that_wait_longest_come_first);
	tcase_add_test(t, every_reason_has_a_word_and_an_action);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
