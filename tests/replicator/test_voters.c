/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Voter lists: which are refused, which may follow which, what they are in bytes.
 */
#include "replicator/voters.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* "DDW": two data voters and a witness, regions 1, 2, 3; their stores are their region's id all through. */
static struct voter_list list_of(uint64_t number, const char *roles)
{
	struct voter_list l = { .number = number };

	for (; roles[l.count] != '\0'; l.count++) {
		struct voter *v = &l.members[l.count];

		v->region = (uint8_t)(l.count + 1);
		v->data = roles[l.count] == 'D';
		if (number > 0)
			memset(v->store_id, v->region, STORE_ID_BYTES);
	}
	return l;
}

START_TEST(fewer_data_voters_than_a_majority_of_all_are_refused)
{
	const struct {
		const char *roles;
		bool holds;
	} rows[] = {
		{ "D", true },	   { "W", false },     { "DD", true },	  { "DW", false },  { "DDD", true },
		{ "DDW", true },   { "DWW", false },   { "DDDD", true },  { "DDDW", true }, { "DDWW", false },
		{ "DDDWW", true }, { "DDWWW", false }, { "DDDDD", true }, { "", false },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct voter_list l = list_of(0, rows[i].roles);
		struct fault f = { 0 };
		enum err err = voters_check(&l, &f);

		ck_assert_msg((err == ERR_NONE) == rows[i].holds, "%s", rows[i].roles);
		ck_assert_msg((f.text[0] == '\0') == rows[i].holds, "%s", rows[i].roles);
	}
}
END_TEST

START_TEST(members_are_named_once_in_order_and_with_their_stores)
{
	struct voter_list l = list_of(1, "DDD");
	l.members[1].region = 1;
	ck_assert_int_eq(voters_check(&l, NULL), ERR_CONFIG);
	l = list_of(1, "DDD");
	l.members[0].region = 0;
	ck_assert_int_eq(voters_check(&l, NULL), ERR_CONFIG);
	l = list_of(1, "DDD");
	memset(l.members[2].store_id, 0, STORE_ID_BYTES);
	ck_assert_int_eq(voters_check(&l, NULL), ERR_CONFIG);
	l = list_of(0, "DDD"); /* of the configuration, which knows no stores */
	ck_assert_int_eq(voters_check(&l, NULL), ERR_NONE);
	l.count = VOTERS_MAX + 1;
	ck_assert_int_eq(voters_check(&l, NULL), ERR_CONFIG);
}
END_TEST

START_TEST(a_list_changes_by_one_member_at_a_time)
{
	const struct voter_list three = list_of(4, "DDD");
	struct voter_list next = list_of(5, "DDDD");
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_NONE);
	next = list_of(5, "DD");
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_NONE);
	next = list_of(5, "DDDDD");
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_CONFIG);
	next = list_of(5, "DDD");
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_CONFIG);
	next.members[2].region = 9; /* one for another: two majorities that need not meet */
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_CONFIG);
	next = list_of(5, "DDD");
	next.members[2].store_id[0] = 77; /* a wiped store is another member */
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_CONFIG);
	next = list_of(5, "DDW");
	ck_assert_int_eq(voters_check_change(&three, &next, NULL), ERR_CONFIG);
}
END_TEST

START_TEST(data_voters_become_fewer_than_a_majority_only_by_taking_one_out)
{
	const struct {
		const char *now, *next;
		bool holds;
	} rows[] = {
		{ "DWD", "DW", true },	 { "WWDD", "WWD", true }, { "DW", "D", true },	  { "D", "DW", false },
		{ "DDW", "DDWW", false }, { "DW", "DWD", true },  { "WD", "W", false }, { "DW", "DWW", false },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct voter_list now = list_of(4, rows[i].now), next = list_of(5, rows[i].next);

		ck_assert_msg((voters_check_change(&now, &next, NULL) == ERR_NONE) == rows[i].holds, "row %zu", i);
	}
	struct voter_list two = list_of(4, "DDW");
	ck_assert_uint_eq(voters_data(&two), 2);
}
END_TEST

START_TEST(a_list_follows_the_one_before_it)
{
	const struct voter_list three = list_of(4, "DDD");

	for (uint64_t number = 3; number <= 6; number++) {
		struct voter_list next = list_of(number, "DDDD");
		ck_assert_int_eq(voters_check_change(&three, &next, NULL), number == 5 ? ERR_NONE : ERR_CONFIG);
	}
}
END_TEST

START_TEST(the_stores_of_the_first_list_are_learnt_all_at_once)
{
	const struct voter_list zero = list_of(0, "DDW");
	struct voter_list one = list_of(1, "DDW");
	ck_assert_int_eq(voters_check_change(&zero, &one, NULL), ERR_NONE);
	one = list_of(1, "DDWD");
	ck_assert_int_eq(voters_check_change(&zero, &one, NULL), ERR_CONFIG);
	one = list_of(1, "DDD");
	ck_assert_int_eq(voters_check_change(&zero, &one, NULL), ERR_CONFIG);
}
END_TEST

START_TEST(a_member_is_its_region_with_its_store)
{
	uint8_t other[STORE_ID_BYTES] = { 1 };
	struct voter_list l = list_of(1, "DDD");

	ck_assert_ptr_eq(voters_find_store(&l, 2, l.members[1].store_id), &l.members[1]);
	ck_assert_ptr_null(voters_find_store(&l, 2, other));
	ck_assert_ptr_null(voters_find_store(&l, 4, l.members[1].store_id));
	l = list_of(0, "DDD");
	ck_assert_ptr_eq(voters_find_store(&l, 2, other), &l.members[1]);
}
END_TEST

START_TEST(a_member_is_put_in_and_taken_out_in_order)
{
	struct voter_list l = list_of(4, "DDD"), next;
	struct voter two = l.members[1];

	ck_assert_int_eq(voters_without(&l, 2, &next), ERR_NONE);
	ck_assert_uint_eq(next.number, 5);
	ck_assert_uint_eq(next.count, 2);
	ck_assert_uint_eq(next.members[1].region, 3);
	ck_assert_int_eq(voters_check_change(&l, &next, NULL), ERR_NONE);
	ck_assert_int_eq(voters_without(&next, 2, &next), ERR_NOT_FOUND);
	ck_assert_int_eq(voters_with(&next, &two, &l), ERR_NONE);
	ck_assert_uint_eq(l.number, 6);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(l.members[i].region, i + 1);
	ck_assert_int_eq(voters_check_change(&next, &l, NULL), ERR_NONE);
	ck_assert_int_eq(voters_with(&l, &two, &l), ERR_CONFIG);
	l = list_of(4, "DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD");
	two.region = 99;
	ck_assert_int_eq(voters_with(&l, &two, &l), ERR_CONFIG);
}
END_TEST

START_TEST(members_of_a_set_are_counted)
{
	const struct voter_list l = list_of(1, "DDDDD");
	struct voter_set s = { 0 };

	voter_set_add(&s, 2);
	voter_set_add(&s, 5);
	voter_set_add(&s, 255);
	ck_assert(voter_set_has(&s, 255));
	ck_assert(!voter_set_has(&s, 254));
	ck_assert_uint_eq(voters_count_in(&l, &s), 2);
	ck_assert_uint_eq(voters_majority(&l), 3);
}
END_TEST

START_TEST(a_list_has_these_bytes)
{
	struct voter_list l = list_of(300, "DW"), back;
	const uint8_t expected[] = { 2,	   0xac, 0x02, 0x07, 1,	   1,	 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
				     1,	   1,	 2,    0,    2,	   2,	 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);

	l.epoch = 7;
	voters_put(&l, &b);
	ck_assert_uint_eq(b.len, sizeof(expected));
	ck_assert_mem_eq(b.data, expected, sizeof(expected));
	/* Nobody could be the primary. */
	ck_assert_uint_eq(b.data[5], 1);
	b.data[5] = 0;
	struct wire_reader r = wire_reader_of(b.data, b.len);
	voters_get(&r, &back);
	ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
}
END_TEST

START_TEST(a_list_comes_back_and_a_broken_one_does_not)
{
	struct voter_list l = list_of(3, "DDDDD"), back = { 0 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);

	l.epoch = 513;
	voters_put(&l, &b);
	struct wire_reader r = wire_reader_of(b.data, b.len);
	voters_get(&r, &back);
	ck_assert_int_eq(wire_done(&r), ERR_NONE);
	ck_assert(voters_equal(&l, &back));
	for (size_t len = 0; len < b.len; len++) {
		r = wire_reader_of(b.data, len);
		voters_get(&r, &back);
		ck_assert_msg(wire_done(&r) == ERR_CORRUPT || len == 0, "%zu bytes", len);
	}
	b.data[0] = VOTERS_MAX + 1;
	r = wire_reader_of(b.data, b.len);
	voters_get(&r, &back);
	ck_assert_int_eq(wire_done(&r), ERR_CORRUPT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("voters");
	TCase *t = tcase_create("voters");
	tcase_add_test(t, fewer_data_voters_than_a_majority_of_all_are_refused);
	tcase_add_test(t, members_are_named_once_in_order_and_with_their_stores);
	tcase_add_test(t, a_list_changes_by_one_member_at_a_time);
	tcase_add_test(t, data_voters_become_fewer_than_a_majority_only_by_taking_one_out);
	tcase_add_test(t, a_list_follows_the_one_before_it);
	tcase_add_test(t, the_stores_of_the_first_list_are_learnt_all_at_once);
	tcase_add_test(t, a_member_is_its_region_with_its_store);
	tcase_add_test(t, a_member_is_put_in_and_taken_out_in_order);
	tcase_add_test(t, members_of_a_set_are_counted);
	tcase_add_test(t, a_list_has_these_bytes);
	tcase_add_test(t, a_list_comes_back_and_a_broken_one_does_not);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
