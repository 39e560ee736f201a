/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conflict log: newest first, bounded, one list per collection.
 */
#include "replicator/conflict.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct incarnation c1 = { .hlc = 7, .region = 1 };
static const struct incarnation c2 = { .hlc = 7, .region = 2 };
static struct store *store;
static struct arena arena;

static void set_up(void)
{
	ck_assert_int_eq(store_mem_new(&store), ERR_NONE);
	arena_init(&arena, (size_t)256 << 20);
}

static void tear_down(void)
{
	store->ops->close(store);
	arena_release(&arena);
}

static struct store_txn *begin(void)
{
	struct store_txn *t;
	ck_assert_int_eq(store->ops->begin(store, true, &t), ERR_NONE);
	return t;
}

static void commit(struct store_txn *t)
{
	ck_assert_int_eq(store->ops->commit(t, NULL), ERR_NONE);
}

static void add(struct store_txn *t, struct incarnation collection, uint64_t id, const char *reason)
{
	static const uint8_t text[] = { VALUE_STRING, 2, 'h', 'i' };
	struct merge_loss loss = { .field = STR("payload:k"),
				   .winner = { 2, 300, 1 },
				   .loser = { 1, 200, 3 },
				   .loser_value = { .data = text, .len = sizeof(text) },
				   .reason = reason };
	ck_assert_int_eq(
		conflict_add(store, t, collection, (struct point_id){ .lo = id }, &loss, 1000 + id),
		ERR_NONE);
}

static uint32_t list(struct store_txn *t, struct incarnation collection, uint32_t limit,
		     struct conflict **ret)
{
	uint32_t count = 0;
	ck_assert_int_eq(conflict_list(store, t, collection, limit, &arena, ret, &count), ERR_NONE);
	return count;
}

START_TEST(damaged_record_is_told)
{
	struct store_txn *t = begin();
	struct store_cursor *c;
	struct conflict *items;
	struct bytes key;
	struct bytes value;
	uint8_t key_copy[32];
	uint8_t copy[200];
	uint32_t count;

	add(t, c1, 1, "lww");
	ck_assert_int_eq(store->ops->cursor_open(t, STORE_CONFLICTS, &c), ERR_NONE);
	ck_assert_int_eq(store->ops->next(c, &key, &value), ERR_NONE);
	memcpy(key_copy, key.data, key.len);
	memcpy(copy, value.data, value.len);
	size_t key_len = key.len;
	size_t len = value.len;
	store->ops->cursor_close(c);
	for (size_t n = 1; n < len; n++) {
		ck_assert_int_eq(store->ops->put(t, STORE_CONFLICTS,
						 (struct bytes){ .data = key_copy, .len = key_len },
						 (struct bytes){ .data = copy, .len = n }),
				 ERR_NONE);
		ck_assert_int_eq(conflict_list(store, t, c1, 10, &arena, &items, &count),
				 ERR_CORRUPT);
	}
	copy[0] = 2;
	ck_assert_int_eq(store->ops->put(t, STORE_CONFLICTS,
					 (struct bytes){ .data = key_copy, .len = key_len },
					 (struct bytes){ .data = copy, .len = len }),
			 ERR_NONE);
	ck_assert_int_eq(conflict_list(store, t, c1, 10, &arena, &items, &count), ERR_VERSION);
	store->ops->abort(t);
}
END_TEST

START_TEST(conflicts_come_back_newest_first)
{
	struct conflict *items;
	struct store_txn *t = begin();

	add(t, c1, 1, "lww");
	add(t, c2, 50, "lww");
	add(t, c1, 2, "tie");
	add(t, c1, 3, "delete");
	commit(t);
	t = begin();
	ck_assert_uint_eq(list(t, c1, 2, &items), 2);
	ck_assert_uint_eq(items[0].number, 3);
	ck_assert_uint_eq(items[0].id.lo, 3);
	ck_assert_uint_eq(items[0].at_ms, 1003);
	ck_assert_str_eq(items[0].loss.reason, "delete");
	ck_assert_uint_eq(items[1].number, 2);
	ck_assert_str_eq(items[1].loss.reason, "tie");
	ck_assert_uint_eq(items[1].loss.winner.hlc, 300);
	ck_assert_uint_eq(items[1].loss.loser.region, 3);
	ck_assert_uint_eq(items[1].loss.field.len, 9);
	ck_assert_int_eq(memcmp(items[1].loss.field.data, "payload:k", 9), 0);
	struct str text = value_string(items[1].loss.loser_value);
	ck_assert(text.len == 2 && memcmp(text.data, "hi", 2) == 0);
	ck_assert_uint_eq(list(t, c1, 100, &items), 3);
	ck_assert_uint_eq(list(t, c1, 0, &items), 0);
	ck_assert_uint_eq(list(t, c2, 100, &items), 1);
	ck_assert_uint_eq(list(t, (struct incarnation){ .hlc = 6 }, 100, &items), 0);
	store->ops->abort(t);
}
END_TEST

START_TEST(full_list_drops_its_oldest)
{
	struct conflict *items;
	struct store_txn *t = begin();

	for (uint64_t i = 1; i <= CONFLICTS_PER_COLLECTION_MAX + 5; i++)
		add(t, c1, i, "lww");
	ck_assert_uint_eq(list(t, c1, UINT32_MAX, &items), CONFLICTS_PER_COLLECTION_MAX);
	ck_assert_uint_eq(items[0].number, CONFLICTS_PER_COLLECTION_MAX + 5);
	ck_assert_uint_eq(items[CONFLICTS_PER_COLLECTION_MAX - 1].number, 6);
	commit(t);
}
END_TEST

START_TEST(dropped_collection_leaves_none)
{
	struct conflict *items;
	struct store_txn *t = begin();

	for (uint64_t i = 1; i <= 10; i++) {
		add(t, c1, i, "lww");
		add(t, c2, i, "lww");
	}
	ck_assert_int_eq(conflict_drop(store, t, c1), ERR_NONE);
	ck_assert_int_eq(conflict_drop(store, t, (struct incarnation){ .hlc = 9 }), ERR_NONE);
	ck_assert_uint_eq(list(t, c1, 100, &items), 0);
	ck_assert_uint_eq(list(t, c2, 100, &items), 10);
	commit(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conflict");
	TCase *t = tcase_create("conflict");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, damaged_record_is_told);
	tcase_add_test(t, conflicts_come_back_newest_first);
	tcase_add_test(t, full_list_drops_its_oldest);
	tcase_add_test(t, dropped_collection_leaves_none);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
