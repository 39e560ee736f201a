/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aliases in the catalogue: through transactions, beside drops, and after opening again.
 */
#include "index/catalog.h"

#include <pthread.h>

#include "tests/index/collection_bed.h"

#define INCARNATION(n) ((struct incarnation){ .hlc = (n), .region = 1 })

static void change(struct bed *b, struct store_txn *t, struct str name, struct incarnation target)
{
	struct alias item = { .name = name, .target = target };

	ck_assert_int_eq(catalog_aliases_change(b->catalog, t, &(struct alias_list){ &item, 1 }, NULL), ERR_NONE);
}

static void change_now(struct bed *b, struct str name, struct incarnation target)
{
	struct store_txn *t = bed_begin(b);

	change(b, t, name, target);
	bed_commit(b, t);
}

static bool leads_to(struct bed *b, struct str name, struct incarnation i)
{
	struct collection *c = catalog_get(b->catalog, name);
	bool same = c && collection_incarnation(c).hlc == i.hlc;

	if (c)
		collection_unref(c);
	return same;
}

static bool is_there(struct bed *b, struct str name)
{
	struct incarnation found;

	return catalog_has(b->catalog, name, &found);
}

static void *look_from_elsewhere(void *arg)
{
	static bool there;

	there = is_there(arg, STR("other"));
	return &there;
}

static bool others_see_it(struct bed *b)
{
	pthread_t thread;
	void *there;

	ck_assert_int_eq(pthread_create(&thread, NULL, look_from_elsewhere, b), 0);
	ck_assert_int_eq(pthread_join(thread, &there), 0);
	return *(bool *)there;
}

static uint32_t in_force(struct bed *b)
{
	CLEANUP(arena_release) struct arena a;
	struct alias_list l;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(catalog_aliases(b->catalog, &a, &l), ERR_NONE);
	return l.count;
}

START_TEST(an_abandoned_change_never_was)
{
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	struct store_txn *t = bed_begin(&b);

	change(&b, t, STR("other"), b.incarnation);
	ck_assert(is_there(&b, STR("other")));
	bed_abandon(&b, t);
	ck_assert(!is_there(&b, STR("other")));
	ck_assert_uint_eq(in_force(&b), 0);
	bed_reopen(&b);
	ck_assert(!is_there(&b, STR("other")));
	bed_release(&b);
}
END_TEST

START_TEST(an_alias_is_seen_by_the_transaction_first_and_by_all_from_its_publish)
{
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	struct store_txn *t = bed_begin(&b);

	change(&b, t, STR("other"), b.incarnation);
	ck_assert(leads_to(&b, STR("other"), b.incarnation));
	ck_assert(!others_see_it(&b));
	bed_commit(&b, t);
	ck_assert(others_see_it(&b));
	ck_assert_ptr_null(catalog_get_named(b.catalog, STR("other")));
	bed_release(&b);
}
END_TEST

START_TEST(aliases_are_there_after_opening_again)
{
	struct bed b;

	bed_init(&b, true, true, 1, 0);
	change_now(&b, STR("other"), b.incarnation);
	change_now(&b, STR("third"), b.incarnation);
	change_now(&b, STR("other"), INCARNATION(0));
	bed_reopen(&b);
	ck_assert(leads_to(&b, STR("third"), b.incarnation));
	ck_assert(!is_there(&b, STR("other")));
	ck_assert_uint_eq(in_force(&b), 1);
	bed_release(&b);
}
END_TEST

START_TEST(a_drop_takes_aliases_out_of_force_and_they_go_with_what_is_left_of_it)
{
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	change_now(&b, STR("other"), b.incarnation);
	collection_unref(TAKE(b.collection));
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(catalog_drop(b.catalog, t, b.incarnation, NULL), ERR_NONE);
	ck_assert(!is_there(&b, STR("other")));
	bed_commit(&b, t);
	ck_assert(!is_there(&b, STR("other")));
	ck_assert_uint_eq(in_force(&b), 0);
	ck_assert_uint_eq(catalog_aliases_count(b.catalog), 1);
	/* Its rows go at a checkpoint, its record with the last of them. */
	for (int i = 0; i < 2; i++) {
		t = bed_begin(&b);
		ck_assert_int_eq(catalog_merkle_save(b.catalog, t), ERR_NONE);
		bed_commit(&b, t);
	}
	change_now(&b, STR("none"), INCARNATION(0));
	ck_assert_uint_eq(catalog_aliases_count(b.catalog), 0);
	bed_release(&b);
}
END_TEST

START_TEST(a_name_stands_before_an_alias)
{
	struct collection_config config = bed_config(1);
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	struct store_txn *t = bed_begin(&b);

	change(&b, t, STR("other"), b.incarnation);
	bed_commit(&b, t);
	t = bed_begin(&b);
	ck_assert_int_eq(catalog_create(b.catalog, t, STR("two"), INCARNATION(50), &config, NULL), ERR_NONE);
	change(&b, t, STR("two"), b.incarnation);
	bed_commit(&b, t);
	ck_assert(leads_to(&b, STR("two"), INCARNATION(50)));
	bed_release(&b);
}
END_TEST

START_TEST(a_restored_record_is_what_was_there)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes record;
	struct bed b;

	arena_init(&a, 1 << 20);
	bed_init(&b, false, false, 1, 0);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(catalog_aliases_get_raw(b.catalog, t, &a, &record), ERR_NONE);
	ck_assert_uint_eq(record.len, 0);
	ck_assert_ptr_nonnull(record.data);
	change(&b, t, STR("other"), b.incarnation);
	ck_assert_int_eq(catalog_aliases_restore(b.catalog, t, record, NULL), ERR_NONE);
	ck_assert(!is_there(&b, STR("other")));
	bed_commit(&b, t);
	bed_reopen(&b);
	ck_assert_uint_eq(catalog_aliases_count(b.catalog), 0);
	bed_release(&b);
}
END_TEST

START_TEST(a_damaged_record_ends_the_opening_with_its_name)
{
	struct fault fault = { 0 };
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	change_now(&b, STR("other"), b.incarnation);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(b.store->ops->put(t, STORE_CATALOG, (struct bytes){ (const uint8_t *)"a", 1 },
					   (struct bytes){ (const uint8_t *)"damaged", 7 }),
			 ERR_NONE);
	bed_commit(&b, t);
	bed_close_catalog(&b);
	ck_assert_int_eq(catalog_open(&b.options, &b.catalog, &fault), ERR_CORRUPT);
	ck_assert(strstr(fault.text, "aliases"));
	b.store->ops->close(b.store);
	free(b.points);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalog_alias");
	TCase *t = tcase_create("all");

	tcase_add_test(t, an_abandoned_change_never_was);
	tcase_add_test(t, an_alias_is_seen_by_the_transaction_first_and_by_all_from_its_publish);
	tcase_add_test(t, aliases_are_there_after_opening_again);
	tcase_add_test(t, a_drop_takes_aliases_out_of_force_and_they_go_with_what_is_left_of_it);
	tcase_add_test(t, a_name_stands_before_an_alias);
	tcase_add_test(t, a_restored_record_is_what_was_there);
	tcase_add_test(t, a_damaged_record_ends_the_opening_with_its_name);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
