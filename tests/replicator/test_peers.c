/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/peers.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FLEET 77u
#define WALL_MS 1700000000000u
#define NS_PER_MS UINT64_C(1000000)
/* Epochs of regions 1, 2 and 3. */
#define E1 (1u << 8 | 1u)
#define E2 (2u << 8 | 2u)
#define E3 (3u << 8 | 3u)

static struct clock_manual test_clock;
static struct peers *peers;

/* This is region 1; 2 and 3 are data regions, 4 is a gateway. */
static void set_up(void)
{
	static const struct peer_config others[] = {
		{ .name = "two", .id = 2, .data = true },
		{ .name = "three", .id = 3, .data = true },
		{ .name = "edge", .id = 4 },
	};
	struct peers_options o = {
		.clock = &test_clock.clock,
		.fleet = FLEET,
		.self = { .name = "one", .id = 1, .data = true },
		.others = others,
		.other_count = LEN(others),
	};

	clock_manual_init(&test_clock, WALL_MS);
	ck_assert_int_eq(peers_new(&o, &peers), ERR_NONE);
}

static void tear_down(void)
{
	peers_free(peers);
}

static void pass(uint64_t ms)
{
	test_clock.wall_ms += ms;
	test_clock.mono_ns += ms * NS_PER_MS;
}

static bool beat_sent_at(uint8_t region, uint64_t epoch, uint64_t seq, uint64_t wall_ms)
{
	struct heartbeat h = { .fleet = FLEET,
			       .region = region,
			       .position = { epoch, seq },
			       .wall_ms = wall_ms };
	return peers_beat(peers, &h);
}

static bool beat(uint8_t region, uint64_t epoch, uint64_t seq)
{
	return beat_sent_at(region, epoch, seq, test_clock.wall_ms);
}

static struct peer_standing standing(uint8_t region)
{
	struct peer_standing s = { 0 };

	for (uint32_t i = 0; i < peers_count(peers); i++) {
		peers_standing(peers, i, &s);
		if (s.config->id == region)
			return s;
	}
	ck_abort_msg("no region %u", region);
	return s;
}

/* --- who is heard --- */

START_TEST(beats_that_are_not_of_this_fleet_or_not_new_change_nothing)
{
	struct heartbeat other = { .fleet = FLEET + 1, .region = 2, .wall_ms = WALL_MS };
	struct heartbeat scope = { .fleet = FLEET, .scope = 3, .region = 2, .wall_ms = WALL_MS };

	ck_assert(!peers_beat(peers, &other));
	ck_assert(!peers_beat(peers, &scope));
	ck_assert(!beat(9, E2, 1));
	ck_assert(!beat(1, E1, 1));
	ck_assert(!standing(2).heard);
	ck_assert_uint_eq(standing(2).silent_ms, UINT64_MAX);
	ck_assert(beat_sent_at(2, E2, 5, WALL_MS + 100));
	ck_assert(!beat_sent_at(2, E2, 4, WALL_MS + 50));
	ck_assert_uint_eq(standing(2).position.seq, 5);
	/* One whose store was put back says so later. */
	ck_assert(beat_sent_at(2, E2, 4, WALL_MS + 200));
	ck_assert_uint_eq(standing(2).position.seq, 4);
}
END_TEST

START_TEST(silence_is_counted_when_it_is_asked_for)
{
	ck_assert(beat(2, E2, 1));
	pass(700);
	ck_assert_uint_eq(standing(2).silent_ms, 700);
	pass(300);
	ck_assert_uint_eq(standing(2).silent_ms, 1000);
	ck_assert(beat(2, E2, 1));
	ck_assert_uint_eq(standing(2).silent_ms, 0);
}
END_TEST

START_TEST(majority_is_of_data_regions)
{
	ck_assert_uint_eq(peers_voters(peers), 3);
	ck_assert_uint_eq(peers_majority(peers), 2);
	ck_assert_ptr_eq(peers_by_id(peers, 1), peers_self(peers));
	ck_assert_str_eq(peers_by_id(peers, 4)->name, "edge");
	ck_assert_ptr_null(peers_by_id(peers, 5));
}
END_TEST

START_TEST(newest_epoch_is_that_of_data_regions)
{
	ck_assert_uint_eq(peers_newest_epoch(peers), 0);
	ck_assert(beat(4, E3, 1));
	ck_assert_uint_eq(peers_newest_epoch(peers), 0);
	ck_assert(beat(3, E3, 1) && beat(2, E2, 1));
	ck_assert_uint_eq(peers_newest_epoch(peers), E3);
}
END_TEST

/* --- clocks --- */

START_TEST(clock_offset_follows_the_smallest_delay)
{
	static const struct {
		int64_t offset_ms;
		unsigned delays_ms[4];
		int64_t expected;
	} cases[] = {
		{ 0, { 10, 40, 5, 300 }, -5 },
		{ 250, { 60, 20, 90, 20 }, 230 },
		{ -250, { 60, 20, 90, 20 }, -270 },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		tear_down();
		set_up();
		for (size_t k = 0; k < LEN(cases[i].delays_ms); k++) {
			uint64_t sent_ms = test_clock.wall_ms;
			pass(cases[i].delays_ms[k]);
			ck_assert(beat_sent_at(2, E2, k, sent_ms + cases[i].offset_ms));
		}
		ck_assert_msg(standing(2).clock_offset_ms == cases[i].expected, "case %zu: %lld", i,
			      (long long)standing(2).clock_offset_ms);
	}
}
END_TEST

/* However many beats come meanwhile. */
START_TEST(clock_offset_forgets_what_was_long_ago)
{
	ck_assert(beat_sent_at(2, E2, 1, test_clock.wall_ms + 400));
	for (unsigned i = 0; i < 5000; i++) {
		pass(4);
		ck_assert(beat_sent_at(2, E2, 1, test_clock.wall_ms - 10));
	}
	ck_assert_int_eq(standing(2).clock_offset_ms, 400);
	for (unsigned i = 0; i < 50; i++) {
		pass(1000);
		ck_assert(beat_sent_at(2, E2, 1, test_clock.wall_ms - 10));
	}
	ck_assert_int_eq(standing(2).clock_offset_ms, -10);
}
END_TEST

/* --- lag --- */

START_TEST(unheard_or_unreached_region_has_no_known_lag)
{
	struct position here = { E2, 5 };

	ck_assert(peers_lag_seconds(peers, 2, here) >= PEERS_LAG_UNKNOWN_SECONDS);
	ck_assert(peers_lag_seconds(peers, 9, here) >= PEERS_LAG_UNKNOWN_SECONDS);
	ck_assert(beat(2, E2, 6));
	ck_assert(peers_lag_seconds(peers, 2, here) >= PEERS_LAG_UNKNOWN_SECONDS);
	here.seq = 6;
	ck_assert(peers_lag_seconds(peers, 2, here) < 0.001);
}
END_TEST

START_TEST(lag_grows_while_nothing_comes)
{
	struct position here = { E2, 5 };

	ck_assert(beat(2, E2, 5));
	pass(3000);
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 3.0, 1e-6);
	/* Newer ones that are not reached here do not help. */
	ck_assert(beat(2, E2, 6));
	pass(1000);
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 4.0, 1e-6);
	here.seq = 6;
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 1.0, 1e-6);
	/* A wall clock that is set does not change what passed. */
	test_clock.wall_ms -= 500000;
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 1.0, 1e-6);
}
END_TEST

/* Region 3 follows too, and may itself be behind. */
START_TEST(only_the_writer_speaks_for_its_epoch)
{
	struct position here = { E2, 5 };

	ck_assert(beat(3, E2, 5));
	ck_assert(peers_lag_seconds(peers, 3, here) >= PEERS_LAG_UNKNOWN_SECONDS);
	ck_assert(beat(2, E2, 5));
	ck_assert(peers_lag_seconds(peers, 2, here) < 0.001);
}
END_TEST

/* The router asks for the lag of all regions, of which some are ahead of this one and some behind. */
START_TEST(asking_how_far_behind_another_region_is_does_not_change_our_own_lag)
{
	struct position here = { E2, 5 };

	for (uint64_t seq = 5; seq < 9; seq++) {
		ck_assert(beat(2, E2, seq));
		pass(1000);
	}
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 4.0, 1e-6);
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 2, (struct position){ E2, 8 }), 1.0, 1e-6);
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 4.0, 1e-6);
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 2, (struct position){ E2, 6 }), 3.0, 1e-6);
	here.seq = 8;
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 1.0, 1e-6);
	/* It is as far behind as it was, though we are not. */
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 2, (struct position){ E2, 6 }), 3.0, 1e-6);
	ck_assert(peers_lag_of_seconds(peers, 2, (struct position){ E2, 4 }) >= PEERS_LAG_UNKNOWN_SECONDS);
	ck_assert(peers_lag_of_seconds(peers, 9, here) >= PEERS_LAG_UNKNOWN_SECONDS);
}
END_TEST

START_TEST(lag_of_another_region_is_known_after_more_heartbeats_than_are_kept)
{
	for (uint64_t seq = 1; seq <= 5000; seq++) {
		ck_assert(beat(2, E2, seq));
		pass(250);
	}
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 2, (struct position){ E2, 5000 }), 0.25, 1e-6);
	double lag = peers_lag_of_seconds(peers, 2, (struct position){ E2, 4900 });
	ck_assert_msg(lag >= 25.25 && lag < 28, "%f", lag);
	/* Nobody writes: the newest heartbeat of a position counts, and takes no room. */
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert(beat(2, E2, 5000));
		pass(250);
	}
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 2, (struct position){ E2, 5000 }), 0.25, 1e-6);
	ck_assert_msg(peers_lag_of_seconds(peers, 2, (struct position){ E2, 4900 }) < 250 + 28, "%f", lag);
}
END_TEST

/* This region is 1. */
START_TEST(writer_knows_how_far_behind_the_others_are)
{
	const uint64_t epoch = 257;

	/* What it says as no writer is no news of a log. */
	peers_own_beat(peers, (struct position){ E2, 1 });
	ck_assert(peers_lag_of_seconds(peers, 1, (struct position){ E2, 1 }) >= PEERS_LAG_UNKNOWN_SECONDS);
	for (uint64_t seq = 1; seq < 4; seq++) {
		peers_own_beat(peers, (struct position){ epoch, seq });
		pass(1000);
	}
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 1, (struct position){ epoch, 3 }), 1.0, 1e-6);
	ck_assert_double_eq_tol(peers_lag_of_seconds(peers, 1, (struct position){ epoch, 1 }), 3.0, 1e-6);
}
END_TEST

/* Beats with growing delays, over a clock that runs ahead, in step or behind, and far more than are kept. The truth is how
 * long ago the writer stood at what is applied here. */
START_TEST(lag_is_never_understated)
{
	static const int64_t offsets_ms[] = { 0, -300, 300 };
	const int64_t offset = offsets_ms[_i];
	struct position here = { E2, 0 };
	uint64_t sent_ms[4000];
	uint64_t random = 1;

	for (uint64_t seq = 0; seq < LEN(sent_ms); seq++) {
		/* The delay may grow faster than time passes, but beats stay in order. */
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint64_t delay = 5 + seq / 8 + (random >> 60);
		sent_ms[seq] = test_clock.wall_ms;
		struct heartbeat h = { .fleet = FLEET,
				       .region = 2,
				       .position = { E2, seq },
				       .wall_ms = test_clock.wall_ms + offset };
		test_clock.wall_ms += delay;
		test_clock.mono_ns += delay * NS_PER_MS;
		ck_assert(peers_beat(peers, &h));
		/* Applied in bursts. */
		if (seq % 97 == 96)
			here.seq = seq - 20;
		double lag = peers_lag_seconds(peers, 2, here);
		double truth = (double)(test_clock.wall_ms - sent_ms[here.seq]) / 1e3;
		double unseen = (double)MAX(offset, 0) / 1e3;
		ck_assert_msg(lag >= truth - unseen - 1e-9, "seq %llu: %f < %f",
			      (unsigned long long)seq, lag, truth);
	}
	/* Nor overstated, once all is applied. */
	here.seq = LEN(sent_ms) - 1;
	double lag = peers_lag_seconds(peers, 2, here);
	double truth = (double)(test_clock.wall_ms - sent_ms[here.seq]) / 1e3;
	ck_assert(lag <= truth + 0.3 + 1e-9);
}
END_TEST

START_TEST(clock_that_runs_ahead_does_not_hide_a_delay)
{
	struct position here = { E2, 2 };
	uint64_t sent_ms = test_clock.wall_ms;

	pass(10);
	ck_assert(beat_sent_at(2, E2, 1, sent_ms + 4000));
	sent_ms = test_clock.wall_ms;
	pass(5000);
	ck_assert(beat_sent_at(2, E2, 2, sent_ms + 4000));
	ck_assert_double_eq_tol(peers_lag_seconds(peers, 2, here), 4.99, 1e-6);
}
END_TEST

/* --- what is confirmed --- */

START_TEST(confirmed_is_the_position_of_the_mth_in_the_own_epoch)
{
	struct position here = { E1, 10 };

	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	/* A gateway holds nothing. */
	ck_assert(beat(4, E1, 10));
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	ck_assert(beat(2, E1, 7));
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 7);
	ck_assert(beat(3, E1, 9));
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 9);
	/* Nothing is confirmed that this region does not have, but two others do. */
	here.seq = 3;
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 7);
}
END_TEST

/* Figure 8 of Raft: x at (E1, 10) is on a majority, but only the epoch-start of E3 makes it safe. */
START_TEST(ops_of_an_older_epoch_count_only_through_the_own_epoch_start)
{
	struct position x = { E1, 10 };
	struct position here = { E3, 1 };

	ck_assert(beat(2, E1, 10));
	ck_assert(beat(3, E2, 1));
	struct position p = peers_confirmed(peers, here, E3);
	ck_assert_uint_eq(p.epoch, 0);
	ck_assert(beat(2, E3, 1));
	p = peers_confirmed(peers, here, E3);
	ck_assert(p.epoch == E3 && p.seq == 1);
	ck_assert_int_lt(position_compare(x, p), 0);
}
END_TEST

static uint32_t count_applied(struct position here, struct position pos)
{
	struct region_set have = peers_applied(peers, here, pos);

	return region_set_count(&have);
}

START_TEST(applied_counts_those_whose_history_surely_has_it)
{
	struct position here = { E1, 10 };
	struct position pos = { E1, 8 };

	ck_assert_uint_eq(count_applied(here, pos), 1);
	ck_assert(beat(2, E1, 7) && beat(4, E1, 9));
	ck_assert_uint_eq(count_applied(here, pos), 1);
	ck_assert(beat(2, E1, 8));
	ck_assert_uint_eq(count_applied(here, pos), 2);
	/* In a newer epoch, which this region does not know yet: its end of E1 may be another. */
	ck_assert(beat(3, E3, 5));
	ck_assert_uint_eq(count_applied(here, pos), 2);
	/* Known now, with pos in it. */
	here = (struct position){ E3, 1 };
	ck_assert_uint_eq(count_applied(here, pos), 3);
	/* An epoch between is not ours. */
	ck_assert(beat(2, E2, 1));
	ck_assert_uint_eq(count_applied(here, pos), 2);
}
END_TEST

static void promises(uint8_t region, struct position at, uint64_t promised, uint64_t wall_ms)
{
	struct heartbeat h = { .fleet = FLEET, .region = region, .position = at, .wall_ms = wall_ms, .promised = promised };

	(void)peers_beat(peers, &h);
}

/* It may hold what it did not hold when it promised, and whoever has its promise does not know of that. */
START_TEST(whoever_promised_a_newer_epoch_counts_for_no_older_one)
{
	struct position here = { E1, 10 };
	struct position pos = { E1, 8 };

	promises(2, here, E1, WALL_MS + 1);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 10);
	ck_assert_uint_eq(count_applied(here, pos), 2);
	promises(2, here, E2, WALL_MS + 2);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	ck_assert_uint_eq(count_applied(here, pos), 1);
	/* One that was sent before and comes after it. */
	promises(2, here, E1, WALL_MS + 1);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	ck_assert_uint_eq(count_applied(here, pos), 1);
	/* One that is not taken, as it is no news, still tells of the promise. */
	promises(3, (struct position){ E1, 9 }, E1, WALL_MS + 5);
	ck_assert_uint_eq(count_applied(here, pos), 2);
	promises(3, (struct position){ E1, 7 }, E3, WALL_MS + 4);
	ck_assert_uint_eq(count_applied(here, pos), 1);
	/* In that epoch it counts again. */
	promises(2, (struct position){ E2, 1 }, E2, WALL_MS + 6);
	ck_assert_uint_eq(count_applied((struct position){ E2, 1 }, pos), 2);
	ck_assert_uint_eq(peers_confirmed(peers, (struct position){ E2, 1 }, E2).seq, 1);
}
END_TEST

/* --- the voter list --- */

static struct peers_voters voters_of(uint64_t number, uint32_t majority, uint8_t a, uint8_t b)
{
	struct peers_voters v = { .number = number, .majority = majority };

	region_set_add(&v.data, a);
	region_set_add(&v.data, b);
	return v;
}

START_TEST(only_regions_of_the_voter_list_count)
{
	struct position here = { E1, 10 }, pos = { E1, 8 };
	struct region_set members = peers_members(peers);

	ck_assert_uint_eq(region_set_count(&members), 0);
	(void)beat(2, E1, 10);
	(void)beat(3, E1, 9);
	(void)beat(3, E3, 1);
	(void)beat(3, E3, 2);
	struct peers_voters v = voters_of(4, 2, 1, 2);
	peers_set_voters(peers, &v);
	ck_assert_uint_eq(peers_majority(peers), 2);
	ck_assert_uint_eq(peers_newest_epoch(peers), E1);
	ck_assert_uint_eq(count_applied(here, pos), 2);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 10);
	/* An older list comes late. */
	v = voters_of(3, 1, 2, 3);
	peers_set_voters(peers, &v);
	ck_assert_uint_eq(peers_majority(peers), 2);
	/* This region is out. */
	v = voters_of(5, 2, 2, 3);
	peers_set_voters(peers, &v);
	ck_assert_uint_eq(count_applied(here, pos), 1);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	ck_assert_uint_eq(peers_newest_epoch(peers), E3);
	members = peers_members(peers);
	ck_assert(region_set_count(&members) == 2 && !region_set_has(&members, 1));
}
END_TEST

START_TEST(a_barred_region_counts_again_when_it_is_not_any_more)
{
	struct position here = { E1, 10 };

	promises(2, here, HEARTBEAT_BARRED, WALL_MS + 1);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).epoch, 0);
	ck_assert_uint_eq(count_applied(here, here), 1);
	promises(2, here, E1, WALL_MS + 2);
	ck_assert_uint_eq(peers_confirmed(peers, here, E1).seq, 10);
	ck_assert_uint_eq(count_applied(here, here), 2);
}
END_TEST

/* --- SCOPE_MULTI --- */

#define L0 (MULTI_LOG_BIT | 500 << 8 | 1)
#define L1 (MULTI_LOG_BIT | 1000 << 8 | 1)
#define L2 (MULTI_LOG_BIT | 1000 << 8 | 2)
#define L1B (MULTI_LOG_BIT | 2000 << 8 | 1)

static bool stand(uint8_t region, bool whole, struct log_end *ends, uint32_t count)
{
	struct standing s = { .fleet = FLEET,
			      .region = region,
			      .whole = whole,
			      .wall_ms = test_clock.wall_ms,
			      .ends = ends,
			      .count = count };
	return peers_stand(peers, &s);
}

START_TEST(vectors_that_are_not_of_this_fleet_or_not_new_change_nothing)
{
	struct log_end ends[] = { { L1, 5, false } };
	struct log_end lower[] = { { L1, 3, false } };
	struct log_end out[LOGS_MAX];
	struct standing s = { .fleet = FLEET + 1, .region = 2, .whole = true, .ends = ends, .count = 1 };

	ck_assert(!peers_stand(peers, &s));
	ck_assert(!stand(9, true, ends, 1));
	ck_assert(stand(2, true, ends, 1));
	s = (struct standing){ .fleet = FLEET, .region = 2, .wall_ms = WALL_MS - 1, .ends = lower, .count = 1 };
	ck_assert(!peers_stand(peers, &s));
	ck_assert_uint_eq(peers_ends(peers, 0, out), 1);
	ck_assert_uint_eq(out[0].seq, 5);
	ck_assert_uint_eq(peers_ends(peers, 1, out), 0);
}
END_TEST

START_TEST(a_part_of_a_vector_adds_and_a_whole_one_replaces)
{
	struct log_end first[] = { { L1, 5, false }, { L2, 7, false } };
	struct log_end later[] = { { L2, 8, false }, { L1B, 1, false } };
	struct log_end wiped[] = { { L1B, 1, false } };
	struct log_end out[LOGS_MAX];

	ck_assert(stand(2, true, first, 2));
	ck_assert(stand(2, false, later, 2));
	ck_assert_uint_eq(peers_ends(peers, 0, out), 3);
	ck_assert(out[0].log == L1 && out[0].seq == 5);
	ck_assert(out[1].log == L2 && out[1].seq == 8);
	ck_assert(out[2].log == L1B && out[2].seq == 1);
	ck_assert(stand(2, true, wiped, 1));
	ck_assert_uint_eq(peers_ends(peers, 0, out), 1);
	ck_assert(out[0].log == L1B);
}
END_TEST

START_TEST(only_whole_vectors_show_how_fresh_they_are)
{
	ck_assert_uint_eq(peers_ends_age_ms(peers, 0), UINT64_MAX);
	ck_assert(stand(2, false, NULL, 0));
	ck_assert_uint_eq(peers_ends_age_ms(peers, 0), UINT64_MAX);
	ck_assert(stand(2, true, NULL, 0));
	pass(700);
	ck_assert(stand(2, false, NULL, 0));
	ck_assert_uint_eq(peers_ends_age_ms(peers, 0), 700);
}
END_TEST

static uint32_t count_holders(struct log_end end, uint64_t here)
{
	struct region_set have = peers_holders(peers, end, here);

	return region_set_count(&have);
}

/* Of three data regions two are a majority; a gateway has no vote, whatever it says. */
START_TEST(an_op_is_held_by_those_who_reached_it)
{
	struct log_end ends[] = { { L1, 5, false } };
	struct log_end op = { L1, 5, false };

	ck_assert_uint_eq(count_holders(op, 5), 1);
	ck_assert(stand(4, true, ends, 1));
	ck_assert_uint_eq(count_holders(op, 5), 1);
	ck_assert(stand(2, true, ends, 1));
	ck_assert_uint_eq(count_holders(op, 4), 1);
	ck_assert_uint_eq(count_holders(op, 5), 2);
	op.seq = 6;
	ck_assert_uint_eq(count_holders(op, 6), 1);
}
END_TEST

START_TEST(a_log_may_be_trimmed_to_where_a_majority_has_it)
{
	struct log_end two[] = { { L1, 5, false } };
	struct log_end three[] = { { L1, 9, false } };

	ck_assert_uint_eq(peers_log_floor(peers, L1, 20), 0);
	ck_assert(stand(2, true, two, 1));
	ck_assert_uint_eq(peers_log_floor(peers, L1, 20), 5);
	ck_assert(stand(3, true, three, 1));
	ck_assert_uint_eq(peers_log_floor(peers, L1, 20), 9);
	ck_assert_uint_eq(peers_log_floor(peers, L1, 2), 5);
	ck_assert_uint_eq(peers_log_floor(peers, L2, 7), 0);
	/* A disk that was lost counts no more. */
	ck_assert(stand(3, true, NULL, 0));
	ck_assert_uint_eq(peers_log_floor(peers, L1, 20), 5);
}
END_TEST

START_TEST(a_region_hears_which_of_its_own_logs_wait_elsewhere)
{
	struct standing s = { .fleet = FLEET,
			      .region = 2,
			      .wall_ms = WALL_MS,
			      .waits = { { L2, 4, 1 }, { L1, 6, 5 } },
			      .wait_count = 2 };
	struct standing_wait out[STANDING_WAITS_MAX];

	ck_assert_uint_eq(peers_waits(peers, 0, out), 0);
	ck_assert(peers_stand(peers, &s));
	ck_assert_uint_eq(peers_waits(peers, 0, out), 1);
	ck_assert(out[0].log == L1 && out[0].seq == 6 && out[0].kind == 5);
	s.wait_count = 0;
	ck_assert(peers_stand(peers, &s));
	ck_assert_uint_eq(peers_waits(peers, 0, out), 0);
}
END_TEST

START_TEST(a_log_may_be_forgotten_when_all_surely_have_the_same)
{
	static const struct {
		const char *name;
		struct log_end two[3];
		uint32_t count;
		uint64_t floor;
		bool may;
	} rows[] = {
		{ "the same", { { L1, 5, false }, { L2, 1, false } }, 2, 0, true },
		{ "a shorter copy", { { L1, 4, false } }, 1, 0, false },
		{ "a longer copy", { { L1, 6, false } }, 1, 0, false },
		{ "none", { { L2, 5, false } }, 1, 0, false },
		{ "none, but a newer one", { { L1B, 5, false } }, 1, 0, false },
		{ "it is the floor", { { L1, 5, true } }, 1, 0, true },
		{ "forgotten already", { { L1B, 1, true } }, 1, 0, true },
		{ "an older one that is not here", { { L0, 1, false }, { L1, 5, false } }, 2, 0, false },
		{ "an older one that was forgotten here", { { L0, 1, false }, { L1, 5, false } }, 2, L0, true },
		{ "an older one forgotten there, and the same", { { L0, 1, true }, { L1, 5, false } }, 2, L0, true },
		{ "an older one forgotten there, and no more", { { L0, 1, true } }, 1, L0, false },
		{ "nothing", { { L1, 0, false } }, 0, 0, false },
	};
	struct log_end same[] = { { L1, 5, false } };
	const struct log_end end = { L1, 5, false };

	for (size_t i = 0; i < LEN(rows); i++) {
		struct log_end two[3];
		memcpy(two, rows[i].two, sizeof(two));
		pass(1);
		ck_assert(stand(2, true, two, rows[i].count) && stand(3, true, same, 1));
		ck_assert_msg(peers_may_forget(peers, end, rows[i].floor) == rows[i].may, "%s", rows[i].name);
	}
}
END_TEST

START_TEST(no_log_is_forgotten_on_what_was_said_long_ago_or_in_part)
{
	struct log_end same[] = { { L1, 5, false } };
	const struct log_end end = { L1, 5, false };

	ck_assert(stand(2, true, same, 1));
	ck_assert(!peers_may_forget(peers, end, 0));
	ck_assert(stand(3, false, same, 1));
	ck_assert(!peers_may_forget(peers, end, 0));
	ck_assert(stand(3, true, same, 1));
	ck_assert(peers_may_forget(peers, end, 0));
	pass(5000);
	ck_assert(stand(3, true, same, 1));
	ck_assert(stand(2, false, same, 1));
	ck_assert(!peers_may_forget(peers, end, 0));
}
END_TEST

/* --- clocks --- */

START_TEST(a_clock_is_off_only_when_a_majority_of_others_surely_says_so)
{
	static const struct {
		struct clock_sample two, three;
		bool off;
		int64_t ahead_ms;
	} rows[] = {
		{ { 0, 1 }, { 0, 1 }, false, 0 },
		{ { -1000, 1 }, { 0, 1 }, false, 0 },
		{ { -1000, 1 }, { 1000, 1 }, false, 0 },
		{ { -1000, 100 }, { -700, 100 }, true, 600 },
		{ { -1000, 100 }, { -400, 1 }, false, 0 },
		{ { -401, 1 }, { -401, 1 }, true, 400 },
		{ { -401, 2 }, { -401, 1 }, false, 0 },
		{ { 5000, 10 }, { 700, 10 }, true, -690 },
		{ { 5000, 10 }, { 700, 400 }, false, 0 },
		{ { -100, 300 }, { -100, 300 }, false, 0 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		int64_t ahead_ms = 7;
		peers_clock_sample(peers, 0, &rows[i].two);
		peers_clock_sample(peers, 1, &rows[i].three);
		ck_assert_msg(peers_clock_is_off(peers, 400, &ahead_ms) == rows[i].off, "row %zu", i);
		ck_assert_msg(ahead_ms == rows[i].ahead_ms, "row %zu: %lld", i, (long long)ahead_ms);
	}
}
END_TEST

START_TEST(who_is_not_heard_any_more_or_has_no_data_says_nothing_of_the_clock)
{
	const struct clock_sample off = { -1000, 1 };
	int64_t ahead_ms;

	peers_clock_sample(peers, 0, &off);
	peers_clock_sample(peers, 2, &off);
	ck_assert(!peers_clock_is_off(peers, 400, &ahead_ms));
	peers_clock_sample(peers, 1, &off);
	ck_assert(peers_clock_is_off(peers, 400, &ahead_ms));
	pass(5000);
	peers_clock_sample(peers, 0, &off);
	ck_assert(peers_clock_is_off(peers, 400, &ahead_ms));
	pass(5000);
	ck_assert(!peers_clock_is_off(peers, 400, &ahead_ms));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peers");
	TCase *t = tcase_create("peers");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, beats_that_are_not_of_this_fleet_or_not_new_change_nothing);
	tcase_add_test(t, silence_is_counted_when_it_is_asked_for);
	tcase_add_test(t, majority_is_of_data_regions);
	tcase_add_test(t, newest_epoch_is_that_of_data_regions);
	tcase_add_test(t, clock_offset_follows_the_smallest_delay);
	tcase_add_test(t, clock_offset_forgets_what_was_long_ago);
	tcase_add_test(t, unheard_or_unreached_region_has_no_known_lag);
	tcase_add_test(t, lag_grows_while_nothing_comes);
	tcase_add_test(t, only_the_writer_speaks_for_its_epoch);
	tcase_add_test(t, asking_how_far_behind_another_region_is_does_not_change_our_own_lag);
	tcase_add_test(t, lag_of_another_region_is_known_after_more_heartbeats_than_are_kept);
	tcase_add_test(t, writer_knows_how_far_behind_the_others_are);
	tcase_add_loop_test(t, lag_is_never_understated, 0, 3);
	tcase_add_test(t, clock_that_runs_ahead_does_not_hide_a_delay);
	tcase_add_test(t, confirmed_is_the_position_of_the_mth_in_the_own_epoch);
	tcase_add_test(t, ops_of_an_older_epoch_count_only_through_the_own_epoch_start);
	tcase_add_test(t, applied_counts_those_whose_history_surely_has_it);
	tcase_add_test(t, whoever_promised_a_newer_epoch_counts_for_no_older_one);
	tcase_add_test(t, only_regions_of_the_voter_list_count);
	tcase_add_test(t, a_barred_region_counts_again_when_it_is_not_any_more);
	tcase_add_test(t, vectors_that_are_not_of_this_fleet_or_not_new_change_nothing);
	tcase_add_test(t, a_part_of_a_vector_adds_and_a_whole_one_replaces);
	tcase_add_test(t, only_whole_vectors_show_how_fresh_they_are);
	tcase_add_test(t, an_op_is_held_by_those_who_reached_it);
	tcase_add_test(t, a_log_may_be_trimmed_to_where_a_majority_has_it);
	tcase_add_test(t, a_log_may_be_forgotten_when_all_surely_have_the_same);
	tcase_add_test(t, no_log_is_forgotten_on_what_was_said_long_ago_or_in_part);
	tcase_add_test(t, a_region_hears_which_of_its_own_logs_wait_elsewhere);
	tcase_add_test(t, a_clock_is_off_only_when_a_majority_of_others_surely_says_so);
	tcase_add_test(t, who_is_not_heard_any_more_or_has_no_data_says_nothing_of_the_clock);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed > 0;
}
