/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a stream, with a server made of a few variables and a clock that stands until it is
 * moved.
 */
#include "replicator/reader.h"

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define MS 1000000ull

/* The server. */
static struct {
	uint64_t epoch;
	enum err find_err;
	struct pull_found found;
	unsigned finds, removes, asks, unlistens;
	uint64_t created;
	bool listening;
	enum err ask_err;
	char inbox[READER_INBOX_MAX];
	char asked[READER_INBOX_MAX + 16];
	char acked[READER_REPLY_MAX];
} server;

/* The owner. */
static struct {
	uint64_t refuse, delivered, last, generation, gaps;
	struct stream_gap gap;
	bool ack, reset_inside;
} owner;

static struct clock_manual the_clock;
static struct reader *r;

static uint64_t fake_epoch(void *ctx)
{
	(void)ctx;
	return server.epoch;
}

static enum err fake_find(void *ctx, struct pull_found *ret_found, struct fault *reterr_fault)
{
	(void)ctx;
	server.finds++;
	if (server.find_err)
		return fault_set(reterr_fault, server.find_err, "the server is asleep");
	*ret_found = server.found;
	return ERR_NONE;
}

static enum err fake_remove(void *ctx, struct fault *reterr_fault)
{
	(void)ctx;
	(void)reterr_fault;
	server.removes++;
	server.found.durable = false;
	return ERR_NONE;
}

static enum err fake_create(void *ctx, uint64_t first, struct fault *reterr_fault)
{
	(void)ctx;
	(void)reterr_fault;
	server.created = first;
	server.found.durable = true;
	server.found.floor = first - 1;
	server.found.unacked = 0;
	return ERR_NONE;
}

static enum err fake_listen(void *ctx, const char *inbox, struct fault *reterr_fault)
{
	(void)ctx;
	(void)reterr_fault;
	ck_assert(!server.listening);
	ck_assert_str_ne(inbox, server.inbox);
	ck_assert_ptr_eq(strstr(inbox, "_INBOX_b."), inbox);
	snprintf(server.inbox, sizeof(server.inbox), "%s", inbox);
	server.listening = true;
	return ERR_NONE;
}

static void fake_unlisten(void *ctx)
{
	(void)ctx;
	ck_assert(server.listening);
	server.listening = false;
	server.unlistens++;
}

static enum err fake_ask(void *ctx, const char *reply, const char *text)
{
	(void)ctx;
	ck_assert_ptr_nonnull(strstr(text, "\"batch\":500"));
	ck_assert_ptr_eq(strstr(reply, server.inbox), reply);
	snprintf(server.asked, sizeof(server.asked), "%s", reply);
	server.asks++;
	return server.ask_err;
}

static enum err fake_ack(void *ctx, const char *reply)
{
	(void)ctx;
	snprintf(server.acked, sizeof(server.acked), "%s", reply);
	return ERR_NONE;
}

static bool message_came(void *ctx, const struct stream_delivery *d)
{
	(void)ctx;
	uint64_t op;
	if (owner.refuse > 0) {
		owner.refuse--;
		return false;
	}
	ck_assert_uint_eq(d->payload.len, 8);
	memcpy(&op, d->payload.data, 8);
	ck_assert_uint_eq(op, d->token.seq);
	owner.delivered++;
	owner.last = op;
	owner.generation = d->token.generation;
	if (owner.ack)
		reader_ack(r, d->token);
	if (owner.reset_inside) {
		owner.reset_inside = false;
		reader_reset(r, 1);
	}
	return true;
}

static void gap_came(void *ctx, const struct stream_gap *g)
{
	(void)ctx;
	owner.gaps++;
	owner.gap = *g;
}

static const struct reader_options options = {
	.region = "a",
	.self = "b",
	.can_reset = true,
	.ack_wait_ms = 2000,
	.from = STREAM_FROM_ACKED,
	.clock = &the_clock.clock,
	.io = { .epoch = fake_epoch,
		.find = fake_find,
		.remove = fake_remove,
		.create = fake_create,
		.listen = fake_listen,
		.unlisten = fake_unlisten,
		.ask = fake_ask,
		.ack = fake_ack },
	.handler = { .on_message = message_came, .on_gap = gap_came },
};

static void set_up(void)
{
	memset(&server, 0, sizeof(server));
	memset(&owner, 0, sizeof(owner));
	server.epoch = 1;
	server.found = (struct pull_found){ .birth = 5, .first = 1, .last = 1000, .durable = true };
	owner.ack = true;
	clock_manual_init(&the_clock, 1700000000000);
	the_clock.mono_ns = 1000 * MS;
	ck_assert_int_eq(reader_new(&options, &r), ERR_NONE);
}

static void tear_down(void)
{
	reader_free(r);
	ck_assert(!server.listening);
}

static void push(uint64_t seq, uint64_t consumer_seq)
{
	struct arrival *a = arrival_new(sizeof(seq));
	memcpy(a->data, &seq, sizeof(seq));
	snprintf(a->reply, sizeof(a->reply), "$JS.ACK.OPS_a.b.1.%" PRIu64 ".%" PRIu64 ".1.7", seq,
		 consumer_seq);
	reader_push(r, a);
}

static void push_status(unsigned code, const char *words, uint32_t token)
{
	struct arrival *a = arrival_new(strlen(words));
	memcpy(a->data, words, strlen(words));
	a->status = code;
	a->token = token;
	reader_push(r, a);
}

/* Turns until it would wait. */
static uint64_t turns(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t ms = reader_turn(r);
		if (ms > 0)
			return ms;
	}
	ck_abort_msg("it never rests");
	return 0;
}

static struct stream_consumer_state state(void)
{
	struct stream_consumer_state s;
	reader_state(r, &s);
	return s;
}

START_TEST(server_that_cannot_be_asked_is_asked_again_ever_more_slowly)
{
	static const uint64_t waits[] = { 250, 500, 1000, 1000 };
	server.find_err = ERR_TIMEOUT;
	for (size_t i = 0; i < LEN(waits); i++) {
		ck_assert_uint_le(turns(), 500);
		ck_assert_uint_eq(server.finds, i + 1);
		the_clock.mono_ns += (waits[i] - 1) * MS;
		turns();
		ck_assert_uint_eq(server.finds, i + 1);
		the_clock.mono_ns += 1 * MS;
	}
	ck_assert(!state().flowing);
	ck_assert_str_eq(state().trouble.text, "the server is asleep");
	server.find_err = ERR_NONE;
	turns();
	ck_assert(state().flowing);
	ck_assert_int_eq(state().trouble.err, ERR_NONE);
}
END_TEST

START_TEST(nothing_is_asked_without_a_connection)
{
	server.epoch = 0;
	turns();
	ck_assert_uint_eq(server.finds, 0);
	ck_assert_ptr_nonnull(strstr(state().trouble.text, "not connected"));
}
END_TEST

START_TEST(messages_are_delivered_in_order_and_acknowledged_at_once)
{
	turns();
	ck_assert_uint_eq(server.asks, 2);
	push(1, 1);
	push(2, 2);
	push(3, 3);
	turns();
	ck_assert_uint_eq(owner.last, 3);
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.3.3.1.7");
	ck_assert_uint_eq(state().acked, 3);
	ck_assert_uint_eq(state().pending, 7);
}
END_TEST

START_TEST(only_what_the_owner_acknowledged_is_acknowledged)
{
	owner.ack = false;
	turns();
	for (uint64_t seq = 1; seq <= 5; seq++)
		push(seq, seq);
	turns();
	ck_assert_str_eq(server.acked, "");
	reader_ack(r, (struct stream_token){ .generation = owner.generation, .seq = 3 });
	turns();
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.3.3.1.7");
	reader_ack(r, (struct stream_token){ .generation = owner.generation + 1, .seq = 5 });
	reader_ack(r, (struct stream_token){ .generation = owner.generation, .seq = 2 });
	turns();
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.3.3.1.7");
}
END_TEST

START_TEST(hole_is_cured_by_a_new_durable_and_a_new_inbox)
{
	owner.ack = false;
	turns();
	push(1, 1);
	push(2, 2);
	turns();
	reader_ack(r, (struct stream_token){ .generation = owner.generation, .seq = 1 });
	push(4, 4);
	push(5, 5);
	server.found.floor = 1;
	server.found.unacked = 4;
	turns();
	ck_assert_uint_eq(server.unlistens, 1);
	ck_assert_uint_eq(server.removes, 1);
	ck_assert_uint_eq(server.created, 2);
	ck_assert_uint_eq(owner.last, 2);
	ck_assert_uint_eq(state().holes, 1);

	/* 2 is known and its former reply subject void. */
	server.acked[0] = '\0';
	reader_ack(r, (struct stream_token){ .generation = owner.generation, .seq = 2 });
	turns();
	ck_assert_str_eq(server.acked, "");
	push(2, 1);
	push(3, 2);
	turns();
	ck_assert_uint_eq(owner.last, 3);
	ck_assert_uint_eq(owner.delivered, 3);
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.2.1.1.7");
	ck_assert_uint_eq(owner.gaps, 0);
}
END_TEST

START_TEST(holes_without_progress_are_not_cured_in_a_hurry)
{
	turns();
	push(3, 3);
	turns();
	ck_assert_uint_eq(server.finds, 1);
	the_clock.mono_ns += 250 * MS;
	turns();
	ck_assert_uint_eq(server.finds, 2);
	push(3, 3);
	turns();
	the_clock.mono_ns += 250 * MS;
	turns();
	ck_assert_uint_eq(server.finds, 2);
	the_clock.mono_ns += 250 * MS;
	turns();
	ck_assert_uint_eq(server.finds, 3);
}
END_TEST

START_TEST(message_that_does_not_suit_now_is_offered_again)
{
	owner.refuse = 2;
	turns();
	push(1, 1);
	push(2, 2);
	turns();
	ck_assert_uint_eq(owner.delivered, 0);
	ck_assert(state().held);
	ck_assert_uint_eq(state().delivered, 0);
	the_clock.mono_ns += (STREAM_RETRY_MS - 1) * MS;
	turns();
	ck_assert_uint_eq(owner.refuse, 1);
	the_clock.mono_ns += 1 * MS;
	turns();
	ck_assert_uint_eq(owner.refuse, 0);
	the_clock.mono_ns += STREAM_RETRY_MS * MS;
	turns();
	ck_assert_uint_eq(owner.last, 2);
	ck_assert(!state().held);
}
END_TEST

START_TEST(message_not_taken_is_not_passed_over_by_attaching_anew)
{
	owner.refuse = 1;
	turns();
	push(1, 1);
	turns();
	server.epoch = 2;
	the_clock.mono_ns += 10000 * MS;
	turns();
	the_clock.mono_ns += 10000 * MS;
	turns();
	ck_assert_uint_eq(owner.delivered, 0);
	push(1, 1);
	turns();
	ck_assert_uint_eq(owner.delivered, 1);
}
END_TEST

START_TEST(unacknowledged_messages_are_bounded)
{
	owner.ack = false;
	turns();
	for (uint64_t seq = 1; seq <= STREAM_UNACKED_MAX + 5; seq++)
		push(seq, seq);
	turns();
	ck_assert_uint_eq(owner.delivered, STREAM_UNACKED_MAX);
	ck_assert(state().held);
	reader_ack(r, (struct stream_token){ .generation = owner.generation, .seq = 10 });
	turns();
	ck_assert_uint_eq(owner.delivered, STREAM_UNACKED_MAX + 5);
}
END_TEST

START_TEST(queue_is_bounded_and_what_it_drops_comes_again)
{
	turns();
	for (uint64_t seq = 1; seq <= READER_QUEUE_MESSAGES_MAX + 1; seq++)
		push(seq, seq);
	push(READER_QUEUE_MESSAGES_MAX + 2, 1);
	turns();
	ck_assert_uint_eq(owner.last, READER_QUEUE_MESSAGES_MAX);
	ck_assert_ptr_null(arrival_new(READER_QUEUE_BYTES_MAX));
}
END_TEST

START_TEST(silence_shows_and_is_looked_into)
{
	turns();
	push_status(100, "Idle Heartbeat", 1);
	turns();
	the_clock.mono_ns += (PULL_SILENCE_MS - 1) * MS;
	turns();
	ck_assert_uint_eq(server.finds, 1);
	ck_assert(state().flowing);
	the_clock.mono_ns += 2 * MS;
	/* Told even if the thread hangs. */
	ck_assert(!state().flowing);
	ck_assert_uint_eq(state().silent_ms, PULL_SILENCE_MS + 1);
	turns();
	ck_assert_uint_eq(state().silences, 1);
	the_clock.mono_ns += 1000 * MS;
	turns();
	ck_assert_uint_eq(server.finds, 2);
	ck_assert(state().flowing);
}
END_TEST

START_TEST(request_that_cannot_be_sent_waits)
{
	server.ask_err = ERR_UNAVAILABLE;
	turns();
	ck_assert_uint_eq(server.asks, 1);
	turns();
	ck_assert_uint_eq(server.asks, 1);
	server.ask_err = ERR_NONE;
	the_clock.mono_ns += 250 * MS;
	turns();
	ck_assert_uint_eq(server.asks, 3);
}
END_TEST

START_TEST(new_connection_means_a_new_subscription)
{
	turns();
	push(1, 1);
	turns();
	server.epoch = 2;
	server.found.floor = 1;
	turns();
	ck_assert_uint_eq(server.unlistens, 1);
	ck_assert_uint_eq(server.finds, 2);
	ck_assert_uint_eq(server.created, 0);
	push(2, 2);
	turns();
	ck_assert_uint_eq(owner.last, 2);
}
END_TEST

START_TEST(reset_moves_and_makes_old_tokens_void)
{
	owner.ack = false;
	turns();
	for (uint64_t seq = 1; seq <= 9; seq++)
		push(seq, seq);
	turns();
	struct stream_token old = { .generation = owner.generation, .seq = 9 };
	uint64_t generation = reader_reset(r, 4);
	ck_assert_uint_ne(generation, old.generation);
	reader_ack(r, old);
	turns();
	ck_assert_uint_eq(server.created, 4);
	ck_assert_uint_eq(state().acked, 3);
	push(4, 1);
	turns();
	ck_assert_uint_eq(owner.generation, generation);
	reader_ack(r, old);
	turns();
	ck_assert_str_eq(server.acked, "");
	reader_ack(r, (struct stream_token){ .generation = generation, .seq = 4 });
	turns();
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.4.1.1.7");
}
END_TEST

START_TEST(owner_may_reset_from_its_callback)
{
	turns();
	owner.reset_inside = true;
	server.found.unacked = 2;
	push(1, 1);
	push(2, 2);
	turns();
	turns();
	ck_assert_uint_eq(server.created, 1);
	push(1, 1);
	turns();
	ck_assert_uint_eq(owner.last, 1);
	ck_assert_uint_eq(state().acked, 1);
}
END_TEST

START_TEST(another_stream_is_told_and_acknowledged_as_such)
{
	turns();
	push(1, 1);
	push(2, 2);
	turns();
	uint64_t before = owner.generation;
	server.found = (struct pull_found){ .birth = 6, .first = 1, .last = 1 };
	server.epoch = 2;
	turns();
	ck_assert_int_eq(owner.gap.kind, STREAM_GAP_REBORN);
	ck_assert_uint_ne(owner.gap.generation, before);
	ck_assert_uint_eq(server.created, 1);
	server.acked[0] = '\0';
	push(1, 1);
	turns();
	ck_assert_uint_eq(owner.delivered, 3);
	ck_assert_uint_eq(owner.generation, owner.gap.generation);
	ck_assert_str_eq(server.acked, "$JS.ACK.OPS_a.b.1.1.1.1.7");
}
END_TEST

START_TEST(messages_that_nobody_can_number_are_dropped)
{
	struct arrival *a = arrival_new(3);
	turns();
	snprintf(a->reply, sizeof(a->reply), "somewhere.else");
	reader_push(r, a);
	push(1, 1);
	turns();
	ck_assert_uint_eq(owner.delivered, 1);
}
END_TEST

/* With its own thread and the machine's clock: pushing, acknowledging and ending from others. */
static void *push_many(void *arg)
{
	(void)arg;
	for (uint64_t seq = 1; seq <= 400; seq++)
		push(seq, seq);
	return NULL;
}

START_TEST(thread_ends_when_it_is_told_to)
{
	struct reader_options o = options;
	pthread_t t;
	reader_free(r);
	o.clock = clock_system();
	ck_assert_int_eq(reader_new(&o, &r), ERR_NONE);
	ck_assert_int_eq(reader_start(r), ERR_NONE);
	ck_assert_int_eq(pthread_create(&t, NULL, push_many, NULL), 0);
	pthread_join(t, NULL);
	while (state().acked < 400 || state().delivered < 400)
		push_status(100, "Idle Heartbeat", 1);
	ck_assert_uint_eq(state().delivered, 400);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reader");
	TCase *t = tcase_create("reader");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, server_that_cannot_be_asked_is_asked_again_ever_more_slowly);
	tcase_add_test(t, nothing_is_asked_without_a_connection);
	tcase_add_test(t, messages_are_delivered_in_order_and_acknowledged_at_once);
	tcase_add_test(t, only_what_the_owner_acknowledged_is_acknowledged);
	tcase_add_test(t, hole_is_cured_by_a_new_durable_and_a_new_inbox);
	tcase_add_test(t, holes_without_progress_are_not_cured_in_a_hurry);
	tcase_add_test(t, message_that_does_not_suit_now_is_offered_again);
	tcase_add_test(t, message_not_taken_is_not_passed_over_by_attaching_anew);
	tcase_add_test(t, unacknowledged_messages_are_bounded);
	tcase_add_test(t, queue_is_bounded_and_what_it_drops_comes_again);
	tcase_add_test(t, silence_shows_and_is_looked_into);
	tcase_add_test(t, request_that_cannot_be_sent_waits);
	tcase_add_test(t, new_connection_means_a_new_subscription);
	tcase_add_test(t, reset_moves_and_makes_old_tokens_void);
	tcase_add_test(t, owner_may_reset_from_its_callback);
	tcase_add_test(t, another_stream_is_told_and_acknowledged_as_such);
	tcase_add_test(t, messages_that_nobody_can_number_are_dropped);
	tcase_add_test(t, thread_ends_when_it_is_told_to);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
