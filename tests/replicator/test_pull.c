/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions of a pull consumer, one rule after the other.
 */
#include "replicator/pull.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000u
#define ACK_WAIT_MS 5000u

static struct pull p;
static uint64_t now;

/* Attached at the beginning of a stream of 1,000 messages. */
static void begin(bool can_reset)
{
	struct pull_found f = { .birth = 7, .first = 1, .last = 1000, .durable = true };
	struct pull_plan plan;
	now = 1000ull * MS;
	pull_init(&p, can_reset, ACK_WAIT_MS, STREAM_FROM_ACKED);
	pull_attach(&p, &f, &plan);
	pull_begin(&p, &plan, now);
}

static void set_up(void)
{
	begin(true);
}

static enum pull_verdict data(uint64_t seq, uint64_t consumer_seq)
{
	struct pull_meta m = { .seq = seq, .consumer_seq = consumer_seq };
	return pull_data(&p, &m, now);
}

static enum pull_verdict status(unsigned code, const char *words, uint32_t token)
{
	struct pull_status s = { .code = code, .words = words, .token = token };
	return pull_answer(&p, &s, now);
}

static uint32_t ask_all(void)
{
	uint32_t token, n = 0;
	while (pull_ask(&p, now, &token))
		n++;
	return n;
}

START_TEST(foreign_reply_subjects_are_refused)
{
	static const char *const rows[] = {
		"",
		"ops.a.w",
		"$JS.ACK.",
		"$JS.ACK.S.d.1.2.3.4",
		"$JS.ACK.S.d.1.2.3.4.5.6",
		"$JS.ACK.S.d.1.0.3.4.5",
		"$JS.ACK.S.d.1.x.3.4.5",
		"$JS.ACK.S.d.1.2.3.4.x",
		"$JS.ACK.S.d.1.2.3.4.5x",
		"$JS.API.S.d.1.2.3.4.5",
	};
	struct pull_meta m;
	for (size_t i = 0; i < LEN(rows); i++)
		ck_assert_msg(!pull_meta_parse(rows[i], &m), "%s", rows[i]);
}
END_TEST

START_TEST(reply_subjects_of_all_servers_are_read)
{
	static const char *const rows[] = {
		"$JS.ACK.OPS_a.b.1.4711.42.1700000000000000000.99",
		"$JS.ACK.da.ACCHASH.OPS_a.b.1.4711.42.1700000000000000000.99",
		"$JS.ACK._.ACCHASH.OPS_a.b.1.4711.42.1700000000000000000.99.random",
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pull_meta m = { 0 };
		ck_assert_msg(pull_meta_parse(rows[i], &m), "%s", rows[i]);
		ck_assert_uint_eq(m.seq, 4711);
		ck_assert_uint_eq(m.consumer_seq, 42);
		ck_assert_uint_eq(m.pending, 99);
	}
}
END_TEST

START_TEST(request_is_what_servers_understand)
{
	char text[PULL_REQUEST_MAX];
	pull_request_text(text);
	ck_assert_str_eq(
		text,
		"{\"batch\":500,\"expires\":5000000000,\"max_bytes\":8388608,\"idle_heartbeat\":1000000000}");
}
END_TEST

START_TEST(two_requests_overlap_and_their_credit_is_a_sum)
{
	ck_assert_uint_eq(ask_all(), 2);
	for (uint64_t seq = 1; seq < PULL_BATCH; seq++)
		ck_assert_int_eq(data(seq, seq), PULL_DELIVER);
	ck_assert_uint_eq(ask_all(), 0);
	/* The oldest is used up: half of the credit is left. */
	ck_assert_int_eq(data(PULL_BATCH, PULL_BATCH), PULL_DELIVER);
	ck_assert_uint_eq(ask_all(), 1);
	ck_assert_uint_eq(ask_all(), 0);
}
END_TEST

START_TEST(end_of_a_request_takes_its_credit_away)
{
	const struct {
		unsigned code;
		const char *words;
		uint32_t asks;
	} rows[] = {
		{ 100, "Idle Heartbeat", 0 },
		{ 404, "No Messages", 1 },
		{ 408, "Request Timeout", 1 },
		{ 409, "Message Size Exceeds MaxBytes", 1 },
		{ 409, "Exceeded MaxWaiting", 0 },
		{ 400, "Bad Request - heartbeat value too large", 0 },
		{ 503, "", 0 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		begin(true);
		ck_assert_uint_eq(ask_all(), 2);
		ck_assert_int_eq(status(rows[i].code, rows[i].words, 1), PULL_GO_ON);
		ck_assert_msg(ask_all() == rows[i].asks, "%u %s", rows[i].code, rows[i].words);
	}
	/* Of a request that is not open any more. */
	begin(true);
	ck_assert_uint_eq(ask_all(), 2);
	ck_assert_int_eq(status(408, "Request Timeout", 77), PULL_GO_ON);
	ck_assert_uint_eq(ask_all(), 0);
}
END_TEST

START_TEST(rebuked_or_refused_requests_wait)
{
	ck_assert_uint_eq(ask_all(), 2);
	status(503, "", 1);
	now = pull_due_ns(&p, now);
	ck_assert_uint_eq(now, 1250ull * MS);
	ck_assert_uint_eq(ask_all(), 2);
	status(409, "Exceeded MaxRequestBatch of 50", 3);
	ck_assert_uint_eq(pull_due_ns(&p, now), 2250ull * MS);
	pull_refused(&p, now);
	ck_assert_uint_eq(pull_due_ns(&p, now), 1500ull * MS);
}
END_TEST

START_TEST(nobody_there_for_long_means_to_look_again)
{
	unsigned n = 0;
	for (; n < 100; n++) {
		ask_all();
		if (status(503, "", 1) == PULL_ATTACH)
			break;
		now = pull_due_ns(&p, now);
	}
	ck_assert_uint_gt(n, 2);
	ck_assert_uint_lt(n, 20);
}
END_TEST

START_TEST(deleted_durable_is_attached_anew)
{
	ask_all();
	ck_assert_int_eq(status(409, "Consumer Deleted", 1), PULL_ATTACH);
}
END_TEST

START_TEST(silence_is_watched_only_while_something_may_be_heard)
{
	now += 60000ull * MS;
	ck_assert(!pull_expire(&p, now));
	ask_all();
	ck_assert(!pull_expire(&p, now));
	now += PULL_SILENCE_MS * (uint64_t)MS - 1;
	ck_assert(!pull_expire(&p, now));
	ck_assert_int_eq(status(100, "Idle Heartbeat", 1), PULL_GO_ON);
	ck_assert_uint_eq(pull_due_ns(&p, now), now + PULL_SILENCE_MS * (uint64_t)MS);
	now += PULL_SILENCE_MS * (uint64_t)MS;
	ck_assert(pull_expire(&p, now));
	ck_assert_uint_eq(p.silences, 1);
}
END_TEST

START_TEST(durable_that_says_nothing_is_made_anew)
{
	const struct {
		bool can_reset;
		unsigned silences;
		bool heard;
		bool anew;
	} rows[] = {
		{ true, 0, false, false },  { true, 1, false, true },  { true, 1, true, false },
		{ false, 1, false, false }, { false, 2, false, true }, { false, 2, true, false },
	};
	struct pull_found f = { .birth = 7, .first = 1, .last = 1000, .durable = true };
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pull_plan plan = { 0 };
		begin(rows[i].can_reset);
		for (unsigned k = 0; k < rows[i].silences; k++) {
			ask_all();
			now += PULL_SILENCE_MS * (uint64_t)MS;
			ck_assert(pull_expire(&p, now));
			pull_begin(&p, &plan, now);
		}
		if (rows[i].heard)
			status(100, "Idle Heartbeat", 1);
		pull_attach(&p, &f, &plan);
		ck_assert_msg(plan.remove == rows[i].anew, "row %zu", i);
		ck_assert_msg((plan.create == 1) == rows[i].anew, "row %zu", i);
	}
}
END_TEST

START_TEST(overdue_requests_end_by_themselves)
{
	ask_all();
	for (unsigned i = 0; i < 6; i++) {
		now += 1000ull * MS;
		if (i < 5)
			status(100, "Idle Heartbeat", 1);
		ck_assert(!pull_expire(&p, now));
		ck_assert_uint_eq(p.open_count, i < 5 ? 2 : 0);
	}
}
END_TEST

START_TEST(known_messages_are_dropped)
{
	ask_all();
	ck_assert_int_eq(data(1, 1), PULL_DELIVER);
	ck_assert_int_eq(data(2, 2), PULL_DELIVER);
	ck_assert_int_eq(data(1, 3), PULL_KNOWN);
	ck_assert_int_eq(data(2, 4), PULL_KNOWN);
	ck_assert_int_eq(data(3, 5), PULL_DELIVER);
	ck_assert_uint_eq(p.duplicates, 2);
	ck_assert_uint_eq(p.cursor, 3);
}
END_TEST

START_TEST(hole_is_never_passed)
{
	ask_all();
	ck_assert_int_eq(data(1, 1), PULL_DELIVER);
	ck_assert_int_eq(data(3, 3), PULL_ATTACH);
	ck_assert_uint_eq(p.cursor, 1);

	begin(false);
	ask_all();
	ck_assert_int_eq(data(1, 1), PULL_DELIVER);
	ck_assert_int_eq(data(3, 3), PULL_HOLE);
	ck_assert_uint_eq(p.cursor, 1);
	/* What was missing, and what comes again behind it. */
	ck_assert_int_eq(data(2, 4), PULL_DELIVER);
	ck_assert_int_eq(data(3, 5), PULL_DELIVER);
}
END_TEST

START_TEST(pause_lasts_until_the_server_redelivers)
{
	begin(false);
	ask_all();
	ck_assert_int_eq(data(2, 2), PULL_HOLE);
	now += 1000ull * MS;
	ck_assert_int_eq(data(3, 3), PULL_HOLE);
	ck_assert_uint_eq(ask_all(), 0);
	ck_assert_uint_eq(pull_due_ns(&p, now), now + (ACK_WAIT_MS + 300) * (uint64_t)MS);
	ck_assert(!pull_expire(&p, now + 3000ull * MS));
	now = pull_due_ns(&p, now);
	ck_assert_uint_eq(ask_all(), 2);
	ck_assert_int_eq(data(1, 4), PULL_DELIVER);
}
END_TEST

START_TEST(hole_that_pauses_do_not_cure_is_cured_by_force)
{
	struct pull_found f = {
		.birth = 7, .first = 1, .last = 1000, .durable = true, .unacked = 5
	};
	struct pull_plan plan;
	begin(false);
	unsigned n = 0;
	for (;; n++) {
		ask_all();
		if (data(2, 2 + n) == PULL_ATTACH)
			break;
		ck_assert_uint_lt(n, 10);
		now = pull_due_ns(&p, now);
	}
	ck_assert_uint_eq(n, PULL_PAUSES_MAX);
	pull_attach(&p, &f, &plan);
	ck_assert(plan.remove);
	ck_assert_uint_eq(plan.create, 1);
	/* Once. */
	pull_attach(&p, &f, &plan);
	ck_assert(!plan.remove);
	ck_assert_uint_eq(plan.create, 0);
}
END_TEST

START_TEST(first_message_of_a_fresh_durable_shows_what_the_stream_lacks)
{
	struct pull_found f = { .birth = 7, .first = 1, .last = 1000, .durable = false };
	struct pull_plan plan;
	pull_attach(&p, &f, &plan);
	ck_assert_uint_eq(plan.create, 1);
	pull_begin(&p, &plan, now);
	ask_all();
	ck_assert_int_eq(data(4, 2), PULL_ATTACH);
	pull_begin(&p, &plan, now);
	ask_all();
	ck_assert_int_eq(data(4, 1), PULL_SKIPPED);
	ck_assert_int_eq(data(5, 2), PULL_DELIVER);
}
END_TEST

/* What is found, and what follows. */
START_TEST(attaching_finds_where_to_go_on)
{
	const struct {
		const char *what;
		bool can_reset;
		uint64_t cursor, acked;
		struct pull_found found;
		bool remove;
		uint64_t create;
		uint64_t cursor_then, acked_then;
		int kind, also; /* -1: no gap */
		uint64_t from, to;
		bool generation;
	} rows[] = {
		{ "in place",
		  true,
		  10,
		  10,
		  { 7, 1, 20, true, 10, 0 },
		  false,
		  0,
		  10,
		  10,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "open deliveries, with reset",
		  true,
		  10,
		  8,
		  { 7, 1, 20, true, 8, 2 },
		  true,
		  9,
		  10,
		  8,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "open deliveries, without",
		  false,
		  10,
		  8,
		  { 7, 1, 20, true, 8, 2 },
		  false,
		  0,
		  10,
		  8,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "acknowledgement lost, with reset",
		  true,
		  10,
		  10,
		  { 7, 1, 20, true, 9, 1 },
		  true,
		  11,
		  10,
		  10,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "acknowledgement lost, without",
		  false,
		  10,
		  10,
		  { 7, 1, 20, true, 9, 1 },
		  false,
		  0,
		  10,
		  10,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "durable ahead, with reset",
		  true,
		  10,
		  10,
		  { 7, 1, 20, true, 15, 0 },
		  true,
		  11,
		  10,
		  10,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "durable ahead, without",
		  false,
		  10,
		  10,
		  { 7, 1, 20, true, 15, 0 },
		  true,
		  11,
		  10,
		  10,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "durable gone",
		  true,
		  10,
		  8,
		  { 7, 1, 20, false, 0, 0 },
		  false,
		  9,
		  10,
		  8,
		  -1,
		  -1,
		  0,
		  0,
		  false },
		{ "expired",
		  true,
		  10,
		  8,
		  { 7, 15, 20, true, 8, 0 },
		  true,
		  15,
		  14,
		  14,
		  STREAM_GAP_EXPIRED,
		  -1,
		  11,
		  14,
		  false },
		{ "all expired",
		  true,
		  10,
		  8,
		  { 7, 21, 20, true, 8, 0 },
		  true,
		  21,
		  20,
		  20,
		  STREAM_GAP_EXPIRED,
		  -1,
		  11,
		  20,
		  false },
		{ "rewound",
		  true,
		  10,
		  8,
		  { 7, 1, 9, true, 8, 0 },
		  false,
		  0,
		  9,
		  8,
		  STREAM_GAP_REWOUND,
		  -1,
		  10,
		  10,
		  true },
		{ "rewound far",
		  true,
		  10,
		  8,
		  { 7, 1, 3, true, 3, 0 },
		  false,
		  0,
		  3,
		  3,
		  STREAM_GAP_REWOUND,
		  -1,
		  4,
		  10,
		  true },
		{ "reborn",
		  true,
		  10,
		  8,
		  { 9, 1, 30, true, 0, 0 },
		  false,
		  0,
		  0,
		  0,
		  STREAM_GAP_REBORN,
		  -1,
		  0,
		  0,
		  true },
		{ "reborn and trimmed",
		  true,
		  10,
		  8,
		  { 9, 5, 30, false, 0, 0 },
		  false,
		  5,
		  4,
		  4,
		  STREAM_GAP_REBORN,
		  -1,
		  0,
		  0,
		  true },
		{ "reborn, empty",
		  true,
		  10,
		  8,
		  { 9, 0, 0, false, 0, 0 },
		  false,
		  1,
		  0,
		  0,
		  STREAM_GAP_REBORN,
		  -1,
		  0,
		  0,
		  true },
		{ "rewound and expired",
		  true,
		  10,
		  8,
		  { 7, 7, 6, false, 0, 0 },
		  false,
		  7,
		  6,
		  6,
		  STREAM_GAP_REWOUND,
		  -1,
		  7,
		  10,
		  true },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pull_plan plan;
		begin(rows[i].can_reset);
		p.cursor = rows[i].cursor;
		p.acked = rows[i].acked;
		pull_attach(&p, &rows[i].found, &plan);
		ck_assert_msg(plan.remove == rows[i].remove && plan.create == rows[i].create,
			      "%s: create %llu", rows[i].what, (unsigned long long)plan.create);
		ck_assert_msg(p.cursor == rows[i].cursor_then && p.acked == rows[i].acked_then,
			      "%s: cursor %llu %llu", rows[i].what, (unsigned long long)p.cursor,
			      (unsigned long long)p.acked);
		ck_assert_msg(plan.gap == (rows[i].kind >= 0), "%s", rows[i].what);
		ck_assert_msg(plan.generation == rows[i].generation, "%s", rows[i].what);
		ck_assert_msg((plan.also.to > 0) == (rows[i].also >= 0), "%s", rows[i].what);
		if (plan.gap)
			ck_assert_msg((int)plan.told.kind == rows[i].kind &&
					      plan.told.from == rows[i].from &&
					      plan.told.to == rows[i].to,
				      "%s", rows[i].what);
	}
}
END_TEST

START_TEST(beginning_is_where_the_owner_or_the_server_says)
{
	struct pull_found f = { .birth = 7, .first = 1, .last = 100, .durable = true, .floor = 40 };
	struct pull_plan plan;
	pull_init(&p, true, ACK_WAIT_MS, STREAM_FROM_ACKED);
	pull_attach(&p, &f, &plan);
	ck_assert_uint_eq(p.cursor, 40);
	ck_assert(!plan.gap && !plan.create);

	pull_init(&p, true, ACK_WAIT_MS, 11);
	pull_attach(&p, &f, &plan);
	ck_assert_uint_eq(p.cursor, 10);
	ck_assert_uint_eq(plan.create, 11);

	/* Beyond the end: the stream must have lost what was there. */
	pull_init(&p, true, ACK_WAIT_MS, 201);
	pull_attach(&p, &f, &plan);
	ck_assert_int_eq(plan.told.kind, STREAM_GAP_REWOUND);
	ck_assert_uint_eq(p.cursor, 100);

	/* No durable, and the beginning is gone. */
	f.durable = false;
	f.first = 30;
	pull_init(&p, true, ACK_WAIT_MS, STREAM_FROM_ACKED);
	pull_attach(&p, &f, &plan);
	ck_assert_int_eq(plan.told.kind, STREAM_GAP_EXPIRED);
	ck_assert_uint_eq(plan.told.from, 1);
	ck_assert_uint_eq(plan.told.to, 29);
	ck_assert_uint_eq(plan.create, 30);
}
END_TEST

START_TEST(acknowledgements_go_no_further_than_deliveries)
{
	ask_all();
	data(1, 1);
	data(2, 2);
	pull_acked(&p, 99);
	ck_assert_uint_eq(p.acked, 2);
	pull_acked(&p, 1);
	ck_assert_uint_eq(p.acked, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pull");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, foreign_reply_subjects_are_refused);
	tcase_add_test(t, reply_subjects_of_all_servers_are_read);
	tcase_add_test(t, request_is_what_servers_understand);
	tcase_add_test(t, two_requests_overlap_and_their_credit_is_a_sum);
	tcase_add_test(t, end_of_a_request_takes_its_credit_away);
	tcase_add_test(t, rebuked_or_refused_requests_wait);
	tcase_add_test(t, nobody_there_for_long_means_to_look_again);
	tcase_add_test(t, deleted_durable_is_attached_anew);
	tcase_add_test(t, silence_is_watched_only_while_something_may_be_heard);
	tcase_add_test(t, durable_that_says_nothing_is_made_anew);
	tcase_add_test(t, overdue_requests_end_by_themselves);
	tcase_add_test(t, known_messages_are_dropped);
	tcase_add_test(t, hole_is_never_passed);
	tcase_add_test(t, pause_lasts_until_the_server_redelivers);
	tcase_add_test(t, hole_that_pauses_do_not_cure_is_cured_by_force);
	tcase_add_test(t, first_message_of_a_fresh_durable_shows_what_the_stream_lacks);
	tcase_add_test(t, attaching_finds_where_to_go_on);
	tcase_add_test(t, beginning_is_where_the_owner_or_the_server_says);
	tcase_add_test(t, acknowledgements_go_no_further_than_deliveries);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
