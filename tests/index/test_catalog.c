/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: names and incarnations through transactions, references, and opening again.
 */
#include "index/catalog.h"

#include <dirent.h>

#include "tests/index/collection_bed.h"

#define INCARNATION(n) ((struct incarnation){ .hlc = (n), .region = 1 })

static const struct {
	bool lmdb, files;
} kinds[] = { { false, false }, { false, true }, { true, true } };
#define KINDS ((int)LEN(kinds))

static void open_kind(struct bed *b, int i)
{
	bed_init(b, kinds[i].lmdb, kinds[i].files, 1, 0);
}

static enum err create(struct bed *b, struct store_txn *t, struct str name, uint64_t hlc)
{
	struct collection_config config = bed_config(2);

	return catalog_create(b->catalog, t, name, INCARNATION(hlc), &config, NULL);
}

static bool has(struct bed *b, struct str name, uint64_t hlc)
{
	struct incarnation found = { 0 };

	return catalog_has(b->catalog, name, &found) && found.hlc == hlc;
}

static unsigned rows_stored(struct bed *b)
{
	struct store_txn *t;
	struct store_cursor *c;
	struct bytes key, value;
	uint8_t zero = 0;
	unsigned n = 0;

	ck_assert_int_eq(b->store->ops->begin(b->store, false, &t), ERR_NONE);
	ck_assert_int_eq(b->store->ops->cursor_open(t, STORE_ROWS, &c), ERR_NONE);
	enum err e = b->store->ops->seek(c, (struct bytes){ &zero, 1 }, &key, &value);

	for (; !e; e = b->store->ops->next(c, &key, &value))
		n++;
	b->store->ops->cursor_close(c);
	b->store->ops->abort(t);
	return n;
}

static unsigned folders(struct bed *b)
{
	DIR *dir = opendir(scratch_path(&b->scratch, "vectors"));
	unsigned n = 0;

	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static void drop(struct bed *b, struct incarnation i)
{
	struct store_txn *t = bed_begin(b);

	ck_assert_int_eq(catalog_drop(b->catalog, t, i, NULL), ERR_NONE);
	bed_commit(b, t);
}

static void checkpoint(struct bed *b)
{
	struct store_txn *t = bed_begin(b);

	ck_assert_int_eq(catalog_merkle_save(b->catalog, t), ERR_NONE);
	bed_commit(b, t);
}

START_TEST(what_cannot_be_made_or_found_is_refused)
{
	struct collection_config config = bed_config(1), wrong = bed_config(0),
				 other = bed_config(1);
	struct vector_config vectors[3];
	struct field_index_config field = { .key = STR("a..b"), .schema = FIELD_KEYWORD };
	char long_name[COLLECTION_NAME_MAX + 1];
	struct fault fault = { 0 };
	struct bed b;

	open_kind(&b, _i);
	struct store_txn *t = bed_begin(&b);

	memset(long_name, 'x', sizeof(long_name));
	ck_assert_int_eq(create(&b, t, BED_NAME, 5), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(create(&b, t, STR(""), 5), ERR_BAD_INPUT);
	ck_assert_int_eq(create(&b, t, (struct str){ long_name, sizeof(long_name) }, 5),
			 ERR_BAD_INPUT);
	ck_assert_int_eq(catalog_create(b.catalog, t, STR("n"), b.incarnation, &config, &fault),
			 ERR_ALREADY_EXISTS);
	ck_assert_int_eq(catalog_create(b.catalog, t, STR("n"), INCARNATION(5), &wrong, &fault),
			 ERR_BAD_INPUT);
	ck_assert(strstr(fault.text, "shard_number"));
	ck_assert_int_eq(catalog_update(b.catalog, t, INCARNATION(5), &config, &fault),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(catalog_drop(b.catalog, t, INCARNATION(5), &fault), ERR_NOT_FOUND);
	ck_assert_int_eq(catalog_field_index_put(b.catalog, t, b.incarnation, &field, &fault),
			 ERR_BAD_INPUT);
	field.key = STR("a");
	ck_assert_int_eq(catalog_field_index_put(b.catalog, t, INCARNATION(5), &field, &fault),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(catalog_field_index_drop(b.catalog, t, INCARNATION(5), STR("a")),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(catalog_field_index_drop(b.catalog, t, b.incarnation, STR("a")), ERR_NONE);
	memcpy(vectors, config.vectors, sizeof(vectors));
	vectors[0].dim++;
	other.vectors = vectors;
	ck_assert_int_eq(catalog_update(b.catalog, t, b.incarnation, &other, &fault),
			 ERR_BAD_INPUT);
	other = bed_config(2);
	ck_assert_int_eq(catalog_update(b.catalog, t, b.incarnation, &other, &fault),
			 ERR_BAD_INPUT);
	bed_commit(&b, t);
	ck_assert_ptr_null(catalog_get(b.catalog, STR("n")));
	ck_assert_ptr_null(catalog_get_incarnation(b.catalog, INCARNATION(5)));
	bed_release(&b);
}
END_TEST

START_TEST(names_follow_the_transaction_and_readers_the_publish)
{
	struct bed b;

	open_kind(&b, _i);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(create(&b, t, STR("a"), 10), ERR_NONE);
	ck_assert(has(&b, STR("a"), 10));
	ck_assert_int_eq(create(&b, t, STR("a"), 11), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(catalog_drop(b.catalog, t, INCARNATION(10), NULL), ERR_NONE);
	ck_assert(!has(&b, STR("a"), 10));
	ck_assert_int_eq(create(&b, t, STR("a"), 12), ERR_NONE);
	ck_assert_int_eq(catalog_drop(b.catalog, t, b.incarnation, NULL), ERR_NONE);
	ck_assert_int_eq(catalog_drop(b.catalog, t, b.incarnation, NULL), ERR_NOT_FOUND);
	ck_assert_int_eq(create(&b, t, BED_NAME, 13), ERR_NONE);
	ck_assert(has(&b, BED_NAME, 13) && has(&b, STR("a"), 12));
	ck_assert_ptr_null(catalog_get_incarnation(b.catalog, b.incarnation));
	bed_commit(&b, t);
	ck_assert(has(&b, BED_NAME, 13) && has(&b, STR("a"), 12));
	collection_unref(b.collection);
	b.collection = NULL;
	bed_reopen(&b);
	ck_assert(has(&b, BED_NAME, 13) && has(&b, STR("a"), 12));
	bed_release(&b);
}
END_TEST

START_TEST(collection_is_written_in_the_transaction_that_makes_it)
{
	struct bed b;
	uint64_t count;

	open_kind(&b, _i);
	struct collection *old = b.collection;
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(create(&b, t, STR("new"), 20), ERR_NONE);
	b.collection = catalog_get_incarnation(b.catalog, INCARNATION(20));
	ck_assert_ptr_nonnull(b.collection);
	for (uint32_t i = 0; i < 50; i++) {
		bed_random_vectors(&b, &b.points[i]);
		bed_random_payload(&b, &b.points[i]);
		b.points[i].visible = true;
		bed_store(&b, t, i);
	}
	bed_commit(&b, t);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 50);
	ck_assert_int_eq(collection_count(old, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 0);
	collection_unref(old);
	bed_reopen(&b);
	collection_unref(b.collection);
	b.collection = catalog_get(b.catalog, STR("new"));
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 50);
	bed_release(&b);
}
END_TEST

START_TEST(abandoned_creation_and_drop_never_were)
{
	struct bed b;
	uint64_t count;

	open_kind(&b, _i);
	bed_fill(&b, 0, 30);
	unsigned before = folders(&b), rows = rows_stored(&b);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(create(&b, t, STR("new"), 20), ERR_NONE);
	ck_assert_int_eq(catalog_drop(b.catalog, t, b.incarnation, NULL), ERR_NONE);
	ck_assert_int_eq(create(&b, t, BED_NAME, 21), ERR_NONE);
	ck_assert_int_eq(catalog_merkle_save(b.catalog, t), ERR_NONE);
	bed_abandon(&b, t);
	ck_assert(has(&b, BED_NAME, 99) && !has(&b, STR("new"), 20));
	ck_assert_uint_eq(folders(&b), before);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 30);
	/* What the abandoned transaction saved of the tree is saved by the next one. */
	struct merkle *saved;
	static const uint8_t uid[] = { 0, 0, 0, 1 };

	checkpoint(&b);
	ck_assert_int_eq(merkle_new(MERKLE_BITS_DEFAULT, &saved), ERR_NONE);
	ck_assert_int_eq(b.store->ops->begin(b.store, false, &t), ERR_NONE);
	ck_assert_int_eq(merkle_load(saved, b.store, t, (struct bytes){ uid, 4 }), ERR_NONE);
	b.store->ops->abort(t);
	struct hash128 x = merkle_root(saved), y = merkle_root(collection_merkle(b.collection, 0));

	ck_assert(x.lo == y.lo && x.hi == y.hi);
	merkle_free(saved);
	bed_fill(&b, 30, 60);
	/* The next one's rows are its own. */
	struct collection *first = b.collection;

	t = bed_begin(&b);
	ck_assert_int_eq(create(&b, t, STR("next"), 22), ERR_NONE);
	bed_commit(&b, t);
	b.collection = catalog_get(b.catalog, STR("next"));
	bed_fill(&b, 60, 100);
	collection_unref(b.collection);
	b.collection = first;
	bed_reopen(&b);
	ck_assert_uint_ge(rows_stored(&b), rows + 70);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 60);
	bed_release(&b);
}
END_TEST

START_TEST(references_keep_a_dropped_collection_alive)
{
	CLEANUP(arena_release) struct arena a;
	struct bed b;
	struct record_want want = { .payload = true, .vectors = true };
	struct record record;
	struct point_id id = bed_id(7);
	uint64_t count;

	open_kind(&b, _i);
	arena_init(&a, 1 << 20);
	bed_fill(&b, 0, 30);
	drop(&b, b.incarnation);
	ck_assert_ptr_null(catalog_get(b.catalog, BED_NAME));
	checkpoint(&b);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 30);
	ck_assert_int_eq(collection_retrieve(b.collection, &id, 1, &want, &a, &record, NULL),
			 ERR_NONE);
	ck_assert(record.found && memcmp(record.vectors[0].vector.values, b.points[7].v,
					 sizeof(b.points[7].v)) == 0);
	ck_assert_uint_eq(folders(&b), kinds[_i].files);
	collection_unref(b.collection);
	b.collection = NULL;
	/* Files and memory at the next publish, rows at the next checkpoint. */
	checkpoint(&b);
	ck_assert_uint_eq(folders(&b), 0);
	ck_assert_uint_ge(rows_stored(&b), 30);
	checkpoint(&b);
	ck_assert_uint_eq(rows_stored(&b), 0);
	bed_reopen(&b);
	ck_assert_ptr_null(b.collection);
	bed_release(&b);
}
END_TEST

START_TEST(dropped_rows_are_deleted_after_opening_again_and_new_ones_are_others)
{
	struct bed b;
	uint64_t count;

	open_kind(&b, _i);
	bed_fill(&b, 0, 200);
	checkpoint(&b);
	drop(&b, b.incarnation);
	bed_reopen(&b);
	ck_assert_ptr_null(b.collection);
	ck_assert_uint_eq(folders(&b), 0);
	ck_assert_uint_ge(rows_stored(&b), 200);
	b.incarnation.hlc++;
	bed_create(&b, 1);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_eq(collection_incarnation(b.collection).hlc, 100);
	memset(b.points, 0, BED_IDS * sizeof(*b.points));
	bed_fill(&b, 0, 20);
	checkpoint(&b);
	/* 20 points and what belongs to the shard; in memory the vectors too. */
	ck_assert_uint_le(rows_stored(&b), 20 + 1 + (kinds[_i].files ? 0 : 40));
	bed_reopen(&b);
	ck_assert_int_eq(collection_count(b.collection, NULL, NULL, &count), ERR_NONE);
	ck_assert_uint_eq(count, 20);
	bed_release(&b);
}
END_TEST

START_TEST(rows_of_large_collections_go_piece_by_piece)
{
	struct bed b;
	unsigned left, steps = 0;

	bed_init(&b, false, true, 1, 0);
	for (unsigned round = 0; round < 5; round++) {
		b.incarnation.hlc++;
		struct store_txn *t = bed_begin(&b);

		if (b.collection)
			ck_assert_int_eq(catalog_drop(b.catalog, t,
						      collection_incarnation(b.collection), NULL),
					 ERR_NONE);
		bed_commit(&b, t);
		collection_unref(b.collection);
		bed_create(&b, 1);
		memset(b.points, 0, BED_IDS * sizeof(*b.points));
		bed_fill(&b, 0, BED_IDS);
	}
	ck_assert_uint_ge(left = rows_stored(&b), 5 * BED_IDS);
	drop(&b, collection_incarnation(b.collection));
	collection_unref(b.collection);
	b.collection = NULL;
	for (; left > 0; steps++) {
		checkpoint(&b);
		unsigned now = rows_stored(&b);

		ck_assert(steps == 0 ? now <= left : now < left);
		left = now;
	}
	ck_assert_uint_ge(steps, 2);
	bed_release(&b);
}
END_TEST

START_TEST(configs_and_indexes_are_there_after_opening_again)
{
	CLEANUP(arena_release) struct arena a;
	struct collection_config config = bed_config(1);
	struct vector_config vectors[3];
	struct field_index_info *items;
	uint32_t count;
	struct bed b;

	open_kind(&b, _i);
	arena_init(&a, 1 << 20);
	const struct collection_config *held = collection_config(b.collection);

	memcpy(vectors, config.vectors, sizeof(vectors));
	vectors[0].hnsw.m = 33;
	config.vectors = vectors;
	config.indexing_threshold_kb = 77;
	config.client_config = (struct bytes){ (const uint8_t *)"{\"new\":1}", 9 };
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(catalog_update(b.catalog, t, b.incarnation, &config, NULL), ERR_NONE);
	ck_assert_uint_eq(collection_config(b.collection)->indexing_threshold_kb, 10000);
	bed_commit(&b, t);
	ck_assert_uint_eq(held->indexing_threshold_kb, 10000); /* whoever holds it */
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_put_index(&b, "n", FIELD_FLOAT);
	bed_put_index(&b, "n", FIELD_INTEGER);
	t = bed_begin(&b);
	ck_assert_int_eq(catalog_field_index_drop(b.catalog, t, b.incarnation, STR("color")),
			 ERR_NONE);
	bed_commit(&b, t);
	for (int round = 0; round < 2; round++) {
		const struct collection_config *c = collection_config(b.collection);

		ck_assert(c->indexing_threshold_kb == 77 && c->vectors[0].hnsw.m == 33 &&
			  c->client_config.len == 9);
		ck_assert_uint_eq(collection_vector(b.collection, STR("img"))->dim, BED_IMG_DIM);
		ck_assert_ptr_null(collection_vector(b.collection, STR("none")));
		ck_assert_int_eq(collection_field_indexes(b.collection, &a, &items, &count),
				 ERR_NONE);
		ck_assert(count == 1 && items[0].config.key.len == 1 &&
			  items[0].config.schema == FIELD_INTEGER);
		bed_reopen(&b);
	}
	bed_release(&b);
}
END_TEST

START_TEST(list_is_sorted_by_name)
{
	CLEANUP(arena_release) struct arena a;
	struct collection **items;
	uint32_t count;
	struct bed b;

	open_kind(&b, _i);
	arena_init(&a, 1 << 20);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(create(&b, t, STR("zebra"), 1), ERR_NONE);
	ck_assert_int_eq(create(&b, t, STR("ape,\xc3\xa9"), 2), ERR_NONE);
	bed_commit(&b, t);
	ck_assert_int_eq(catalog_list(b.catalog, &a, &items, &count), ERR_NONE);
	ck_assert_uint_eq(count, 3);
	static const char *const names[] = { "ape,\xc3\xa9", "things", "zebra" };

	for (uint32_t i = 0; i < 3; i++) {
		struct str name = collection_name(items[i], &a);

		ck_assert(name.len == strlen(names[i]) &&
			  memcmp(name.data, names[i], name.len) == 0);
		collection_unref(items[i]);
	}
	bed_release(&b);
}
END_TEST

START_TEST(folders_of_nobody_are_swept_and_others_are_left)
{
	struct bed b;
	char path[PATH_MAX];
	static const char *const litter[] = { "vectors/00000000000000aa-1",
					      "vectors/00000000000000aa-1/shard-0", "vectors/keep",
					      "vectors/00000000000000AB-1" };

	open_kind(&b, 1);
	bed_fill(&b, 0, 10);
	bed_close_catalog(&b);
	for (size_t i = 0; i < LEN(litter); i++)
		ck_assert_int_eq(mkdir(scratch_path(&b.scratch, litter[i]), 0700), 0);
	snprintf(path, sizeof(path), "%s",
		 scratch_path(&b.scratch, "vectors/00000000000000aa-1/shard-0/v0.slots"));
	FILE *f = fopen(path, "w");

	fclose(f);
	bed_open_catalog(&b);
	ck_assert_int_lt(access(scratch_path(&b.scratch, litter[0]), F_OK), 0);
	ck_assert_int_eq(access(scratch_path(&b.scratch, litter[2]), F_OK), 0);
	ck_assert_int_eq(access(scratch_path(&b.scratch, litter[3]), F_OK), 0);
	ck_assert_ptr_nonnull(b.collection);
	bed_release(&b);
}
END_TEST

START_TEST(damaged_record_is_told_and_nothing_opened)
{
	struct bed b;
	struct fault fault = { 0 };
	uint8_t key[9] = { 0, 0, 0, 0, 0, 0, 0, 99, 3 };
	struct catalog *catalog;

	open_kind(&b, 0);
	bed_close_catalog(&b);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(b.store->ops->put(t, STORE_CATALOG, (struct bytes){ key, 9 },
					   (struct bytes){ (const uint8_t *)"damaged record", 14 }),
			 ERR_NONE);
	ck_assert_int_eq(b.store->ops->commit(t, NULL), ERR_NONE);
	ck_assert_int_eq(catalog_open(&b.options, &catalog, &fault), ERR_CORRUPT);
	ck_assert(strstr(fault.text, "catalog"));
	b.store->ops->close(b.store);
	scratch_remove(&b.scratch);
	free(b.points);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalog");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_cannot_be_made_or_found_is_refused, 0, KINDS);
	tcase_add_loop_test(t, names_follow_the_transaction_and_readers_the_publish, 0, KINDS);
	tcase_add_loop_test(t, collection_is_written_in_the_transaction_that_makes_it, 0, KINDS);
	tcase_add_loop_test(t, abandoned_creation_and_drop_never_were, 0, KINDS);
	tcase_add_loop_test(t, references_keep_a_dropped_collection_alive, 0, KINDS);
	tcase_add_loop_test(t, dropped_rows_are_deleted_after_opening_again_and_new_ones_are_others,
			    0, KINDS);
	tcase_add_test(t, rows_of_large_collections_go_piece_by_piece);
	tcase_add_loop_test(t, configs_and_indexes_are_there_after_opening_again, 0, KINDS);
	tcase_add_loop_test(t, list_is_sorted_by_name, 0, KINDS);
	tcase_add_test(t, folders_of_nobody_are_swept_and_others_are_left);
	tcase_add_test(t, damaged_record_is_told_and_nothing_opened);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
