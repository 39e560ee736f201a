/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions as a whole, with their threads: see fleet.h.
 */
#include "tests/replicator/fleet.h"

#include <stdio.h>

static struct fleet fleet;
static struct fault fault;

static void tear_down(void)
{
	fleet_free(&fleet);
}

static struct region *region(uint32_t number)
{
	return &fleet.regions[number].r;
}

/* --- conditions to wait for --- */

static bool is_stopped(struct fleet *f, uint64_t number)
{
	return fleet_state(f, (uint32_t)number).applier.stopped;
}

static bool is_not_aside(struct fleet *f, uint64_t number)
{
	return !fleet_state(f, (uint32_t)number).applier.aside;
}

static bool has_three_asks(struct fleet *f, uint64_t number)
{
	return atomic_load(&f->regions[number].asked) >= 3;
}

static bool is_level_with_first(struct fleet *f, uint64_t number)
{
	return position_compare(fleet_position(f, 0), fleet_position(f, (uint32_t)number)) == 0;
}

static bool has_refilled(struct fleet *f, uint64_t number)
{
	return fleet_state(f, (uint32_t)number).applier.refills > 0;
}

static bool has_heard_of_an_epoch(struct fleet *f, uint64_t number)
{
	return peers_newest_epoch(replicator_peers(f->regions[number].replicator)) != 0;
}

/* Does region 0 know that the others have all that it has? */
static bool knows_all_level(struct fleet *f, uint64_t number)
{
	struct peers *peers = replicator_peers(f->regions[number].replicator);
	struct position here = fleet_position(f, (uint32_t)number);
	struct region_set have = peers_applied(peers, here, here);

	return region_set_count(&have) == FLEET_REGIONS;
}

static bool is_confirmed(struct fleet *f, uint64_t number)
{
	struct replicator_state s = fleet_state(f, (uint32_t)number);
	return position_compare(s.confirmed, s.commit.position) == 0;
}

static bool first_is_silent(struct fleet *f, uint64_t number)
{
	struct peer_standing s;

	/* Of regions 1 and 2 the first other is region 0. */
	peers_standing(replicator_peers(f->regions[number].replicator), 0, &s);
	return s.silent_ms > 2000;
}

static bool is_trimmed(struct fleet *f, uint64_t number)
{
	struct position oldest;
	struct position newest;
	struct store *s = f->regions[number].r.store;
	struct store_txn *t;

	ck_assert_int_eq(s->ops->begin(s, false, &t), ERR_NONE);
	ck_assert_int_eq(oplog_bounds(s, t, SCOPE_FLEET, &oldest, &newest), ERR_NONE);
	s->ops->abort(t);
	return oldest.seq > 10;
}

/* --- beginning --- */

START_TEST(fleet_is_founded_only_with_a_majority_as_empty)
{
	fleet_new(&fleet);
	fleet_start(&fleet, 0);
	fleet_wait(&fleet, has_three_asks, 1);
	ck_assert(!fleet_writes(&fleet, 0));
	uint8_t writer = 9;
	ck_assert_int_eq(replicator_admit(fleet.regions[0].replicator, &writer, &fault), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(writer, 0);
	CLEANUP(buf_release) struct buf why = BUF_INIT(500);
	ck_assert(!replicator_ready(fleet.regions[0].replicator, 10, &why));
	ck_assert_uint_gt(why.len, 0);
	fleet_start(&fleet, 2);
	fleet_wait(&fleet, fleet_writes, 0);
	ck_assert_uint_eq(fleet_state(&fleet, 0).commit.epoch, epoch_make(1, 1));
	ck_assert_int_eq(replicator_admit(fleet.regions[0].replicator, &writer, &fault), ERR_NONE);
}
END_TEST

START_TEST(other_regions_never_found_a_fleet)
{
	fleet_new(&fleet);
	for (uint32_t i = 1; i < FLEET_REGIONS; i++) {
		fleet.regions[i].no_stream = true;
		fleet_start(&fleet, i);
	}
	fleet_wait(&fleet, has_three_asks, 1);
	fleet_wait(&fleet, has_three_asks, 2);
	ck_assert(!fleet_writes(&fleet, 1) && !fleet_writes(&fleet, 2));
}
END_TEST

/* It follows the others back to where it was, then begins the next epoch. */
START_TEST(primary_that_lost_its_disk_does_not_found_the_fleet_anew)
{
	fleet_begin(&fleet);
	fleet_upsert(&fleet, 0, 1, 100);
	fleet_check_equal(&fleet, 0);
	fleet_stop(&fleet, 0);
	fleet_wipe(&fleet, 0);
	fleet_start(&fleet, 0);
	fleet_wait(&fleet, fleet_writes, 0);
	ck_assert_uint_eq(fleet_state(&fleet, 0).commit.epoch, epoch_make(2, 1));
	ck_assert_uint_eq(count_points(region(0), "c"), 100);
	fleet_upsert(&fleet, 0, 101, 1);
	fleet_check_equal(&fleet, 0);
}
END_TEST

START_TEST(region_that_was_alone_grows_into_a_fleet)
{
	fleet_new(&fleet);
	region(0)->options.region = 0;
	region_open(region(0));
	region_begin(region(0));
	write_well(region(0), create_of(region(0), "c", DISTANCE_COSINE));
	write_well(region(0), upsert_of(region(0), "c", 1, 50));
	region_shut(region(0));
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(&fleet, i);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_upsert(&fleet, 0, 51, 1);
	fleet_check_equal(&fleet, 0);
	ck_assert_uint_eq(count_points(region(2), "c"), 51);
}
END_TEST

START_TEST(region_alone_writes_at_once_and_again_after_a_restart)
{
	struct replicator_options o = { .clock = clock_system(), .fleet = "solo", .self = { .name = "one" } };
	struct replicator *r;
	struct session session;

	fleet_new(&fleet);
	for (unsigned i = 1; i <= 2; i++) {
		fleet_open_catalog(&fleet.regions[0]);
		o.store = region(0)->store;
		o.catalog = region(0)->catalog;
		ck_assert_int_eq(replicator_open(&o, &r, &fault), ERR_NONE);
		ck_assert_int_eq(catalog_start(o.catalog, &fault), ERR_NONE);
		ck_assert_int_eq(replicator_start(r, &fault), ERR_NONE);
		fleet.regions[0].replicator = r;
		struct replicator_state s = fleet_state(&fleet, 0);
		ck_assert(s.alone && s.is_writer);
		ck_assert_uint_eq(s.commit.epoch, epoch_make(i, 0));
		ck_assert_int_eq(position_compare(s.confirmed, s.commit.position), 0);
		struct fleet_answer a =
			fleet_submit(&fleet, 0, create_of(region(0), i == 1 ? "c" : "d", DISTANCE_DOT),
				     ACK_CONFIRMED, 1000);
		ck_assert_int_eq(a.err, ERR_NONE);
		replicator_session(r, &session);
		ck_assert_int_eq(replicator_find_session(r, &session, 0, &fault), ERR_NONE);
		ck_assert(replicator_staleness_seconds(r) <= 0.0);
		replicator_free(TAKE(fleet.regions[0].replicator));
		catalog_close(TAKE(region(0)->catalog));
	}
}
END_TEST

/* --- carrying --- */

START_TEST(writes_at_the_primary_arrive_everywhere)
{
	static const uint64_t some[] = { 3, 7, 200 };

	fleet_begin(&fleet);
	for (uint64_t i = 0; i < 20; i++)
		fleet_upsert(&fleet, 0, 20 * i, 20);
	fleet_write_well(&fleet, 0, ids_intent(region(0), OP_DELETE, "c", some, LEN(some)));
	fleet_write_well(&fleet, 0, set_payload_of(region(0), "c", 8, "k", 5));
	fleet_write_well(&fleet, 0, create_of(region(0), "gone", DISTANCE_DOT));
	fleet_write_well(&fleet, 0, upsert_of(region(0), "gone", 1, 10));
	fleet_write_well(&fleet, 0, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("gone") });
	fleet_check_equal(&fleet, 0);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		ck_assert_uint_eq(count_points(region(i), "c"), 397);
		ck_assert_int_eq(payload_number(region(i), "c", 8, "k"), 5);
		ck_assert_uint_eq(count_points(region(i), "gone"), 0);
	}
	CLEANUP(buf_release) struct buf why = BUF_INIT(500);
	ck_assert_msg(replicator_ready(fleet.regions[2].replicator, 10, &why), "%.*s", (int)why.len, why.data);
	fleet_wait(&fleet, is_confirmed, 0);
	fleet_wait(&fleet, is_confirmed, 2);
}
END_TEST

/* Ops of the dropped collection are still to be sent when it is gone. */
START_TEST(region_that_missed_a_drop_gets_the_ops_before_it)
{
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_stop(&fleet, 1);
	fleet_write_well(&fleet, 0, create_of(region(0), "gone", DISTANCE_DOT));
	for (uint64_t i = 0; i < 30; i++)
		fleet_write_well(&fleet, 0, upsert_of(region(0), "gone", 10 * i, 10));
	fleet_write_well(&fleet, 0, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("gone") });
	fleet_upsert(&fleet, 0, 1, 1);
	fleet_stop(&fleet, 0);
	fleet_lock(&fleet);
	stream_broker_wipe(fleet.broker, "ams");
	fleet_unlock(&fleet);
	fleet_start(&fleet, 0);
	fleet_start(&fleet, 1);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_check_equal(&fleet, 0);
	ck_assert_uint_eq(count_points(region(1), "c"), 1);
}
END_TEST

START_TEST(faults_of_the_stream_change_nothing)
{
	struct stream_faults faults = { .redeliver = 100,
					.duplicate = 100,
					.lost = 50,
					.unknown = 50,
					.lose_beat = 200,
					.trim = 10 };
	fleet_begin(&fleet);
	fleet_lock(&fleet);
	stream_broker_faults(fleet.broker, &faults);
	fleet_unlock(&fleet);
	for (uint64_t i = 0; i < 300; i++)
		fleet_upsert(&fleet, 0, i, 3);
	fleet_check_equal(&fleet, 0);
}
END_TEST

START_TEST(stream_that_lost_messages_is_made_good)
{
	fleet_begin(&fleet);
	for (uint64_t i = 0; i < 60; i++) {
		fleet_upsert(&fleet, 0, 10 * i, 10);
		fleet_lock(&fleet);
		if (i % 20 == 5)
			stream_broker_sync(fleet.broker, "ams");
		if (i % 20 == 10)
			(void)stream_broker_lose_unsynced(fleet.broker, "ams");
		if (i % 20 == 15)
			stream_broker_wipe(fleet.broker, "ams");
		fleet_unlock(&fleet);
	}
	fleet_check_equal(&fleet, 0);
}
END_TEST

/* The primary is restarted behind its back once, or three times. */
START_TEST(region_that_was_away_catches_up_over_epochs)
{
	static const unsigned restarts[] = { 1, 3 };
	uint64_t id = 0;

	fleet_begin(&fleet);
	fleet_upsert(&fleet, 0, id++, 1);
	fleet_check_equal(&fleet, 0);
	fleet_stop(&fleet, 2);
	for (unsigned i = 0; i < restarts[_i]; i++) {
		fleet_upsert(&fleet, 0, id, 10);
		id += 10;
		fleet_stop(&fleet, 0);
		fleet_start(&fleet, 0);
		fleet_wait(&fleet, fleet_writes, 0);
	}
	fleet_upsert(&fleet, 0, id, 10);
	fleet_start(&fleet, 2);
	fleet_check_equal(&fleet, 0);
	ck_assert_uint_eq(fleet_state(&fleet, 2).commit.epoch, epoch_make(1 + restarts[_i], 1));
}
END_TEST

START_TEST(dead_stream_is_replaced_by_the_logs)
{
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_lock(&fleet);
	stream_broker_server(fleet.broker, "ams", false);
	fleet_unlock(&fleet);
	fleet_upsert(&fleet, 0, 1, 100);
	fleet_check_equal(&fleet, 0);
	fleet_wait(&fleet, has_refilled, 1);
	fleet_wait(&fleet, has_refilled, 2);
	/* And goes on when it is back. */
	fleet_lock(&fleet);
	stream_broker_server(fleet.broker, "ams", true);
	fleet_unlock(&fleet);
	fleet_upsert(&fleet, 0, 101, 1);
	fleet_check_equal(&fleet, 0);
}
END_TEST

START_TEST(fleet_without_streams_lives_by_its_logs)
{
	fleet_new(&fleet);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		fleet.regions[i].no_stream = true;
		fleet_start(&fleet, i);
	}
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_write_well(&fleet, 0, create_of(region(0), "c", DISTANCE_DOT));
	fleet_upsert(&fleet, 0, 1, 300);
	fleet_check_equal(&fleet, 0);
	ck_assert(!fleet_state(&fleet, 1).has_stream);
}
END_TEST

/* --- what stops --- */

/* Region 2 has other ops at the same positions, as of a store that was founded by mistake. */
START_TEST(fork_is_stopped_and_not_skipped)
{
	fleet_new(&fleet);
	region(2)->options.region = 1;
	region_open(region(2));
	region_begin(region(2));
	write_well(region(2), create_of(region(2), "c", DISTANCE_EUCLID));
	struct position there = region_state(region(2)).position;
	region_shut(region(2));
	region(0)->options.region = 1;
	region_open(region(0));
	region_begin(region(0));
	write_well(region(0), create_of(region(0), "c", DISTANCE_DOT));
	write_well(region(0), upsert_of(region(0), "c", 1, 10));
	region_shut(region(0));

	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(&fleet, i);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_upsert(&fleet, 0, 11, 10);
	fleet_wait(&fleet, is_stopped, 2);
	for (uint64_t i = 0; i < 20; i++)
		fleet_upsert(&fleet, 0, 21 + i, 1);
	fleet_wait(&fleet, is_level_with_first, 1);
	struct replicator_state s = fleet_state(&fleet, 2);
	ck_assert(s.applier.stopped && s.applier.trouble.err == ERR_FORK);
	ck_assert_int_eq(position_compare(s.commit.position, there), 0);
	CLEANUP(buf_release) struct buf why = BUF_INIT(500);
	ck_assert(!replicator_ready(fleet.regions[2].replicator, 1e9, &why));
	buf_append(&why, "", 1);
	ck_assert_msg(strstr((char *)why.data, "running hash") != NULL, "%s", (char *)why.data);
}
END_TEST

START_TEST(region_that_no_log_can_serve_says_so)
{
	fleet_new(&fleet);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet.regions[i].log_bytes_max = 3000;
	fleet_start(&fleet, 0);
	fleet_start(&fleet, 1);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_write_well(&fleet, 0, create_of(region(0), "c", DISTANCE_DOT));
	for (uint64_t i = 0; i < 100; i++)
		fleet_upsert(&fleet, 0, 10 * i, 10);
	fleet_wait(&fleet, is_level_with_first, 1);
	/* Both know that the other has it, and commit once more. */
	fleet_wait(&fleet, is_confirmed, 0);
	fleet_wait(&fleet, is_confirmed, 1);
	fleet_upsert(&fleet, 0, 1001, 1);
	fleet_wait(&fleet, is_confirmed, 0);
	fleet_wait(&fleet, is_trimmed, 0);
	fleet_wait(&fleet, is_trimmed, 1);
	fleet_lock(&fleet);
	stream_broker_trim(fleet.broker, "ams", 1);
	fleet_unlock(&fleet);
	fleet_start(&fleet, 2);
	fleet_wait(&fleet, is_stopped, 2);
	CLEANUP(buf_release) struct buf why = BUF_INIT(500);
	ck_assert(!replicator_ready(fleet.regions[2].replicator, 1e9, &why));
	buf_append(&why, "", 1);
	ck_assert_msg(strstr((char *)why.data, "no longer holds") != NULL, "%s", (char *)why.data);
	ck_assert_msg(strstr((char *)why.data, "needs a copy of another region's state") != NULL, "%s", (char *)why.data);
	ck_assert_int_eq(fleet_state(&fleet, 2).applier.trouble.err, ERR_GAP);
	ck_assert_uint_eq(fleet_position(&fleet, 2).epoch, 0);
}
END_TEST

/* Another region says that it stands in a newer epoch. */
START_TEST(writer_that_hears_of_a_newer_epoch_writes_no_more)
{
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	struct replicator_state before = fleet_state(&fleet, 0);
	struct heartbeat h = { .fleet = peers_fleet(replicator_peers(fleet.regions[0].replicator)),
			       .region = 2,
			       .position = { epoch_make(7, 2), 1 },
			       .wall_ms = clock_wall_ms(clock_system()) + 1000 };
	ck_assert(peers_beat(replicator_peers(fleet.regions[0].replicator), &h));
	uint8_t writer = 0;
	ck_assert_int_eq(replicator_admit(fleet.regions[0].replicator, &writer, &fault), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(writer, 2);
	ck_assert(replicator_staleness_seconds(fleet.regions[0].replicator) > 0);
	/* Nor what was admitted before. */
	struct intent in = upsert_of(region(0), "c", 1, 1);
	struct fleet_write t = { .w = { .intents = &in, .intent_count = 1, .bytes = 1, .done = fleet_write_done } };
	pthread_mutex_init(&t.lock, NULL);
	pthread_cond_init(&t.cond, NULL);
	ck_assert_int_eq(committer_submit(region(0)->committer, &t.w), ERR_NONE);
	pthread_mutex_lock(&t.lock);
	while (!t.done)
		pthread_cond_wait(&t.cond, &t.lock);
	pthread_mutex_unlock(&t.lock);
	ck_assert_int_eq(t.w.err, ERR_NOT_PRIMARY);
	ck_assert_int_eq(position_compare(fleet_position(&fleet, 0), before.commit.position), 0);
}
END_TEST

/* --- acknowledgements and sessions --- */

START_TEST(strong_write_is_acknowledged_only_when_a_majority_applied_it)
{
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_stop(&fleet, 1);
	fleet_stop(&fleet, 2);
	struct fleet_answer a = fleet_submit(&fleet, 0, upsert_of(region(0), "c", 1, 1), ACK_CONFIRMED, 300);
	ck_assert_int_eq(a.err, ERR_TIMEOUT);
	ck_assert_msg(strstr(a.fault.text, "open whether it survives") != NULL, "%s", a.fault.text);
	ck_assert_int_eq(a.reached, ACK_STREAM);
	a = fleet_submit(&fleet, 0, upsert_of(region(0), "c", 2, 1), ACK_STREAM, FLEET_WAIT_MS);
	ck_assert_int_eq(a.err, ERR_NONE);

	fleet_start(&fleet, 1);
	for (uint64_t i = 0; i < 50; i++) {
		a = fleet_submit(&fleet, 0, upsert_of(region(0), "c", 3 + i, 1), ACK_CONFIRMED, FLEET_WAIT_MS);
		ck_assert_msg(!a.err, "%s", a.fault.text);
		ck_assert_int_eq(a.reached, ACK_CONFIRMED);
		ck_assert_int_ge(position_compare(fleet_position(&fleet, 1), a.position), 0);
	}
}
END_TEST

static struct fleet_answer write_for_regions(uint64_t id, struct ack_regions regions, uint64_t timeout_ms)
{
	return fleet_submit_regions(&fleet, 0, upsert_of(region(0), "c", id, 1), ACK_VISIBLE, &regions, timeout_ms);
}

START_TEST(write_for_regions_is_acknowledged_only_when_these_applied_it)
{
	struct ack_regions two = { .count = 2 }, all = { .count = 3 }, fra = { .count = 0 };

	region_set_add(&fra.these, 2);
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_stop(&fleet, 1);
	struct fleet_answer a = write_for_regions(1, two, FLEET_WAIT_MS);
	ck_assert_msg(!a.err, "%s", a.fault.text);
	ck_assert_uint_eq(region_set_count(&a.applied.regions), 2);
	ck_assert(region_set_has(&a.applied.regions, 1) && region_set_has(&a.applied.regions, 3));
	a = write_for_regions(2, all, 300);
	ck_assert_int_eq(a.err, ERR_TIMEOUT);
	ck_assert_msg(strstr(a.fault.text, "written in ams at (257,") != NULL, "%s", a.fault.text);
	/* Two of three have it. */
	ck_assert_msg(strstr(a.fault.text, "confirmed by most regions, so that it stays") != NULL, "%s", a.fault.text);
	a = write_for_regions(3, fra, 300);
	ck_assert_int_eq(a.err, ERR_TIMEOUT);
	ck_assert(!region_set_has(&a.applied.regions, 2));

	fleet_start(&fleet, 1);
	for (uint64_t i = 0; i < 20; i++) {
		a = write_for_regions(4 + i, i % 2 ? fra : all, FLEET_WAIT_MS);
		ck_assert_msg(!a.err, "%s", a.fault.text);
		ck_assert(region_set_has(&a.applied.regions, 2));
		ck_assert_int_ge(position_compare(fleet_position(&fleet, 1), a.position), 0);
	}
}
END_TEST

/* The others take it from the log. */
START_TEST(confirmed_does_not_claim_a_stream_that_has_not_accepted)
{
	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_lock(&fleet);
	stream_broker_server(fleet.broker, "ams", false);
	fleet_unlock(&fleet);
	struct fleet_answer a =
		fleet_submit(&fleet, 0, upsert_of(region(0), "c", 1, 1), ACK_CONFIRMED, FLEET_WAIT_MS);
	ck_assert_msg(!a.err, "%s", a.fault.text);
	ck_assert_int_eq(a.reached, ACK_CONFIRMED);
	ck_assert(!a.applied.stream);
	ck_assert_uint_ge(region_set_count(&a.applied.regions), 2);
}
END_TEST

/* Not by the next heartbeat, a quarter of a second later. */
START_TEST(acknowledgements_do_not_wait_for_the_next_regular_heartbeat)
{
	uint64_t best_ns = UINT64_MAX;

	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	for (uint64_t i = 0; i < 30; i++) {
		uint64_t begun_ns = clock_mono_ns(clock_system());
		struct fleet_answer a =
			fleet_submit(&fleet, 0, upsert_of(region(0), "c", i, 1), ACK_CONFIRMED, FLEET_WAIT_MS);
		ck_assert_msg(!a.err, "%s", a.fault.text);
		best_ns = MIN(best_ns, clock_mono_ns(clock_system()) - begun_ns);
	}
	printf("a confirmed write took %.1f ms at best\n", (double)best_ns / 1e6);
	ck_assert_uint_lt(best_ns, (uint64_t)HEARTBEAT_MS * 1000000 / 2);
}
END_TEST

START_TEST(session_is_found_where_the_history_has_it)
{
	struct session s = { 0 };
	struct session other = { .count = 1, .scopes = { 3 }, .positions = { { 1, 1 } } };

	fleet_begin(&fleet);
	struct replicator *first = fleet.regions[0].replicator;
	struct replicator *second = fleet.regions[1].replicator;
	ck_assert_int_eq(replicator_find_session(second, &other, 0, &fault), ERR_BAD_REQUEST);
	ck_assert_int_eq(replicator_find_session(second, &s, 0, &fault), ERR_NONE);
	for (uint64_t i = 0; i < 20; i++) {
		fleet_upsert(&fleet, 0, i, 1);
		replicator_session(first, &s);
		ck_assert_int_eq(replicator_find_session(second, &s, FLEET_WAIT_MS, &fault), ERR_NONE);
		ck_assert(find_point(region(1), "c", i).found);
	}
	/* Ahead of everybody. */
	s.positions[0].seq += 1000;
	ck_assert_int_eq(replicator_find_session(second, &s, 0, &fault), ERR_TIMEOUT);
	ck_assert_int_eq(replicator_find_session(second, &s, 50, &fault), ERR_TIMEOUT);
	/* The next epoch ends this one below it. */
	fleet_stop(&fleet, 0);
	fleet_start(&fleet, 0);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_upsert(&fleet, 0, 21, 1);
	fleet_check_equal(&fleet, 0);
	ck_assert_int_eq(replicator_find_session(second, &s, FLEET_WAIT_MS, &fault), ERR_SESSION_ORPHANED);
	s.positions[0].seq -= 1000;
	ck_assert_int_eq(replicator_find_session(second, &s, 0, &fault), ERR_NONE);
	replicator_session(second, &s);
	ck_assert_int_eq(replicator_find_session(fleet.regions[2].replicator, &s, FLEET_WAIT_MS, &fault), ERR_NONE);
}
END_TEST

/* The second region begins an epoch, with the third one's promise, before it has the first one's last op. */
START_TEST(a_session_of_what_was_taken_back_is_told_so)
{
	struct promise promise = { .epoch = epoch_make(9, 2), .record = { .data = (const uint8_t *)"", .len = 0 } };
	struct session s = { 0 };
	struct session fresh = { 0 };

	fleet_new(&fleet);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		fleet.regions[i].no_stream = true;
		fleet_start(&fleet, i);
	}
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_write_well(&fleet, 0, create_of(region(0), "c", DISTANCE_DOT));
	fleet_upsert(&fleet, 0, 1, 5);
	fleet_check_equal(&fleet, 0);
	atomic_store(&fleet.regions[1].cut_log[0], true);
	atomic_store(&fleet.regions[2].cut_log[0], true);
	fleet_upsert(&fleet, 0, 50, 1);
	replicator_session(fleet.regions[0].replicator, &s);
	ck_assert_int_eq(replicator_find_session(fleet.regions[0].replicator, &s, 0, &fault), ERR_NONE);
	ck_assert_int_eq(replicator_find_session(fleet.regions[1].replicator, &s, 0, &fault), ERR_TIMEOUT);
	for (uint32_t i = 1; i < FLEET_REGIONS; i++)
		ck_assert_int_eq(committer_promise(region(i)->committer, &promise, &fault), ERR_NONE);
	ck_assert_int_eq(committer_begin_promised(region(1)->committer, promise.epoch, &fault), ERR_NONE);
	fleet_wait(&fleet, fleet_writes, 1);
	fleet_upsert(&fleet, 1, 60, 1);
	fleet_check_equal(&fleet, 1);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		struct replicator *r = fleet.regions[i].replicator;
		ck_assert_int_eq(replicator_find_session(r, &s, FLEET_WAIT_MS, &fault), ERR_SESSION_ORPHANED);
		/* Who followed another history says so a moment longer. */
		fleet_wait(&fleet, is_not_aside, i);
		ck_assert(!find_point(region(i), "c", 50).found);
	}
	replicator_session(fleet.regions[0].replicator, &fresh);
	ck_assert_int_eq(replicator_find_session(fleet.regions[2].replicator, &fresh, FLEET_WAIT_MS, &fault), ERR_NONE);
	uint8_t writer = 0;
	ck_assert_int_eq(replicator_admit(fleet.regions[0].replicator, &writer, &fault), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(writer, 2);
}
END_TEST

/* --- handing over --- */

/* Writes one point after another wherever it is admitted, and notes which were acknowledged. */
struct writer {
	pthread_t thread;
	struct region builder;
	atomic_bool stop;
	atomic_uint_fast64_t acknowledged; /* ids below, but for those in failed */
	uint64_t failed[64];
	uint32_t failed_count;
	uint64_t longest_ns;       /* between two acknowledgements */
};

static void *write_on(void *ctx)
{
	struct writer *w = ctx;
	uint32_t at = 0;
	uint64_t last_ns = clock_mono_ns(clock_system());

	for (uint64_t id = 1; !atomic_load(&w->stop);) {
		struct fleet_answer a =
			fleet_submit(&fleet, at, upsert_of(&w->builder, "c", id, 1), ACK_VISIBLE, 0);
		if (a.err == ERR_NOT_PRIMARY || a.err == ERR_NO_PRIMARY) {
			at = (at + 1) % FLEET_REGIONS;
			(void)sched_yield();
			continue;
		}
		if (a.err) {
			ck_assert_uint_lt(w->failed_count, LEN(w->failed));
			w->failed[w->failed_count++] = id;
		}
		uint64_t now_ns = clock_mono_ns(clock_system());
		w->longest_ns = MAX(w->longest_ns, now_ns - last_ns);
		last_ns = now_ns;
		atomic_store(&w->acknowledged, ++id);
	}
	return NULL;
}

static void writer_start(struct writer *w)
{
	region_init(&w->builder, 9);
	ck_assert_int_eq(pthread_create(&w->thread, NULL, write_on, w), 0);
}

static void writer_stop(struct writer *w)
{
	atomic_store(&w->stop, true);
	(void)pthread_join(w->thread, NULL);
	w->builder.committer = NULL;
	region_release(&w->builder);
}

static struct writer writer;

static bool has_written(struct fleet *f, uint64_t id)
{
	(void)f;
	return atomic_load(&writer.acknowledged) > id;
}

/* And the switchover said so. */
static void check_release_is_last(uint64_t epoch, struct position told)
{
	struct log_part log = read_log_after(region(1), (struct position){ 0 }, 100000);
	struct position end = { 0 };
	uint32_t at = 0;

	for (uint32_t i = 0; i < log.count; i++)
		if (log.positions[i].epoch == epoch) {
			end = log.positions[i];
			at = i;
		}
	CLEANUP(arena_release) struct arena a;
	struct op op;
	arena_init(&a, (size_t)1 << 20);
	ck_assert_int_eq(op_decode(log.ops[at], OP_FORM_WIRE, &a, &op, &fault), ERR_NONE);
	ck_assert_int_eq(op.kind, OP_RELEASE);
	ck_assert_uint_gt(end.seq, 1);
	ck_assert_int_eq(position_compare(end, told), 0);
}

START_TEST(switchover_under_writes_loses_nothing_and_goes_back)
{
	struct switchover_report done, back;

	writer = (struct writer){ 0 };
	fleet_begin(&fleet);
	writer_start(&writer);
	fleet_wait(&fleet, has_written, 50);
	uint64_t first_epoch = fleet_state(&fleet, 0).commit.epoch;
	enum err err = replicator_switchover(fleet.regions[0].replicator, 2, 10000, &done, &fault);
	ck_assert_msg(!err, "%s", fault.text);
	printf("switchover: %llu ms without admitting writes\n", (unsigned long long)done.pause_ms);
	ck_assert(!fleet_writes(&fleet, 0));
	uint64_t second_epoch = fleet_state(&fleet, 1).commit.epoch;
	ck_assert_uint_eq(second_epoch, epoch_make((first_epoch >> 8) + 1, 2));
	fleet_wait(&fleet, has_written, atomic_load(&writer.acknowledged) + 50);
	uint8_t to = 0;
	ck_assert_int_eq(replicator_admit(fleet.regions[0].replicator, &to, &fault), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(to, 2);

	err = replicator_switchover(fleet.regions[1].replicator, 1, 10000, &back, &fault);
	ck_assert_msg(!err, "%s", fault.text);
	printf("switchover back: %llu ms without admitting writes\n", (unsigned long long)back.pause_ms);
	fleet_wait(&fleet, has_written, atomic_load(&writer.acknowledged) + 50);
	writer_stop(&writer);
	printf("%llu writes, the longest gap between two took %.1f ms\n",
	       (unsigned long long)atomic_load(&writer.acknowledged), (double)writer.longest_ns / 1e6);

	fleet_check_equal(&fleet, 0);
	ck_assert_uint_eq(writer.failed_count, 0);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		for (uint64_t id = 1; id < atomic_load(&writer.acknowledged); id++)
			ck_assert_msg(find_point(region(i), "c", id).found, "region %u lost point %llu", i,
				      (unsigned long long)id);
	check_release_is_last(first_epoch, done.end);
	check_release_is_last(second_epoch, back.end);
}
END_TEST

START_TEST(switchover_is_refused_to_whom_it_cannot_go)
{
	struct switchover_report done = { .pause_ms = 9, .end = { 9, 9 } };

	fleet_new(&fleet);
	fleet_start(&fleet, 0);
	fleet_start(&fleet, 1);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_wait(&fleet, has_heard_of_an_epoch, 1);
	struct replicator *r = fleet.regions[0].replicator;
	ck_assert_int_eq(replicator_switchover(fleet.regions[1].replicator, 1, 1000, &done, &fault),
			 ERR_NOT_PRIMARY);
	ck_assert_int_eq(replicator_switchover(r, 1, 1000, &done, &fault), ERR_BAD_INPUT);
	ck_assert_int_eq(replicator_switchover(r, 77, 1000, &done, &fault), ERR_BAD_INPUT);
	/* Never heard, and not heard any more. */
	ck_assert_int_eq(replicator_switchover(r, 3, 1000, &done, &fault), ERR_UNAVAILABLE);
	ck_assert_uint_eq(done.pause_ms, 0);
	ck_assert_uint_eq(done.end.epoch, 0);
	fleet_stop(&fleet, 1);
	fleet_wait(&fleet, first_is_silent, 0);
	ck_assert_int_eq(replicator_switchover(r, 2, 1000, &done, &fault), ERR_UNAVAILABLE);
	fleet_write_well(&fleet, 0, create_of(region(0), "c", DISTANCE_DOT));
}
END_TEST

/* It is heard, but gets no ops. */
START_TEST(primary_goes_on_when_the_target_does_not_catch_up)
{
	struct switchover_report done = { .pause_ms = 9, .end = { 9, 9 } };

	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[1].cut_log[i], true);
	fleet_lock(&fleet);
	stream_broker_link(fleet.broker, "ams", "fra", false);
	fleet_unlock(&fleet);
	struct position before = fleet_position(&fleet, 1);
	fleet_upsert(&fleet, 0, 1, 10);
	struct replicator *r = fleet.regions[0].replicator;
	fault.text[0] = '\0';
	ck_assert_int_eq(replicator_switchover(r, 2, 300, &done, &fault), ERR_TIMEOUT);
	ck_assert_msg(strstr(fault.text, "nothing was changed") != NULL, "%s", fault.text);
	ck_assert_uint_eq(done.pause_ms, 0);
	ck_assert_uint_eq(done.end.epoch, 0);
	ck_assert(fleet_writes(&fleet, 0) && !fleet_state(&fleet, 0).handing_over);
	fleet_upsert(&fleet, 0, 11, 10);
	ck_assert_int_eq(position_compare(fleet_position(&fleet, 1), before), 0);
	/* Once it is reached again it can have the role. */
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[1].cut_log[i], false);
	fleet_lock(&fleet);
	stream_broker_link(fleet.broker, "ams", "fra", true);
	fleet_unlock(&fleet);
	enum err err = replicator_switchover(r, 2, 10000, &done, &fault);
	ck_assert_msg(!err, "%s", fault.text);
	fleet_upsert(&fleet, 1, 21, 10);
	fleet_check_equal(&fleet, 1);
}
END_TEST

/* The target had all, but does not learn that the role is its own. */
START_TEST(released_role_is_not_taken_back)
{
	struct switchover_report done;

	fleet_begin(&fleet);
	fleet_check_equal(&fleet, 0);
	fleet_wait(&fleet, knows_all_level, 0);
	uint64_t epoch = fleet_state(&fleet, 0).commit.epoch;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[1].cut_log[i], true);
	fleet_lock(&fleet);
	stream_broker_link(fleet.broker, "ams", "fra", false);
	fleet_unlock(&fleet);
	struct replicator *r = fleet.regions[0].replicator;
	ck_assert_int_eq(replicator_switchover(r, 2, 300, &done, &fault), ERR_TIMEOUT);
	ck_assert_msg(strstr(fault.text, "released at") != NULL, "%s", fault.text);
	ck_assert_uint_eq(done.end.epoch, epoch);
	uint8_t writer_id = 0;
	ck_assert_int_eq(replicator_admit(r, &writer_id, &fault), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(writer_id, 2);
	/* Not even a restart takes it back. */
	fleet_stop(&fleet, 0);
	fleet_start(&fleet, 0);
	fleet_wait(&fleet, has_three_asks, 1);
	ck_assert(!fleet_writes(&fleet, 0));
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[1].cut_log[i], false);
	fleet_lock(&fleet);
	stream_broker_link(fleet.broker, "ams", "fra", true);
	fleet_unlock(&fleet);
	fleet_wait(&fleet, fleet_writes, 1);
	ck_assert_uint_eq(fleet_state(&fleet, 1).commit.epoch, epoch_make((epoch >> 8) + 1, 2));
	fleet_upsert(&fleet, 1, 1, 1);
	fleet_check_equal(&fleet, 1);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *const *tests, size_t count)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, NULL, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
}

int main(void)
{
	const TTest *const beginning[] = {
		fleet_is_founded_only_with_a_majority_as_empty,
		other_regions_never_found_a_fleet,
		primary_that_lost_its_disk_does_not_found_the_fleet_anew,
		region_that_was_alone_grows_into_a_fleet,
		region_alone_writes_at_once_and_again_after_a_restart,
	};
	const TTest *const carrying[] = {
		writes_at_the_primary_arrive_everywhere,
		region_that_missed_a_drop_gets_the_ops_before_it,
		faults_of_the_stream_change_nothing,
		stream_that_lost_messages_is_made_good,
		dead_stream_is_replaced_by_the_logs,
		fleet_without_streams_lives_by_its_logs,
	};
	const TTest *const stopping[] = {
		fork_is_stopped_and_not_skipped,
		region_that_no_log_can_serve_says_so,
		writer_that_hears_of_a_newer_epoch_writes_no_more,
	};
	const TTest *const acknowledging[] = {
		strong_write_is_acknowledged_only_when_a_majority_applied_it,
		write_for_regions_is_acknowledged_only_when_these_applied_it,
		confirmed_does_not_claim_a_stream_that_has_not_accepted,
		acknowledgements_do_not_wait_for_the_next_regular_heartbeat,
		session_is_found_where_the_history_has_it,
		a_session_of_what_was_taken_back_is_told_so,
	};
	const TTest *const handing_over[] = {
		switchover_under_writes_loses_nothing_and_goes_back,
		switchover_is_refused_to_whom_it_cannot_go,
		primary_goes_on_when_the_target_does_not_catch_up,
		released_role_is_not_taken_back,
	};
	Suite *s = suite_create("replicator");

	add(s, "beginning", beginning, LEN(beginning));
	add(s, "carrying", carrying, LEN(carrying));
	TCase *away = tcase_create("away");
	tcase_set_timeout(away, 120);
	tcase_add_checked_fixture(away, NULL, tear_down);
	tcase_add_loop_test(away, region_that_was_away_catches_up_over_epochs, 0, 2);
	suite_add_tcase(s, away);
	add(s, "stopping", stopping, LEN(stopping));
	add(s, "acknowledging", acknowledging, LEN(acknowledging));
	add(s, "handing over", handing_over, LEN(handing_over));
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
