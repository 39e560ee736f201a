/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orphan store: ops are found again in order, whole, by scope; damage is noticed.
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

static uint64_t put(uint16_t scope, struct position p, const char *op)
{
	const struct orphan o = { .scope = scope,
				  .position = p,
				  .chain_hash = p.seq * 7,
				  .op = { (const uint8_t *)op, strlen(op) } };
	uint64_t bytes = 0;

	ck_assert_int_eq(orphan_put(store, txn, &o, &bytes), ERR_NONE);
	return bytes;
}

START_TEST(a_damaged_record_is_told)
{
	struct store_cursor *c;
	struct bytes key, value;
	struct orphan o;
	uint8_t kept_key[64], kept[256];

	(void)put(SCOPE_FLEET, (struct position){ 257, 2 }, "an op");
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
		ck_assert_int_eq(orphan_next(store, txn, SCOPE_FLEET, (struct position){ 0 }, &arena, &o), ERR_CORRUPT);
		kept[i] ^= 1;
		ck_assert_int_eq(store->ops->put(txn, STORE_ORPHANS, key, (struct bytes){ kept, i }), ERR_NONE);
		ck_assert_int_eq(orphan_next(store, txn, SCOPE_FLEET, (struct position){ 0 }, &arena, &o), ERR_CORRUPT);
	}
}
END_TEST

START_TEST(orphans_are_found_in_order_within_their_scope_and_counted)
{
	static const struct position at[] = { { 257, 9 }, { 257, 300 }, { 513, 1 } };
	static const char *const ops[] = { "nine", "three hundred", "one" };
	struct position after = { 0 };
	struct orphan_size size;
	uint64_t bytes = 0;
	struct orphan o;

	for (size_t i = LEN(at); i > 0; i--)
		bytes += put(SCOPE_FLEET, at[i - 1], ops[i - 1]);
	/* Taken back once more, it is still one. */
	(void)put(SCOPE_FLEET, at[1], ops[1]);
	bytes += put(SCOPE_MULTI, (struct position){ 600, 1 }, "another scope");
	for (size_t i = 0; i < LEN(at); i++) {
		ck_assert_int_eq(orphan_next(store, txn, SCOPE_FLEET, after, &arena, &o), ERR_NONE);
		ck_assert_int_eq(position_compare(o.position, at[i]), 0);
		ck_assert_uint_eq(o.chain_hash, at[i].seq * 7);
		ck_assert_uint_eq(o.op.len, strlen(ops[i]));
		ck_assert_mem_eq(o.op.data, ops[i], o.op.len);
		after = o.position;
	}
	ck_assert_int_eq(orphan_next(store, txn, SCOPE_FLEET, after, &arena, &o), ERR_NOT_FOUND);
	ck_assert_int_eq(orphan_count(store, txn, &size), ERR_NONE);
	ck_assert_uint_eq(size.count, 4);
	ck_assert_uint_eq(size.bytes, bytes);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("orphan");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_damaged_record_is_told);
	tcase_add_test(t, orphans_are_found_in_order_within_their_scope_and_counted);
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
