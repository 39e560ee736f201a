/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who counts, and changes of the voter list, by whole regions.
 */
#include "tests/replicator/elect_bed.h"

static enum err change(uint32_t at, enum voters_change what, uint32_t number, const char *words)
{
	struct fault f = { 0 };
	uint64_t list = 0;
	enum err err = replicator_change_voters(replicator(at), what, (uint8_t)(number + 1), 8000, &list, &f);

	ck_assert_msg(words == NULL ? err == ERR_NONE : strstr(f.text, words) != NULL, "%s: %s", err_name(err), f.text);
	if (err == ERR_NONE)
		ck_assert_uint_eq(list, list_number(at));
	return err;
}

static enum ack_level reached(uint32_t writer, uint64_t id, uint64_t timeout_ms)
{
	return fleet_submit(&fleet, writer, upsert_of(region(writer), "c", id, 1), ACK_CONFIRMED, timeout_ms).reached;
}

START_TEST(a_region_that_was_taken_out_is_not_ready_and_acknowledges_nothing)
{
	uint32_t writer = begin(), out = (writer + 1) % FLEET_REGIONS, other = (writer + 2) % FLEET_REGIONS;

	ck_assert_int_eq(change(out, VOTERS_REMOVE, other, "not the primary"), ERR_NOT_PRIMARY);
	ck_assert_int_eq(change(writer, VOTERS_REMOVE, writer, "is the primary: hand over first"), ERR_BAD_INPUT);
	ck_assert_int_eq(change(writer, VOTERS_REMOVE, out, NULL), ERR_NONE);
	fleet_wait(&fleet, is_barred, out);
	struct region_set members = peers_members(replicator_peers(replicator(writer)));
	ck_assert(region_set_count(&members) == 2 && !region_set_has(&members, (uint8_t)(out + 1)));
	/* Now both that are left have to have it. */
	ck_assert_int_eq(reached(writer, 1, 10000), ACK_CONFIRMED);
	fleet_stop(&fleet, other);
	ck_assert_int_ne(reached(writer, 2, 300), ACK_CONFIRMED);
	fleet_start(&fleet, other);
	writer = writer_of(FLEET_REGIONS);
	ck_assert_uint_ne(writer, out);
	/* Taken out twice is taken out; put in, it counts. */
	ck_assert_int_eq(change(writer, VOTERS_REMOVE, out, NULL), ERR_NONE);
	ck_assert_int_eq(change(writer, VOTERS_ADD, out, NULL), ERR_NONE);
	fleet_wait(&fleet, is_ready, out);
	ck_assert_int_eq(change(writer, VOTERS_ADD, out, NULL), ERR_NONE);
	ck_assert_uint_eq(list_number(writer), 3);
	fleet_check_equal(&fleet, writer);
}
END_TEST

START_TEST(whoever_does_not_answer_is_expelled_and_not_added)
{
	uint32_t writer = begin(), gone = (writer + 1) % FLEET_REGIONS, other = (writer + 2) % FLEET_REGIONS;

	fleet_stop(&fleet, gone);
	wait_silent(writer, gone);
	ck_assert_int_eq(change(writer, VOTERS_REMOVE, gone, "isthmusctl region expel"), ERR_UNAVAILABLE);
	ck_assert_int_eq(change(writer, VOTERS_EXPEL, other, "would stop writing"), ERR_UNAVAILABLE);
	ck_assert_int_eq(change(writer, VOTERS_EXPEL, gone, NULL), ERR_NONE);
	ck_assert_int_eq(change(writer, VOTERS_ADD, gone, "was not heard lately"), ERR_UNAVAILABLE);
	fleet_start(&fleet, gone);
	fleet_wait(&fleet, is_barred, gone);
	struct lease_member m = seen(writer, gone);
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024);
	struct lease_look look;
	ck_assert_int_eq(replicator_voters(replicator(writer), &look, NULL), ERR_NONE);
	ck_assert(!replicator_member_words(replicator(writer), &look, &m, &words));
	ck_assert_ptr_nonnull(memmem(words.data, words.len, "isthmusctl region add", 21));
	ck_assert_uint_eq(list_number(writer), 2);
}
END_TEST

/* As in is_silent(). */
static bool is_stranger(struct fleet *f, uint64_t number)
{
	(void)f;
	return seen((uint32_t)number / 8, (uint32_t)number % 8).judged == LEASE_ANSWER_NO_MEMBER;
}

static bool has_list_three(struct fleet *f, uint64_t number)
{
	(void)f;
	return list_number((uint32_t)number) >= 3;
}

START_TEST(a_replaced_store_is_taken_in_by_itself_once_it_is_level)
{
	uint32_t writer = begin(), wiped = (writer + 1) % FLEET_REGIONS;

	fleet_upsert(&fleet, writer, 1, 100);
	fleet_stop(&fleet, wiped);
	fleet_wipe(&fleet, wiped);
	/* It cannot fetch what it lacks, and stays outside. */
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[wiped].cut_log[i], true);
	fleet.regions[wiped].no_stream = true;
	fleet_start(&fleet, wiped);
	fleet_wait(&fleet, is_stranger, writer * 8 + wiped);
	fleet_wait(&fleet, is_barred, wiped);
	ck_assert_uint_eq(list_number(writer), 1);
	ck_assert_int_eq(change(writer, VOTERS_ADD, wiped, "region "), ERR_UNAVAILABLE);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		atomic_store(&fleet.regions[wiped].cut_log[i], false);
	fleet_wait(&fleet, has_list_three, wiped);
	fleet_wait(&fleet, is_ready, wiped);
	struct lease_member m = seen(writer, wiped);
	ck_assert(m.listed && memcmp(m.voter.store_id, m.identity.store_id, STORE_ID_BYTES) == 0);
	fleet_check_equal(&fleet, writer);
}
END_TEST

START_TEST(where_only_one_can_be_the_primary_its_own_position_counts_as_confirmed_but_nothing_is_strong)
{
	fleet_new(&fleet);
	fleet.failover = true;
	fleet.witness = 2;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(&fleet, i);
	uint32_t writer = writer_of(FLEET_REGIONS), other = 1 - writer;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_wait(&fleet, has_list_one, i);
	fleet_write_well(&fleet, writer, create_of(region(writer), "c", DISTANCE_DOT));
	fleet_stop(&fleet, other);
	wait_silent(writer, other);
	ck_assert_int_ne(reached(writer, 1, 300), ACK_CONFIRMED);
	ck_assert_int_lt(position_compare(fleet_state(&fleet, writer).confirmed, fleet_state(&fleet, writer).commit.position), 0);
	ck_assert_int_eq(change(writer, VOTERS_EXPEL, other, NULL), ERR_NONE);
	ck_assert_int_ne(reached(writer, 2, 300), ACK_CONFIRMED);
	ck_assert_int_eq(position_compare(fleet_state(&fleet, writer).confirmed, fleet_state(&fleet, writer).commit.position), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_region_that_was_taken_out_is_not_ready_and_acknowledges_nothing,
		whoever_does_not_answer_is_expelled_and_not_added,
		a_replaced_store_is_taken_in_by_itself_once_it_is_level,
		where_only_one_can_be_the_primary_its_own_position_counts_as_confirmed_but_nothing_is_strong,
	};
	Suite *s = suite_create("replicator_voters");
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
