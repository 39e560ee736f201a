/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The candidate: when it asks, whom it lets go first, whose history it takes, when it gives up.
 */
#include "tests/replicator/lease_bed.h"
#include "tests/replicator/lease_fleet.h"

static struct bed bed;
static struct fleet *fleet;

static void set_up(void)
{
	bed_init(&bed, "DDD");
	fleet = calloc(1, sizeof(*fleet));
	ck_assert_ptr_nonnull(fleet);
}

static void tear_down(void)
{
	bed_release(&bed);
	fleet_release_all(fleet);
	free(fleet);
}

static void check_fleet(void)
{
	ck_assert_msg(fleet->wrong == NULL, "%s", fleet->wrong);
}

/* A fleet with a primary, at 5 s. */
static uint32_t found(uint32_t data, uint32_t witnesses)
{
	fleet_init(fleet, 7, data, witnesses);
	fleet_start_all(fleet);
	fleet_run(fleet, 5000);
	check_fleet();
	int h = fleet_holder(fleet);
	ck_assert_int_ge(h, 0);
	ck_assert_uint_eq(fleet->epoch_count, 1);
	fleet->stands = 0;
	return (uint32_t)h;
}

/* --- founding --- */

START_TEST(a_fleet_is_founded_only_by_all_of_its_voters)
{
	fleet_init(fleet, 3, 3, 0);
	fleet_start(fleet, 0);
	fleet_start(fleet, 1);
	fleet_run(fleet, 30000);
	ck_assert_int_lt(fleet_holder(fleet), 0);
	ck_assert_uint_eq(fleet->stands, 0);
	fleet_start(fleet, 2);
	ck_assert_int_ge(fleet_run_to_holder(fleet, 2000), 0);
	fleet_run(fleet, fleet->now + 5000);
	/* From then on their stores are known. */
	for (uint32_t i = 0; i < 3; i++) {
		const struct voter_list *l = lease_voters(fleet->regions[i].lease);
		ck_assert_uint_eq(l->number, 1);
		ck_assert_mem_eq(l->members[2].store_id, fleet->regions[2].store_id, STORE_ID_BYTES);
	}
	check_fleet();
}
END_TEST

START_TEST(two_of_three_go_on_where_there_is_a_history)
{
	uint32_t h = found(3, 0);

	for (uint32_t i = 0; i < 3; i++)
		fleet_crash(fleet, i);
	fleet_run(fleet, fleet->now + 1000);
	fleet_start(fleet, (h + 1) % 3);
	fleet_start(fleet, (h + 2) % 3);
	ck_assert_int_ge(fleet_run_to_holder(fleet, 9000), 0);
	check_fleet();
}
END_TEST

START_TEST(a_wiped_voter_and_one_that_was_never_there_found_nothing)
{
	uint32_t h = found(3, 0);
	struct fleet_region *wiped = &fleet->regions[(h + 1) % 3], *fresh = &fleet->regions[(h + 2) % 3];

	for (uint32_t i = 0; i < 3; i++)
		fleet_crash(fleet, i);
	wiped->has_record = fresh->has_record = false;
	wiped->log.count = fresh->log.count = 0;
	wiped->store_id[0]++;
	wiped->boots = wiped->promised_max = fresh->promised_max = 0;
	fleet_start(fleet, (h + 1) % 3);
	fleet_start(fleet, (h + 2) % 3);
	ck_assert_int_lt(fleet_run_to_holder(fleet, 30000), 0);
	check_fleet();
}
END_TEST

START_TEST(one_region_alone_is_its_own_majority)
{
	fleet_init(fleet, 3, 1, 0);
	fleet_start_all(fleet);
	ck_assert_int_eq(fleet_run_to_holder(fleet, 1000), 0);
	fleet_run(fleet, 60000);
	ck_assert_int_eq(fleet_holder(fleet), 0);
	ck_assert_uint_eq(fleet->epoch_count, 1);
	check_fleet();
}
END_TEST

/* --- failover --- */

START_TEST(after_a_crash_another_writes_within_nine_seconds_by_one_election)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		uint32_t h = found(3, 0);
		fleet->random = seed * 0x9E3779B97F4A7C15u;
		fleet_run(fleet, fleet->now + fleet_below(fleet, 1000));
		fleet_crash(fleet, h);
		ck_assert_int_ge(fleet_run_to_holder(fleet, 9000), 0);
		fleet_run(fleet, fleet->now + 10000);
		check_fleet();
		ck_assert_uint_eq(fleet->stands, 1);
		ck_assert_uint_eq(fleet->epoch_count, 2);
		fleet_release_all(fleet);
		memset(fleet->regions, 0, sizeof(fleet->regions));
	}
}
END_TEST

START_TEST(the_greatest_position_stands_first)
{
	uint32_t h = found(3, 0);
	uint32_t behind = h == 1 ? 0 : 1, ahead = 3 - h - behind;

	/* The one with the lower id hears nothing for a while, and so would win a tie but not this. */
	fleet->cut[h][behind] = true;
	fleet_run(fleet, fleet->now + 2000);
	fleet_crash(fleet, h);
	fleet->cut[h][behind] = false;
	ck_assert_int_eq(fleet_run_to_holder(fleet, 9000), (int)ahead);
	ck_assert_uint_eq(fleet->stands, 1);
	check_fleet();
}
END_TEST

START_TEST(an_isolated_region_does_not_stand_and_disturbs_nobody_when_it_returns)
{
	uint32_t h = found(3, 0), alone = (h + 1) % 3;

	for (uint32_t i = 0; i < 3; i++)
		fleet->cut[i][alone] = fleet->cut[alone][i] = true;
	fleet_run(fleet, fleet->now + 60000);
	ck_assert_uint_eq(fleet->stands, 0);
	memset(fleet->cut, 0, sizeof(fleet->cut));
	fleet_run(fleet, fleet->now + 20000);
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	ck_assert_uint_eq(fleet->epoch_count, 1);
	check_fleet();
}
END_TEST

START_TEST(who_only_cannot_hear_the_primary_does_not_take_its_place)
{
	uint32_t h = found(3, 0);

	fleet->cut[h][(h + 1) % 3] = true;
	fleet_run(fleet, fleet->now + 60000);
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	ck_assert_uint_eq(fleet->epoch_count, 1);
	check_fleet();
}
END_TEST

static uint8_t eaten_from;
static bool eat_promises(struct fleet *f, uint8_t from, uint8_t to, const struct lease_item *m)
{
	(void)to;
	if (m->kind == LEASE_PROMISE && m->answer == LEASE_ANSWER_REQUEST && f->eaten < 1 && eaten_from == 255)
		eaten_from = from;
	return m->kind == LEASE_PROMISE && m->answer != LEASE_ANSWER_REQUEST && f->eaten < 1;
}

START_TEST(a_candidate_that_fails_gives_its_voters_back)
{
	uint32_t h = found(3, 0);

	eaten_from = 255;
	fleet->eats = eat_promises;
	fleet_crash(fleet, h);
	/* The first candidate never hears that it was promised; nobody waits for WAIT because of it. */
	ck_assert_int_ge(fleet_run_to_holder(fleet, 9000), 0);
	ck_assert_uint_gt(fleet->eaten, 0);
	check_fleet();
}
END_TEST

/* --- steps --- */

START_TEST(it_asks_for_promises_only_when_a_majority_would_have_it)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	bed_answer(&bed, 2, two, LEASE_ANSWER_HELD);
	bed_answer(&bed, 3, three, LEASE_ANSWER_HELD);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_PROMISE));
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	/* Its own yes and one more are two of three. */
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	two = bed_asked(&bed, 2, LEASE_POLL);
	three = bed_asked(&bed, 3, LEASE_POLL);
	bed_answer(&bed, 2, two, LEASE_ANSWER_HELD);
	bed_answer(&bed, 3, three, LEASE_ANSWER_YES);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
	ck_assert_ptr_nonnull(bed_sent(&bed, 3, LEASE_PROMISE));
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_PROMISE));
}
END_TEST

START_TEST(whoever_does_not_answer_a_poll_is_asked_again_and_an_answer_to_either_counts)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	bed_answer(&bed, 3, three, LEASE_ANSWER_HELD);
	bed_pass(&bed, bed.options.config.poll_ms - 1);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	bed_pass(&bed, 1);
	ck_assert_uint_le(lease_due(bed.lease), bed.now.boot_ms);
	bed_tick(&bed);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_POLL).round, two.round);
	ck_assert_ptr_null(bed_sent(&bed, 3, LEASE_POLL));
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(its_epoch_is_above_all_that_it_heard_of_and_its_own)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	struct lease_item m = bed_item(LEASE_POLL, 0);
	m.answer = LEASE_ANSWER_YES;
	m.round = two.round;
	m.asker = bed.options.self.nonce;
	m.promised = 0x903;
	bed_hear(&bed, 2, m);
	m.promised = 0;
	m.logged = 0xa02;
	bed_hear(&bed, 3, m);
	(void)three;
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_PROMISE).epoch, 0xb01);
}
END_TEST

START_TEST(answers_to_another_question_or_start_are_nothing)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), m = bed_item(LEASE_POLL, 0);
	m.answer = LEASE_ANSWER_YES;
	m.asker = bed.options.self.nonce;
	m.round = two.round + 1;
	bed_hear(&bed, 2, m);
	m.round = two.round;
	m.asker++;
	bed_hear(&bed, 2, m);
	/* Nor do other stores count. */
	m.asker--;
	bed.others[2].store_id[0] ^= 1;
	bed_hear(&bed, 2, m);
	bed_pass(&bed, bed.options.config.linger_ms);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	bed.others[2].store_id[0] ^= 1;
	bed_hear(&bed, 2, m);
	bed_pass(&bed, bed.options.config.linger_ms);
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(those_with_more_or_a_lower_id_go_first_by_rank)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	struct lease_item m = bed_item(LEASE_POLL, 0);
	m.answer = LEASE_ANSWER_YES;
	m.round = two.round;
	m.asker = bed.options.self.nonce;
	m.position.seq++;
	bed_hear(&bed, 2, m);
	bed_hear(&bed, 3, m);
	(void)three;
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	bed_pass(&bed, 2 * bed.options.config.rank_ms - 1);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	bed_pass(&bed, 1);
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(it_does_not_stand_when_its_own_voter_was_promised_away_meanwhile)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	struct lease_item m = bed_item(LEASE_POLL, 0);
	m.answer = LEASE_ANSWER_YES;
	m.round = two.round;
	m.asker = bed.options.self.nonce;
	m.position.seq++;
	bed_hear(&bed, 2, m);
	bed_hear(&bed, 3, m);
	(void)three;
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	bed_store(&bed, true, bed.options.here.position);
	bed_pass(&bed, 2 * bed.options.config.rank_ms);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(who_gets_no_majority_of_promises_abandons_its_epoch_everywhere)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	bed_answer(&bed, 2, two, LEASE_ANSWER_HELD);
	bed_answer(&bed, 3, three, LEASE_ANSWER_PROMISED);
	ck_assert(bed_told(&bed, LEASE_EVENT_LOST));
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_ABANDON).epoch, two.epoch);
	ck_assert_uint_eq(bed_asked(&bed, 3, LEASE_ABANDON).epoch, two.epoch);
	/* A yes that comes later gets the same answer. */
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_ABANDON).epoch, two.epoch);
	/* And the epoch is never asked for again. */
	bed_pass(&bed, 2000);
	bed_stand(&bed, &two, &three);
	ck_assert_uint_gt(two.epoch, 0x201);
}
END_TEST

START_TEST(it_does_not_win_before_its_own_voter_has_stored_its_promise)
{
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	bed_answer(&bed, 3, three, LEASE_ANSWER_YES);
	two = bed_asked(&bed, 2, LEASE_PROMISE);
	three = bed_asked(&bed, 3, LEASE_PROMISE);
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	bed_answer(&bed, 3, three, LEASE_ANSWER_YES);
	bed_pass(&bed, bed.options.config.linger_ms);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_GRANT));
	bed_store(&bed, true, bed.options.here.position);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_GRANT));
}
END_TEST

/* --- rule 8 --- */

static void answer_promise(uint8_t region, struct lease_item to, struct position position, struct position oldest)
{
	struct lease_item m = bed_item(LEASE_PROMISE, to.epoch);

	m.answer = LEASE_ANSWER_YES;
	m.round = to.round;
	m.asker = bed.options.self.nonce;
	m.position = position;
	m.oldest = oldest;
	bed_hear(&bed, region, m);
}

START_TEST(it_copies_the_best_of_those_that_promised_and_then_begins)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	answer_promise(2, two, (struct position){ 0x102, 90 }, (struct position){ 0 });
	answer_promise(3, three, (struct position){ 0x203, 3 }, (struct position){ 0 });
	ck_assert_ptr_null(bed_did(&bed, LEASE_COPY)); /* not before the lease is granted */
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_GRANT), LEASE_ANSWER_YES);
	const struct lease_action copy = bed_done(&bed, LEASE_COPY);
	ck_assert_uint_eq(copy.region, 3); /* a newer epoch, not a longer log */
	ck_assert_uint_eq(copy.position.epoch, 0x203);
	ck_assert_uint_eq(copy.position.seq, 3);
	ck_assert_ptr_null(bed_did(&bed, LEASE_BEGIN));
	lease_copied(bed.lease, bed.now, copy.epoch, true, &bed.out);
	const struct lease_action begin = bed_done(&bed, LEASE_BEGIN);
	ck_assert_uint_eq(begin.position.epoch, 0x203);
	ck_assert_uint_eq(begin.position.seq, 3);
}
END_TEST

START_TEST(who_has_as_much_as_anybody_copies_nothing)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	answer_promise(2, two, (struct position){ 0x102, 5 }, (struct position){ 0 });
	answer_promise(3, three, (struct position){ 0x102, 4 }, (struct position){ 0 });
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_GRANT), LEASE_ANSWER_YES);
	ck_assert_ptr_null(bed_did(&bed, LEASE_COPY));
	ck_assert_ptr_nonnull(bed_did(&bed, LEASE_BEGIN));
}
END_TEST

START_TEST(when_the_best_voter_is_lost_the_epoch_is_abandoned)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	answer_promise(2, two, (struct position){ 0x102, 90 }, (struct position){ 0 });
	answer_promise(3, three, (struct position){ 0x102, 80 }, (struct position){ 0 });
	bed_answer(&bed, 3, bed_asked(&bed, 3, LEASE_GRANT), LEASE_ANSWER_YES);
	ck_assert_uint_eq(bed_done(&bed, LEASE_COPY).region, 2);
	lease_copied(bed.lease, bed.now, two.epoch, false, &bed.out);
	ck_assert_ptr_null(bed_did(&bed, LEASE_BEGIN));
	ck_assert_ptr_null(bed_did(&bed, LEASE_COPY)); /* the second best will not do */
	ck_assert_uint_eq(bed_asked(&bed, 3, LEASE_ABANDON).epoch, two.epoch);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, 0);
}
END_TEST

START_TEST(who_is_behind_the_log_of_the_best_lets_it_stand)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	answer_promise(2, two, (struct position){ 0x102, 90 }, (struct position){ 0x102, 6 });
	answer_promise(3, three, (struct position){ 0x102, 5 }, (struct position){ 0 });
	ck_assert(bed_told(&bed, LEASE_EVENT_YIELDED));
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_ABANDON).epoch, two.epoch);
	bed_pass(&bed, bed.options.config.step_ms);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
}
END_TEST

START_TEST(a_witness_is_never_copied)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	struct lease_item m = bed_item(LEASE_PROMISE, two.epoch);
	m.answer = LEASE_ANSWER_YES;
	m.round = two.round;
	m.asker = bed.options.self.nonce;
	m.flags = 0;
	m.position = (struct position){ 0x900, 1 };
	bed_hear(&bed, 2, m);
	answer_promise(3, three, (struct position){ 0x102, 5 }, (struct position){ 0 });
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_GRANT), LEASE_ANSWER_YES);
	ck_assert_ptr_null(bed_did(&bed, LEASE_COPY));
}
END_TEST

/* --- rules 11, 19, 25 --- */

START_TEST(an_unfit_region_does_not_even_ask)
{
	const struct lease_here rows[] = {
		{ .position = { 0x102, 5 }, .epoch = 0x102, .unfit = true },
		{ .position = { 0x102, 5 }, .epoch = 0x102, .failed = true },
		{ .position = { 0x102, 5 }, .epoch = 0x102, .stalled_ms = 4000 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		lease_set_here(bed.lease, bed.now, &rows[i], &bed.out);
		bed_tick(&bed);
		ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
		/* It votes all the same. */
		ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
	}
}
END_TEST

static void poll_answer(uint8_t region, struct lease_item to, struct lease_renewed renewed, uint64_t stamp_ms, int64_t offset_ms)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	m.answer = LEASE_ANSWER_YES;
	m.round = to.round;
	m.asker = bed.options.self.nonce;
	m.renewed = renewed;
	m.stamp_ms = stamp_ms;
	lease_receive(bed.lease, bed.now, &bed.others[region], bed.now.wall_ms + (uint64_t)offset_ms, &m, &bed.out);
	bed_look(&bed);
}

START_TEST(too_great_a_loss_is_refused_until_the_operator_accepts_it)
{
	/* The best position was written at 1,000 s; a holder was seen beyond it 30.001 s later. */
	struct lease_renewed far = { { 0x102, 900 }, 1000000 + 30001 };

	bed_tick(&bed);
	poll_answer(2, bed_asked(&bed, 2, LEASE_POLL), far, 1000000, 0);
	poll_answer(3, bed_item(LEASE_POLL, 0), far, 1000000, 0);
	bed_pass(&bed, bed.options.config.step_ms);
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_LOSS_REFUSED));
	ck_assert_uint_eq(bed.out.list[0].number, 30001);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	lease_accept_loss(bed.lease, bed.now, 60000);
	bed_pass(&bed, 2000);
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_answer(2, two, far, 1000000, 0);
	poll_answer(3, three, far, 1000000, 0);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(a_small_loss_or_none_is_not_refused)
{
	struct lease_renewed near = { { 0x102, 900 }, 1000000 + 30000 }, none = { { 0x102, 5 }, 99000000 };

	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_answer(2, two, near, 1000000, 0);
	poll_answer(3, three, none, 1000000, 0);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(a_clock_that_is_off_against_a_majority_does_not_stand)
{
	const struct lease_renewed none = { 0 };

	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_answer(2, two, none, 0, -500);
	poll_answer(3, three, none, 0, -500);
	ck_assert(bed_told(&bed, LEASE_EVENT_CLOCK_SUSPECT));
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	/* One other that is off is off itself. */
	bed_pass(&bed, 2000);
	bed_tick(&bed);
	two = bed_asked(&bed, 2, LEASE_POLL);
	three = bed_asked(&bed, 3, LEASE_POLL);
	poll_answer(2, two, none, 0, -500);
	poll_answer(3, three, none, 0, 0);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

/* --- rule 10 --- */

START_TEST(a_pending_list_that_a_voter_knows_needs_its_majority_too)
{
	struct voter_list next = bed_list(2, "DDDD");
	struct lease_item m = bed_item(LEASE_POLL, 0);

	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL);
	m.answer = LEASE_ANSWER_YES;
	m.round = two.round;
	m.asker = bed.options.self.nonce;
	m.pending = &next;
	bed_hear(&bed, 2, m);
	/* Two of three, but two of four only. */
	bed_pass(&bed, bed.options.config.step_ms);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	bed_pass(&bed, bed.options.config.step_ms);
	bed_tick(&bed);
	/* From here the fourth is asked as well. */
	struct lease_item four = bed_asked(&bed, 4, LEASE_POLL);
	m.pending = NULL;
	m.round = four.round;
	bed_hear(&bed, 2, m);
	bed_hear(&bed, 4, m);
	bed_pass(&bed, bed.options.config.linger_ms);
	bed_tick(&bed);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_bid");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_fleet_is_founded_only_by_all_of_its_voters);
	tcase_add_test(t, two_of_three_go_on_where_there_is_a_history);
	tcase_add_test(t, a_wiped_voter_and_one_that_was_never_there_found_nothing);
	tcase_add_test(t, one_region_alone_is_its_own_majority);
	tcase_add_test(t, after_a_crash_another_writes_within_nine_seconds_by_one_election);
	tcase_add_test(t, the_greatest_position_stands_first);
	tcase_add_test(t, an_isolated_region_does_not_stand_and_disturbs_nobody_when_it_returns);
	tcase_add_test(t, who_only_cannot_hear_the_primary_does_not_take_its_place);
	tcase_add_test(t, a_candidate_that_fails_gives_its_voters_back);
	tcase_add_test(t, it_asks_for_promises_only_when_a_majority_would_have_it);
	tcase_add_test(t, whoever_does_not_answer_a_poll_is_asked_again_and_an_answer_to_either_counts);
	tcase_add_test(t, its_epoch_is_above_all_that_it_heard_of_and_its_own);
	tcase_add_test(t, answers_to_another_question_or_start_are_nothing);
	tcase_add_test(t, those_with_more_or_a_lower_id_go_first_by_rank);
	tcase_add_test(t, it_does_not_stand_when_its_own_voter_was_promised_away_meanwhile);
	tcase_add_test(t, who_gets_no_majority_of_promises_abandons_its_epoch_everywhere);
	tcase_add_test(t, it_does_not_win_before_its_own_voter_has_stored_its_promise);
	tcase_add_test(t, it_copies_the_best_of_those_that_promised_and_then_begins);
	tcase_add_test(t, who_has_as_much_as_anybody_copies_nothing);
	tcase_add_test(t, when_the_best_voter_is_lost_the_epoch_is_abandoned);
	tcase_add_test(t, who_is_behind_the_log_of_the_best_lets_it_stand);
	tcase_add_test(t, a_witness_is_never_copied);
	tcase_add_test(t, an_unfit_region_does_not_even_ask);
	tcase_add_test(t, too_great_a_loss_is_refused_until_the_operator_accepts_it);
	tcase_add_test(t, a_small_loss_or_none_is_not_refused);
	tcase_add_test(t, a_clock_that_is_off_against_a_majority_does_not_stand);
	tcase_add_test(t, a_pending_list_that_a_voter_knows_needs_its_majority_too);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
