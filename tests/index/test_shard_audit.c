/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a collection to prove it: what is read is what was stored, and what was spoiled is noticed.
 */
#include "tests/index/collection_bed.h"

static struct bed bed;

static void open_bed(bool files)
{
	bed_init(&bed, files, files, 3, 0);
	bed_fill(&bed, 0, 600);
	bed_churn(&bed, 300);
}

static void close_bed(void)
{
	bed_release(&bed);
}

static void set_up_memory(void)
{
	open_bed(false);
}

static void set_up_files(void)
{
	open_bed(true);
}

static uint32_t stored_points(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < BED_IDS; i++)
		count += bed.points[i].stored;
	return count;
}

struct sums {
	const struct merkle *tree;
	struct merkle_leaf *leaves;
	uint32_t rows;
};

static enum err sum(void *ctx, struct bytes record)
{
	struct sums *s = ctx;
	struct arena a;
	struct row row;

	arena_init(&a, SIZE_MAX);
	ck_assert_int_eq(row_decode(record, &a, &row), ERR_NONE);
	struct hash128 digest = row_digest(&row, bed.incarnation);
	struct merkle_leaf *l = &s->leaves[merkle_leaf_of(s->tree, row.id)];
	l->lo += digest.lo;
	l->hi += digest.hi;
	l->count++;
	s->rows++;
	arena_release(&a);
	return ERR_NONE;
}

START_TEST(a_scan_meets_every_row_once)
{
	struct store_txn *t;
	uint32_t rows = 0;

	ck_assert_int_eq(bed.store->ops->begin(bed.store, false, &t), ERR_NONE);
	for (uint32_t shard = 0; shard < 3; shard++) {
		struct sums s = { .tree = collection_merkle(bed.collection, shard) };
		s.leaves = calloc((size_t)1 << merkle_bits(s.tree), sizeof(*s.leaves));
		ck_assert_ptr_nonnull(s.leaves);
		ck_assert_int_eq(collection_scan(bed.collection, t, shard, sum, &s), ERR_NONE);
		for (uint32_t leaf = 0; leaf >> merkle_bits(s.tree) == 0; leaf++) {
			struct merkle_leaf l = merkle_leaf_at(s.tree, leaf);
			ck_assert(l.lo == s.leaves[leaf].lo && l.hi == s.leaves[leaf].hi &&
				  l.count == s.leaves[leaf].count);
		}
		rows += s.rows;
		free(s.leaves);
	}
	ck_assert_uint_eq(rows, stored_points());
	ck_assert_int_eq(collection_scan(bed.collection, t, 3, sum, NULL), ERR_BAD_INPUT);
	bed.store->ops->abort(t);
}
END_TEST

static enum err stop_at_third(void *ctx, struct bytes record UNUSED)
{
	return ++*(unsigned *)ctx == 3 ? ERR_CANCELLED : ERR_NONE;
}

START_TEST(a_scan_ends_with_its_readers_error)
{
	struct store_txn *t;
	unsigned seen = 0;

	ck_assert_int_eq(bed.store->ops->begin(bed.store, false, &t), ERR_NONE);
	ck_assert_int_eq(collection_scan(bed.collection, t, 0, stop_at_third, &seen), ERR_CANCELLED);
	ck_assert_uint_eq(seen, 3);
	bed.store->ops->abort(t);
}
END_TEST

static enum err count_call(void *ctx, struct store_txn *t)
{
	ck_assert_ptr_nonnull(t);
	++*(unsigned *)ctx;
	return ERR_NONE;
}

START_TEST(rows_are_read_with_their_values)
{
	unsigned calls = 0;
	struct arena a;

	arena_init(&a, (size_t)64 << 20);
	for (uint32_t i = 0; i < BED_IDS; i++) {
		const struct bed_point *p = &bed.points[i];
		struct point_id id = bed_id(i);
		bool found;
		struct row row;
		struct collection_rows read = {
			.arena = &a, .found = &found, .rows = &row, .with_txn = count_call, .ctx = &calls
		};
		uint32_t shard = collection_shard_of(bed.collection, id);
		ck_assert_int_eq(collection_read_rows(bed.collection, shard, &id, 1, &read), ERR_NONE);
		ck_assert_uint_eq(calls, i + 1);
		ck_assert_int_eq(found, p->stored);
		if (!found)
			continue;
		ck_assert(point_id_equal(row.id, id));
		ck_assert_uint_eq(row.op_number, p->version);
		for (uint32_t k = 0; k < row.vector_count; k++)
			if (row.vectors[k].present)
				ck_assert_uint_eq(vector_hash(&row.vectors[k].vector), row.vectors[k].hash);
		if (p->visible)
			ck_assert_mem_eq(row.vectors[0].vector.values, p->v, sizeof(p->v));
	}
	arena_release(&a);
}
END_TEST

static uint32_t check_all(struct point_id *ret_bad)
{
	uint32_t bad = 0;
	uint64_t rows = 0;

	for (uint32_t shard = 0; shard < 3; shard++) {
		struct collection_check c = { 0 };
		while (!c.done) {
			ck_assert_int_eq(collection_check(bed.collection, shard, &c), ERR_NONE);
			rows += c.rows;
			for (uint32_t i = 0; i < c.bad_count; i++) {
				*ret_bad = c.bad[i];
				bad++;
			}
		}
	}
	ck_assert_uint_eq(rows, stored_points());
	return bad;
}

static uint32_t first_visible(void)
{
	uint32_t i = 0;

	while (!bed.points[i].visible)
		i++;
	return i;
}

START_TEST(values_that_changed_are_noticed)
{
	struct point_id bad = { 0 };
	uint32_t victim = first_visible();
	struct arena a;
	struct row row;

	ck_assert_uint_eq(check_all(&bad), 0);
	arena_init(&a, 1u << 20);
	struct store_txn *t = bed_begin(&bed);
	ck_assert_int_eq(collection_row_load(bed.collection, t, bed_id(victim), &a, &row), ERR_NONE);
	float other[BED_DIM];
	memcpy(other, row.vectors[0].vector.values, sizeof(other));
	other[3] += 0.5F;
	row.vectors[0].vector.values = other;
	row.vectors[0].slot = SLOT_NONE;
	ck_assert_int_eq(collection_row_store(bed.collection, t, &row, NULL), ERR_NONE);
	bed_commit(&bed, t);
	ck_assert_uint_eq(check_all(&bad), 1);
	ck_assert(point_id_equal(bad, bed_id(victim)));
	arena_release(&a);
}
END_TEST

static enum err retrieve(struct point_id id, bool vectors, struct fault *reterr_fault)
{
	struct record_want want = { .payload = true, .vectors = vectors };
	struct record record;
	struct arena a;

	arena_init(&a, 1u << 20);
	enum err e = collection_retrieve(bed.collection, &id, 1, &want, &a, &record, reterr_fault);
	ck_assert(e || record.found);
	arena_release(&a);
	return e;
}

START_TEST(a_damaged_vector_is_not_given_out)
{
	struct point_id id = bed_id(first_visible());
	struct fault fault = { 0 };
	char text[POINT_ID_TEXT_MAX];
	struct arena a;
	struct row row;

	ck_assert_int_eq(retrieve(id, true, NULL), ERR_NONE);
	arena_init(&a, 1u << 20);
	struct store_txn *t = bed_begin(&bed);
	ck_assert_int_eq(collection_row_load(bed.collection, t, id, &a, &row), ERR_NONE);
	/* Another hash than its values have, as if they had changed. */
	row.vectors[0].hash ^= 1;
	ck_assert_int_eq(collection_row_store(bed.collection, t, &row, NULL), ERR_NONE);
	bed_commit(&bed, t);
	ck_assert_int_eq(retrieve(id, true, &fault), ERR_CORRUPT);
	(void)point_id_format(id, text);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), text));
	ck_assert_int_eq(retrieve(id, false, NULL), ERR_NONE);
	arena_release(&a);
}
END_TEST

START_TEST(leaves_are_counted_from_their_rows)
{
	struct point_id id = bed_id(first_visible());
	uint32_t shard = collection_shard_of(bed.collection, id);
	struct merkle *tree = collection_merkle(bed.collection, shard);
	uint32_t leaves[] = { merkle_leaf_of(tree, id), (merkle_leaf_of(tree, id) + 1) % (1u << merkle_bits(tree)),
			      UINT32_MAX };
	struct leaves_recount r = { .leaves = leaves, .count = 3 };
	struct hash128 root = merkle_root(tree);
	struct hash128 nonsense = { .lo = 3 };

	ck_assert_int_eq(collection_leaves_recount(bed.collection, shard, &r), ERR_NONE);
	ck_assert_uint_eq(r.changed, 0);
	merkle_change(tree, id, &nonsense, NULL);
	ck_assert(merkle_root(tree).lo != root.lo);
	ck_assert_int_eq(collection_leaves_recount(bed.collection, shard, &r), ERR_NONE);
	ck_assert_uint_eq(r.changed, 1);
	ck_assert_uint_eq(r.failed, 0);
	ck_assert_uint_eq(merkle_root(tree).lo, root.lo);
	ck_assert_uint_eq(merkle_root(tree).hi, root.hi);
	ck_assert_int_eq(collection_leaves_recount(bed.collection, 3, &r), ERR_BAD_INPUT);
}
END_TEST

/* Every answer is that of the model: nothing that an index kept of what could not be read is found. */
static void check_answers(unsigned count)
{
	unsigned hits = 0;
	unsigned wanted = 0;

	for (unsigned i = 0; i < count; i++) {
		CLEANUP(arena_release) struct arena a;
		float values[64];
		uint32_t indices[64];
		struct search_query q = bed_random_query(&bed, values, indices);
		arena_init(&a, 1 << 20);
		q.exact = true;
		q.filter = i % 3 ? bed_random_filter(&bed, &a) : NULL;
		bed_check_search(&bed, &q, &hits, &wanted);
	}
	ck_assert_uint_gt(wanted, 0);
}

static void spoil_every(uint32_t step)
{
	struct store_txn *t = bed_begin(&bed);

	for (uint32_t i = 0; i < 600; i += step)
		if (bed.points[i].stored)
			ck_assert_int_eq(collection_row_spoil(bed.collection, t, bed_id(i)), ERR_NONE);
	bed_commit(&bed, t);
}

START_TEST(rows_that_cannot_be_read_are_stored_anew_and_removed)
{
	bed_put_index(&bed, "number", FIELD_INTEGER);
	spoil_every(7);
	struct store_txn *t = bed_begin(&bed);
	for (uint32_t i = 0; i < 600; i += 7) {
		struct bed_point *p = &bed.points[i];
		if (!p->stored)
			continue;
		if (i % 2) {
			ck_assert_int_eq(collection_row_remove(bed.collection, t, bed_id(i)), ERR_NONE);
			p->stored = p->visible = false;
			continue;
		}
		bed_random_vectors(&bed, p);
		p->slot[0] = p->slot[1] = SLOT_NONE;
		bed_random_payload(&bed, p);
		bed_store(&bed, t, i);
	}
	bed_commit(&bed, t);
	check_answers(300);
	bed_reopen(&bed);
	check_answers(100);
}
END_TEST

START_TEST(a_start_goes_on_without_rows_that_it_cannot_read)
{
	uint32_t before = stored_points();

	spoil_every(9);
	bed_reopen(&bed);
	for (uint32_t i = 0; i < 600; i += 9)
		bed.points[i].stored = bed.points[i].visible = false;
	ck_assert_uint_lt(stored_points(), before);
	check_answers(100);
	struct store_txn *t = bed_begin(&bed);
	for (uint32_t i = 0; i < 600; i += 9) {
		bool any;
		ck_assert_int_eq(collection_row_clear(bed.collection, t, bed_id(i), &any), ERR_NONE);
	}
	bed_commit(&bed, t);
	bed_reopen(&bed);
	struct collection_check check = { 0 };
	while (!check.done) {
		ck_assert_int_eq(collection_check(bed.collection, 0, &check), ERR_NONE);
		ck_assert_uint_eq(check.bad_count, 0);
	}
	check_answers(100);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("shard_audit");
	static const struct {
		const char *name;
		void (*set_up)(void);
	} beds[] = { { "memory", set_up_memory }, { "files", set_up_files } };

	for (size_t i = 0; i < LEN(beds); i++) {
		TCase *t = tcase_create(beds[i].name);
		tcase_add_checked_fixture(t, beds[i].set_up, close_bed);
		tcase_set_timeout(t, 60);
		tcase_add_test(t, a_scan_meets_every_row_once);
		tcase_add_test(t, a_scan_ends_with_its_readers_error);
		tcase_add_test(t, rows_are_read_with_their_values);
		tcase_add_test(t, values_that_changed_are_noticed);
		tcase_add_test(t, a_damaged_vector_is_not_given_out);
		tcase_add_test(t, leaves_are_counted_from_their_rows);
		tcase_add_test(t, rows_that_cannot_be_read_are_stored_anew_and_removed);
		tcase_add_test(t, a_start_goes_on_without_rows_that_it_cannot_read);
		suite_add_tcase(s, t);
	}
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
