/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions that elect their primary, whole and with their threads: see elect_bed.h.
 */
#include "replicator/orphan.h"
#include "tests/replicator/elect_bed.h"

static bool writes_no_more(struct fleet *f, uint64_t number)
{
	return !fleet_writes(f, number);
}

START_TEST(fleet_elects_a_primary_and_stores_its_voters)
{
	uint32_t writer = begin();
	struct lease_run_state s;

	fleet_upsert(&fleet, writer, 1, 100);
	ck_assert(replicator_lease_state(fleet.regions[writer].replicator, &s));
	ck_assert(s.begun && s.epoch >> 8 >= 1 && (s.epoch & 0xff) == writer + 1);
	ck_assert_uint_eq(s.voters.count, FLEET_REGIONS);
	fleet_check_equal(&fleet, writer);
}
END_TEST

START_TEST(another_region_takes_over_from_a_dead_primary_with_all_that_was_confirmed)
{
	uint32_t first = begin();

	for (uint64_t i = 0; i < 20; i++) {
		struct fleet_answer a = fleet_submit(&fleet, first, upsert_of(region(first), "c", 1 + 10 * i, 10), ACK_CONFIRMED,
						     10000);
		ck_assert_msg(!a.err && a.reached == ACK_CONFIRMED, "%s", a.fault.text);
	}
	fleet_stop(&fleet, first);
	uint32_t second = writer_of(first);
	ck_assert_uint_eq(count_points(region(second), "c"), 200);
	fleet_upsert(&fleet, second, 1001, 10);
	fleet_start(&fleet, first);
	fleet_check_equal(&fleet, second);
	ck_assert_uint_eq(count_points(region(first), "c"), 210);
}
END_TEST

START_TEST(primary_that_reaches_nobody_stops_and_follows_when_it_is_back)
{
	uint32_t first = begin();

	fleet_upsert(&fleet, first, 1, 10);
	fleet_check_equal(&fleet, first);
	cut(first, true);
	uint32_t second = writer_of(first);
	fleet_wait(&fleet, writes_no_more, first);
	struct fleet_answer a = fleet_submit(&fleet, first, upsert_of(region(first), "c", 500, 1), ACK_VISIBLE, 0);
	ck_assert_int_eq(a.err, ERR_NOT_PRIMARY);
	ck_assert(replicator_staleness_seconds(fleet.regions[first].replicator) > 0);
	fleet_upsert(&fleet, second, 11, 10);
	cut(first, false);
	fleet_check_equal(&fleet, second);
}
END_TEST

static bool is_with_the_others(struct fleet *f, uint64_t number)
{
	return !fleet_state(f, (uint32_t)number).applier.aside;
}

static bool lists_orphans(struct fleet *f, uint64_t count)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		struct orphan_totals t = fleet_state(f, i).commit.orphans;
		if (t.count[ORPHAN_LOCAL] != 0 || t.count[ORPHAN_OPEN] != count)
			return false;
	}
	return true;
}

START_TEST(strong_writes_are_refused_by_a_primary_that_reaches_no_majority)
{
	uint32_t first = begin_with(/* streams: */ false);

	fleet_check_equal(&fleet, first);
	cut(first, true);
	struct fleet_answer a = fleet_submit(&fleet, first, upsert_of(region(first), "c", 1, 1), ACK_CONFIRMED, 3000);
	ck_assert(a.err != ERR_NONE || a.reached < ACK_CONFIRMED);
	uint32_t second = writer_of(first);
	a = fleet_submit(&fleet, second, upsert_of(region(second), "c", 2, 1), ACK_CONFIRMED, 10000);
	ck_assert_msg(!a.err && a.reached == ACK_CONFIRMED, "%s", a.fault.text);
	cut(first, false);
	fleet_check_equal(&fleet, second);
	ck_assert_uint_eq(count_points(region(first), "c"), 1);
}
END_TEST

/* Its lease lasts on for a moment: what it acknowledges then nobody else has. Twice, so that who took back writes again. */
START_TEST(what_a_primary_wrote_while_it_was_cut_off_is_kept_as_orphans)
{
	uint32_t writer = begin_with(/* streams: */ false);
	uint32_t acknowledged[FLEET_REGIONS] = { 0 };

	for (uint64_t n = 1; n <= 2; n++) {
		struct session s = { 0 };
		struct fault fault = { 0 };
		uint32_t cut_off = writer;
		fleet_upsert(&fleet, cut_off, 1, 10);
		fleet_check_equal(&fleet, cut_off);
		cut(cut_off, true);
		for (uint64_t id = 5; id < 8; id++)
			acknowledged[cut_off] += fleet_submit(&fleet, cut_off, upsert_of(region(cut_off), "c", 1000 * n + id, 1),
							      ACK_VISIBLE, 0)
							 .err == ERR_NONE;
		ck_assert_uint_gt(acknowledged[cut_off], 0);
		replicator_session(fleet.regions[cut_off].replicator, &s);
		writer = writer_of(cut_off);
		fleet_upsert(&fleet, writer, 11, 10);
		cut(cut_off, false);
		fleet_check_equal(&fleet, writer);
		fleet_wait(&fleet, is_with_the_others, cut_off);
		fleet_wait(&fleet, lists_orphans, acknowledged[0] + acknowledged[1] + acknowledged[2]);
		ck_assert_int_eq(replicator_find_session(fleet.regions[cut_off].replicator, &s, FLEET_WAIT_MS, &fault),
				 ERR_SESSION_ORPHANED);
		ck_assert_uint_eq(count_points(region(cut_off), "c"), 20);
	}
}
END_TEST

/* Its writes were acknowledged, but for nothing that a region cut off could promise. */
START_TEST(what_a_primary_wrote_while_it_was_cut_off_is_listed_everywhere_and_can_be_applied)
{
	uint32_t first = begin_with(false);
	fleet_upsert(&fleet, first, 1, 10);
	fleet_check_equal(&fleet, first);
	cut(first, true);
	fleet_upsert(&fleet, first, 100, 10);
	fleet_write_well(&fleet, first, set_payload_of(region(first), "c", 1, "k", 5));
	uint32_t second = writer_of(first);
	fleet_write_well(&fleet, second, set_payload_of(region(second), "c", 1, "k", 6));
	cut(first, false);
	fleet_wait(&fleet, lists_orphans, 2);
	fleet_check_equal(&fleet, second);
	ck_assert_uint_eq(count_points(region(first), "c"), 10);

	struct orphan_verdict v[2] = { { .apply = true }, { .apply = true } };
	struct orphan_decision d = { .items = v, .count = 2 };
	struct fault f = { 0 };
	struct store *s = region(second)->store;
	struct orphan o, last;
	struct store_txn *t;
	ck_assert_int_eq(s->ops->begin(s, false, &t), ERR_NONE);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_int_eq(orphan_next(s, t, i ? &last : NULL, &region(second)->arena, &o), ERR_NONE);
		v[i].id = o.id;
		last = o;
	}
	s->ops->abort(t);
	ck_assert_msg(!committer_decide_orphans(region(second)->committer, &d, &f), "%s", f.text);
	ck_assert_uint_eq(d.done, 2);
	fleet_check_equal(&fleet, second);
	ck_assert_uint_eq(count_points(region(first), "c"), 20);
	ck_assert_int_eq(payload_number(region(first), "c", 1, "k"), 6);
}
END_TEST

START_TEST(switchover_by_the_lease_goes_to_the_region_that_was_named)
{
	uint32_t first = begin();
	struct switchover_report report;
	struct fault fault = { 0 };

	for (uint32_t i = 1; i <= 4; i++) {
		uint32_t to = (first + i) % FLEET_REGIONS;
		uint32_t from = (first + i - 1) % FLEET_REGIONS;
		ck_assert_msg(!replicator_switchover(fleet.regions[from].replicator, (uint8_t)(to + 1), 10000, &report, &fault),
			      "%s", fault.text);
		fleet_wait(&fleet, fleet_writes, to);
		fleet_upsert(&fleet, to, 100 * i, 10);
	}
	fleet_check_equal(&fleet, (first + 4) % FLEET_REGIONS);
	ck_assert_uint_eq(count_points(region(first), "c"), 40);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		fleet_elects_a_primary_and_stores_its_voters,
		another_region_takes_over_from_a_dead_primary_with_all_that_was_confirmed,
		primary_that_reaches_nobody_stops_and_follows_when_it_is_back,
		strong_writes_are_refused_by_a_primary_that_reaches_no_majority,
		what_a_primary_wrote_while_it_was_cut_off_is_kept_as_orphans,
		what_a_primary_wrote_while_it_was_cut_off_is_listed_everywhere_and_can_be_applied,
		switchover_by_the_lease_goes_to_the_region_that_was_named,
	};
	Suite *s = suite_create("failover");
	TCase *t = tcase_create("whole regions");

	tcase_add_checked_fixture(t, NULL, tear_down);
	tcase_set_timeout(t, 120);
	for (size_t i = 0; i < LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
