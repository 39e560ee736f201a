/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is there: greetings, strangers, lists that are taken over; what operators do when the regions do not help themselves.
 */
#include "tests/replicator/lease_bed.h"
#include "tests/replicator/lease_fleet.h"

static struct bed bed;
static struct fleet *fleet;
static struct lease_look look;

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
	fleet->greets = true;
	fleet_start_all(fleet);
	fleet_run(fleet, 5000);
	check_fleet();
	int h = fleet_holder(fleet);
	ck_assert_int_ge(h, 0);
	return (uint32_t)h;
}

/* Region 1 of a list of that number, which may leave it out; all of `known` are known to it. */
static void start_with(uint64_t number, const char *roles, const char *known, bool listed)
{
	struct lease_record record = { .list = bed_list(number, roles) };
	struct lease_here here = { .position = { 0x102, 5 }, .epoch = 0x102, .stamp_ms = 1000000 };

	bed_release(&bed);
	bed = (struct bed){ .now = { 1000000, 5000000 }, .options.proposed = bed_list(0, "DDDDD") };
	if (!listed) {
		memmove(&record.list.members[0], &record.list.members[1], --record.list.count * sizeof(struct voter));
	}
	for (uint32_t i = 0; known[i] != '\0'; i++)
		voter_set_add(&bed.options.known, (uint8_t)(known[i] - '0'));
	bed_start(&bed, &record, &here);
	bed_pass(&bed, 10000);
}

static const struct lease_member *member(uint8_t region)
{
	lease_look(bed.lease, &look);
	for (uint32_t i = 0; i < look.count; i++)
		if (look.members[i].region == region)
			return &look.members[i];
	ck_abort_msg("region %u is not looked at", region);
}

/* --- greetings --- */

START_TEST(a_region_outside_the_list_greets_its_members_once_in_a_renewal)
{
	start_with(3, "DDD", "", false);
	bed_tick(&bed);
	for (uint8_t region = 2; region <= 3; region++)
		ck_assert_int_eq(bed_asked(&bed, region, LEASE_HELLO).answer, LEASE_ANSWER_REQUEST);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	bed_pass(&bed, 999);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_HELLO));
	bed_pass(&bed, 1);
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_HELLO));
}
END_TEST

START_TEST(a_member_greets_those_known_that_are_silent_and_is_woken_for_it)
{
	start_with(3, "DDD", "24", true);
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_HELLO));
	ck_assert_ptr_nonnull(bed_sent(&bed, 4, LEASE_HELLO));
	ck_assert_ptr_null(bed_sent(&bed, 3, LEASE_HELLO));
	ck_assert_uint_le(lease_due(bed.lease), bed.now.boot_ms + 1000);
	struct lease_item m = bed_item(LEASE_POLL, 0);
	m.list_number = 3;
	bed_hear(&bed, 2, m);
	bed_pass(&bed, 2999);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_HELLO));
	ck_assert_ptr_nonnull(bed_sent(&bed, 4, LEASE_HELLO));
	bed_pass(&bed, 1);
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_HELLO));
}
END_TEST

START_TEST(whoever_has_an_older_list_is_greeted_with_the_newer)
{
	struct lease_item m = bed_item(LEASE_HELLO, 0);

	start_with(3, "DDD", "4", true);
	m.list_number = 2;
	ck_assert_int_eq(bed_ask_item(&bed, 4, m), LEASE_ANSWER_NO_MEMBER);
	ck_assert_uint_eq(bed_reply(&bed, 4, LEASE_HELLO).list->number, 3);
	bed_tick(&bed);
	ck_assert_uint_eq(bed_reply(&bed, 4, LEASE_HELLO).list->number, 3);
	m.list_number = 3;
	ck_assert_int_eq(bed_ask_item(&bed, 4, m), LEASE_ANSWER_NO_MEMBER);
	ck_assert_ptr_null(bed_reply(&bed, 4, LEASE_HELLO).list);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 4, LEASE_HELLO));
}
END_TEST

START_TEST(a_list_in_effect_is_taken_over_from_a_stranger_that_greets_or_is_greeted)
{
	struct voter_list newer = bed_list(9, "DDDDD");
	struct lease_item m = bed_item(LEASE_HELLO, 0);

	m.list = &newer;
	m.list_number = 9;
	ck_assert_int_eq(bed_ask_item(&bed, 5, m), LEASE_ANSWER_NO_MEMBER);
	ck_assert(bed.storing);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	ck_assert_uint_eq(lease_voters(bed.lease)->number, 9);
	newer.number = 10;
	m.answer = LEASE_ANSWER_YES;
	m.asker = bed.options.self.nonce;
	bed_hear(&bed, 5, m);
	ck_assert(bed.storing);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	ck_assert_uint_eq(lease_voters(bed.lease)->number, 10);
	/* An older one is nothing, and a poll is no greeting. */
	newer.number = 9;
	bed_hear(&bed, 5, m);
	ck_assert(!bed.storing);
	newer.number = 11;
	bed.others[5].store_id[0] = 99;
	m.kind = LEASE_POLL;
	m.answer = LEASE_ANSWER_REQUEST;
	bed_hear(&bed, 5, m);
	ck_assert(!bed.storing);
}
END_TEST

START_TEST(another_store_is_told_once_and_shown)
{
	bed.others[2].store_id[0] = 77;
	(void)bed_ask(&bed, 2, LEASE_POLL, 0);
	ck_assert(bed_told(&bed, LEASE_EVENT_STRANGER));
	(void)bed_ask(&bed, 2, LEASE_POLL, 0);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STRANGER));
	const struct lease_member *m = member(2);
	ck_assert(m->listed && m->heard && !m->silent);
	ck_assert_int_eq(m->judged, LEASE_ANSWER_NO_MEMBER);
	ck_assert_uint_eq(m->identity.store_id[0], 77);
	ck_assert_uint_eq(m->voter.store_id[0], 2);
	ck_assert(!member(3)->heard);
	bed_pass(&bed, 3000);
	bed_tick(&bed);
	ck_assert(member(2)->silent);
}
END_TEST

START_TEST(a_region_whose_store_was_replaced_asks_to_be_put_in_again)
{
	struct voter_list without = bed_list(3, "DDD");

	/* The list has region 1 with another store. */
	start_with(2, "DDD", "", true);
	struct lease_record record = { .list = bed_list(2, "DDD") };
	record.list.members[0].store_id[0] = 77;
	bed_release(&bed);
	bed_start(&bed, &record, NULL);
	bed_tick(&bed);
	struct lease_item m = bed_asked(&bed, 2, LEASE_HELLO);
	ck_assert_uint_eq(m.flags, LEASE_ITEM_DATA | LEASE_ITEM_ABLE | LEASE_ITEM_REPLACED);
	/* Taken out, it still does. */
	memmove(&without.members[0], &without.members[1], --without.count * sizeof(struct voter));
	m = bed_item(LEASE_HELLO, 0);
	m.list = &without;
	bed_hear(&bed, 2, m);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_HELLO).flags & LEASE_ITEM_REPLACED, LEASE_ITEM_REPLACED);
	/* Whoever was taken out with the store that it has does not. */
	start_with(3, "DDD", "", false);
	bed_tick(&bed);
	ck_assert_uint_eq(bed_asked(&bed, 2, LEASE_HELLO).flags, LEASE_ITEM_DATA | LEASE_ITEM_ABLE);
}
END_TEST

START_TEST(a_region_that_a_member_calls_put_back_is_not_fit)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	m.answer = LEASE_ANSWER_ROLLED_BACK;
	m.asker = bed.options.self.nonce;
	bed.others[4].store_id[0] = 99; /* a stranger's word is nothing */
	bed_hear(&bed, 4, m);
	ck_assert(!member(1)->flags || !look.is_rolled_back);
	bed_hear(&bed, 2, m);
	lease_look(bed.lease, &look);
	ck_assert(look.is_rolled_back && !look.is_fit);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	struct fault f = { 0 };
	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 1000, &bed.out, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "put back"));
}
END_TEST

/* --- failover by an operator --- */

static void poll_yes(uint8_t region, struct lease_item to, struct position position, struct lease_renewed renewed)
{
	struct lease_item m = bed_item(LEASE_POLL, 0);

	m.answer = LEASE_ANSWER_YES;
	m.round = to.round;
	m.asker = bed.options.self.nonce;
	m.position = position;
	m.renewed = renewed;
	m.stamp_ms = 1000000;
	bed_hear(&bed, region, m);
}

START_TEST(a_region_that_an_operator_names_stands_before_those_with_more)
{
	const struct position more = { 0x102, 50 };
	const struct lease_renewed none = { 0 };
	struct fault f;

	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 5000, &bed.out, &f), ERR_NONE);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_yes(2, two, more, none);
	poll_yes(3, three, more, none);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(an_operators_order_lapses)
{
	const struct position more = { 0x102, 50 };
	const struct lease_renewed none = { 0 };
	struct fault f;

	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 500, &bed.out, &f), ERR_NONE);
	bed_pass(&bed, 2000);
	bed_tick(&bed);
	bed_pass(&bed, 2000);
	bed_tick(&bed);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_yes(2, two, more, none);
	poll_yes(3, three, more, none);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(an_operators_order_does_not_free_a_voter)
{
	struct fault f;

	/* Its own is bound to region 2; and who is bound elsewhere says no. */
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_PROMISE, 0x202), -1);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_GRANT, 0x202), LEASE_ANSWER_YES);
	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 20000, &bed.out, &f), ERR_NONE);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	lease_look(bed.lease, &look);
	ck_assert_uint_eq(look.bound_to, 2);
	bed_pass(&bed, 5499);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	bed_pass(&bed, 1);
	bed_tick(&bed);
	bed_answer(&bed, 2, bed_asked(&bed, 2, LEASE_POLL), LEASE_ANSWER_HELD);
	bed_answer(&bed, 3, bed_item(LEASE_POLL, 0), LEASE_ANSWER_HELD);
	bed_pass(&bed, 1000);
	bed_tick(&bed);
	ck_assert(!bed_told(&bed, LEASE_EVENT_STANDING));
	ck_assert_int_eq(member(2)->said, LEASE_ANSWER_HELD);
}
END_TEST

START_TEST(a_region_that_is_held_back_votes_and_does_not_stand)
{
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_POLL));
	lease_hold_back(bed.lease, bed.now, 2000);
	bed_pass(&bed, 1999);
	bed_tick(&bed);
	ck_assert_ptr_null(bed_sent(&bed, 2, LEASE_POLL));
	ck_assert_int_eq(bed_ask(&bed, 2, LEASE_POLL, 0), LEASE_ANSWER_YES);
	bed_pass(&bed, 1);
	bed_tick(&bed);
	ck_assert_ptr_nonnull(bed_sent(&bed, 2, LEASE_POLL));
}
END_TEST

START_TEST(what_a_promotion_may_lose_is_known_before_and_after)
{
	const struct lease_renewed far = { { 0x102, 905 }, 1000000 + 40000 };
	struct fault f;

	lease_look(bed.lease, &look);
	ck_assert(!look.loss.known);
	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 60000, &bed.out, &f), ERR_NONE);
	struct lease_item two = bed_asked(&bed, 2, LEASE_POLL), three = bed_asked(&bed, 3, LEASE_POLL);
	poll_yes(2, two, (struct position){ 0x102, 5 }, far);
	poll_yes(3, three, (struct position){ 0x102, 5 }, far);
	ck_assert(bed_told(&bed, LEASE_EVENT_LOSS_REFUSED));
	lease_look(bed.lease, &look);
	ck_assert(look.loss.known);
	ck_assert_uint_eq(look.loss.ms, 40000);
	ck_assert_uint_eq(look.loss.last.seq - look.loss.best.seq, 900);
	/* Accepted, it goes on at once. */
	lease_accept_loss(bed.lease, bed.now, 60000);
	bed_pass(&bed, 250);
	bed_tick(&bed);
	two = bed_asked(&bed, 2, LEASE_POLL);
	three = bed_asked(&bed, 3, LEASE_POLL);
	poll_yes(2, two, (struct position){ 0x102, 5 }, far);
	poll_yes(3, three, (struct position){ 0x102, 5 }, far);
	ck_assert(bed_told(&bed, LEASE_EVENT_STANDING));
}
END_TEST

START_TEST(a_region_that_may_not_be_the_primary_is_refused_by_reason)
{
	const struct {
		struct lease_here here;
		const char *words;
	} rows[] = {
		{ { .position = { 0x102, 5 }, .epoch = 0x102, .unfit = true }, "does not go on" },
		{ { .position = { 0x102, 5 }, .epoch = 0x102, .failed = true }, "cannot write" },
		{ { .position = { 0x102, 5 }, .epoch = 0x102, .stalled_ms = 4000 }, "does not answer" },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct fault f = { 0 };

		lease_set_here(bed.lease, bed.now, &rows[i].here, &bed.out);
		ck_assert_int_eq(lease_stand(bed.lease, bed.now, 5000, &bed.out, &f), ERR_UNAVAILABLE);
		ck_assert_msg(strstr(f.text, rows[i].words) != NULL, "%s", f.text);
	}
	struct fault f = { 0 };
	start_with(3, "DDD", "", false);
	ck_assert_int_eq(lease_stand(bed.lease, bed.now, 5000, &bed.out, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "not in the voter list"));
}
END_TEST

/* --- a majority lost for good --- */

static enum err force(const char *lost_ids, struct voter_list *ret_list, struct fault *ret_fault)
{
	struct voter_set lost = { 0 };

	for (; *lost_ids != '\0'; lost_ids++)
		voter_set_add(&lost, (uint8_t)(*lost_ids - '0'));
	*ret_fault = (struct fault){ 0 };
	enum err err = lease_force_list(bed.lease, bed.now, &lost, ret_list, &bed.out, ret_fault);
	bed_look(&bed);
	return err;
}

static void hear_from(uint8_t region)
{
	struct lease_item m = bed_item(LEASE_HELLO, 0);

	m.list_number = lease_voters(bed.lease)->number;
	bed_hear(&bed, region, m);
}

START_TEST(a_list_is_forced_only_when_it_must_and_can_be)
{
	struct voter_list list;
	struct fault f;

	start_with(3, "DDDDD", "", true);
	hear_from(2);
	hear_from(3);
	/* Three of five. */
	ck_assert_int_eq(force("45", &list, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "3 of 5 voters answer"));
	bed_pass(&bed, 3000);
	hear_from(2);
	ck_assert_int_eq(force("245", &list, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "region 2 answers"));
	ck_assert_int_eq(force("345", &list, &f), ERR_NONE);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	start_with(3, "DDDDD", "", true);
	/* Nobody but itself: of two that would remain it is not the majority. */
	ck_assert_int_eq(force("345", &list, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "only 1 of the 2"));
	ck_assert_int_eq(force("78", &list, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "none of the lost"));
	ck_assert_int_eq(force("12345", &list, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "region 1 answers"));
	ck_assert(!bed.storing);
	start_with(3, "DWW", "", true);
	hear_from(2);
	bed_pass(&bed, 3000);
	ck_assert_int_eq(force("23", &list, &f), ERR_NONE);
}
END_TEST

START_TEST(witnesses_alone_are_no_list)
{
	struct voter_list list;
	struct fault f;

	bed_release(&bed);
	bed = (struct bed){ .now = { 1000000, 5000000 }, .options.proposed = bed_list(0, "WDD") };
	struct lease_record record = { .list = bed_list(3, "WDD") };
	bed_start(&bed, &record, NULL);
	ck_assert_int_eq(force("23", &list, &f), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.text, "nobody could be the primary"));
	ck_assert(!bed.storing);
}
END_TEST

START_TEST(a_forced_list_is_stored_with_a_number_of_its_region_and_room_for_epochs)
{
	struct voter_list pending = bed_list(4, "DDDD"), list;
	struct lease_record record = { .epoch = 0x102, .holder = 2, .list = bed_list(3, "DDD"), .pending = pending };
	struct fault f;

	bed_release(&bed);
	bed_start(&bed, &record, NULL);
	ck_assert_int_eq(force("23", &list, &f), ERR_NONE);
	ck_assert_uint_eq(list.number, (1u << 20) + (1u << 12));
	ck_assert_uint_eq(list.count, 1);
	ck_assert(voters_equal(&bed.stored.list, &list));
	ck_assert_uint_eq(bed.stored.pending.count, 0);
	ck_assert_uint_eq(bed.stored.epoch, 0x102);
	/* One at a time. */
	ck_assert_int_eq(force("23", &list, &f), ERR_UNAVAILABLE);
	bed_store(&bed, true, (struct position){ 0x102, 5 });
	ck_assert(bed_told(&bed, LEASE_EVENT_LIST_IN_EFFECT));
	ck_assert_uint_eq(lease_voters(bed.lease)->number, list.number);
	/* Alone, it asks itself for a promise as soon as it is free. */
	bed_pass(&bed, 5500);
	for (int i = 0; i < 4 && !bed.storing; i++) {
		bed_tick(&bed);
		bed_pass(&bed, 300);
	}
	ck_assert(bed.storing);
	ck_assert_uint_gt(bed.promise >> 8, 1024);
}
END_TEST

START_TEST(one_that_remains_goes_on_and_those_that_come_back_count_for_nothing)
{
	uint32_t h = found(3, 0), left = (h + 1) % 3;
	struct voter_set lost = { 0 };
	struct voter_list list;
	struct fault f = { 0 };

	for (uint32_t i = 0; i < 3; i++) {
		if (i == left)
			continue;
		fleet_crash(fleet, i);
		voter_set_add(&lost, fleet->regions[i].id);
	}
	struct fleet_region *r = &fleet->regions[left];
	ck_assert_int_lt(fleet_run_to_holder(fleet, 20000), 0);
	ck_assert_msg(lease_force_list(r->lease, fleet_clock(fleet, r), &lost, &list, &fleet->out, &f) == ERR_NONE, "%s", f.text);
	fleet_act(fleet, r);
	ck_assert_int_eq(fleet_run_to_holder(fleet, 9000), (int)left);
	/* A majority of what was. */
	for (uint32_t i = 0; i < 3; i++)
		if (i != left)
			fleet_start(fleet, i);
	fleet_run(fleet, fleet->now + 20000);
	ck_assert_int_eq(fleet_holder(fleet), (int)left);
	ck_assert_uint_eq(fleet->epoch_count, 2);
	ck_assert_uint_ge(fleet->excluded, 2);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(lease_voters(fleet->regions[i].lease)->number, list.number);
	fleet_crash(fleet, left);
	ck_assert_int_lt(fleet_run_to_holder(fleet, 20000), 0);
	check_fleet();
}
END_TEST

START_TEST(a_region_that_was_expelled_is_not_elected_with_a_witness)
{
	uint32_t h = found(2, 1), other = 1 - h;
	struct fleet_region *r = &fleet->regions[h];
	struct voter_list next = *lease_voters(r->lease);
	struct fault f;

	/* What the primary truncates from here the other one never gets. */
	for (uint32_t i = 0; i < 3; i++)
		fleet->cut[i][other] = fleet->cut[other][i] = true;
	fleet_run(fleet, fleet->now + 5000);
	next.number++;
	next.count = 0;
	for (uint32_t i = 0; i < 3; i++)
		if (i != other)
			next.members[next.count++] = lease_voters(r->lease)->members[i];
	ck_assert_int_eq(lease_propose(r->lease, fleet_clock(fleet, r), &next, &fleet->out, &f), ERR_NONE);
	fleet_act(fleet, r);
	fleet_run(fleet, fleet->now + 5000);
	ck_assert_uint_eq(lease_voters(fleet->regions[2].lease)->count, 2);
	ck_assert_int_eq(fleet_holder(fleet), (int)h);
	fleet_crash(fleet, h);
	memset(fleet->cut, 0, sizeof(fleet->cut));
	ck_assert_int_lt(fleet_run_to_holder(fleet, 30000), 0);
	ck_assert_uint_gt(fleet->excluded, 0);
	fleet_start(fleet, h);
	ck_assert_int_eq(fleet_run_to_holder(fleet, 15000), (int)h);
	check_fleet();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_member");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_region_outside_the_list_greets_its_members_once_in_a_renewal);
	tcase_add_test(t, a_member_greets_those_known_that_are_silent_and_is_woken_for_it);
	tcase_add_test(t, whoever_has_an_older_list_is_greeted_with_the_newer);
	tcase_add_test(t, a_list_in_effect_is_taken_over_from_a_stranger_that_greets_or_is_greeted);
	tcase_add_test(t, another_store_is_told_once_and_shown);
	tcase_add_test(t, a_region_whose_store_was_replaced_asks_to_be_put_in_again);
	tcase_add_test(t, a_region_that_a_member_calls_put_back_is_not_fit);
	tcase_add_test(t, a_region_that_an_operator_names_stands_before_those_with_more);
	tcase_add_test(t, an_operators_order_lapses);
	tcase_add_test(t, an_operators_order_does_not_free_a_voter);
	tcase_add_test(t, a_region_that_is_held_back_votes_and_does_not_stand);
	tcase_add_test(t, what_a_promotion_may_lose_is_known_before_and_after);
	tcase_add_test(t, a_region_that_may_not_be_the_primary_is_refused_by_reason);
	tcase_add_test(t, a_list_is_forced_only_when_it_must_and_can_be);
	tcase_add_test(t, witnesses_alone_are_no_list);
	tcase_add_test(t, a_forced_list_is_stored_with_a_number_of_its_region_and_room_for_epochs);
	tcase_add_test(t, one_that_remains_goes_on_and_those_that_come_back_count_for_nothing);
	tcase_add_test(t, a_region_that_was_expelled_is_not_elected_with_a_witness);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
