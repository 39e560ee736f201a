/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orphan store: ops are found again in order, whole, by group; damage is noticed; ids are what people say.
 */
#include "replicator/orphan.h"

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

static struct orphan orphan_of(enum orphan_state state, struct position p, uint64_t hash, const char *op)
{
	return (struct orphan){ .id = { SCOPE_FLEET, p, hash },
				.state = state,
				.listed = { 513, 4 },
				.decided = { 513, 9 },
				.decided_hlc = 77,
				.kind = OP_UPSERT,
				.hlc = 1234,
				.region = 3,
				.incarnation = { 99, 2 },
				.items = 300,
				.name = STR("name"),
				.op = { (const uint8_t *)op, strlen(op) } };
}

static void put(const struct orphan *o)
{
	ck_assert_int_eq(orphan_put(store, txn, o), ERR_NONE);
}

static void check_equal(const struct orphan *a, const struct orphan *b)
{
	ck_assert_int_eq(orphan_id_compare(&a->id, &b->id), 0);
	ck_assert_int_eq(a->state, b->state);
	ck_assert_int_eq(position_compare(a->listed, b->listed), 0);
	ck_assert_int_eq(position_compare(a->decided, b->decided), 0);
	ck_assert_uint_eq(a->decided_hlc, b->decided_hlc);
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert_uint_eq(a->hlc, b->hlc);
	ck_assert_uint_eq(a->region, b->region);
	ck_assert_uint_eq(a->incarnation.hlc, b->incarnation.hlc);
	ck_assert_uint_eq(a->incarnation.region, b->incarnation.region);
	ck_assert_uint_eq(a->items, b->items);
	ck_assert_uint_eq(a->name.len, b->name.len);
	ck_assert_mem_eq(a->name.data, b->name.data, a->name.len);
	ck_assert_uint_eq(a->op.len, b->op.len);
	if (a->op.len > 0)
		ck_assert_mem_eq(a->op.data, b->op.data, a->op.len);
}

START_TEST(a_damaged_record_is_told)
{
	struct orphan o = orphan_of(ORPHAN_LOCAL, (struct position){ 257, 2 }, 7, "an op");
	struct store_cursor *c;
	struct bytes key, value;
	uint8_t kept_key[64], kept[256];

	put(&o);
	ck_assert_int_eq(store->ops->cursor_open(txn, STORE_ORPHANS, &c), ERR_NONE);
	ck_assert_int_eq(store->ops->next(c, &key, &value), ERR_NONE);
	memcpy(kept_key, key.data, key.len);
	memcpy(kept, value.data, value.len);
	key.data = kept_key;
	value.data = kept;
	store->ops->cursor_close(c);
	for (size_t i = 0; i < value.len; i++) {
		kept[i] ^= 1;
		ck_assert_int_eq(store->ops->put(txn, STORE_ORPHANS, key, value), ERR_NONE);
		ck_assert_int_eq(orphan_next(store, txn, NULL, &arena, &o), ERR_CORRUPT);
		kept[i] ^= 1;
		ck_assert_int_eq(store->ops->put(txn, STORE_ORPHANS, key, (struct bytes){ kept, i }), ERR_NONE);
		ck_assert_int_eq(orphan_next(store, txn, NULL, &arena, &o), ERR_CORRUPT);
	}
}
END_TEST

START_TEST(orphans_come_by_group_and_in_order_and_are_counted)
{
	const struct orphan all[] = {
		orphan_of(ORPHAN_LOCAL, (struct position){ 257, 300 }, 1, "three hundred"),
		orphan_of(ORPHAN_LOCAL, (struct position){ 257, 300 }, 2, "another three hundred"),
		orphan_of(ORPHAN_OPEN, (struct position){ 257, 9 }, UINT64_MAX, "nine"),
		orphan_of(ORPHAN_OPEN, (struct position){ 513, 1 }, 0, "one"),
		orphan_of(ORPHAN_DROPPED, (struct position){ 256, 7 }, 7, ""),
		orphan_of(ORPHAN_APPLIED, (struct position){ 256, 8 }, 7, ""),
	};
	static const struct orphan_totals none;
	const struct orphan *after = NULL;
	struct orphan_totals totals;
	struct orphan o, last;

	for (size_t i = LEN(all); i > 0; i--)
		put(&all[i - 1]);
	/* Taken back once more, it is still one. */
	put(&all[1]);
	for (size_t i = 0; i < LEN(all); i++) {
		ck_assert_int_eq(orphan_next(store, txn, after, &arena, &o), ERR_NONE);
		check_equal(&o, &all[i]);
		last = o;
		after = &last;
	}
	ck_assert_int_eq(orphan_next(store, txn, after, &arena, &o), ERR_NOT_FOUND);
	ck_assert_int_eq(orphan_count(store, txn, &totals), ERR_NONE);
	ck_assert_uint_eq(totals.count[ORPHAN_LOCAL], 2);
	ck_assert_uint_eq(totals.count[ORPHAN_OPEN], 2);
	ck_assert_uint_eq(totals.count[ORPHAN_APPLIED], 1);
	ck_assert_uint_eq(totals.count[ORPHAN_DROPPED], 1);
	ck_assert_uint_eq(totals.bytes[ORPHAN_LOCAL], strlen("three hundred") + strlen("another three hundred"));
	ck_assert_uint_eq(totals.bytes[ORPHAN_OPEN], strlen("nine") + strlen("one"));
	for (size_t i = 0; i < LEN(all); i++)
		orphan_totals_remove(&totals, &all[i]);
	ck_assert_mem_eq(&totals, &none, sizeof(totals));
}
END_TEST

START_TEST(a_state_that_changes_leaves_one_record)
{
	static const enum orphan_state states[] = { ORPHAN_OPEN, ORPHAN_APPLIED, ORPHAN_OPEN, ORPHAN_LOCAL, ORPHAN_DROPPED };
	struct orphan o = orphan_of(ORPHAN_LOCAL, (struct position){ 257, 2 }, 7, "an op");
	struct orphan found;

	put(&o);
	for (size_t i = 0; i < LEN(states); i++) {
		o.state = states[i];
		put(&o);
		ck_assert_int_eq(orphan_next(store, txn, NULL, &arena, &found), ERR_NONE);
		check_equal(&found, &o);
		ck_assert_int_eq(orphan_next(store, txn, &found, &arena, &found), ERR_NOT_FOUND);
		ck_assert_int_eq(orphan_get(store, txn, &o.id, &arena, &found), ERR_NONE);
		ck_assert_int_eq(orphan_first(store, txn, states[i], &arena, &found), ERR_NONE);
		if (states[i] != ORPHAN_LOCAL)
			ck_assert_int_eq(orphan_first(store, txn, ORPHAN_LOCAL, &arena, &found), ERR_NOT_FOUND);
	}
	ck_assert_int_eq(orphan_remove(store, txn, &o.id), ERR_NONE);
	ck_assert_int_eq(orphan_get(store, txn, &o.id, &arena, &found), ERR_NOT_FOUND);
	ck_assert_int_eq(orphan_next(store, txn, NULL, &arena, &found), ERR_NOT_FOUND);
}
END_TEST

START_TEST(an_id_is_read_as_it_is_written)
{
	static const struct {
		const char *text;
		bool good, has_hash;
		struct orphan_id id;
	} cases[] = {
		{ "257-42", true, false, { 0, { 257, 42 }, 0 } },
		{ "18446744073709551615-1", true, false, { 0, { UINT64_MAX, 1 }, 0 } },
		{ "257-42-00000000000000ff", true, true, { 0, { 257, 42 }, 255 } },
		{ "257-42-ffffffffffffffff", true, true, { 0, { 257, 42 }, UINT64_MAX } },
		{ "", false, false, { 0 } },
		{ "257", false, false, { 0 } },
		{ "257-", false, false, { 0 } },
		{ "-42", false, false, { 0 } },
		{ "257-42-", false, false, { 0 } },
		{ "257-42-1-1", false, false, { 0 } },
		{ "257-4f", false, false, { 0 } },
		{ "257-42-xyz", false, false, { 0 } },
		{ "18446744073709551616-1", false, false, { 0 } },
		{ "257-42-10000000000000000", false, false, { 0 } },
		{ " 257-42", false, false, { 0 } },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char text[ORPHAN_ID_TEXT_MAX];
		struct orphan_id id = { 0 };
		bool has_hash = false;
		bool good = orphan_id_parse((struct str){ cases[i].text, strlen(cases[i].text) }, &id, &has_hash);
		ck_assert_msg(good == cases[i].good, "%s", cases[i].text);
		if (!good)
			continue;
		ck_assert_msg(has_hash == cases[i].has_hash, "%s", cases[i].text);
		ck_assert_msg(orphan_id_compare(&id, &cases[i].id) == 0, "%s", cases[i].text);
		orphan_id_format(&id, text);
		ck_assert_msg(has_hash || strcmp(text, cases[i].text) == 0, "%s", text);
	}
}
END_TEST

START_TEST(two_ops_of_one_position_are_told_apart_by_their_hash)
{
	struct orphan a = orphan_of(ORPHAN_OPEN, (struct position){ 257, 9 }, 0xa, "a");
	struct orphan b = orphan_of(ORPHAN_DROPPED, (struct position){ 257, 9 }, 0xb, "");
	struct orphan found;
	struct fault f = { 0 };

	put(&a);
	ck_assert_int_eq(orphan_find(store, txn, STR("257-9"), &arena, &found, &f), ERR_NONE);
	check_equal(&found, &a);
	put(&b);
	ck_assert_int_eq(orphan_find(store, txn, STR("257-9"), &arena, &found, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "257-9-000000000000000b"));
	ck_assert_int_eq(orphan_find(store, txn, STR("257-9-000000000000000b"), &arena, &found, &f), ERR_NONE);
	check_equal(&found, &b);
	ck_assert_int_eq(orphan_find(store, txn, STR("257-9-000000000000000c"), &arena, &found, &f), ERR_NOT_FOUND);
	ck_assert_int_eq(orphan_find(store, txn, STR("257-8"), &arena, &found, &f), ERR_NOT_FOUND);
	ck_assert_int_eq(orphan_find(store, txn, STR("nine"), &arena, &found, &f), ERR_BAD_INPUT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("orphan");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_damaged_record_is_told);
	tcase_add_test(t, orphans_come_by_group_and_in_order_and_are_counted);
	tcase_add_test(t, a_state_that_changes_leaves_one_record);
	tcase_add_test(t, an_id_is_read_as_it_is_written);
	tcase_add_test(t, two_ops_of_one_position_are_told_apart_by_their_hash);
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
