/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams in memory: what they promise without faults, what each fault does, and that a seed gives
 * one history.
 */
#include "replicator/stream_mem.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define STEPS 100000u

struct end {
	struct stream *stream;
	uint64_t next; /* op to publish next, once the window is open */
	uint64_t accepted, closed, beats;
	enum err why;
	/* reading */
	struct stream_consumer *consumer;
	uint64_t generation, last_seq, last_op, delivered, refuse, gaps;
	struct stream_gap gap;
	uint64_t history; /* of all that came */
	bool out_of_order, hold_acks;
};

static struct stream_broker *broker;
static struct end a, b, c;

static void accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct end *e = ctx;
	ck_assert_uint_eq(scope, 2);
	ck_assert_uint_gt(upto.seq, e->accepted);
	e->accepted = upto.seq;
}

static void closed(void *ctx, const struct fault *why)
{
	struct end *e = ctx;
	e->closed++;
	e->why = why->err;
	ck_assert_int_ne(why->text[0], '\0');
}

static void beat_came(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	struct end *e = ctx;
	ck_assert_str_eq(region, "a");
	ck_assert_uint_eq(scope, 7);
	ck_assert_uint_eq(beat.len, 3);
	ck_assert_mem_eq(beat.data, "abc", 3);
	e->beats++;
}

static void end_open(struct end *e, const char *region)
{
	static const struct stream_peer all[] = { { "a", "" }, { "b", "" }, { "c", "" } };
	struct stream_peer peers[2];
	uint32_t n = 0;
	for (size_t i = 0; i < LEN(all); i++)
		if (strcmp(all[i].region, region) != 0)
			peers[n++] = all[i];
	struct stream_config config = {
		.fleet = "f",
		.region = region,
		.domain = "",
		.peers = peers,
		.peer_count = n,
		.events = { .ctx = e,
			    .on_accepted = accepted,
			    .on_closed = closed,
			    .on_beat = beat_came },
	};
	*e = (struct end){ 0 };
	ck_assert_int_eq(stream_mem_new(broker, &config, &e->stream, NULL), ERR_NONE);
}

static bool message_came(void *ctx, const struct stream_delivery *d)
{
	struct end *e = ctx;
	uint64_t op;
	if (e->refuse > 0) {
		e->refuse--;
		return false;
	}
	ck_assert_uint_ge(d->payload.len, 8);
	memcpy(&op, d->payload.data, 8);
	if (d->token.generation == e->generation && d->token.seq != e->last_seq + 1)
		e->out_of_order = true;
	e->generation = d->token.generation;
	e->last_seq = d->token.seq;
	e->last_op = op;
	e->delivered++;
	uint64_t all[] = { e->history, op, d->token.seq, d->token.generation };
	e->history = hash64(all, sizeof(all), 0);
	if (!e->hold_acks)
		stream_ack(e->consumer, d->token);
	return true;
}

static void gap_came(void *ctx, const struct stream_gap *g)
{
	struct end *e = ctx;
	e->gaps++;
	e->gap = *g;
	if (g->kind == STREAM_GAP_EXPIRED)
		e->last_seq = g->to;
	e->history = hash64(g, sizeof(*g), e->history);
}

static void read_from(struct end *e, const char *region, uint64_t from)
{
	struct stream_handler h = { .ctx = e, .on_message = message_came, .on_gap = gap_came };
	ck_assert_int_eq(stream_consume(e->stream, region, from, &h, &e->consumer, NULL), ERR_NONE);
}

static enum err put(struct end *e, uint64_t op)
{
	char id[STREAM_ID_MAX];
	snprintf(id, sizeof(id), "op-%" PRIu64, op);
	struct stream_message m = { .scope = 2,
				    .last = { .epoch = 1, .seq = op },
				    .id = id,
				    .payload = { .data = (const uint8_t *)&op,
						 .len = sizeof(op) } };
	return stream_publish(e->stream, &m);
}

/* As a publisher does: after a closed window it goes on behind what is stored. */
static void put_all(struct end *e, uint64_t upto)
{
	for (unsigned i = 0; i < STEPS && e->accepted < upto; i++) {
		struct stream_state s;
		stream_state(e->stream, &s);
		if (!s.window_open) {
			CLEANUP(buf_release) struct buf tail = BUF_INIT(100);
			uint64_t stored = 0;
			if (stream_open(e->stream, NULL))
				return;
			if (stream_tail(e->stream, 2, &tail, NULL) == ERR_NONE)
				memcpy(&stored, tail.data, 8);
			e->next = stored + 1;
			e->accepted = MAX(e->accepted, stored);
		}
		if (e->next <= upto && put(e, e->next) == ERR_NONE)
			e->next++;
		else
			stream_broker_step(broker);
	}
	ck_assert_uint_ge(e->accepted, upto);
}

static void seeded(uint64_t seed)
{
	ck_assert_int_eq(stream_broker_new(seed, &broker), ERR_NONE);
	end_open(&a, "a");
	end_open(&b, "b");
	end_open(&c, "c");
	stream_broker_provision(broker, "a");
	stream_broker_provision(broker, "b");
}

static void set_up(void)
{
	seeded(1);
}

static void end_close(struct end *e)
{
	stream_consumer_close(e->consumer);
	stream_free(e->stream);
	ck_assert(!e->out_of_order);
}

static void tear_down(void)
{
	end_close(&a);
	end_close(&b);
	end_close(&c);
	stream_broker_free(broker);
}

START_TEST(wrong_messages_and_peers_are_refused)
{
	uint8_t *big = calloc(1, STREAM_PAYLOAD_BYTES_MAX + 1);
	struct stream_message m = {
		.id = "x", .payload = { .data = big, .len = STREAM_PAYLOAD_BYTES_MAX + 1 }
	};
	struct stream_handler h = { .on_message = message_came };
	struct stream_consumer *none;
	ck_assert_int_eq(put(&a, 1), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_TOO_LARGE);
	m.payload.len = 0;
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_BAD_INPUT);
	m.payload.len = 1;
	m.scope = SCOPES_MAX;
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_BAD_INPUT);
	free(big);
	ck_assert_int_eq(stream_consume(a.stream, "a", 0, &h, &none, NULL), ERR_CONFIG);
	ck_assert_int_eq(stream_consume(a.stream, "z", 0, &h, &none, NULL), ERR_CONFIG);
	ck_assert_int_eq(stream_open(c.stream, NULL), ERR_NOT_FOUND);
	ck_assert_int_eq(stream_request(a.stream, "", "INFO", m.payload, NULL, NULL),
			 ERR_NOT_IMPLEMENTED);
	ck_assert_int_eq(stream_beat(a.stream, 7, (struct bytes){ .len = 0 }), ERR_BAD_INPUT);
}
END_TEST

START_TEST(nothing_happens_without_a_step)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	ck_assert_int_eq(put(&a, 1), ERR_NONE);
	ck_assert_uint_eq(a.accepted + b.delivered, 0);
	ck_assert(stream_broker_run(broker, STEPS) > 0);
	ck_assert_uint_eq(a.accepted, 1);
	ck_assert_uint_eq(b.delivered, 1);
	ck_assert(!stream_broker_step(broker));
}
END_TEST

START_TEST(window_is_bounded)
{
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	for (uint64_t op = 1; op <= STREAM_WINDOW_MESSAGES_MAX; op++)
		ck_assert_int_eq(put(&a, op), ERR_NONE);
	ck_assert_int_eq(put(&a, STREAM_WINDOW_MESSAGES_MAX + 1), ERR_RATE_LIMITED);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(a.accepted, STREAM_WINDOW_MESSAGES_MAX);
	ck_assert_int_eq(put(&a, STREAM_WINDOW_MESSAGES_MAX + 1), ERR_NONE);
}
END_TEST

START_TEST(readers_get_everything_in_order)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	read_from(&c, "a", STREAM_FROM_ACKED);
	put_all(&a, 2000);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, 2000);
	ck_assert_uint_eq(c.delivered, 2000);
	ck_assert_uint_eq(b.last_op, 2000);
	ck_assert_uint_eq(b.gaps + c.gaps, 0);
	struct stream_consumer_state s;
	stream_consumer_state(b.consumer, &s);
	ck_assert(s.flowing && !s.held);
	ck_assert_uint_eq(s.acked, 2000);
	ck_assert_uint_eq(s.pending, 0);
}
END_TEST

START_TEST(refused_message_comes_again_and_unacknowledged_ones_are_bounded)
{
	b.refuse = 5;
	b.hold_acks = true;
	read_from(&b, "a", STREAM_FROM_ACKED);
	put_all(&a, STREAM_UNACKED_MAX + 10);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.refuse, 0);
	ck_assert_uint_eq(b.delivered, STREAM_UNACKED_MAX);
	struct stream_consumer_state s;
	stream_consumer_state(b.consumer, &s);
	ck_assert(s.held);
	stream_ack(b.consumer,
		   (struct stream_token){ .generation = b.generation, .seq = b.last_seq });
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, STREAM_UNACKED_MAX + 10);
}
END_TEST

START_TEST(cut_link_stops_one_reader_only)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	read_from(&c, "a", STREAM_FROM_ACKED);
	stream_broker_link(broker, "a", "b", false);
	put_all(&a, 50);
	ck_assert_int_eq(stream_beat(a.stream, 7, (struct bytes){ (const uint8_t *)"abc", 3 }),
			 ERR_NONE);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered + b.beats, 0);
	ck_assert_uint_eq(c.delivered, 50);
	ck_assert_uint_eq(c.beats, 1);
	struct stream_consumer_state s;
	stream_consumer_state(b.consumer, &s);
	ck_assert(!s.flowing);
	stream_broker_link(broker, "a", "b", true);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, 50);
}
END_TEST

START_TEST(cut_of_one_way_stops_heartbeats_of_that_way_and_reading)
{
	struct bytes beat = { .data = (const uint8_t *)"abc", .len = 3 };

	read_from(&b, "a", 1);
	stream_broker_cut(broker, "b", "a", true);
	put_all(&a, 5);
	ck_assert_int_eq(stream_beat(a.stream, 7, beat), ERR_NONE);
	(void)stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.beats, 1);
	ck_assert_uint_eq(b.delivered, 0);

	stream_broker_cut(broker, "b", "a", false);
	stream_broker_cut(broker, "a", "b", true);
	ck_assert_int_eq(stream_beat(a.stream, 7, beat), ERR_NONE);
	(void)stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.beats, 1);
	ck_assert_uint_eq(b.delivered, 0);

	stream_broker_cut(broker, "a", "b", false);
	(void)stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, 5);
}
END_TEST

START_TEST(server_that_is_down_closes_the_window)
{
	struct stream_state s;
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	ck_assert_int_eq(put(&a, 1), ERR_NONE);
	stream_broker_server(broker, "a", false);
	stream_state(a.stream, &s);
	ck_assert(!s.connected);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(a.closed, 1);
	ck_assert_int_eq(put(&a, 1), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_beat(a.stream, 7, (struct bytes){ (const uint8_t *)"abc", 3 }),
			 ERR_UNAVAILABLE);
	stream_broker_server(broker, "a", true);
	put_all(&a, 3);
	ck_assert_uint_eq(a.accepted, 3);
}
END_TEST

START_TEST(restarted_reader_goes_on_after_what_it_acknowledged)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	put_all(&a, 20);
	stream_broker_run(broker, STEPS);
	b.hold_acks = true;
	put_all(&a, 30);
	stream_broker_run(broker, STEPS);
	end_close(&b);
	end_open(&b, "b");
	read_from(&b, "a", STREAM_FROM_ACKED);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, 10);
	ck_assert_uint_eq(b.last_op, 30);
}
END_TEST

START_TEST(reset_begins_a_generation_and_old_tokens_count_no_more)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	put_all(&a, 20);
	stream_broker_run(broker, STEPS);
	struct stream_token old = { .generation = b.generation, .seq = 20 };
	b.hold_acks = true;
	uint64_t generation = stream_reset(b.consumer, 6);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.delivered, 35);
	ck_assert_uint_eq(b.generation, generation);
	stream_ack(b.consumer, old);
	struct stream_consumer_state s;
	stream_consumer_state(b.consumer, &s);
	ck_assert_uint_eq(s.acked, 5);
}
END_TEST

START_TEST(lost_suffix_is_told_and_its_sequences_are_given_again)
{
	uint64_t first, last;
	read_from(&b, "a", STREAM_FROM_ACKED);
	put_all(&a, 10);
	stream_broker_sync(broker, "a");
	put_all(&a, 15);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(stream_broker_lose_unsynced(broker, "a"), 5);
	ck_assert_uint_eq(stream_broker_lose_unsynced(broker, "a"), 0);
	stream_broker_bounds(broker, "a", &first, &last);
	ck_assert_uint_eq(first, 1);
	ck_assert_uint_eq(last, 10);
	/* The window does not know it yet: the next message does not fit. */
	ck_assert_int_eq(put(&a, 16), ERR_NONE);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(a.closed, 1);
	ck_assert_int_eq(a.why, ERR_GAP);
	ck_assert_uint_eq(b.gaps, 1);
	ck_assert_int_eq(b.gap.kind, STREAM_GAP_REWOUND);
	ck_assert_uint_eq(b.gap.from, 11);
	ck_assert_uint_eq(b.gap.to, 15);
	a.accepted = 10;
	put_all(&a, 17);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.last_op, 17);
	ck_assert_uint_eq(b.last_seq, 17);
	ck_assert_uint_eq(b.gap.generation, b.generation);
}
END_TEST

START_TEST(wiped_stream_is_told_and_begins_at_one)
{
	read_from(&b, "a", STREAM_FROM_ACKED);
	put_all(&a, 10);
	stream_broker_run(broker, STEPS);
	stream_broker_wipe(broker, "a");
	a.accepted = 0;
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	ck_assert_int_eq(put(&a, 11), ERR_NONE);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(a.accepted, 11);
	ck_assert_int_eq(b.gap.kind, STREAM_GAP_REBORN);
	ck_assert_uint_eq(b.last_op, 11);
	ck_assert_uint_eq(b.last_seq, 1);
}
END_TEST

START_TEST(expired_messages_are_told)
{
	put_all(&a, 10);
	stream_broker_trim(broker, "a", 3);
	read_from(&b, "a", STREAM_FROM_ACKED);
	stream_broker_run(broker, STEPS);
	ck_assert_int_eq(b.gap.kind, STREAM_GAP_EXPIRED);
	ck_assert_uint_eq(b.gap.from, 1);
	ck_assert_uint_eq(b.gap.to, 7);
	ck_assert_uint_eq(b.delivered, 3);

	/* By the bound of the stream too. */
	put_all(&a, STREAM_MEM_MESSAGES_MAX + 100);
	uint64_t first, last;
	stream_broker_bounds(broker, "a", &first, &last);
	ck_assert_uint_eq(last, STREAM_MEM_MESSAGES_MAX + 100);
	ck_assert_uint_eq(first, 101);
}
END_TEST

START_TEST(same_id_is_not_stored_twice)
{
	put_all(&a, 5);
	ck_assert_int_eq(put(&a, 5), ERR_NONE);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(a.closed, 1);
	uint64_t first, last;
	stream_broker_bounds(broker, "a", &first, &last);
	ck_assert_uint_eq(last, 5);
}
END_TEST

START_TEST(heartbeats_are_bounded_and_the_newest_stay)
{
	for (unsigned i = 0; i < STREAM_MEM_BEATS_MAX + 10; i++)
		ck_assert_int_eq(
			stream_beat(a.stream, 7, (struct bytes){ (const uint8_t *)"abc", 3 }),
			ERR_NONE);
	stream_broker_run(broker, STEPS);
	ck_assert_uint_eq(b.beats, STREAM_MEM_BEATS_MAX);
}
END_TEST

/* Each fault alone, often: everything still arrives, in the way that its fault allows. */
START_TEST(faults_are_survived)
{
	const struct {
		const char *what;
		struct stream_faults faults;
		bool closes, repeats;
	} rows[] = {
		{ "redeliver", { .redeliver = 100 }, false, true },
		{ "duplicate", { .duplicate = 100 }, true, true },
		{ "lost", { .lost = 100 }, true, false },
		{ "unknown", { .unknown = 100 }, true, false },
		{ "all",
		  { .redeliver = 50, .duplicate = 50, .lost = 50, .unknown = 50 },
		  true,
		  true },
	};
	for (size_t i = 0; i < LEN(rows); i++)
		for (uint64_t seed = 1; seed <= 20; seed++) {
			tear_down();
			seeded(seed);
			stream_broker_faults(broker, &rows[i].faults);
			read_from(&b, "a", STREAM_FROM_ACKED);
			put_all(&a, 300);
			stream_broker_run(broker, STEPS);
			ck_assert_msg(b.last_op == 300, "%s, seed %" PRIu64 ": %" PRIu64,
				      rows[i].what, seed, b.last_op);
			ck_assert_msg(b.delivered >= 300, "%s", rows[i].what);
			ck_assert_msg((a.closed > 0) == rows[i].closes, "%s", rows[i].what);
			ck_assert_msg((b.delivered > 300 || b.generation > 1) == rows[i].repeats,
				      "%s", rows[i].what);
			ck_assert_uint_eq(b.gaps, 0);
		}
}
END_TEST

static uint64_t history_of(uint64_t seed)
{
	const struct stream_faults all = { .redeliver = 30,
					   .duplicate = 30,
					   .lost = 30,
					   .unknown = 30,
					   .lose_beat = 300,
					   .trim = 5 };
	tear_down();
	seeded(seed);
	stream_broker_faults(broker, &all);
	read_from(&b, "a", STREAM_FROM_ACKED);
	read_from(&c, "a", STREAM_FROM_ACKED);
	put_all(&a, 200);
	ck_assert_int_eq(stream_beat(a.stream, 7, (struct bytes){ (const uint8_t *)"abc", 3 }),
			 ERR_NONE);
	stream_broker_run(broker, STEPS);
	return b.history ^ c.history;
}

START_TEST(same_seed_gives_the_same_history)
{
	uint64_t first = history_of(42);
	ck_assert_uint_eq(history_of(42), first);
	ck_assert_uint_ne(history_of(43), first);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream_mem");
	TCase *t = tcase_create("broker");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, wrong_messages_and_peers_are_refused);
	tcase_add_test(t, nothing_happens_without_a_step);
	tcase_add_test(t, window_is_bounded);
	tcase_add_test(t, readers_get_everything_in_order);
	tcase_add_test(t, refused_message_comes_again_and_unacknowledged_ones_are_bounded);
	tcase_add_test(t, cut_link_stops_one_reader_only);
	tcase_add_test(t, cut_of_one_way_stops_heartbeats_of_that_way_and_reading);
	tcase_add_test(t, server_that_is_down_closes_the_window);
	tcase_add_test(t, restarted_reader_goes_on_after_what_it_acknowledged);
	tcase_add_test(t, reset_begins_a_generation_and_old_tokens_count_no_more);
	tcase_add_test(t, lost_suffix_is_told_and_its_sequences_are_given_again);
	tcase_add_test(t, wiped_stream_is_told_and_begins_at_one);
	tcase_add_test(t, expired_messages_are_told);
	tcase_add_test(t, same_id_is_not_stored_twice);
	tcase_add_test(t, heartbeats_are_bounded_and_the_newest_stay);
	tcase_add_test(t, faults_are_survived);
	tcase_add_test(t, same_seed_gives_the_same_history);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
