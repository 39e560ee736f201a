/* SPDX-License-Identifier: Apache-2.0 */
#include "index/alias.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct alias items_ab[] = { { .name = { "a", 1 }, .target = { .hlc = 0x0102, .region = 7 } },
				   { .name = { "bb", 2 }, .target = { .hlc = 9, .region = 1 } } };
static const struct alias_list list_ab = { items_ab, 2 };

START_TEST(damaged_cut_or_foreign_records_are_refused)
{
	struct buf b = BUF_INIT(1000);
	struct alias_list l;

	ck_assert_int_eq(alias_list_put(&b, &list_ab), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x21;
		ck_assert_int_eq(alias_list_get(buf_bytes(&b), &arena, &l), ERR_CORRUPT);
		b.data[i] ^= 0x21;
		if (i > 0)
			ck_assert_int_eq(alias_list_get((struct bytes){ b.data, i }, &arena, &l), ERR_CORRUPT);
	}
	ck_assert_int_eq(alias_list_get(buf_bytes(&b), &arena, &l), ERR_NONE);
	buf_release(&b);
}
END_TEST

START_TEST(names_that_are_twice_there_or_out_of_order_are_refused)
{
	static struct alias twice[] = { { .name = { "a", 1 }, .target = { .hlc = 1 } },
					{ .name = { "a", 1 }, .target = { .hlc = 2 } } };
	struct buf b = BUF_INIT(1000);
	struct alias_list l;

	alias_items_put(&b, &(struct alias_list){ twice, 2 });
	struct wire_reader r = wire_reader_of(b.data, b.len);
	ck_assert_int_eq(alias_items_get(&r, &arena, &l), ERR_CORRUPT);
	buf_release(&b);
}
END_TEST

START_TEST(a_record_has_the_documented_bytes)
{
	static const uint8_t expected[] = { 1, 2, 1, 'a', 0x02, 0x01, 0, 0, 0, 0, 0, 0, 7,
					    2, 'b', 'b', 9, 0, 0, 0, 0, 0, 0, 0, 1 };
	struct buf b = BUF_INIT(1000);

	ck_assert_int_eq(alias_list_put(&b, &list_ab), ERR_NONE);
	ck_assert_uint_eq(b.len, sizeof(expected) + 8);
	ck_assert_mem_eq(b.data, expected, sizeof(expected));
	buf_release(&b);
}
END_TEST

START_TEST(changes_add_replace_and_take_away)
{
	static struct alias changes[] = { { .name = { "", 0 }, .target = { .hlc = 5, .region = 1 } },
					  { .name = { "a", 1 } },
					  { .name = { "bb", 2 }, .target = { .hlc = 6, .region = 1 } },
					  { .name = { "c", 1 } } };
	struct alias_list l;

	ck_assert_int_eq(alias_list_change(&list_ab, &(struct alias_list){ changes, 4 }, &arena, &l), ERR_NONE);
	ck_assert_uint_eq(l.count, 2);
	ck_assert_uint_eq(alias_find(&l, STR(""))->target.hlc, 5);
	ck_assert_uint_eq(alias_find(&l, STR("bb"))->target.hlc, 6);
	ck_assert_ptr_null(alias_find(&l, STR("a")));
	ck_assert_ptr_null(alias_find(&l, STR("c")));
	/* It is another list. */
	ck_assert_uint_eq(alias_find(&list_ab, STR("bb"))->target.hlc, 9);
	ck_assert_ptr_ne(l.items[1].name.data, items_ab[1].name.data);
}
END_TEST

START_TEST(no_record_is_no_alias)
{
	struct alias_list l;

	ck_assert_int_eq(alias_list_get((struct bytes){ 0 }, &arena, &l), ERR_NONE);
	ck_assert_uint_eq(l.count, 0);
	ck_assert_ptr_null(alias_find(&l, STR("a")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("alias");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, damaged_cut_or_foreign_records_are_refused);
	tcase_add_test(t, names_that_are_twice_there_or_out_of_order_are_refused);
	tcase_add_test(t, a_record_has_the_documented_bytes);
	tcase_add_test(t, changes_add_replace_and_take_away);
	tcase_add_test(t, no_record_is_no_alias);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
