/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undo records: what is read is what was written, and damage is noticed.
 */
#include "replicator/undo.h"

#include <check.h>
#include <string.h>

static struct store *store;
static struct arena arena;
static struct store_txn *txn;

static void set_up(void)
{
	ck_assert_int_eq(store_mem_new(&store), ERR_NONE);
	ck_assert_int_eq(store->ops->begin(store, true, &txn), ERR_NONE);
	arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
	store->ops->abort(txn);
	store->ops->close(store);
	arena_release(&arena);
}

static uint32_t given_up[] = { 0, 3 };
static struct undo_entry entries[] = {
	{ .at = 2, .unchanged = true },
	{ .at = 5, .row = { (const uint8_t *)"row five", 8 }, .given_up = given_up, .given_up_count = 2 },
	{ .at = 6, .row = { (const uint8_t *)"", 0 } },
};
static const struct undo rows = { .incarnation = { 77, 3 }, .entries = entries, .entry_count = 3 };
static const struct undo created = { .incarnation = { 78, 3 }, .catalog_record = { (const uint8_t *)"", 0 } };
static const struct undo updated = { .incarnation = { 78, 3 }, .catalog_record = { (const uint8_t *)"rec", 3 } };

static const struct undo decided = { .incarnation = { 78, 3 },
				     .orphans = { { { 0, { 257, 9 }, 7 }, { (const uint8_t *)"was open", 8 } },
						  { { 0, { 256, 1 }, UINT64_MAX }, { (const uint8_t *)"", 0 } } },
				     .orphan_count = 2,
				     .entries = entries,
				     .entry_count = 3 };

static void check_same_orphans(const struct undo *a, const struct undo *b)
{
	ck_assert_uint_eq(a->orphan_count, b->orphan_count);
	for (uint32_t i = 0; i < a->orphan_count; i++) {
		ck_assert_int_eq(orphan_id_compare(&a->orphans[i].id, &b->orphans[i].id), 0);
		ck_assert_uint_eq(a->orphans[i].record.len, b->orphans[i].record.len);
		if (a->orphans[i].record.len > 0)
			ck_assert_mem_eq(a->orphans[i].record.data, b->orphans[i].record.data, a->orphans[i].record.len);
	}
}

static void check_same(const struct undo *a, const struct undo *b)
{
	ck_assert_uint_eq(a->incarnation.hlc, b->incarnation.hlc);
	ck_assert_uint_eq(a->incarnation.region, b->incarnation.region);
	ck_assert_int_eq(a->catalog_record.data != NULL, b->catalog_record.data != NULL);
	ck_assert_uint_eq(a->catalog_record.len, b->catalog_record.len);
	check_same_orphans(a, b);
	ck_assert_uint_eq(a->entry_count, b->entry_count);
	for (uint32_t i = 0; i < a->entry_count; i++) {
		const struct undo_entry *x = &a->entries[i];
		const struct undo_entry *y = &b->entries[i];
		ck_assert_uint_eq(x->at, y->at);
		ck_assert_int_eq(x->unchanged, y->unchanged);
		ck_assert_uint_eq(x->row.len, y->row.len);
		if (x->row.len > 0)
			ck_assert_mem_eq(x->row.data, y->row.data, x->row.len);
		ck_assert_uint_eq(x->given_up_count, y->given_up_count);
		for (uint32_t k = 0; k < x->given_up_count; k++)
			ck_assert_uint_eq(x->given_up[k], y->given_up[k]);
	}
}

START_TEST(every_change_of_a_record_is_noticed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct undo u;

	ck_assert_int_eq(undo_encode(&rows, &b), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x20;
		ck_assert_int_eq(undo_decode(buf_bytes(&b), &arena, &u), ERR_CORRUPT);
		b.data[i] ^= 0x20;
		ck_assert_int_eq(undo_decode((struct bytes){ b.data, i }, &arena, &u), ERR_CORRUPT);
	}
	ck_assert_int_eq(undo_decode(buf_bytes(&b), &arena, &u), ERR_NONE);
}
END_TEST

START_TEST(a_record_is_read_as_it_was_written)
{
	static const struct undo *const all[] = { &rows, &created, &updated, &decided };

	for (size_t i = 0; i < LEN(all); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
		struct undo u;
		ck_assert_int_eq(undo_encode(all[i], &b), ERR_NONE);
		ck_assert_int_eq(undo_decode(buf_bytes(&b), &arena, &u), ERR_NONE);
		check_same(&u, all[i]);
	}
}
END_TEST

static enum err collect(void *ctx, struct position p, const struct undo *u)
{
	struct position *last = ctx;

	(void)u;
	ck_assert_int_gt(position_compare(p, *last), 0);
	*last = p;
	return ERR_NONE;
}

START_TEST(records_are_found_in_the_order_of_their_positions_and_by_scope)
{
	static const struct position at[] = { { 257, 9 }, { 257, 300 }, { 513, 1 } };
	struct position last = { 0 };
	struct position first;
	struct undo u;

	for (size_t i = LEN(at); i > 0; i--)
		ck_assert_int_eq(undo_put(store, txn, SCOPE_FLEET, at[i - 1], &rows), ERR_NONE);
	ck_assert_int_eq(undo_put(store, txn, SCOPE_MULTI, (struct position){ 1, 1 }, &updated), ERR_NONE);
	ck_assert_int_eq(undo_each(store, txn, SCOPE_FLEET, collect, &last), ERR_NONE);
	ck_assert_int_eq(position_compare(last, at[2]), 0);
	for (size_t i = 0; i < LEN(at); i++) {
		ck_assert_int_eq(undo_first(store, txn, SCOPE_FLEET, &arena, &first, &u), ERR_NONE);
		ck_assert_int_eq(position_compare(first, at[i]), 0);
		check_same(&u, &rows);
		ck_assert_int_eq(undo_remove(store, txn, SCOPE_FLEET, at[i]), ERR_NONE);
		ck_assert_int_eq(undo_get(store, txn, SCOPE_FLEET, at[i], &arena, &u), ERR_NOT_FOUND);
		ck_assert_int_eq(undo_remove(store, txn, SCOPE_FLEET, at[i]), ERR_NONE);
	}
	ck_assert_int_eq(undo_first(store, txn, SCOPE_FLEET, &arena, &first, &u), ERR_NOT_FOUND);
	ck_assert_int_eq(undo_get(store, txn, SCOPE_MULTI, (struct position){ 1, 1 }, &arena, &u), ERR_NONE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("undo");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, every_change_of_a_record_is_noticed);
	tcase_add_test(t, a_record_is_read_as_it_was_written);
	tcase_add_test(t, records_are_found_in_the_order_of_their_positions_and_by_scope);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
