/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage on purpose: it is done to a region on disk, is what its words say, and can be read by the next start.
 */
#include "gateway/damage.h"

#include <sys/stat.h>

#include "tests/index/scratch.h"
#include "tests/replicator/region.h"

#define MAP_BYTES (64u << 20)

static struct scratch scratch;
static struct region r;
static char shown[1024];

static void start(void)
{
	struct fault f = { 0 };

	r = (struct region){ .options = { .region = 1 }, .dir = scratch.dir };
	clock_manual_init(&r.clock, REGION_WALL_MS);
	arena_init(&r.arena, (size_t)64 << 20);
	ck_assert_msg(!store_lmdb_open(scratch.dir, MAP_BYTES, &r.store, &f), "%s", f.text);
	region_open(&r);
}

static void set_up(void)
{
	scratch_new(&scratch);
	start();
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	/* A slot that only the log has. */
	write_well(&r, upsert_of(&r, "c", 7, 1));
	region_release(&r);
	r.store = NULL;
}

static void tear_down(void)
{
	if (r.store)
		region_release(&r);
	scratch_remove(&scratch);
}

static enum err damage(const char *collection, const char *id, const char *what)
{
	struct fault f = { 0 };

	memset(shown, 0, sizeof(shown));
	FILE *out = fmemopen(shown, sizeof(shown) - 1, "w");
	const struct damage_options o = {
		.data_dir = scratch.dir, .collection = collection, .id = id, .what = what, .out = out
	};
	enum err err = damage_point(&o, &f);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert(!err || f.text[0]);
	return err;
}

START_TEST(what_cannot_be_damaged_is_refused)
{
	ck_assert_int_eq(damage("nothing", "1", "payload"), ERR_NOT_FOUND);
	ck_assert_int_eq(damage("c", "100", "payload"), ERR_NOT_FOUND);
	ck_assert_int_eq(damage("c", "x", "payload"), ERR_BAD_INPUT);
	ck_assert_int_eq(damage("c", "-1", "payload"), ERR_BAD_INPUT);
	ck_assert_int_eq(damage("c", "1", "soul"), ERR_BAD_INPUT);
	ck_assert_int_eq(damage("c", "b2a1c7a0-0000-4000-8000-000000000001", "payload"), ERR_NOT_FOUND);
	start();
	ck_assert_int_ne(damage("c", "1", "payload"), ERR_NONE);
	for (uint64_t id = 1; id <= 20; id++)
		ck_assert_int_eq(payload_number(&r, "c", id, "n"), (int64_t)id);
}
END_TEST

START_TEST(a_folder_without_a_store_stays_without)
{
	struct damage_options o = { .collection = "c", .id = "1", .what = "payload", .out = stdout };
	char empty[PATH_MAX];
	struct fault f = { 0 };

	snprintf(empty, sizeof(empty), "%s", scratch_path(&scratch, "empty"));
	ck_assert_int_eq(mkdir(empty, 0700), 0);
	o.data_dir = empty;
	ck_assert_int_eq(damage_point(&o, &f), ERR_NOT_FOUND);
	ck_assert_int_eq(rmdir(empty), 0);
}
END_TEST

START_TEST(one_payload_value_becomes_another)
{
	ck_assert_int_eq(damage("c", "5", "payload"), ERR_NONE);
	ck_assert_str_eq(shown, "payload key n has another value\n");
	start();
	ck_assert_int_ne(payload_number(&r, "c", 5, "n"), 5);
	ck_assert_int_ne(payload_number(&r, "c", 5, "n"), -1);
	ck_assert_int_eq(payload_number(&r, "c", 6, "n"), 6);
	ck_assert_uint_eq(count_points(&r, "c"), 20);
}
END_TEST

START_TEST(a_row_is_gone)
{
	ck_assert_int_eq(damage("c", "5", "missing"), ERR_NONE);
	start();
	ck_assert_uint_eq(count_points(&r, "c"), 19);
	ck_assert(!find_point(&r, "c", 5).found);
}
END_TEST

START_TEST(a_vector_no_longer_fits_its_hash_and_others_do)
{
	struct collection_check check = { 0 };
	uint32_t bad = 0;

	ck_assert_int_eq(damage("c", "7", "vector"), ERR_NONE);
	start();
	struct collection *c = catalog_get(r.catalog, STR("c"));
	for (uint32_t s = 0; s < collection_shard_count(c); s++) {
		check = (struct collection_check){ 0 };
		ck_assert_int_eq(collection_check(c, s, &check), ERR_NONE);
		ck_assert(check.done);
		for (uint32_t i = 0; i < check.bad_count; i++)
			ck_assert_uint_eq(check.bad[i].lo, 7);
		bad += check.bad_count;
	}
	collection_unref(c);
	ck_assert_uint_eq(bad, 1);
	/* The log's values are what they were: it can be sent on. */
	struct log_part part = read_log_after(&r, (struct position){ 0 }, 100);
	struct region other;
	struct fault f = { 0 };
	region_init(&other, 2);
	region_open(&other);
	ck_assert_msg(!apply_part(&other, &part, 0, part.count, &f), "%s", f.text);
	region_release(&other);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("damage");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_cannot_be_damaged_is_refused);
	tcase_add_test(t, a_folder_without_a_store_stays_without);
	tcase_add_test(t, one_payload_value_becomes_another);
	tcase_add_test(t, a_row_is_gone);
	tcase_add_test(t, a_vector_no_longer_fits_its_hash_and_others_do);
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
