/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Region 2 reads what region 1 wrote, and region 3 has too; the test is the streams and the logs.
 */
#include "replicator/applier.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/publisher.h"
#include "tests/replicator/region.h"

#define FLEET 5u
#define WAIT_MS 20000

static struct region a; /* region 1, by hand */
static struct region b; /* region 2, with its thread */
static struct peers *peers;
static struct applier *applier;

/* --- streams that deliver what a test gives --- */

struct reading {
	struct stream_consumer consumer;
	struct stream_handler handler;
	uint64_t acked;
	bool open;
};

static struct reading readings[2]; /* of regions 1 and 3 */

static enum err fake_consume(struct stream *s, const char *region, uint64_t from, const struct stream_handler *h,
			     struct stream_consumer **ret_consumer, struct fault *f)
{
	struct reading *r = &readings[strcmp(region, "one") == 0 ? 0 : 1];

	(void)f;
	ck_assert_uint_eq(from, STREAM_FROM_ACKED);
	*r = (struct reading){ .consumer = { s }, .handler = *h, .open = true };
	*ret_consumer = &r->consumer;
	return ERR_NONE;
}

static void fake_close(struct stream_consumer *c)
{
	CONTAINER_OF(c, struct reading, consumer)->open = false;
}

static void fake_ack(struct stream_consumer *c, struct stream_token upto)
{
	CONTAINER_OF(c, struct reading, consumer)->acked = upto.seq;
}

static const struct stream_ops fake_ops = { .consume = fake_consume, .close = fake_close, .ack = fake_ack };
static struct stream fake = { .ops = &fake_ops };

/* --- logs that answer what a test says --- */

/* As the log of region 1, refused, empty, or not reaching back. */
enum answer { ANSWER_LOG, ANSWER_NONE, ANSWER_EMPTY, ANSWER_GAP, ANSWER_DAMAGED };
static atomic_int answers[4]; /* by region */
static atomic_uint asked[4];

static enum err link_log(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			 struct fault *f)
{
	struct log_source source = { a.store, a.catalog, FLEET };
	struct op_batch head;

	(void)l;
	atomic_fetch_add(&asked[region], 1);
	switch ((enum answer)atomic_load(&answers[region])) {
	case ANSWER_NONE:
		return fault_set(f, ERR_UNAVAILABLE, "nobody answers");
	case ANSWER_EMPTY:
		return ERR_NOT_FOUND;
	case ANSWER_GAP:
		return fault_set(f, ERR_GAP, "the log of region %u begins later", region);
	case ANSWER_DAMAGED:
		return buf_append_cstr(out, "nonsense");
	case ANSWER_LOG:
		break;
	}
	return log_message(&source, scope, after, 0, 2000, out, &head, f);
}

static struct peer_link fake_link = { .log = link_log };

/* --- set up --- */

static void start(struct stream *stream)
{
	struct applier_options o = { .clock = clock_system(),
				     .committer = b.committer,
				     .peers = peers,
				     .stream = stream };
	struct fault f = { 0 };

	ck_assert_msg(!applier_start(&o, &applier, &f), "%s", f.text);
}

static void set_up(void)
{
	static const struct peer_config others[] = {
		{ .name = "one", .id = 1, .data = true },
		{ .name = "three", .id = 3, .data = true },
		{ .name = "edge", .id = 4 },
	};
	struct peers_options o = {
		.clock = clock_system(),
		.fleet = FLEET,
		.self = { .name = "two", .id = 2, .data = true },
		.others = others,
		.other_count = LEN(others),
		.link = &fake_link,
	};

	applier = NULL;
	for (size_t i = 0; i < LEN(answers); i++) {
		atomic_store(&answers[i], ANSWER_NONE);
		atomic_store(&asked[i], 0);
	}
	ck_assert_int_eq(peers_new(&o, &peers), ERR_NONE);
	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	region_init(&b, 2);
	region_open(&b);
	ck_assert_int_eq(committer_start(b.committer), ERR_NONE);
}

static void tear_down(void)
{
	applier_free(applier);
	region_release(&b);
	region_release(&a);
	peers_free(peers);
}

/* Region `region` says that it stands where region 1 does. */
static void beat(uint8_t region)
{
	static uint64_t wall_ms = 1;
	struct heartbeat h = { .fleet = FLEET,
			       .region = region,
			       .position = region_state(&a).position,
			       .wall_ms = wall_ms++ };
	ck_assert(peers_beat(peers, &h));
}

static struct applier_state state(void)
{
	struct applier_state s;

	applier_state(applier, &s);
	return s;
}

static bool is_level(void)
{
	return position_compare(region_state(&a).position, region_state(&b).position) == 0;
}

static bool has_refilled(void)
{
	return state().refills > 0;
}

static bool is_stopped(void)
{
	return state().stopped;
}

static bool was_three_asked_thrice(void)
{
	return atomic_load(&asked[3]) >= 3;
}

static void wait_for(bool (*fn)(void))
{
	uint64_t end_ns = clock_mono_ns(clock_system()) + WAIT_MS * UINT64_C(1000000);

	while (!fn()) {
		struct timespec moment = { .tv_nsec = 1000000 };
		ck_assert_msg(clock_mono_ns(clock_system()) < end_ns, "waited in vain");
		(void)nanosleep(&moment, NULL);
	}
}

/* --- delivering --- */

/* The ops of region 1 after a position, up to so many bytes but one at least. */
static void message_after(struct position after, size_t bytes, struct buf *out)
{
	struct log_source source = { a.store, a.catalog, FLEET };
	struct op_batch head;
	struct fault f = { 0 };

	ck_assert_msg(!log_message(&source, SCOPE_FLEET, after, 0, bytes, out, &head, &f), "%s", f.text);
}

static bool deliver(unsigned reading, uint64_t seq, const struct buf *payload)
{
	struct stream_delivery d = { .token = { 1, seq }, .payload = buf_bytes(payload) };

	return readings[reading].handler.on_message(readings[reading].handler.ctx, &d);
}

/* Decodes, lets a test change it, and encodes. */
typedef void (*change_fn)(struct op_batch *m);

static void changed(const struct buf *from, change_fn fn, struct buf *out)
{
	CLEANUP(arena_release) struct arena arena;
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	struct op_batch m;

	arena_init(&arena, (size_t)16 << 20);
	ck_assert_int_eq(batch_decode(buf_bytes(from), &inflated, &arena, &m, NULL), ERR_NONE);
	fn(&m);
	ck_assert_int_eq(batch_encode(&m, out), ERR_NONE);
}

static void to_another_fleet(struct op_batch *m)
{
	m->fleet++;
}

static void to_another_scope(struct op_batch *m)
{
	m->scope = 3;
}

static void to_another_hash(struct op_batch *m)
{
	m->chain_hash++;
}

/* --- streams --- */

START_TEST(message_is_acknowledged_when_it_is_committed_also_again)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	start(&fake);
	write_well(&a, upsert_of(&a, "c", 1, 10));
	message_after((struct position){ 0 }, 1 << 20, &m);
	ck_assert(deliver(0, 7, &m));
	ck_assert_uint_eq(readings[0].acked, 7);
	ck_assert(is_level());
	ck_assert_uint_eq(count_points(&b, "c"), 10);
	ck_assert(deliver(0, 8, &m) && deliver(1, 1, &m));
	ck_assert_uint_eq(readings[0].acked, 8);
	ck_assert_uint_eq(state().messages, 3);
	ck_assert_uint_eq(state().refills, 0);
	applier_stop(applier);
	ck_assert(!readings[0].open && !readings[1].open);
}
END_TEST

START_TEST(message_that_is_not_ours_is_passed_over)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	CLEANUP(buf_release) struct buf other = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	static const change_fn changes[] = { to_another_fleet, to_another_scope };

	start(&fake);
	message_after((struct position){ 0 }, 1 << 20, &m);
	for (size_t i = 0; i < LEN(changes); i++) {
		buf_reset(&other);
		changed(&m, changes[i], &other);
		ck_assert(deliver(0, i + 1, &other));
		ck_assert_uint_eq(readings[0].acked, i + 1);
	}
	/* Damaged: what it had comes from a log when the next one is missed. */
	buf_reset(&other);
	ck_assert_int_eq(buf_append(&other, m.data, m.len), ERR_NONE);
	other.data[m.len - 1] ^= 1;
	ck_assert(deliver(0, 9, &other));
	ck_assert_uint_eq(readings[0].acked, 9);
	ck_assert_uint_eq(region_state(&b).position.epoch, 0);
	ck_assert(!state().stopped);
}
END_TEST

START_TEST(message_after_a_hole_waits_until_the_hole_is_filled)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	start(&fake);
	for (uint64_t i = 0; i < 50; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	struct position hole = region_state(&a).position;
	write_well(&a, upsert_of(&a, "c", 50, 1));
	message_after(hole, 1 << 20, &m);
	ck_assert(!deliver(0, 9, &m));
	ck_assert_uint_eq(readings[0].acked, 0);
	ck_assert_uint_ge(atomic_load(&asked[1]), 1);
	ck_assert(!state().stopped);
	/* The region itself has not been heard, but it is surely ahead. */
	atomic_store(&answers[1], ANSWER_LOG);
	ck_assert(deliver(0, 9, &m));
	ck_assert_uint_eq(readings[0].acked, 9);
	ck_assert(is_level());
	ck_assert_uint_gt(state().refills, 1);
	ck_assert_uint_eq(count_points(&b, "c"), 51);
}
END_TEST

START_TEST(other_logs_fill_a_hole_when_the_writer_cannot)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	start(&fake);
	write_well(&a, upsert_of(&a, "c", 1, 5));
	struct position hole = region_state(&a).position;
	beat(3);
	region_begin(&a);
	message_after(hole, 1 << 20, &m);
	atomic_store(&answers[1], ANSWER_DAMAGED);
	atomic_store(&answers[3], ANSWER_LOG);
	ck_assert(deliver(0, 1, &m));
	ck_assert(is_level());
	ck_assert(!state().stopped);
}
END_TEST

START_TEST(fork_stops_its_stream_whatever_others_bring)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	CLEANUP(buf_release) struct buf fork = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	start(&fake);
	write_well(&a, upsert_of(&a, "c", 1, 5));
	message_after((struct position){ 0 }, 1 << 20, &m);
	changed(&m, to_another_hash, &fork);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(!deliver(0, 1, &fork));
	ck_assert_uint_eq(readings[0].acked, 0);
	ck_assert_uint_eq(region_state(&b).position.epoch, 0);
	ck_assert(state().stopped);
	ck_assert_int_eq(state().trouble.err, ERR_FORK);
	ck_assert(strstr(state().trouble.text, "running hash") != NULL);
	ck_assert(deliver(1, 1, &m));
	ck_assert(is_level());
	ck_assert(!deliver(0, 1, &fork));
	ck_assert(state().stopped);
	/* Cured: it brings what we have. */
	ck_assert(deliver(0, 1, &m));
	ck_assert(!state().stopped);
}
END_TEST

/* --- the watcher --- */

START_TEST(region_without_streams_follows_the_logs)
{
	atomic_store(&answers[1], ANSWER_LOG);
	start(NULL);
	for (uint64_t i = 0; i < 100; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	beat(1);
	wait_for(is_level);
	write_well(&a, upsert_of(&a, "c", 100, 1));
	beat(1);
	wait_for(is_level);
	ck_assert_uint_eq(count_points(&b, "c"), 101);
	ck_assert_uint_eq(state().messages, 0);
	ck_assert_uint_eq(atomic_load(&asked[3]), 0);
}
END_TEST

START_TEST(silent_streams_are_replaced_by_the_logs)
{
	atomic_store(&answers[3], ANSWER_LOG);
	start(&fake);
	write_well(&a, upsert_of(&a, "c", 1, 10));
	beat(1);
	beat(3);
	wait_for(is_level);
	wait_for(has_refilled);
}
END_TEST

START_TEST(missing_ops_that_no_log_holds_are_told_until_they_come)
{
	atomic_store(&answers[1], ANSWER_EMPTY);
	atomic_store(&answers[3], ANSWER_GAP);
	start(NULL);
	write_well(&a, upsert_of(&a, "c", 1, 10));
	beat(1);
	beat(3);
	wait_for(is_stopped);
	ck_assert_int_eq(state().trouble.err, ERR_GAP);
	ck_assert_str_eq(state().trouble.text, "the log of region 3 begins later");
	ck_assert_uint_eq(region_state(&b).position.epoch, 0);
	atomic_store(&answers[1], ANSWER_LOG);
	wait_for(is_level);
	ck_assert(!state().stopped);
}
END_TEST

START_TEST(fork_in_a_log_stops_and_is_not_skipped)
{
	struct region other;

	/* Region 2 has ops at the same positions that region 1 did not write. */
	region_init(&other, 1);
	region_open(&other);
	region_begin(&other);
	write_well(&other, create_of(&other, "d", DISTANCE_COSINE));
	struct log_part log = read_log_after(&other, (struct position){ 0 }, 100);
	struct fault f = { 0 };
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	struct position before = region_state(&b).position;

	atomic_store(&answers[1], ANSWER_LOG);
	atomic_store(&answers[3], ANSWER_LOG);
	start(NULL);
	write_well(&a, upsert_of(&a, "c", 1, 10));
	beat(1);
	beat(3);
	wait_for(is_stopped);
	wait_for(was_three_asked_thrice);
	ck_assert_int_eq(state().trouble.err, ERR_FORK);
	ck_assert_int_eq(position_compare(region_state(&b).position, before), 0);
	region_release(&other);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("applier");
	TCase *t = tcase_create("applier");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, message_that_is_not_ours_is_passed_over);
	tcase_add_test(t, message_is_acknowledged_when_it_is_committed_also_again);
	tcase_add_test(t, message_after_a_hole_waits_until_the_hole_is_filled);
	tcase_add_test(t, other_logs_fill_a_hole_when_the_writer_cannot);
	tcase_add_test(t, fork_stops_its_stream_whatever_others_bring);
	tcase_add_test(t, region_without_streams_follows_the_logs);
	tcase_add_test(t, silent_streams_are_replaced_by_the_logs);
	tcase_add_test(t, missing_ops_that_no_log_holds_are_told_until_they_come);
	tcase_add_test(t, fork_in_a_log_stops_and_is_not_skipped);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
