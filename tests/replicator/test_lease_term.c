/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The holder: until when it may write, when it stops, how it hands over, how voter lists come into effect.
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

static uint32_t found(uint32_t data, uint32_t witnesses)
{
	fleet_init(fleet, 7, data, witnesses);
	fleet_start_all(fleet);
	fleet_run(fleet, 5000);
	check_fleet();
	int h = fleet_holder(fleet);
	ck_assert_int_ge(h, 0);
	fleet->stands = 0;
	return (uint32_t)h;
}

static void stored_if_any(void)
{
	if (bed.storing)
		bed_store(&bed, true, bed.options.here.position);
}

/* A renewal after so many ms; region 2 grants it or nobody else does. */
static void renew(uint64_t ms, bool two)
{
	bed_pass(&bed, ms);
	bed_tick(&bed);
	struct lease_item grant = bed_asked(&bed, 2, LEASE_GRANT);
	if (two)
		bed_answer(&bed, 2, grant, LEASE_ANSWER_YES);
}

/* --- rules 12, 13 --- */

START_TEST(a_lease_is_valid_for_hold_from_the_mth_latest_sending)
{
	uint64_t epoch = bed_win(&bed), sent = bed.now.boot_ms;

	stored_if_any();
	ck_assert_uint_eq(lease_get_term(bed.lease).boot_until_ms, sent + 4000);
	/* Its own voter grants each renewal, but one of three is not two. */
	renew(1000, false);
	ck_assert_uint_eq(lease_get_term(bed.lease).boot_until_ms, sent + 4000);
	renew(1000, true);
	ck_assert_uint_eq(lease_get_term(bed.lease).boot_until_ms, sent + 6000);
	/* What counts is when it was asked, not when it was answered, be that after the next was asked. */
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	struct lease_item grant = bed_asked(&bed, 2, LEASE_GRANT);
	renew(1000, false);
	bed_pass(&bed, 100);
	bed_answer(&bed, 2, grant, LEASE_ANSWER_YES);
	ck_assert_uint_eq(lease_get_term(bed.lease).boot_until_ms, sent + 7000);
	bed_answer(&bed, 2, grant, LEASE_ANSWER_YES);
	ck_assert_uint_eq(lease_get_term(bed.lease).boot_until_ms, sent + 7000);
	ck_assert(bed_may_write(&bed, epoch));
	ck_assert(!bed_may_write(&bed, epoch + 256));
	ck_assert(!bed_may_write(&bed, 0));
}
END_TEST

START_TEST(what_is_not_renewed_stops_at_its_time)
{
	uint64_t epoch = bed_win(&bed);

	bed_pass(&bed, 3999);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_did(&bed, LEASE_STOP));
	ck_assert(bed_may_write(&bed, epoch));
	ck_assert_uint_le(lease_due(bed.lease), bed.now.boot_ms + 1);
	bed_pass(&bed, 1);
	ck_assert(!bed_may_write(&bed, epoch)); /* whether anybody has ticked or not */
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_did(&bed, LEASE_STOP));
	ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, LEASE_REASON_EXPIRED);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_did(&bed, LEASE_STOP));
}
END_TEST

START_TEST(what_merely_expired_goes_on_when_it_is_granted_again)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	renew(4500, false);
	ck_assert(!bed_may_write(&bed, epoch));
	renew(1000, true);
	ck_assert_ptr_nonnull(bed_did(&bed, LEASE_WRITE));
	ck_assert_uint_eq(bed_done(&bed, LEASE_WRITE).epoch, epoch);
	ck_assert(bed_may_write(&bed, epoch));
}
END_TEST

/* Where its renewals arrive and the answers do not, they would bind the voters for ever. */
START_TEST(a_holder_that_hears_nobody_lets_the_voters_go)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	renew(4000, false);
	struct lease_item late = bed_asked(&bed, 2, LEASE_GRANT);
	renew(1000, false);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	const struct lease_item *m = bed_sent(&bed, 2, LEASE_RELEASE);
	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->epoch, epoch);
	bed_answer(&bed, 2, late, LEASE_ANSWER_YES);
	ck_assert(!bed_may_write(&bed, epoch));
}
END_TEST

START_TEST(the_wall_clock_shortens_a_lease)
{
	uint64_t epoch = bed_win(&bed);

	bed.now.wall_ms += 4000;
	ck_assert(!bed_may_write(&bed, epoch));
	bed_tick(&bed);
	ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, LEASE_REASON_EXPIRED);
}
END_TEST

START_TEST(the_wall_clock_never_lengthens_a_lease)
{
	uint64_t epoch = bed_win(&bed);

	bed.now.wall_ms -= 100000;
	bed.now.boot_ms += 4000;
	ck_assert(!bed_may_write(&bed, epoch));
}
END_TEST

START_TEST(an_epoch_that_is_not_begun_gives_leave_only_for_its_start)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	bed_answer(&bed, 3, three, LEASE_ANSWER_YES);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, 0);
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_GRANT), LEASE_ANSWER_YES);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, two.epoch);
	ck_assert(!lease_get_term(bed.lease).begun);
	ck_assert_ptr_null(bed_did(&bed, LEASE_WRITE));
	/* Nobody grants it any more, nor does it begin: it is given up. */
	bed_pass(&bed, 6000);
	bed_tick(&bed);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, 0);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_ABANDON).epoch, two.epoch);
}
END_TEST

START_TEST(an_epoch_that_cannot_be_begun_is_abandoned)
{
	struct lease_item two, three;

	bed_stand(&bed, &two, &three);
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	bed_answer(&bed, 3, three, LEASE_ANSWER_YES);
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_GRANT), LEASE_ANSWER_YES);
	lease_begun(bed.lease, bed.now, two.epoch, false, &bed.out);
	ck_assert_uint_eq(bed_asked(&bed, 3, LEASE_ABANDON).epoch, two.epoch);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, 0);
}
END_TEST

START_TEST(a_voter_that_missed_the_election_is_asked_for_its_promise)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	renew(1000, true);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	struct lease_item three = bed_asked(&bed, 3, LEASE_GRANT);
	bed_answer(&bed, 3, three, LEASE_ANSWER_UNPROMISED);
	ck_assert_uint_eq(bed_asked(&bed, 3, LEASE_PROMISE).epoch, epoch);
}
END_TEST

/* --- rule 16 --- */

START_TEST(a_holder_that_meets_a_higher_promise_asks_anew_at_once_and_writes_until_then)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	renew(1000, true);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	struct lease_item three = bed_asked(&bed, 3, LEASE_GRANT), m = bed_item(LEASE_GRANT, epoch);
	m.answer = LEASE_ANSWER_PROMISED;
	m.round = three.round;
	m.asker = bed.options.self.nonce;
	m.promised = 0x803;
	bed_hear(&bed, 3, m);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL);
	three = bed_asked(&bed, 3, LEASE_POLL);
	ck_assert(bed_may_write(&bed, epoch));
	bed_answer(&bed, 2, two, LEASE_ANSWER_YES);
	m = bed_item(LEASE_POLL, 0);
	m.answer = LEASE_ANSWER_YES;
	m.round = three.round;
	m.asker = bed.options.self.nonce;
	m.promised = 0x803;
	m.position.seq = 99; /* its rank does not matter */
	bed_hear(&bed, 3, m);
	ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, LEASE_REASON_REACQUIRE);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_PROMISE).epoch, 0x901);
	ck_assert(!bed_may_write(&bed, epoch));
}
END_TEST

START_TEST(a_stuck_promise_is_lifted_by_the_holder)
{
	uint32_t h = found(3, 0), other = (h + 1) % 3;

	/* It promised itself an epoch, and its candidacy came to nothing. */
	fleet_crash(fleet, other);
	fleet->regions[other].record.epoch = fleet->regions[other].promised_max = epoch_make(40, (uint8_t)(other + 1));
	fleet->regions[other].record.holder = (uint8_t)(other + 1);
	fleet_start(fleet, other);
	fleet_run(fleet, fleet->now + 10000);
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	ck_assert_uint_eq(fleet->stands, 1);
	ck_assert_uint_eq(fleet_position(&fleet->regions[other]).epoch, epoch_make(41, (uint8_t)(h + 1)));
	check_fleet();
}
END_TEST

START_TEST(a_holder_without_a_lease_gives_way_to_a_newer_epoch)
{
	uint64_t epoch = bed_win(&bed);
	struct lease_item m = bed_item(LEASE_GRANT, epoch);

	stored_if_any();
	bed_pass(&bed, 5000);
	bed_tick(&bed);
	m.answer = LEASE_ANSWER_PROMISED;
	m.round = bed_asked(&bed, 2, LEASE_GRANT).round;
	m.asker = bed.options.self.nonce;
	m.promised = m.logged = 0x802;
	bed_hear(&bed, 2, m);
	ck_assert_uint_eq(lease_get_term(bed.lease).epoch, 0);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
}
END_TEST

/* --- rule 17 --- */

START_TEST(a_rolling_restart_with_one_region_down_does_not_cost_the_lease)
{
	uint32_t h = found(3, 0), down = (h + 1) % 3, restarted = (h + 2) % 3;

	fleet_crash(fleet, down);
	fleet_run(fleet, fleet->now + 500);
	fleet_crash(fleet, restarted);
	fleet_run(fleet, fleet->now + 1500);
	fleet_start(fleet, restarted);
	for (int i = 0; i < 100; i++) {
		fleet_run(fleet, fleet->now + 100);
		ck_assert_int_eq(fleet_holder(fleet), (int)h);
	}
	ck_assert_uint_eq(fleet->stands, 0);
	check_fleet();
}
END_TEST

START_TEST(a_restarted_primary_takes_its_place_again_without_waiting_for_itself)
{
	uint32_t h = found(3, 0);

	fleet_crash(fleet, h);
	fleet_run(fleet, fleet->now + 300);
	fleet_start(fleet, h);
	ck_assert_int_eq(fleet_run_to_holder(fleet, 2000), (int)h);
	ck_assert_uint_eq(fleet->stands, 1);
	check_fleet();
}
END_TEST

/* --- rule 18 --- */

START_TEST(a_handover_takes_less_than_two_seconds_and_one_election)
{
	uint32_t h = found(3, 0), target = (h + 2) % 3;
	struct fault f;

	fleet->hand_over_waits = true;
	ck_assert_int_eq(lease_hand_over(fleet->regions[h].lease, fleet_clock(fleet, &fleet->regions[h]),
					 fleet->regions[target].id, &fleet->out, &f), ERR_NONE);
	fleet_act(fleet, &fleet->regions[h]);
	ck_assert_int_lt(fleet_holder(fleet), 0);
	ck_assert_int_eq(fleet_run_to_holder(fleet, 2000), (int)target);
	fleet_run(fleet, fleet->now + 20000);
	ck_assert_int_eq(fleet_holder(fleet), (int)target);
	ck_assert_uint_eq(fleet->stands, 1);
	check_fleet();
}
END_TEST

START_TEST(only_a_primary_hands_over_and_only_to_another_data_voter)
{
	struct fault f = { 0 };

	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 2, &bed.out, &f), ERR_NOT_PRIMARY);
	(void)bed_win(&bed);
	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 1, &bed.out, &f), ERR_BAD_INPUT);
	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 9, &bed.out, &f), ERR_BAD_INPUT);
	bed_release(&bed);
	bed_init(&bed, "DDW");
	(void)bed_win(&bed);
	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 3, &bed.out, &f), ERR_BAD_INPUT);
	ck_assert(f.text[0] != '\0');
}
END_TEST

START_TEST(a_handover_stops_writing_but_leaves_the_right_to_release)
{
	uint64_t epoch = bed_win(&bed);

	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 2, &bed.out, NULL), ERR_NONE);
	ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, LEASE_REASON_HANDOVER);
	ck_assert_uint_eq(bed_done(&bed, LEASE_HAND_OVER).region, 2);
	ck_assert(bed_may_write(&bed, epoch)); /* for the op `release` */
	/* Nothing came of it: the release is not in the log. */
	lease_handed_over(bed.lease, bed.now, epoch, false, (struct position){ 0 }, &bed.out);
	ck_assert_ptr_nonnull(bed_did(&bed, LEASE_WRITE));
}
END_TEST

START_TEST(what_was_released_is_never_renewed_or_written_again)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	ck_assert_int_eq(lease_hand_over(bed.lease, bed.now, 2, &bed.out, NULL), ERR_NONE);
	lease_handed_over(bed.lease, bed.now, epoch, true, (struct position){ epoch, 9 }, &bed.out);
	struct lease_item release = bed_asked(&bed, 2, LEASE_RELEASE);
	ck_assert_uint_eq(release.target, 2);
	ck_assert_uint_eq(release.position.seq, 9);
	ck_assert_ptr_nonnull(bed_sent(&bed, 3, LEASE_RELEASE));
	ck_assert(!bed_may_write(&bed, epoch));
	/* A grant that comes late changes nothing. */
	struct lease_item grant = bed_item(LEASE_GRANT, epoch);
	grant.round = 1;
	bed_answer(&bed, 2, grant, LEASE_ANSWER_YES);
	ck_assert(!bed_may_write(&bed, epoch));
	/* Who has not answered is told again, and nobody is asked to renew. */
	bed_answer(&bed, 2, release, LEASE_ANSWER_YES);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_RELEASE));
	ck_assert_ptr_nonnull(bed_sent(&bed, 3, LEASE_RELEASE));
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_GRANT));
}
END_TEST

START_TEST(a_target_that_is_not_there_yet_declines)
{
	struct lease_item m = bed_item(LEASE_RELEASE, 0x202);

	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	bed_store(&bed, true, bed.options.here.position);
	m.target = 1;
	m.position = (struct position){ 0x202, 9 };
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_BEHIND);
	ck_assert_ptr_null(bed_sent(&bed, 3, LEASE_POLL));
}
END_TEST

START_TEST(a_target_that_has_all_stands_at_once)
{
	struct lease_here here = { .position = { 0x202, 9 }, .epoch = 0x202 };
	struct lease_item m = bed_item(LEASE_RELEASE, 0x202);

	lease_set_here(bed.lease, bed.now, &here, &bed.out);
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	m.target = 1;
	m.position = here.position;
	ck_assert_int_eq(bed_ask_item(&bed, 2, m), LEASE_ANSWER_YES);
	ck_assert_ptr_nonnull(bed_sent(&bed, 3, LEASE_POLL));
}
END_TEST

START_TEST(a_lost_target_does_not_hold_up_the_others)
{
	uint32_t h = found(3, 0), target = (h + 1) % 3;
	struct fault f;

	ck_assert_int_eq(lease_hand_over(fleet->regions[h].lease, fleet_clock(fleet, &fleet->regions[h]),
					 fleet->regions[target].id, &fleet->out, &f), ERR_NONE);
	fleet_act(fleet, &fleet->regions[h]);
	fleet_crash(fleet, target);
	ck_assert_int_ge(fleet_run_to_holder(fleet, 6000), 0);
	check_fleet();
}
END_TEST

/* --- rules 19, 25, 11 --- */

START_TEST(a_holder_that_cannot_commit_lets_go)
{
	const struct {
		struct lease_here here;
		enum lease_reason reason;
	} rows[] = {
		{ { .failed = true }, LEASE_REASON_CANNOT_COMMIT },
		{ { .stalled_ms = 4000 }, LEASE_REASON_CANNOT_COMMIT },
		{ { .unfit = true }, LEASE_REASON_UNFIT },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct lease_here here = rows[i].here;
		bed_release(&bed);
		bed_init(&bed, "DDD");
		uint64_t epoch = bed_win(&bed);
		here.position = (struct position){ epoch, 7 };
		here.epoch = epoch;
		lease_set_here(bed.lease, bed.now, &here, &bed.out);
		bed_tick(&bed);
		ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, rows[i].reason);
		struct lease_item m = bed_asked(&bed, 2, LEASE_RELEASE);
		ck_assert_uint_eq(m.target, 0);
		ck_assert_uint_eq(m.position.seq, 7);
		ck_assert(!bed_may_write(&bed, epoch));
	}
}
END_TEST

START_TEST(with_a_stalled_disk_another_writes_within_nine_seconds)
{
	uint32_t h = found(3, 0);

	fleet->regions[h].stalled_since_ms = fleet->now;
	for (int i = 0; i < 900 && (fleet_holder(fleet) < 0 || fleet_holder(fleet) == (int)h); i++)
		fleet_run(fleet, fleet->now + 10);
	ck_assert_int_ge(fleet_holder(fleet), 0);
	ck_assert_int_ne(fleet_holder(fleet), (int)h);
	check_fleet();
}
END_TEST

START_TEST(a_holder_whose_clock_is_off_against_a_majority_lets_go)
{
	uint64_t epoch = bed_win(&bed);

	stored_if_any();
	for (int i = 0; i < 2; i++) {
		bed_pass(&bed, 1000);
		bed_tick(&bed);
		ck_assert_ptr_null(bed_did(&bed, LEASE_STOP));
		struct lease_item two = bed_asked(&bed, 2, LEASE_GRANT), m = bed_item(LEASE_GRANT, epoch);
		m.answer = LEASE_ANSWER_YES;
		m.round = two.round;
		m.asker = bed.options.self.nonce;
		/* At first one of the others is off, then both. */
		for (uint8_t region = 2; region <= 3; region++) {
			uint64_t off = region == 2 || i == 1 ? 450 : 0;
			lease_receive(bed.lease, bed.now, &bed.others[region], bed.now.wall_ms + off, &m, &bed.out);
			bed_look(&bed);
		}
	}
	bed_tick(&bed);
	ck_assert_int_eq(bed_done(&bed, LEASE_STOP).reason, LEASE_REASON_CLOCK);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_RELEASE));
}
END_TEST

/* --- rule 10 --- */

static const struct voter_list *list_at(uint32_t i)
{
	return lease_voters(fleet->regions[i].lease);
}

static struct voter_list next_list(uint32_t holder)
{
	struct voter_list next = *list_at(holder);

	next.number++;
	next.members[next.count].region = (uint8_t)(next.count + 1);
	next.members[next.count].data = true;
	memset(next.members[next.count].store_id, (int)next.count + 1, STORE_ID_BYTES);
	next.count++;
	return next;
}

/* A fourth region that is there but no voter: its configuration names the first three. */
static uint32_t found_with_a_fourth(void)
{
	fleet_init(fleet, 7, 4, 0);
	fleet->proposed.count = 3;
	fleet_start_all(fleet);
	fleet_run(fleet, 6000);
	check_fleet();
	int h = fleet_holder(fleet);
	ck_assert_int_ge(h, 0);
	ck_assert_int_lt(h, 3);
	ck_assert_uint_eq(list_at((uint32_t)h)->number, 1);
	return (uint32_t)h;
}

static enum err propose(uint32_t h, const struct voter_list *next)
{
	struct fleet_region *r = &fleet->regions[h];
	struct fault f;
	enum err err = lease_propose(r->lease, fleet_clock(fleet, r), next, &fleet->out, &f);

	fleet_act(fleet, r);
	return err;
}

START_TEST(a_new_voter_counts_once_both_majorities_have_stored_it)
{
	uint32_t h = found_with_a_fourth();
	struct voter_list next = next_list(h);

	ck_assert_int_eq(propose((h + 1) % 3, &next), ERR_NOT_PRIMARY);
	ck_assert_int_eq(propose(h, &next), ERR_NONE);
	fleet_run(fleet, fleet->now + 3000);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(list_at(i)->number, 2);
		ck_assert_uint_eq(list_at(i)->count, 4);
	}
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	/* Three of four are a majority, two are none. */
	fleet_crash(fleet, (h + 1) % 3);
	fleet_run(fleet, fleet->now + 8000);
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	fleet_crash(fleet, (h + 2) % 3);
	fleet_run(fleet, fleet->now + 8000);
	ck_assert_int_lt(fleet_holder(fleet), 0);
	check_fleet();
}
END_TEST

START_TEST(a_list_that_two_of_three_cannot_store_is_not_in_effect)
{
	uint32_t h = found_with_a_fourth();
	struct voter_list next = next_list(h);

	for (uint32_t i = 0; i < 3; i++)
		if (i != h)
			fleet->cut[h][i] = true;
	ck_assert_int_eq(propose(h, &next), ERR_NONE);
	ck_assert_int_eq(propose(h, &next), ERR_UNAVAILABLE);
	fleet_run(fleet, fleet->now + 1000);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_le(list_at(i)->number, 1);
	/* The next holder has never met it, and the first drops it when it is back. */
	fleet_run(fleet, fleet->now + 12000);
	memset(fleet->cut, 0, sizeof(fleet->cut));
	fleet_run(fleet, fleet->now + 12000);
	int now = fleet_holder(fleet);
	ck_assert_int_ge(now, 0);
	ck_assert_int_ne(now, (int)h);
	ck_assert_uint_eq(list_at(h)->number, list_at((uint32_t)now)->number);
	check_fleet();
}
END_TEST

START_TEST(a_primary_that_is_taken_out_lets_go_and_nobody_waits_for_it)
{
	uint32_t h = found(3, 0);
	struct voter_list next = *list_at(h);

	next.number++;
	for (uint32_t i = h; i + 1 < next.count; i++)
		next.members[i] = next.members[i + 1];
	next.count--;
	ck_assert_int_eq(propose(h, &next), ERR_NONE);
	fleet_run(fleet, fleet->now + 3500);
	int now = fleet_holder(fleet);
	ck_assert_int_ge(now, 0);
	ck_assert_int_ne(now, (int)h);
	ck_assert_uint_eq(fleet->stands, 1);
	check_fleet();
}
END_TEST

static bool eat_lists(struct fleet *f, uint8_t from, uint8_t to, const struct lease_item *m)
{
	/* Only the second region hears of the pending list. */
	return m->kind == LEASE_LIST && m->answer == LEASE_ANSWER_REQUEST && m->pending != NULL && to != (from + 1u) % 3u &&
	       f->epoch_count == 1;
}

START_TEST(a_new_holder_completes_the_list_that_its_voters_report)
{
	uint32_t h = found_with_a_fourth();
	struct voter_list next = next_list(h);

	fleet->eats = eat_lists;
	ck_assert_int_eq(propose(h, &next), ERR_NONE);
	fleet_run(fleet, fleet->now + 300);
	fleet_crash(fleet, h);
	ck_assert_int_ge(fleet_run_to_holder(fleet, 9000), 0);
	fleet_run(fleet, fleet->now + 4000);
	for (uint32_t i = 0; i < 4; i++)
		if (i != h)
			ck_assert_uint_eq(list_at(i)->number, 2);
	check_fleet();
}
END_TEST

START_TEST(a_wiped_region_is_taken_out_and_put_in_again)
{
	uint32_t h = found(3, 0), wiped = (h + 1) % 3;
	struct fleet_region *w = &fleet->regions[wiped];
	struct voter_list next;

	fleet_crash(fleet, wiped);
	w->has_record = false;
	w->log.count = 0;
	w->boots = w->promised_max = 0;
	w->store_id[0] = 77;
	fleet_start(fleet, wiped);
	fleet_run(fleet, fleet->now + 5000);
	/* It does not vote: with another region gone nobody has a majority. */
	fleet->cut[3 - h - wiped][h] = fleet->cut[h][3 - h - wiped] = true;
	fleet_run(fleet, fleet->now + 6000);
	ck_assert_int_lt(fleet_holder(fleet), 0);
	memset(fleet->cut, 0, sizeof(fleet->cut));
	int now = fleet_run_to_holder(fleet, 9000);
	ck_assert_int_ge(now, 0);
	ck_assert_int_ne(now, (int)wiped);
	fleet_run(fleet, fleet->now + 2000);

	next = *list_at((uint32_t)now);
	next.number++;
	for (uint32_t i = wiped; i + 1 < next.count; i++)
		next.members[i] = next.members[i + 1];
	next.count--;
	ck_assert_int_eq(propose((uint32_t)now, &next), ERR_NONE);
	fleet_run(fleet, fleet->now + 3000);
	ck_assert_uint_eq(list_at((uint32_t)now)->count, 2);
	ck_assert_uint_gt(fleet->excluded, 0);

	struct voter_list again = *list_at(0);
	again = *list_at((uint32_t)now);
	again.number++;
	for (uint32_t i = again.count; i > wiped; i--)
		again.members[i] = again.members[i - 1];
	again.members[wiped] = (struct voter){ .region = w->id, .data = true };
	memcpy(again.members[wiped].store_id, w->store_id, STORE_ID_BYTES);
	again.count++;
	ck_assert_int_eq(propose((uint32_t)now, &again), ERR_NONE);
	fleet_run(fleet, fleet->now + 4000);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(list_at(i)->number, again.number);
	/* From here its vote counts. */
	fleet_crash(fleet, 3 - (uint32_t)now - wiped);
	fleet_run(fleet, fleet->now + 10000);
	ck_assert_int_ge(fleet_holder(fleet), 0);
	check_fleet();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_term");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_lease_is_valid_for_hold_from_the_mth_latest_sending);
	tcase_add_test(t, what_is_not_renewed_stops_at_its_time);
	tcase_add_test(t, what_merely_expired_goes_on_when_it_is_granted_again);
	tcase_add_test(t, a_holder_that_hears_nobody_lets_the_voters_go);
	tcase_add_test(t, the_wall_clock_shortens_a_lease);
	tcase_add_test(t, the_wall_clock_never_lengthens_a_lease);
	tcase_add_test(t, an_epoch_that_is_not_begun_gives_leave_only_for_its_start);
	tcase_add_test(t, an_epoch_that_cannot_be_begun_is_abandoned);
	tcase_add_test(t, a_voter_that_missed_the_election_is_asked_for_its_promise);
	tcase_add_test(t, a_holder_that_meets_a_higher_promise_asks_anew_at_once_and_writes_until_then);
	tcase_add_test(t, a_stuck_promise_is_lifted_by_the_holder);
	tcase_add_test(t, a_holder_without_a_lease_gives_way_to_a_newer_epoch);
	tcase_add_test(t, a_rolling_restart_with_one_region_down_does_not_cost_the_lease);
	tcase_add_test(t, a_restarted_primary_takes_its_place_again_without_waiting_for_itself);
	tcase_add_test(t, a_handover_takes_less_than_two_seconds_and_one_election);
	tcase_add_test(t, only_a_primary_hands_over_and_only_to_another_data_voter);
	tcase_add_test(t, a_handover_stops_writing_but_leaves_the_right_to_release);
	tcase_add_test(t, what_was_released_is_never_renewed_or_written_again);
	tcase_add_test(t, a_target_that_is_not_there_yet_declines);
	tcase_add_test(t, a_target_that_has_all_stands_at_once);
	tcase_add_test(t, a_lost_target_does_not_hold_up_the_others);
	tcase_add_test(t, a_holder_that_cannot_commit_lets_go);
	tcase_add_test(t, with_a_stalled_disk_another_writes_within_nine_seconds);
	tcase_add_test(t, a_holder_whose_clock_is_off_against_a_majority_lets_go);
	tcase_add_test(t, a_new_voter_counts_once_both_majorities_have_stored_it);
	tcase_add_test(t, a_list_that_two_of_three_cannot_store_is_not_in_effect);
	tcase_add_test(t, a_primary_that_is_taken_out_lets_go_and_nobody_waits_for_it);
	tcase_add_test(t, a_new_holder_completes_the_list_that_its_voters_report);
	tcase_add_test(t, a_wiped_region_is_taken_out_and_put_in_again);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
