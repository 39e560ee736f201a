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
static struct region third; /* region 3, by hand; only of the tests of SCOPE_MULTI */
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
	struct region *from = scope == SCOPE_MULTI && region == 3 ? &third : &a;
	struct log_source source = { from->store, from->catalog, FLEET };
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
	struct applier_state told = state();
	ck_assert_int_eq(told.trouble.err, ERR_GAP);
	ck_assert_ptr_nonnull(strstr(told.trouble.text, "the log of region 3 begins later; this region was away"));
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

/* --- SCOPE_MULTI --- */

/* What is told after seconds is told after a fiftieth of them. */
static uint64_t fast_mono_ns(struct clock *c)
{
	(void)c;
	return clock_mono_ns(clock_system()) * 50;
}

static uint64_t fast_wall_ms(struct clock *c)
{
	(void)c;
	return clock_wall_ms(clock_system());
}

static struct clock fast = { .wall_ms = fast_wall_ms, .mono_ns = fast_mono_ns };

/* Region 2's wall clock, which its committer's thread reads. */
static atomic_uint_fast64_t wall_of_two;

static uint64_t two_wall_ms(struct clock *c)
{
	(void)c;
	return atomic_load(&wall_of_two);
}

static enum err apply_message(struct region *to, const struct buf *payload)
{
	CLEANUP(arena_release) struct arena arena;
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	struct op_batch m;

	arena_init(&arena, (size_t)16 << 20);
	ck_assert_int_eq(batch_decode(buf_bytes(payload), &inflated, &arena, &m, NULL), ERR_NONE);
	struct bytes ops[BATCH_OPS_MAX];
	memcpy(ops, m.ops, m.count * sizeof(*ops));
	struct remote_batch batch = { .ops = ops, .count = m.count, .scope = m.scope, .chain_hash = m.chain_hash };
	return committer_apply(to->committer, &batch, NULL);
}

static void follow(struct region *to)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	message_after(region_state(to).position, 1 << 20, &m);
	ck_assert_int_eq(apply_message(to, &m), ERR_NONE);
}

static uint64_t log_of(struct region *r)
{
	return region_state(r).multi_log;
}

static void write_multi(struct region *r, uint64_t id)
{
	struct op_point *p = region_alloc(r, sizeof(*p));
	struct op_vector *v = region_alloc(r, sizeof(*v));

	*v = sparse_of("sparse");
	*p = (struct op_point){ .id = id_of(id), .vectors = v, .vector_count = 1, .payload = payload_of(r, "n", 1) };
	write_well(r, (struct intent){ .kind = OP_UPSERT,
				       .collection = STR("m"),
				       .body = { .points = p, .point_count = 1 } });
}

/* Region 1 wrote an op that region 3 had seen when it wrote its own; region 2 knows the collection only. */
static void set_up_multi(void)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct log_source source = { a.store, a.catalog, FLEET };
	struct intent create = create_of(&a, "m", DISTANCE_DOT);
	struct op_batch head;

	atomic_store(&wall_of_two, REGION_WALL_MS);
	region_init(&third, 3);
	region_open(&third);
	create.body.config.multi_writer = true;
	write_well(&a, create);
	follow(&b);
	follow(&third);
	write_multi(&a, 1);
	ck_assert_int_eq(log_message(&source, SCOPE_MULTI, (struct position){ log_of(&a), 0 }, 0, 2000, &m, &head, NULL),
			 ERR_NONE);
	ck_assert_int_eq(apply_message(&third, &m), ERR_NONE);
	write_multi(&third, 2);
}

static void start_fast(void)
{
	struct applier_options o = { .clock = &fast, .committer = b.committer, .peers = peers };
	struct fault f = { 0 };

	ck_assert_msg(!applier_start(&o, &applier, &f), "%s", f.text);
}

/* A region says which logs it has: all of them; 0: it has none. */
static void stand(uint8_t region, uint64_t log, uint64_t seq)
{
	static uint64_t wall_ms = 1;
	struct log_end end = { .log = log, .seq = seq };
	struct standing s = { .fleet = FLEET,
			      .region = region,
			      .whole = true,
			      .wall_ms = wall_ms++,
			      .ends = &end,
			      .count = log != 0 };
	ck_assert(peers_stand(peers, &s));
}

static struct log_waits_told told[LOG_WAITS_MAX];
static enum log_wait_kind wanted;
static bool one_says_nothing; /* region 1 */

/* The log of region 3 is told to wait for that reason. Says where the others stand again and again: only news counts. */
static bool waits_as_wanted(void)
{
	if (!one_says_nothing)
		stand(1, 0, 0);
	stand(3, log_of(&third), 1);
	uint32_t n = applier_waits(applier, told);
	for (uint32_t i = 0; i < n; i++)
		if (told[i].wait.log == log_of(&third) && told[i].wait.kind == wanted) {
			told[0] = told[i];
			return true;
		}
	return false;
}

static void expect_wait(enum log_wait_kind kind, const char *words)
{
	wanted = kind;
	wait_for(waits_as_wanted);
	ck_assert_uint_eq(told[0].wait.seq, 1);
	ck_assert_msg(strstr(fault_text(&told[0].wait.why), words) != NULL, "%s", fault_text(&told[0].wait.why));
	ck_assert_int_eq(state().stopped, log_wait_stops(kind));
}

static bool has_all_logs(void)
{
	return committer_log_seq(b.committer, log_of(&third)) == 1 && committer_log_seq(b.committer, log_of(&a)) == 1;
}

static bool waits_at_the_second_op(void)
{
	stand(3, log_of(&third), 2);
	return applier_waits(applier, told) == 1 && told[0].wait.kind == wanted && told[0].wait.seq == 2;
}

static bool waits_for_nothing(void)
{
	return applier_waits(applier, told) == 0;
}

/* Region 1 has what is missing, and can be asked. */
static void cure(void)
{
	one_says_nothing = true;
	atomic_store(&answers[1], ANSWER_LOG);
	stand(1, log_of(&a), 1);
	wait_for(has_all_logs);
	wait_for(waits_for_nothing);
	ck_assert(!state().stopped);
	one_says_nothing = false;
	region_release(&third);
}

START_TEST(an_op_that_others_saw_and_nobody_has_is_told_with_who_had_it)
{
	set_up_multi();
	atomic_store(&answers[3], ANSWER_LOG);
	start_fast();
	expect_wait(LOG_WAIT_LOST, "follows an op of region one stamped");
	ck_assert(strstr(fault_text(&told[0].wait.why), "which region three had seen; no region has it") != NULL);
	ck_assert_int_eq(state().trouble.err, ERR_GAP);
	ck_assert_uint_eq(committer_log_seq(b.committer, log_of(&third)), 0);
	cure();
}
END_TEST

START_TEST(an_op_is_not_called_lost_while_a_region_was_not_heard)
{
	set_up_multi();
	one_says_nothing = true;
	atomic_store(&answers[3], ANSWER_LOG);
	start_fast();
	expect_wait(LOG_WAIT_SEEN, "not heard was region one");
	cure();
}
END_TEST

START_TEST(a_log_that_waits_for_one_that_cannot_be_fetched_names_who_has_it)
{
	set_up_multi();
	one_says_nothing = true;
	stand(1, log_of(&a), 1);
	atomic_store(&answers[3], ANSWER_LOG);
	start_fast();
	expect_wait(LOG_WAIT_SEEN, "it is to come from region one");
	cure();
}
END_TEST

START_TEST(a_log_that_no_region_holds_any_more_is_told_at_once)
{
	set_up_multi();
	atomic_store(&answers[3], ANSWER_GAP);
	start_fast();
	expect_wait(LOG_WAIT_TRIMMED, "cannot be had from region three: the log of region 3 begins later");
	ck_assert_int_eq(state().trouble.err, ERR_GAP);
	atomic_store(&answers[3], ANSWER_LOG);
	cure();
}
END_TEST

START_TEST(a_log_whose_region_cannot_be_asked_is_told_and_the_region_goes_on)
{
	set_up_multi();
	start_fast();
	expect_wait(LOG_WAIT_SOURCE, "nobody answers");
	atomic_store(&answers[3], ANSWER_LOG);
	cure();
}
END_TEST

START_TEST(a_log_ahead_in_time_waits_until_this_clock_comes_near)
{
	b.clock.clock.wall_ms = two_wall_ms;
	set_up_multi();
	atomic_store(&answers[1], ANSWER_LOG);
	atomic_store(&answers[3], ANSWER_LOG);
	third.clock.wall_ms += 60000;
	write_multi(&third, 3);
	one_says_nothing = true;
	stand(1, log_of(&a), 1);
	stand(3, log_of(&third), 2);
	start_fast();
	wait_for(has_all_logs);
	wanted = LOG_WAIT_CLOCK;
	wait_for(waits_at_the_second_op);
	ck_assert_uint_eq(told[0].wait.seq, 2);
	ck_assert_msg(strstr(fault_text(&told[0].wait.why), "is stamped 60000 ms ahead of the clock of region two") != NULL,
		      "%s", fault_text(&told[0].wait.why));
	ck_assert(!state().stopped);
	ck_assert_uint_eq(committer_log_seq(b.committer, log_of(&third)), 1);
	atomic_store(&wall_of_two, REGION_WALL_MS + 59500);
	wait_for(waits_for_nothing);
	ck_assert_uint_eq(committer_log_seq(b.committer, log_of(&third)), 2);
	one_says_nothing = false;
	region_release(&third);
}
END_TEST

/* Its writer knew a collection that is not here yet: it is told after what it waits for. */
START_TEST(a_log_waits_for_the_changes_of_collections_that_it_needs)
{
	set_up_multi();
	write_well(&a, create_of(&a, "later", DISTANCE_DOT));
	follow(&third);
	write_multi(&third, 4);
	one_says_nothing = true;
	atomic_store(&answers[1], ANSWER_LOG);
	atomic_store(&answers[3], ANSWER_LOG);
	stand(1, log_of(&a), 1);
	stand(3, log_of(&third), 2);
	start_fast();
	wanted = LOG_WAIT_SCHEMA;
	wait_for(waits_at_the_second_op);
	ck_assert(strstr(fault_text(&told[0].wait.why), "needs the changes of collections up to (257,") != NULL);
	follow(&b);
	wait_for(waits_for_nothing);
	ck_assert_uint_eq(committer_log_seq(b.committer, log_of(&third)), 2);
	one_says_nothing = false;
	region_release(&third);
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
	tcase_add_test(t, an_op_that_others_saw_and_nobody_has_is_told_with_who_had_it);
	tcase_add_test(t, an_op_is_not_called_lost_while_a_region_was_not_heard);
	tcase_add_test(t, a_log_that_waits_for_one_that_cannot_be_fetched_names_who_has_it);
	tcase_add_test(t, a_log_that_no_region_holds_any_more_is_told_at_once);
	tcase_add_test(t, a_log_whose_region_cannot_be_asked_is_told_and_the_region_goes_on);
	tcase_add_test(t, a_log_ahead_in_time_waits_until_this_clock_comes_near);
	tcase_add_test(t, a_log_waits_for_the_changes_of_collections_that_it_needs);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
