/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog on any store with one collection of three vectors, and a model of what it must hold.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/catalog.h"
#include "tests/index/random.h"
#include "tests/index/scratch.h"

#define BED_DIM 8
#define BED_IMG_DIM 12
#define BED_WORDS 24
#define BED_WORDS_MAX 5
#define BED_IDS 1200
#define BED_NAME STR("things")

static const char *const bed_colors[] = { "red", "green", "blue", "black" };

struct bed_point {
	bool stored, visible, has_img, has_words, has_price;
	float v[BED_DIM];
	float img[BED_IMG_DIM];
	uint32_t words[BED_WORDS_MAX];
	float weights[BED_WORDS_MAX];
	uint32_t word_count;
	uint32_t color, colors; /* colors 2: a list of two */
	int64_t number;
	double price;
	bool flag;
	uint64_t version;
	uint32_t slot[2];     /* "" and img */
	uint8_t payload[200]; /* of the last bed_encode() */
	uint32_t payload_len;
};

struct bed {
	bool lmdb, files;
	struct scratch scratch;
	struct store *store;
	struct catalog *catalog;
	struct catalog_options options;
	struct incarnation incarnation;
	struct collection *collection;
	uint64_t op;
	struct random random;
	struct bed_point *points; /* BED_IDS */
};

/* Numbers, and every third a UUID: both kinds of ids. */
static inline struct point_id bed_id(uint32_t i)
{
	if (i % 3 == 2)
		return (struct point_id){ .hi = (uint64_t)i * 7919,
					  .lo = i,
					  .kind = POINT_ID_UUID };
	return (struct point_id){ .lo = (uint64_t)i * 31 % 100003, .kind = POINT_ID_NUM };
}

static inline void bed_open_store(struct bed *b)
{
	struct fault fault = { 0 };

	if (!b->lmdb) {
		if (b->store)
			store_mem_crash(b->store);
		else
			ck_assert_int_eq(store_mem_new(&b->store), ERR_NONE);
		return;
	}
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", scratch_path(&b->scratch, "store"));
	if (access(dir, F_OK) < 0)
		ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_msg(!store_lmdb_open(dir, (uint64_t)256 << 20, &b->store, &fault), "%s",
		      fault.text);
}

static inline void bed_open_catalog(struct bed *b)
{
	struct fault fault = { 0 };
	char dir[PATH_MAX];

	b->options.store = b->store;
	b->options.dir = NULL;
	if (b->files) {
		snprintf(dir, sizeof(dir), "%s", scratch_path(&b->scratch, "vectors"));
		if (access(dir, F_OK) < 0)
			ck_assert_int_eq(mkdir(dir, 0700), 0);
		b->options.dir = dir;
	}
	ck_assert_msg(!catalog_open(&b->options, &b->catalog, &fault), "%s", fault.text);
	ck_assert(!catalog_ready(b->catalog));
	ck_assert_msg(!catalog_start(b->catalog, &fault), "%s", fault.text);
	ck_assert(catalog_ready(b->catalog));
	b->collection = catalog_get(b->catalog, BED_NAME);
}

static inline void bed_close_catalog(struct bed *b)
{
	collection_unref(b->collection);
	b->collection = NULL;
	catalog_close(b->catalog);
	b->catalog = NULL;
}

/* As after a crash or a stop. */
static inline void bed_reopen(struct bed *b)
{
	bed_close_catalog(b);
	if (b->lmdb) {
		b->store->ops->close(b->store);
		b->store = NULL;
	}
	bed_open_store(b);
	bed_open_catalog(b);
}

static inline struct store_txn *bed_begin(struct bed *b)
{
	struct store_txn *t;

	ck_assert_int_eq(b->store->ops->begin(b->store, true, &t), ERR_NONE);
	return t;
}

static inline void bed_commit(struct bed *b, struct store_txn *t)
{
	ck_assert_int_eq(catalog_sync(b->catalog, NULL), ERR_NONE);
	ck_assert_int_eq(b->store->ops->commit(t, NULL), ERR_NONE);
	catalog_publish(b->catalog);
}

static inline void bed_abandon(struct bed *b, struct store_txn *t)
{
	b->store->ops->abort(t);
	catalog_abandon(b->catalog);
}

static inline struct collection_config bed_config(uint32_t shards)
{
	static struct vector_config vectors[3];
	struct hnsw_config hnsw = { .m = 8, .ef_construct = 64, .full_scan_threshold_kb = 1 };

	vectors[0] = (struct vector_config){
		.name = STR(""), .dim = BED_DIM, .distance = DISTANCE_EUCLID, .hnsw = hnsw
	};
	vectors[1] = (struct vector_config){
		.name = STR("img"), .dim = BED_IMG_DIM, .distance = DISTANCE_COSINE, .hnsw = hnsw
	};
	vectors[2] = (struct vector_config){ .name = STR("words"), .sparse = true };
	return (struct collection_config){
		.vectors = vectors,
		.vector_count = 3,
		.shard_number = shards,
		.indexing_threshold_kb = 10000,
		.client_config = { (const uint8_t *)"{}", 2 },
	};
}

static inline void bed_create(struct bed *b, uint32_t shards)
{
	struct collection_config config = bed_config(shards);
	struct fault fault = { 0 };
	struct store_txn *t = bed_begin(b);

	ck_assert_msg(!catalog_create(b->catalog, t, BED_NAME, b->incarnation, &config, &fault),
		      "%s", fault.text);
	bed_commit(b, t);
	b->collection = catalog_get(b->catalog, BED_NAME);
	ck_assert_ptr_nonnull(b->collection);
}

static inline void bed_init(struct bed *b, bool lmdb, bool files, uint32_t shards,
			    uint32_t tail_max)
{
	*b = (struct bed){ .lmdb = lmdb,
			   .files = files,
			   .random = { 42 },
			   .incarnation = { .hlc = 99, .region = 3 } };
	b->options.tail_vectors_max = tail_max;
	b->points = calloc(BED_IDS, sizeof(*b->points));
	scratch_new(&b->scratch);
	bed_open_store(b);
	bed_open_catalog(b);
	if (shards)
		bed_create(b, shards);
}

static inline void bed_release(struct bed *b)
{
	bed_close_catalog(b);
	b->store->ops->close(b->store);
	scratch_remove(&b->scratch);
	free(b->points);
}

/* --- points --- */

static inline void bed_random_vectors(struct bed *b, struct bed_point *p)
{
	for (int i = 0; i < BED_DIM; i++)
		p->v[i] = random_normal(&b->random);
	for (int i = 0; i < BED_IMG_DIM; i++)
		p->img[i] = random_normal(&b->random);
	distance_normalize(p->img, BED_IMG_DIM);
	p->has_img = random_u64(&b->random) % 4 != 0;
	p->has_words = random_u64(&b->random) % 4 != 0;
	p->word_count = 0;
	for (uint32_t w = 0; w < BED_WORDS && p->word_count < BED_WORDS_MAX; w++) {
		if (random_u64(&b->random) % 6)
			continue;
		p->words[p->word_count] = w * 1000;
		p->weights[p->word_count++] = random_normal(&b->random);
	}
	p->slot[0] = p->slot[1] = SLOT_NONE;
}

static inline struct value bed_value(struct arena *a, struct buf *b)
{
	uint8_t *copy = arena_alloc(a, b->len);

	ck_assert_int_eq(buf_err(b), ERR_NONE);
	memcpy(copy, b->data, b->len);
	return (struct value){ .data = copy, .len = (uint32_t)b->len };
}

static inline void bed_fields(const struct bed_point *p, struct arena *a, struct row *row,
			      struct stamp stamp)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	CLEANUP(buf_release) struct buf item = BUF_INIT(1000);
	struct value colors[2];

	row->fields = arena_array(a, 4, sizeof(*row->fields));
	for (uint32_t i = 0; i < p->colors; i++) {
		const char *color = bed_colors[(p->color + i) % LEN(bed_colors)];

		buf_reset(&item);
		value_put_string(&item, (struct str){ .data = color, .len = strlen(color) });
		colors[i] = bed_value(a, &item);
	}
	if (p->colors == 2)
		ck_assert_int_eq(value_put_list(&b, colors, 2), ERR_NONE);
	row->fields[row->field_count++] = (struct row_field){
		.key = STR("color"),
		.stamp = stamp,
		.present = true,
		.value = p->colors == 2 ? bed_value(a, &b) : colors[0],
	};
	buf_reset(&b);
	value_put_bool(&b, p->flag);
	row->fields[row->field_count++] = (struct row_field){
		.key = STR("flag"), .stamp = stamp, .present = true, .value = bed_value(a, &b)
	};
	buf_reset(&b);
	value_put_int(&b, p->number);
	row->fields[row->field_count++] = (struct row_field){
		.key = STR("number"), .stamp = stamp, .present = true, .value = bed_value(a, &b)
	};
	buf_reset(&b);
	value_put_double(&b, p->price);
	if (p->has_price)
		row->fields[row->field_count++] = (struct row_field){ .key = STR("price"),
								      .stamp = stamp,
								      .present = true,
								      .value = bed_value(a, &b) };
}

/* After the payload was changed. */
static inline void bed_encode(struct bed_point *p)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(sizeof(p->payload));
	struct row row = { 0 };

	arena_init(&a, 1 << 20);
	bed_fields(p, &a, &row, (struct stamp){ 0 });
	ck_assert_int_eq(row_payload(&row, &payload), ERR_NONE);
	memcpy(p->payload, payload.data, payload.len);
	p->payload_len = (uint32_t)payload.len;
}

static inline void bed_random_payload(struct bed *b, struct bed_point *p)
{
	p->color = (uint32_t)(random_u64(&b->random) % LEN(bed_colors));
	p->colors = 1 + (uint32_t)(random_u64(&b->random) % 2);
	p->number = (int64_t)(random_u64(&b->random) % 40) - 20;
	p->has_price = random_u64(&b->random) % 5 != 0;
	p->price = (double)(random_u64(&b->random) % 1000) / 8;
	p->flag = random_u64(&b->random) % 2;
	bed_encode(p);
}

/* The row of a point, in the arena; vectors that have no slot yet get one when it is stored. */
static inline void bed_row(struct bed *b, uint32_t i, struct arena *a, struct row *ret_row)
{
	struct bed_point *p = &b->points[i];
	struct stamp stamp = { .epoch = 1, .hlc = b->op, .region = 1 };
	struct row row = {
		.id = bed_id(i), .created = stamp, .op_number = b->op, .visible = p->visible
	};

	if (!p->visible)
		row.deleted = stamp;
	row.vectors = arena_array(a, 3, sizeof(*row.vectors));
	row.vectors[row.vector_count++] = (struct row_vector){
		.name = STR(""),
		.stamp = stamp,
		.present = true,
		.slot = p->slot[0],
		.vector = { .kind = VECTOR_DENSE, .count = BED_DIM, .values = p->v },
	};
	if (p->has_img)
		row.vectors[row.vector_count++] = (struct row_vector){
			.name = STR("img"),
			.stamp = stamp,
			.present = true,
			.slot = p->slot[1],
			.vector = { .kind = VECTOR_DENSE, .count = BED_IMG_DIM, .values = p->img },
		};
	if (p->has_words)
		row.vectors[row.vector_count++] = (struct row_vector){
			.name = STR("words"),
			.stamp = stamp,
			.present = true,
			.slot = SLOT_NONE,
			.vector = { .kind = VECTOR_SPARSE,
				    .count = p->word_count,
				    .values = p->weights,
				    .indices = p->words },
		};
	bed_fields(p, a, &row, stamp);
	for (uint32_t n = 0; n < row.vector_count; n++)
		row.vectors[n].hash = vector_hash(&row.vectors[n].vector);
	*ret_row = row;
}

/* Stores point i as the model has it. Slots that it gave up are freed at once: there is no log here. */
static inline void bed_store(struct bed *b, struct store_txn *t, uint32_t i)
{
	CLEANUP(arena_release) struct arena a;
	struct bed_point *p = &b->points[i];
	struct fault fault = { 0 };
	struct row row;

	arena_init(&a, 1 << 20);
	b->op++;
	bed_row(b, i, &a, &row);
	ck_assert_msg(!collection_row_store(b->collection, t, &row, &fault), "%s", fault.text);
	p->version = b->op;
	p->stored = true;
	p->slot[0] = row.vectors[0].slot;
	p->slot[1] = p->has_img ? row.vectors[1].slot : SLOT_NONE;
}

/* Frees the slots of a point that is about to get other vectors, after the commit. */
static inline void bed_free_slots(struct bed *b, uint32_t i, const uint32_t slots[2])
{
	uint32_t shard = collection_shard_of(b->collection, bed_id(i));

	if (slots[0] != SLOT_NONE)
		collection_slot_free(b->collection, shard, STR(""), slots[0]);
	if (slots[1] != SLOT_NONE)
		collection_slot_free(b->collection, shard, STR("img"), slots[1]);
}

static inline void bed_fill(struct bed *b, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to;) {
		struct store_txn *t = bed_begin(b);

		for (uint32_t n = 0; n < 300 && i < to; n++, i++) {
			bed_random_vectors(b, &b->points[i]);
			bed_random_payload(b, &b->points[i]);
			b->points[i].visible = true;
			bed_store(b, t, i);
		}
		bed_commit(b, t);
	}
}

/* One random change of a random point: new vectors, new payload, delete, or bring back. */
static inline void bed_churn(struct bed *b, uint32_t changes)
{
	for (uint32_t n = 0; n < changes;) {
		struct store_txn *t = bed_begin(b);
		uint32_t freed[200][3], count = 0;

		for (uint32_t k = 0; k < 200 && n < changes; k++, n++) {
			uint32_t i = (uint32_t)(random_u64(&b->random) % BED_IDS);
			struct bed_point *p = &b->points[i];
			uint64_t what = random_u64(&b->random) % 4;

			if (!p->stored || what == 0) {
				freed[count][0] = i;
				freed[count][1] = p->stored ? p->slot[0] : SLOT_NONE;
				freed[count++][2] = p->stored ? p->slot[1] : SLOT_NONE;
				bed_random_vectors(b, p);
				bed_random_payload(b, p);
				p->visible = true;
			} else if (what == 1) {
				bed_random_payload(b, p);
			} else {
				p->visible = what == 2;
			}
			bed_store(b, t, i);
		}
		bed_commit(b, t);
		for (uint32_t k = 0; k < count; k++)
			bed_free_slots(b, freed[k][0], &freed[k][1]);
	}
}

static inline void bed_put_index(struct bed *b, const char *key, enum field_schema schema)
{
	struct fault fault = { 0 };
	struct field_index_config config = { .key = { key, strlen(key) }, .schema = schema };
	struct store_txn *t = bed_begin(b);

	ck_assert_msg(!catalog_field_index_put(b->catalog, t, b->incarnation, &config, &fault),
		      "%s", fault.text);
	bed_commit(b, t);
}

/* --- filters and what must come out --- */

static inline struct condition *bed_condition(struct arena *a, enum condition_kind kind,
					      const char *key)
{
	struct condition *c = arena_alloc(a, sizeof(*c));

	c->kind = kind;
	if (key)
		ck_assert_int_eq(path_parse((struct str){ key, strlen(key) }, &c->key, NULL),
				 ERR_NONE);
	return c;
}

static inline struct condition *bed_random_condition(struct bed *b, struct arena *a)
{
	struct condition *c;
	const char *color = bed_colors[random_u64(&b->random) % LEN(bed_colors)];

	switch (random_u64(&b->random) % 8) {
	case 0:
		c = bed_condition(a, CONDITION_MATCH_TEXT_VALUE, "color");
		c->text = (struct str){ color, strlen(color) };
		return c;
	case 1:
		c = bed_condition(a, CONDITION_MATCH_ANY_TEXT, "color");
		c->texts.items = arena_array(a, 1, sizeof(struct str));
		c->texts.items[0] = (struct str){ color, strlen(color) };
		c->texts.count = 1;
		return c;
	case 2:
		c = bed_condition(a, CONDITION_MATCH_INT_VALUE, "number");
		c->integer = (int64_t)(random_u64(&b->random) % 40) - 20;
		return c;
	case 3:
		c = bed_condition(a, CONDITION_RANGE,
				  random_u64(&b->random) % 2 ? "price" : "number");
		c->range.has_gte = random_u64(&b->random) % 2;
		c->range.gte = (double)(random_u64(&b->random) % 60);
		c->range.has_lt = !c->range.has_gte || random_u64(&b->random) % 2;
		c->range.lt = (double)(random_u64(&b->random) % 100);
		return c;
	case 4:
		c = bed_condition(a, CONDITION_MATCH_BOOL_VALUE, "flag");
		c->boolean = random_u64(&b->random) % 2;
		return c;
	case 5:
		c = bed_condition(a, CONDITION_IS_EMPTY, "price");
		return c;
	case 6:
		c = bed_condition(a, CONDITION_HAS_VECTOR, NULL);
		c->vector_name = STR("img");
		return c;
	default:
		c = bed_condition(a, CONDITION_HAS_ID, NULL);
		c->ids.count = 1 + (uint32_t)(random_u64(&b->random) % 30);
		c->ids.items = arena_array(a, c->ids.count, sizeof(struct point_id));
		for (uint32_t i = 0; i < c->ids.count; i++)
			c->ids.items[i] = bed_id((uint32_t)(random_u64(&b->random) % BED_IDS));
		return c;
	}
}

static inline void bed_random_list(struct bed *b, struct arena *a, struct condition_list *out,
				   uint32_t max)
{
	out->count = (uint32_t)(random_u64(&b->random) % (max + 1));
	out->items = arena_array(a, max, sizeof(*out->items));
	for (uint32_t i = 0; i < out->count; i++)
		out->items[i] = *bed_random_condition(b, a);
}

static inline struct filter *bed_random_filter(struct bed *b, struct arena *a)
{
	struct filter *f = arena_alloc(a, sizeof(*f));

	bed_random_list(b, a, &f->must, 2);
	bed_random_list(b, a, &f->should, 2);
	bed_random_list(b, a, &f->must_not, 1);
	if (random_u64(&b->random) % 3 == 0) {
		bed_random_list(b, a, &f->min_should, 3);
		f->has_min_should = true;
		f->min_count = (uint32_t)(random_u64(&b->random) % 3);
	}
	if (random_u64(&b->random) % 4 == 0) {
		struct filter *inner = arena_alloc(a, sizeof(*inner));

		bed_random_list(b, a, &inner->should, 2);
		f->must.items[0] = (struct condition){ .kind = CONDITION_FILTER, .filter = inner };
		f->must.count = MAX(f->must.count, 1u);
	}
	ck_assert_int_eq(filter_prepare(f, NULL), ERR_NONE);
	return f;
}

static inline bool bed_has_vector(const struct filter_subject *s, struct str name)
{
	const struct bed_point *p = s->ctx;

	if (name.len == 3)
		return p->has_img;
	return name.len == 0 || p->has_words;
}

static inline bool bed_matches(struct bed *b, uint32_t i, const struct filter *f)
{
	const struct bed_point *p = &b->points[i];
	struct filter_subject subject = { .id = bed_id(i),
					  .payload = { p->payload, p->payload_len },
					  .has_vector = bed_has_vector,
					  .ctx = p };

	return p->visible && filter_match(f, &subject);
}

struct bed_hit {
	struct point_id id;
	float score;
	uint64_t version;
	bool larger;
};

static inline int bed_hit_order(const void *x, const void *y)
{
	const struct bed_hit *a = x, *b = y;

	if (a->score != b->score)
		return (a->score > b->score) == a->larger ? -1 : 1;
	return point_id_compare(a->id, b->id);
}

static inline bool bed_score(const struct bed_point *p, const struct search_query *q,
			     float *ret_score)
{
	if (q->vector_name.len == 0) {
		*ret_score = distance_to_score(
			DISTANCE_EUCLID,
			distance_exact(DISTANCE_EUCLID, q->vector.values, p->v, BED_DIM));
		return true;
	}
	if (q->vector_name.len == 3) {
		float v[BED_IMG_DIM];

		memcpy(v, q->vector.values, sizeof(v));
		distance_normalize(v, BED_IMG_DIM);
		*ret_score = distance_exact(DISTANCE_COSINE, v, p->img, BED_IMG_DIM);
		return p->has_img;
	}
	double sum = 0;
	bool any = false;

	for (uint32_t i = 0; i < q->vector.count; i++)
		for (uint32_t k = 0; k < p->word_count; k++)
			if (q->vector.indices[i] == p->words[k]) {
				sum += (double)q->vector.values[i] * (double)p->weights[k];
				any = true;
			}
	*ret_score = (float)sum;
	return any && p->has_words;
}

/* All answers, best first; room for BED_IDS. */
static inline uint32_t bed_brute_force(struct bed *b, const struct search_query *q,
				       struct bed_hit *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BED_IDS; i++) {
		struct bed_hit hit = { .id = bed_id(i),
				       .version = b->points[i].version,
				       .larger = q->vector_name.len > 0 };

		if (!b->points[i].visible || !bed_score(&b->points[i], q, &hit.score))
			continue;
		if (q->has_threshold &&
		    (hit.larger ? hit.score <= q->threshold : hit.score >= q->threshold))
			continue;
		if (bed_matches(b, i, q->filter))
			out[n++] = hit;
	}
	qsort(out, n, sizeof(*out), bed_hit_order);
	return MIN(n, q->limit);
}

/* A query at random; values and indices have room for 64. */
static inline struct search_query bed_random_query(struct bed *b, float *values, uint32_t *indices)
{
	struct search_query q = { .limit = 1 + (uint32_t)(random_u64(&b->random) % 25) };
	uint64_t which = random_u64(&b->random) % 3;

	for (int i = 0; i < BED_IMG_DIM; i++)
		values[i] = random_normal(&b->random);
	if (which == 2) {
		q.vector_name = STR("words");
		q.vector = (struct vector){ .kind = VECTOR_SPARSE,
					    .values = values,
					    .indices = indices };
		for (uint32_t w = 0; w < BED_WORDS && q.vector.count < BED_IMG_DIM; w++)
			if (random_u64(&b->random) % 5 == 0)
				indices[q.vector.count++] = w * 1000;
		return q;
	}
	q.vector_name = which ? STR("img") : STR("");
	q.vector = (struct vector){ .kind = VECTOR_DENSE,
				    .count = which ? BED_IMG_DIM : BED_DIM,
				    .values = values };
	return q;
}

/* The answer must be the brute force's, bit for bit when it is exact; otherwise so many of 100 must agree. */
static inline void bed_check_search(struct bed *b, const struct search_query *q, unsigned *hits,
				    unsigned *wanted)
{
	static struct bed_hit expected[BED_IDS];
	static struct scored got[BED_IDS];
	struct fault fault = { 0 };
	uint32_t n = bed_brute_force(b, q, expected);
	uint32_t count = 0;

	ck_assert_msg(!collection_search(b->collection, NULL, q, got, &count, &fault), "%s",
		      fault.text);
	ck_assert_uint_eq(count, n);
	for (uint32_t i = 0; i < n; i++) {
		bool same = point_id_equal(got[i].id, expected[i].id);

		*wanted += 1;
		*hits += same;
		if (same)
			ck_assert_uint_eq(got[i].version, expected[i].version);
		if (q->exact) {
			ck_assert(same);
			ck_assert(got[i].score == expected[i].score);
		}
	}
}
