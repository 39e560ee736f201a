/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collections against a model: whatever was stored, changed, deleted and brought back, every search, scroll,
 * count and retrieval gives what a plain walk over the model gives, with payload indexes and without, from
 * the tail and from segments, on one shard and on several, before and after opening again.
 */
#include "index/collection.h"

#include "base/clock.h"
#include "index/shard.h"
#include "tests/index/collection_bed.h"

#include <pthread.h>
#include <unistd.h>

/* Where a collection lives. */
static const struct place {
	const char *name;
	bool lmdb, files;
	uint32_t shards;
	uint32_t tail_max; /* 0: nothing is built in a test this small */
} places[] = {
	{ "memory, one shard", false, false, 1, 0 },
	{ "memory, three shards", false, false, 3, 0 },
	{ "files, segments, one shard", false, true, 1, 150 },
	{ "lmdb, segments, two shards", true, true, 2, 120 },
};
#define PLACES ((int)LEN(places))

static void open_place(struct bed *b, int i)
{
	bed_init(b, places[i].lmdb, places[i].files, places[i].shards, places[i].tail_max);
}

static void check_searches(struct bed *b, unsigned count, bool exact)
{
	unsigned hits = 0, wanted = 0;

	for (unsigned i = 0; i < count; i++) {
		CLEANUP(arena_release) struct arena a;
		float values[64];
		uint32_t indices[64];
		struct search_query q = bed_random_query(b, values, indices);

		arena_init(&a, 1 << 20);
		q.exact = exact;
		q.filter = i % 3 ? bed_random_filter(b, &a) : NULL;
		q.has_threshold = exact && i % 5 == 0;
		q.threshold = q.vector_name.len ? 0.1F : 3.0F;
		bed_check_search(b, &q, &hits, &wanted);
	}
	ck_assert_msg(hits * 100 >= wanted * 95, "%u of %u", hits, wanted);
}

static int id_order(const void *a, const void *b)
{
	return point_id_compare(*(const struct point_id *)a, *(const struct point_id *)b);
}

static uint32_t model_matching(struct bed *b, const struct filter *f, struct point_id *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BED_IDS; i++)
		if (bed_matches(b, i, f))
			out[n++] = bed_id(i);
	qsort(out, n, sizeof(*out), id_order);
	return n;
}

/* Page by page, and counted. */
static void check_filter(struct bed *b, const struct filter *f)
{
	static struct point_id expected[BED_IDS], page[BED_IDS];
	uint32_t n = model_matching(b, f, expected), at = 0, got;
	uint32_t limit = 1 + (uint32_t)(random_u64(&b->random) % 200);
	struct point_id from;
	uint64_t counted;
	bool more = true;

	for (bool first = true; more; first = false) {
		ck_assert_int_eq(collection_scroll(b->collection, f, first ? NULL : &from, limit,
						   NULL, page, &got, &more, &from),
				 ERR_NONE);
		for (uint32_t i = 0; i < got; i++)
			ck_assert(at < n && point_id_equal(page[i], expected[at++]));
		if (more)
			ck_assert(got == limit && at < n && point_id_equal(from, expected[at]));
	}
	ck_assert_uint_eq(at, n);
	ck_assert_int_eq(collection_count(b->collection, f, NULL, &counted), ERR_NONE);
	ck_assert_uint_eq(counted, n);
}

static void check_filters(struct bed *b, unsigned count)
{
	check_filter(b, NULL);
	for (unsigned i = 0; i < count; i++) {
		CLEANUP(arena_release) struct arena a;

		arena_init(&a, 1 << 20);
		check_filter(b, bed_random_filter(b, &a));
	}
}

static void check_record(struct bed *b, uint32_t i, const struct record *r)
{
	const struct bed_point *p = &b->points[i];
	struct value v;

	ck_assert(point_id_equal(r->id, bed_id(i)));
	ck_assert(r->found == p->visible);
	if (!r->found)
		return;
	ck_assert_uint_eq(r->version, p->version);
	ck_assert(value_get(r->payload, STR("number"), &v) && value_int(v) == p->number);
	ck_assert(value_get(r->payload, STR("price"), &v) == p->has_price);
	ck_assert_uint_eq(r->vector_count, 1u + p->has_img + p->has_words);
	ck_assert_int_eq(memcmp(r->vectors[0].vector.values, p->v, sizeof(p->v)), 0);
	if (p->has_img)
		ck_assert_int_eq(memcmp(r->vectors[1].vector.values, p->img, sizeof(p->img)), 0);
	if (p->has_words) {
		const struct vector *w = &r->vectors[1 + p->has_img].vector;

		ck_assert_uint_eq(w->count, p->word_count);
		ck_assert(!w->count ||
			  memcmp(w->indices, p->words, w->count * sizeof(uint32_t)) == 0);
		ck_assert(!w->count ||
			  memcmp(w->values, p->weights, w->count * sizeof(float)) == 0);
	}
}

static void check_records(struct bed *b)
{
	CLEANUP(arena_release) struct arena a;
	static struct point_id ids[BED_IDS];
	static struct record records[BED_IDS];
	struct record_want want = { .payload = true, .vectors = true };

	arena_init(&a, 64 << 20);
	for (uint32_t i = 0; i < BED_IDS; i++)
		ids[i] = bed_id(i);
	ck_assert_int_eq(collection_retrieve(b->collection, ids, BED_IDS, &want, &a, records, NULL),
			 ERR_NONE);
	for (uint32_t i = 0; i < BED_IDS; i++)
		check_record(b, i, &records[i]);
}

static void check_all(struct bed *b)
{
	check_records(b);
	check_searches(b, 40, true);
	check_searches(b, 60, false);
	check_filters(b, 25);
}

static void build(struct bed *b)
{
	struct fault fault = { 0 };

	ck_assert_msg(!catalog_build_now(b->catalog, &fault), "%s", fault.text);
}

static struct hash128 root(struct bed *b)
{
	struct hash128 sum = { 0 };

	for (uint32_t i = 0; i < collection_shard_count(b->collection); i++) {
		struct hash128 h = merkle_root(collection_merkle(b->collection, i));

		sum.lo += h.lo * (i + 1);
		sum.hi += h.hi * (i + 1);
	}
	return sum;
}

/* --- refused --- */

START_TEST(queries_that_fit_no_vector_are_refused)
{
	static const struct {
		struct str name;
		enum vector_kind kind;
		uint32_t count;
		const char *words;
	} cases[] = {
		{ STR("nope"), VECTOR_DENSE, BED_DIM, "Not existing vector name error: nope" },
		{ STR(""), VECTOR_DENSE, 3, "Vector dimension error: expected dim: 8, got 3" },
		{ STR(""), VECTOR_SPARSE, 2, "Conversion between sparse and regular vectors failed" },
		{ STR("words"), VECTOR_DENSE, BED_DIM, "Conversion between sparse and regular vectors failed" },
		{ STR("img"), VECTOR_MULTI, BED_IMG_DIM, "Conversion between multi and regular vectors failed" },
	};
	float values[64] = { 0 };
	uint32_t indices[64] = { 0 };
	struct scored out[4];
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct fault fault = { 0 };
		uint32_t n;
		struct search_query q = { .vector_name = cases[i].name,
					  .limit = 4,
					  .vector = { .kind = cases[i].kind,
						      .count = cases[i].count,
						      .values = values,
						      .indices = indices } };

		ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, &fault),
				 ERR_BAD_INPUT);
		ck_assert_msg(strstr(fault.text, cases[i].words), "%zu: %s", i, fault.text);
	}
	bed_release(&b);
}
END_TEST

START_TEST(rows_that_fit_no_vector_are_refused_and_leave_no_trace)
{
	static const struct row_vector wrong[] = {
		{ .name = STR("nope"),
		  .present = true,
		  .slot = SLOT_NONE,
		  .vector = { .count = BED_DIM } },
		{ .name = STR(""), .present = true, .slot = SLOT_NONE, .vector = { .count = 2 } },
		{ .name = STR(""),
		  .present = true,
		  .slot = SLOT_NONE,
		  .vector = { .kind = VECTOR_SPARSE } },
		{ .name = STR("words"),
		  .present = true,
		  .slot = SLOT_NONE,
		  .vector = { .count = BED_DIM } },
	};
	struct bed b;

	bed_init(&b, false, false, 1, 0);
	struct hash128 before = root(&b);
	struct store_txn *t = bed_begin(&b);

	for (size_t i = 0; i < LEN(wrong); i++) {
		struct row_vector v = wrong[i];
		struct row row = {
			.id = bed_id(1), .visible = true, .vectors = &v, .vector_count = 1
		};
		struct fault fault = { 0 };

		ck_assert_int_eq(collection_row_store(b.collection, t, &row, &fault),
				 ERR_BAD_INPUT);
		ck_assert(fault.text[0]);
	}
	bed_commit(&b, t);
	struct hash128 after = root(&b);

	ck_assert(before.lo == after.lo && before.hi == after.hi);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(late_and_cancelled_searches_end)
{
	atomic_bool cancel = true;
	float values[BED_DIM] = { 1 };
	struct scored out[4];
	uint32_t n;
	struct bed b;
	struct search_query q = { .limit = 4, .vector = { .count = BED_DIM, .values = values } };

	bed_init(&b, false, false, 2, 0);
	bed_fill(&b, 0, 100);
	q.deadline.mono_ns = 1;
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_TIMEOUT);
	q.deadline = (struct deadline){ .cancel = &cancel };
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_CANCELLED);
	cancel = false;
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_NONE);
	ck_assert_uint_eq(n, 4);
	q.limit = 0;
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_NONE);
	ck_assert_uint_eq(n, 0);
	bed_release(&b);
}
END_TEST

/* --- ordinary --- */

START_TEST(answers_are_those_of_the_model)
{
	struct bed b;

	open_place(&b, _i);
	check_all(&b);
	bed_fill(&b, 0, 700);
	check_all(&b);
	build(&b);
	check_all(&b);
	bed_churn(&b, 900);
	check_all(&b);
	build(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(payload_indexes_change_no_answer)
{
	struct bed b;

	open_place(&b, _i);
	bed_fill(&b, 0, 500);
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_put_index(&b, "number", FIELD_INTEGER);
	build(&b);
	check_all(&b);
	bed_put_index(&b, "price", FIELD_FLOAT);
	bed_put_index(&b, "flag", FIELD_BOOL);
	bed_put_index(&b, "\"number\"", FIELD_GEO);
	bed_churn(&b, 600);
	check_all(&b);
	bed_reopen(&b);
	check_all(&b);

	CLEANUP(arena_release) struct arena a;
	struct field_index_info *items;
	uint32_t count, visible = 0;

	arena_init(&a, 1 << 20);
	for (uint32_t i = 0; i < BED_IDS; i++)
		visible += b.points[i].visible;
	ck_assert_int_eq(collection_field_indexes(b.collection, &a, &items, &count), ERR_NONE);
	ck_assert_uint_eq(count, 5);
	ck_assert(memcmp(items[0].config.key.data, "color", 5) == 0 &&
		  items[0].config.schema == FIELD_KEYWORD);
	ck_assert_uint_eq(items[0].points, visible);
	bed_release(&b);
}
END_TEST

START_TEST(opening_again_gives_the_same)
{
	struct bed b;

	open_place(&b, _i);
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_fill(&b, 0, 600);
	bed_churn(&b, 300);
	build(&b);
	struct collection_info info, again;
	struct hash128 before = root(&b);

	collection_info(b.collection, &info);
	bed_reopen(&b);
	struct hash128 after = root(&b);

	collection_info(b.collection, &again);
	ck_assert(before.lo == after.lo && before.hi == after.hi);
	ck_assert_uint_eq(again.points, info.points);
	ck_assert_uint_eq(again.vectors, info.vectors);
	ck_assert_uint_eq(again.indexed_vectors, info.indexed_vectors);
	ck_assert_uint_eq(again.segments, info.segments);
	if (places[_i].tail_max)
		ck_assert_uint_ge(again.segments, 2 * places[_i].shards);
	check_all(&b);
	/* And it goes on working: slots that are free are taken, those in use are not. */
	bed_churn(&b, 600);
	build(&b);
	check_all(&b);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(row_is_loaded_as_stored_in_the_same_transaction)
{
	CLEANUP(arena_release) struct arena a;
	struct bed b;
	struct row row;

	open_place(&b, _i);
	arena_init(&a, 1 << 20);
	bed_fill(&b, 0, 50);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(collection_row_load(b.collection, t, bed_id(70), &a, &row), ERR_NOT_FOUND);
	for (uint32_t i = 49; i < 51; i++) {
		struct bed_point *p = &b.points[i];

		bed_random_vectors(&b, p);
		bed_random_payload(&b, p);
		p->visible = true;
		bed_store(&b, t, i);
		ck_assert_int_eq(collection_row_load(b.collection, t, bed_id(i), &a, &row),
				 ERR_NONE);
		ck_assert(point_id_equal(row.id, bed_id(i)) && row.visible &&
			  row.op_number == p->version);
		ck_assert_int_eq(memcmp(row.vectors[0].vector.values, p->v, sizeof(p->v)), 0);
		ck_assert_uint_eq(row.vectors[0].slot, p->slot[0]);
		ck_assert_uint_eq(row.vectors[0].vector.count, BED_DIM);
		p->visible = false;
		bed_store(&b, t, i);
		ck_assert_int_eq(collection_row_load(b.collection, t, bed_id(i), &a, &row),
				 ERR_NONE);
		ck_assert(!row.visible);
	}
	bed_commit(&b, t);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(abandoned_transaction_leaves_no_trace)
{
	struct bed b;

	open_place(&b, _i);
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_fill(&b, 0, 300);
	static struct bed_point saved[BED_IDS];
	struct hash128 before = root(&b);

	memcpy(saved, b.points, sizeof(saved));
	for (int round = 0; round < 3; round++) {
		struct store_txn *t = bed_begin(&b);

		for (uint32_t i = 250; i < 350; i++) {
			struct bed_point *p = &b.points[i];

			bed_random_vectors(&b, p);
			bed_random_payload(&b, p);
			p->visible = i % 3 != 0;
			bed_store(&b, t, i);
			if (i % 7 == 0)
				ck_assert_int_eq(collection_row_remove(b.collection, t, bed_id(i)),
						 ERR_NONE);
		}
		bed_abandon(&b, t);
		memcpy(b.points, saved, sizeof(saved));
		struct hash128 after = root(&b);

		ck_assert(before.lo == after.lo && before.hi == after.hi);
		check_all(&b);
	}
	/* The slots that it wrote are free: the next point gets the first of them. */
	struct store_txn *t = bed_begin(&b);
	uint32_t last = 0;

	for (uint32_t i = 0; i < 300; i++)
		last = MAX(last, b.points[i].slot[0]);
	bed_random_vectors(&b, &b.points[300]);
	bed_random_payload(&b, &b.points[300]);
	b.points[300].visible = true;
	bed_store(&b, t, 300);
	bed_commit(&b, t);
	ck_assert_uint_lt(b.points[300].slot[0], last + 110);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(removed_row_is_as_if_it_had_never_been)
{
	struct bed b;

	open_place(&b, _i);
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_fill(&b, 0, 200);
	build(&b);
	struct hash128 before = root(&b);
	uint32_t slots[400][2];

	bed_fill(&b, 200, 400);
	struct store_txn *t = bed_begin(&b);

	ck_assert_int_eq(collection_row_remove(b.collection, t, bed_id(900)), ERR_NOT_FOUND);
	for (uint32_t i = 200; i < 400; i++) {
		slots[i][0] = b.points[i].slot[0];
		slots[i][1] = b.points[i].slot[1];
		ck_assert_int_eq(collection_row_remove(b.collection, t, bed_id(i)), ERR_NONE);
		ck_assert_int_eq(collection_row_remove(b.collection, t, bed_id(i)), ERR_NOT_FOUND);
		b.points[i] = (struct bed_point){ 0 };
	}
	bed_commit(&b, t);
	for (uint32_t i = 200; i < 400; i++)
		bed_free_slots(&b, i, slots[i]);
	struct hash128 after = root(&b);

	ck_assert(before.lo == after.lo && before.hi == after.hi);
	check_all(&b);
	/* Their row numbers and slots are used again, each once. */
	bed_fill(&b, 300, 350);
	bed_fill(&b, 350, 500);
	bed_fill(&b, 500, 600);
	check_all(&b);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(normalising_is_for_cosine_only)
{
	struct collection_config config = bed_config(1);
	float v[BED_IMG_DIM] = { 3, 4 };

	collection_normalize(&config.vectors[0], v);
	ck_assert(v[0] == 3.0F && v[1] == 4.0F);
	collection_normalize(&config.vectors[1], v);
	ck_assert(fabsf(v[0] - 0.6F) < 1e-6F && fabsf(v[1] - 0.8F) < 1e-6F);
	collection_normalize(&config.vectors[2], v);
	ck_assert(fabsf(v[0] - 0.6F) < 1e-6F);
}
END_TEST

START_TEST(components_are_rounded_to_their_type_after_normalising)
{
	struct collection_config config = bed_config(1);
	struct vector_config v = config.vectors[1]; /* Cosine */
	float values[BED_IMG_DIM] = { 30.7F, 40.9F };

	v.datatype = DATATYPE_UINT8;
	collection_normalize(&v, values);
	ck_assert(values[0] == 30.0F && values[1] == 40.0F);
	ck_assert_int_eq(vector_config_distance(&v), DISTANCE_COSINE_OF_ANY);
	v.datatype = DATATYPE_FLOAT16;
	collection_normalize(&v, values);
	ck_assert(values[0] == 0x1.334p-1F && values[1] == 0x1.998p-1F);
	ck_assert_int_eq(vector_config_distance(&v), DISTANCE_COSINE);
}
END_TEST

START_TEST(vectors_of_bytes_are_found_by_their_cosine_and_never_become_a_graph)
{
	struct collection_config config = bed_config(2);
	struct vector_config v[3];
	struct collection_info info;
	struct bed b;

	bed_init(&b, false, true, 0, 10);
	memcpy(v, config.vectors, sizeof(v));
	v[0].distance = DISTANCE_COSINE;
	v[0].datatype = DATATYPE_UINT8;
	config.vectors = v;
	struct store_txn *t = bed_begin(&b);
	ck_assert_int_eq(catalog_create(b.catalog, t, BED_NAME, b.incarnation, &config, NULL), ERR_NONE);
	bed_commit(&b, t);
	b.collection = catalog_get(b.catalog, BED_NAME);
	t = bed_begin(&b);
	for (uint32_t i = 0; i < 100; i++) {
		float values[BED_DIM] = { 100, (float)(i * 2) };
		struct row_vector vector = { .name = STR(""),
					     .present = true,
					     .slot = SLOT_NONE,
					     .stamp = { 1, i + 1, 1 },
					     .vector = { .count = BED_DIM, .values = values } };
		struct row row = { .id = bed_id(i), .created = { 1, i + 1, 1 }, .vectors = &vector,
				   .vector_count = 1, .visible = true };
		collection_normalize(&v[0], values);
		ck_assert_int_eq(collection_row_store(b.collection, t, &row, NULL), ERR_NONE);
	}
	bed_commit(&b, t);
	build(&b);
	bed_reopen(&b);
	collection_info(b.collection, &info);
	ck_assert(!info.optimizing);
	float query[BED_DIM] = { 50.9F, 50.2F };
	struct scored found[3];
	uint32_t count;
	struct search_query q = { .vector_name = STR(""), .limit = 3, .vector = { .count = BED_DIM, .values = query } };
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, found, &count, NULL), ERR_NONE);
	ck_assert_uint_eq(count, 3);
	ck_assert(point_id_equal(found[0].id, bed_id(50)));
	ck_assert(fabsf(found[0].score - 1.0F) < 1e-6F && found[1].score < found[0].score);
	bed_release(&b);
}
END_TEST

START_TEST(one_shard_and_five_answer_alike)
{
	struct bed one, five;
	struct pool *pool;

	ck_assert_int_eq(pool_new("search", 2, 100, &pool), ERR_NONE);
	bed_init(&one, false, false, 1, 0);
	bed_init(&five, false, false, 5, 0);
	bed_fill(&one, 0, 500);
	bed_fill(&five, 0, 500);
	for (int i = 0; i < 60; i++) {
		CLEANUP(arena_release) struct arena a;
		float values[64];
		uint32_t indices[64], n, m;
		struct scored x[30], y[30];
		struct search_query q = bed_random_query(&one, values, indices);

		arena_init(&a, 1 << 20);
		q.filter = i % 2 ? bed_random_filter(&one, &a) : NULL;
		q.exact = i % 3 == 0;
		ck_assert_int_eq(collection_search(one.collection, pool, &q, x, &n, NULL),
				 ERR_NONE);
		ck_assert_int_eq(collection_search(five.collection, pool, &q, y, &m, NULL),
				 ERR_NONE);
		ck_assert_uint_eq(n, m);
		for (uint32_t k = 0; k < n; k++) {
			ck_assert(point_id_equal(x[k].id, y[k].id) && x[k].score == y[k].score);
			ck_assert_uint_eq(x[k].version, y[k].version);
			ck_assert_uint_eq(y[k].shard,
					  collection_shard_of(five.collection, y[k].id));
		}
	}
	struct shard_info info;
	uint64_t points = 0;

	for (uint32_t i = 0; i < 5; i++) {
		collection_shard_info(five.collection, i, &info);
		points += info.points;
		ck_assert(info.shard == i && info.searches == 60 && info.points > 50);
	}
	ck_assert_uint_eq(points, 500);
	bed_release(&one);
	bed_release(&five);
	pool_free(pool);
}
END_TEST

/* Their squares differ in the last bit, the roots do not: what a client sees as equal is ordered by id. */
START_TEST(scores_that_round_to_one_are_ordered_by_id)
{
	struct bed b;
	struct scored out[2];
	float values[BED_DIM] = { 0 };
	uint32_t n;
	struct search_query q = { .limit = 2, .vector = { .count = BED_DIM, .values = values } };

	bed_init(&b, false, false, 1, 0);
	bed_fill(&b, 0, 2);
	struct store_txn *t = bed_begin(&b);

	for (uint32_t i = 0; i < 2; i++) {
		memset(b.points[i].v, 0, sizeof(b.points[i].v));
		b.points[i].v[0] = 2.0F;
		b.points[i].v[1] = i == 0 ? 0.0007F : 0.0F; /* the smaller id is farther */
		b.points[i].slot[0] = SLOT_NONE;
		bed_store(&b, t, i);
	}
	ck_assert(distance_exact(DISTANCE_EUCLID, values, b.points[0].v, BED_DIM) <
		  distance_exact(DISTANCE_EUCLID, values, b.points[1].v, BED_DIM));
	bed_commit(&b, t);
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_NONE);
	ck_assert(n == 2 && out[0].score == out[1].score && point_id_equal(out[0].id, bed_id(0)));
	bed_release(&b);
}
END_TEST

START_TEST(equal_scores_are_ordered_by_id)
{
	struct bed b;
	struct scored out[40];
	float values[BED_DIM] = { 0 };
	uint32_t n;
	struct search_query q = { .limit = 40, .vector = { .count = BED_DIM, .values = values } };

	bed_init(&b, false, false, 3, 0);
	bed_fill(&b, 0, 200);
	struct store_txn *t = bed_begin(&b);

	for (uint32_t i = 0; i < 200; i++) {
		for (int k = 0; k < BED_DIM; k++)
			b.points[i].v[k] = k == 0 ? (float)(i % 4) : 0.0F;
		b.points[i].slot[0] = SLOT_NONE;
		bed_store(&b, t, i);
	}
	bed_commit(&b, t);
	ck_assert_int_eq(collection_search(b.collection, NULL, &q, out, &n, NULL), ERR_NONE);
	ck_assert_uint_eq(n, 40);
	for (uint32_t i = 1; i < n; i++)
		ck_assert(out[i].score == 0.0F && point_id_compare(out[i - 1].id, out[i].id) < 0);
	bed_release(&b);
}
END_TEST

/* --- segments --- */

/* The segment files, and what to do with them. */
static int each_segment(struct bed *b, void (*fn)(const char *path))
{
	char command[PATH_MAX * 2], path[PATH_MAX];
	int n = 0;

	snprintf(command, sizeof(command), "find %s/vectors -name '*.segment'", b->scratch.dir);
	FILE *f = popen(command, "r");

	while (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = 0;
		if (fn)
			fn(path);
		n++;
	}
	pclose(f);
	return n;
}

static void damage(const char *path)
{
	FILE *f = fopen(path, "r+");

	fseek(f, 5000, SEEK_SET);
	int c = fgetc(f);

	fseek(f, 5000, SEEK_SET);
	fputc(c ^ 0x55, f);
	fclose(f);
}

static void lose(const char *path)
{
	ck_assert_int_eq(unlink(path), 0);
}

START_TEST(damaged_and_lost_segments_are_built_again)
{
	static void (*const harms[])(const char *path) = { damage, lose };
	struct collection_info info, hurt;
	struct bed b;

	bed_init(&b, _i & 1, true, 2, 150);
	bed_fill(&b, 0, 900);
	build(&b);
	collection_info(b.collection, &info);
	ck_assert(!info.optimizing && info.indexed_vectors > 1200 && info.optimizer_error[0] == 0);
	bed_close_catalog(&b);
	ck_assert_int_ge(each_segment(&b, harms[_i / 2]), 4);
	bed_open_catalog(&b);
	collection_info(b.collection, &hurt);
	ck_assert_uint_eq(hurt.vectors, info.vectors);
	ck_assert(hurt.optimizing && hurt.indexed_vectors < info.indexed_vectors);
	check_all(&b);
	bed_churn(&b, 300);
	build(&b);
	check_all(&b);
	collection_info(b.collection, &hurt);
	ck_assert(!hurt.optimizing && hurt.indexed_vectors > 1000);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(segments_stay_few_and_give_up_what_is_dead)
{
	struct collection_info info;
	struct bed b;

	bed_init(&b, false, true, 1, 50);
	for (uint32_t i = 0; i < 1200; i += 60) {
		bed_fill(&b, i, i + 60);
		build(&b);
		collection_info(b.collection, &info);
		/* sparse has none; two dense vectors */
		ck_assert_uint_le(info.segments, 2 * (DENSE_SEGMENTS_MAX + 1));
	}
	check_searches(&b, 60, false);
	struct store_txn *t = bed_begin(&b);

	for (uint32_t i = 0; i < 1200; i++) {
		b.points[i].visible = i % 10 == 0;
		bed_store(&b, t, i);
	}
	bed_commit(&b, t);
	collection_info(b.collection, &info);
	ck_assert(info.optimizing);
	build(&b);
	collection_info(b.collection, &info);
	ck_assert(!info.optimizing && info.segments <= 4);
	ck_assert_int_le(each_segment(&b, NULL), 4);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(slots_that_a_segment_knows_are_not_used_again_before_it_is_gone)
{
	uint32_t high;
	struct bed b;

	bed_init(&b, false, true, 1, 100);
	bed_fill(&b, 0, 300);
	build(&b);
	uint32_t old[300];

	for (uint32_t i = 0; i < 300; i++)
		old[i] = b.points[i].slot[0];
	/* A few of them, not enough to make the segment mostly dead. */
	for (uint32_t i = 0; i < 30; i++) {
		struct store_txn *t = bed_begin(&b);
		uint32_t slots[2] = { b.points[i].slot[0], b.points[i].slot[1] };

		bed_random_vectors(&b, &b.points[i]);
		bed_store(&b, t, i);
		bed_commit(&b, t);
		bed_free_slots(&b, i, slots);
		for (uint32_t k = 0; k < 300; k++)
			ck_assert_uint_ne(b.points[i].slot[0], old[k]);
	}
	check_all(&b);
	/* After everything was replaced and built anew, they come back. */
	for (int round = 0; round < 6; round++) {
		bed_churn(&b, 400);
		build(&b);
	}
	high = 0;
	for (uint32_t i = 0; i < BED_IDS; i++)
		if (b.points[i].stored)
			high = MAX(high, b.points[i].slot[0] + 1);
	ck_assert_uint_lt(high, 2600);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(collection_without_graphs_is_only_scanned)
{
	struct collection_info info;
	struct bed b;
	struct store_txn *t;

	bed_init(&b, false, true, 0, 10);
	struct collection_config config = bed_config(1);

	config.vectors[0].hnsw.m = 0;
	config.indexing_threshold_kb = _i ? 0 : 10000;
	t = bed_begin(&b);
	ck_assert_int_eq(catalog_create(b.catalog, t, BED_NAME, b.incarnation, &config, NULL),
			 ERR_NONE);
	bed_commit(&b, t);
	b.collection = catalog_get(b.catalog, BED_NAME);
	bed_fill(&b, 0, 300);
	build(&b);
	collection_info(b.collection, &info);
	ck_assert(!info.optimizing);
	ck_assert(_i ? info.segments == 2 : info.segments >= 2 && each_segment(&b, NULL) == 1);
	check_all(&b);
	bed_release(&b);
}
END_TEST

/* --- threads --- */

struct reader {
	struct bed *bed;
	struct pool *pool;
	atomic_bool *stop;
	unsigned searches;
	uint64_t seed;
};

/* Points 0 to 99 are never touched: they are always found. */
static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct random random = { r->seed };
	struct collection *c = catalog_get(r->bed->catalog, BED_NAME);

	while (!atomic_load(r->stop) || r->searches < 20) {
		CLEANUP(arena_release) struct arena a;
		uint32_t i = (uint32_t)(random_u64(&random) % 100);
		const struct bed_point *p = &r->bed->points[i];
		struct scored out[5];
		uint32_t n, got;
		struct point_id next, page[100];
		bool more;
		struct condition color;
		struct filter f = { .must = { &color, 1 } };
		struct search_query q = { .limit = 5,
					  .vector = { .count = BED_DIM, .values = p->v } };
		struct record record;
		struct point_id id = bed_id(i);
		struct record_want want = { .payload = true, .vectors = true };

		arena_init(&a, 1 << 20);
		color = *bed_condition(&a, CONDITION_MATCH_INT_VALUE, "number");
		color.integer = p->number;
		q.filter = r->searches % 2 ? &f : NULL;
		ck_assert_int_eq(collection_search(c, r->pool, &q, out, &n, NULL), ERR_NONE);
		ck_assert(n > 0 && out[0].score == 0.0F && point_id_equal(out[0].id, id));
		ck_assert_int_eq(collection_retrieve(c, &id, 1, &want, &a, &record, NULL),
				 ERR_NONE);
		ck_assert(record.found &&
			  memcmp(record.vectors[0].vector.values, p->v, sizeof(p->v)) == 0);
		ck_assert_int_eq(
			collection_scroll(c, &f, NULL, 100, NULL, page, &got, &more, &next),
			ERR_NONE);
		ck_assert_uint_gt(got, 0);
		r->searches++;
	}
	collection_unref(c);
	return NULL;
}

START_TEST(searches_run_beside_writes_and_builds)
{
	struct reader readers[2];
	pthread_t threads[2];
	atomic_bool stop = false;
	struct pool *pool;
	struct bed b;

	ck_assert_int_eq(pool_new("search", 1, 100, &pool), ERR_NONE);
	b = (struct bed){ 0 };
	bed_init(&b, true, true, 0, 60);
	bed_close_catalog(&b);
	b.options.builder_threads = 1;
	bed_open_catalog(&b);
	bed_create(&b, 2);
	bed_fill(&b, 0, 100);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] =
			(struct reader){ .bed = &b, .pool = pool, .stop = &stop, .seed = i + 1 };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	bed_fill(&b, 100, 700);
	bed_put_index(&b, "number", FIELD_INTEGER);
	for (int round = 0; round < 20; round++) {
		struct store_txn *t = bed_begin(&b);
		uint32_t freed[40][3];

		for (uint32_t k = 0; k < 40; k++) {
			uint32_t i = 100 + (uint32_t)(random_u64(&b.random) % 40) + k * 20;
			struct bed_point *p = &b.points[i];

			freed[k][0] = i;
			freed[k][1] = p->stored ? p->slot[0] : SLOT_NONE;
			freed[k][2] = p->stored ? p->slot[1] : SLOT_NONE;
			for (uint32_t before = 0; before < k; before++)
				if (freed[before][0] == i)
					freed[k][1] = freed[k][2] = SLOT_NONE;
			if (freed[k][1] == SLOT_NONE && p->stored)
				continue;
			bed_random_vectors(&b, p);
			bed_random_payload(&b, p);
			p->visible = true;
			bed_store(&b, t, i);
		}
		bed_commit(&b, t);
		for (uint32_t k = 0; k < 40; k++)
			bed_free_slots(&b, freed[k][0], &freed[k][1]);
	}
	build(&b);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	check_all(&b);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
	pool_free(pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("collection");
	TCase *t = tcase_create("refused");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, queries_that_fit_no_vector_are_refused);
	tcase_add_test(t, rows_that_fit_no_vector_are_refused_and_leave_no_trace);
	tcase_add_test(t, late_and_cancelled_searches_end);
	suite_add_tcase(s, t);
	t = tcase_create("everywhere");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, answers_are_those_of_the_model, 0, PLACES);
	tcase_add_loop_test(t, payload_indexes_change_no_answer, 0, PLACES);
	tcase_add_loop_test(t, opening_again_gives_the_same, 0, PLACES);
	tcase_add_loop_test(t, row_is_loaded_as_stored_in_the_same_transaction, 0, PLACES);
	tcase_add_loop_test(t, abandoned_transaction_leaves_no_trace, 0, PLACES);
	tcase_add_loop_test(t, removed_row_is_as_if_it_had_never_been, 0, PLACES);
	tcase_add_test(t, normalising_is_for_cosine_only);
	tcase_add_test(t, components_are_rounded_to_their_type_after_normalising);
	tcase_add_test(t, vectors_of_bytes_are_found_by_their_cosine_and_never_become_a_graph);
	tcase_add_test(t, one_shard_and_five_answer_alike);
	tcase_add_test(t, scores_that_round_to_one_are_ordered_by_id);
	tcase_add_test(t, equal_scores_are_ordered_by_id);
	suite_add_tcase(s, t);
	t = tcase_create("segments");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, damaged_and_lost_segments_are_built_again, 0, 4);
	tcase_add_test(t, segments_stay_few_and_give_up_what_is_dead);
	tcase_add_test(t, slots_that_a_segment_knows_are_not_used_again_before_it_is_gone);
	tcase_add_loop_test(t, collection_without_graphs_is_only_scanned, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("threads");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, searches_run_beside_writes_and_builds);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
