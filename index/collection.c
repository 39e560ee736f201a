/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point's shard is the upper half of its id's hash modulo the number of shards: the same everywhere, for ever.
 */
#include "index/collection.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "index/collection_inner.h"
#include "index/scoring.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1e9

/* --- what it is --- */

const struct collection_config *collection_config(const struct collection *c)
{
	return atomic_load(&c->config);
}

struct incarnation collection_incarnation(const struct collection *c)
{
	return c->incarnation;
}

const struct vector_config *collection_vector(const struct collection *c, struct str name)
{
	const struct collection_config *config = collection_config(c);
	int at = shard_find_vector(config, name);

	return at < 0 ? NULL : &config->vectors[at];
}

void collection_normalize(const struct vector_config *config, float *values)
{
	if (config->sparse)
		return;
	if (vector_config_distance(config) == DISTANCE_COSINE)
		distance_normalize(values, config->dim);
	if (config->datatype)
		datatype_round(config->datatype, values, config->dim);
}

void collection_normalize_rows(const struct vector_config *config, float *values, uint32_t rows)
{
	for (uint32_t i = 0; i < rows; i++)
		collection_normalize(config, values + (size_t)i * config->dim);
}

enum vector_kind vector_config_kind(const struct vector_config *v)
{
	return v->sparse ? VECTOR_SPARSE : v->multi ? VECTOR_MULTI : VECTOR_DENSE;
}

enum distance vector_config_distance(const struct vector_config *v)
{
	return v->distance == DISTANCE_COSINE && v->datatype == DATATYPE_UINT8 ? DISTANCE_COSINE_OF_ANY : v->distance;
}

uint8_t vector_config_flags(const struct vector_config *v)
{
	if (v->sparse)
		return VECTOR_FLAG_SPARSE | (v->idf ? VECTOR_FLAG_IDF : 0);
	uint8_t flags = v->multi ? VECTOR_FLAG_MULTI : 0;

	return v->datatype == DATATYPE_FLOAT16 ? flags | VECTOR_FLAG_FLOAT16
	       : v->datatype == DATATYPE_UINT8 ? flags | VECTOR_FLAG_UINT8
					       : flags;
}

uint8_t collection_config_version(const struct collection_config *c)
{
	uint8_t flags = 0;

	for (uint32_t i = 0; i < c->vector_count; i++)
		flags |= vector_config_flags(&c->vectors[i]);
	return flags & ~VECTOR_FLAGS_BEFORE ? 2 : 1;
}

bool vector_config_set_flags(struct vector_config *v, uint8_t flags)
{
	v->sparse = (flags & VECTOR_FLAG_SPARSE) != 0;
	v->idf = (flags & VECTOR_FLAG_IDF) != 0;
	v->multi = (flags & VECTOR_FLAG_MULTI) != 0;
	v->datatype = flags & VECTOR_FLAG_FLOAT16 ? DATATYPE_FLOAT16
		      : flags & VECTOR_FLAG_UINT8 ? DATATYPE_UINT8
						  : 0;
	return vector_config_flags(v) == flags;
}

uint32_t collection_shard_of(const struct collection *c, struct point_id id)
{
	return (uint32_t)((point_id_hash(id) >> 32) % c->shard_count);
}

uint32_t collection_shard_count(const struct collection *c)
{
	return c->shard_count;
}

/* --- searching --- */

struct merged {
	struct hit hit;
	uint64_t version;
	uint32_t shard;
	float score;
};

struct shard_answer {
	struct hit *hits;
	uint64_t *versions;
	uint32_t cap, count;
	enum err err;
};

struct fan_out {
	struct collection *collection;
	const struct shard_query *query;
	struct shard_answer *answers; /* one a shard */
	struct arena arena;
};

static void fan_out_release(struct fan_out *f)
{
	arena_release(&f->arena);
}

static void search_shard(void *ctx, unsigned i)
{
	const struct fan_out *f = ctx;
	struct shard_answer *a = &f->answers[i];
	struct shard_query q = *f->query;

	q.k = a->cap;
	a->err = shard_search(f->collection->shards[i], &q, a->hits, a->versions, &a->count);
}

static enum err fan_out_init(struct fan_out *f, struct collection *c, const struct shard_query *q)
{
	*f = (struct fan_out){ .collection = c, .query = q };
	arena_init(&f->arena, SIZE_MAX);
	f->answers = arena_array(&f->arena, c->shard_count, sizeof(*f->answers));
	if (!f->answers)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->shard_count; i++) {
		struct shard_answer *a = &f->answers[i];

		a->cap = (uint32_t)MIN((uint64_t)q->k, shard_points(c->shards[i]));
		a->hits = arena_array(&f->arena, a->cap, sizeof(*a->hits));
		a->versions = arena_array(&f->arena, a->cap, sizeof(*a->versions));
		if (!a->hits || !a->versions)
			return ERR_NO_MEMORY;
	}
	return ERR_NONE;
}

static int nearer(const void *a, const void *b)
{
	const struct merged *x = a, *y = b;

	return hit_compare(&x->hit, &y->hit);
}

/* Different similarities can be one score. */
static int by_score_then_id(const void *a, const void *b)
{
	const struct merged *x = a, *y = b;

	return x->score == y->score ? point_id_compare(x->hit.id, y->hit.id)
				    : hit_compare(&x->hit, &y->hit);
}

static enum err merge(struct fan_out *f, struct merged **ret_items, uint32_t *ret_count)
{
	uint32_t shards = f->collection->shard_count;
	size_t total = 0;

	for (uint32_t i = 0; i < shards; i++) {
		if (f->answers[i].err)
			return f->answers[i].err;
		total += f->answers[i].count;
	}
	struct merged *items = arena_array(&f->arena, total, sizeof(*items));
	size_t n = 0;

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < shards; i++)
		for (uint32_t k = 0; k < f->answers[i].count; k++)
			items[n++] = (struct merged){ .hit = f->answers[i].hits[k],
						      .version = f->answers[i].versions[k],
						      .shard = i };
	if (n > 1)
		qsort(items, n, sizeof(*items), nearer);
	*ret_items = items;
	*ret_count = (uint32_t)MIN(n, (size_t)f->query->k);
	return ERR_NONE;
}

static bool passes(const struct search_query *q, bool larger_is_nearer, float score)
{
	if (!q->has_threshold)
		return true;
	return larger_is_nearer ? score > q->threshold : score < q->threshold;
}

static uint32_t give_out(struct merged *items, uint32_t count, const struct vector_config *v,
			 const struct search_query *q, struct scored *out)
{
	bool plain = v->sparse || q->scoring;
	bool larger = plain || distance_larger_is_nearer(v->distance);
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		items[i].score = plain
					 ? items[i].hit.similarity
					 : distance_to_score(v->distance, items[i].hit.similarity);
	if (count > 1)
		qsort(items, count, sizeof(*items), by_score_then_id);
	for (uint32_t i = 0; i < count && passes(q, larger, items[i].score); i++)
		out[n++] = (struct scored){
			.id = items[i].hit.id,
			.shard = items[i].shard,
			.row = items[i].hit.row,
			.score = items[i].score,
			.version = items[i].version,
		};
	return n;
}

enum err vector_config_check(const struct vector_config *v, const struct vector *vector, struct fault *reterr_fault)
{
	/* A single vector is a multivector of one. */
	bool single = v->multi && vector->kind == VECTOR_DENSE;
	uint32_t dim = vector->kind == VECTOR_MULTI && vector->rows > 0 ? vector->count / vector->rows : vector->count;

	if (vector->kind == VECTOR_MULTI && !v->multi)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "Conversion between multi and regular vectors failed");
	if (vector->kind != vector_config_kind(v) && !single)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "Conversion between sparse and regular vectors failed");
	if (!v->sparse && dim != v->dim)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "Vector dimension error: expected dim: %u, got %u", v->dim,
				 dim);
	return ERR_NONE;
}

static enum err check_query(const struct collection *c, const struct search_query *q,
			    uint32_t *ret_index, struct fault *reterr_fault)
{
	const struct collection_config *config = collection_config(c);
	int at = shard_find_vector(config, q->vector_name);
	enum err e = ERR_NONE;

	if (at < 0)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "Not existing vector name error: %.*s", STR_FMT(q->vector_name));
	if (!q->scoring)
		e = vector_config_check(&config->vectors[at], &q->vector, reterr_fault);
	for (uint32_t i = 0; q->scoring && i < q->scoring->count && !e; i++)
		e = vector_config_check(&config->vectors[at], &q->scoring->examples[i], reterr_fault);
	*ret_index = (uint32_t)at;
	return e;
}

static enum err search(struct collection *c, struct pool *pool, const struct shard_query *query,
		       const struct vector_config *v, struct scored *out, uint32_t *ret_count)
{
	CLEANUP(fan_out_release) struct fan_out f;
	struct merged *items;
	uint32_t count;
	enum err e = fan_out_init(&f, c, query);

	if (e)
		return e;
	if (pool && c->shard_count > 1)
		pool_each(pool, c->shard_count, search_shard, &f);
	else
		for (uint32_t i = 0; i < c->shard_count; i++)
			search_shard(&f, i);
	e = merge(&f, &items, &count);
	if (e)
		return e;
	*ret_count = give_out(items, count, v, query->q, out);
	return ERR_NONE;
}

enum err vector_config_normalize(const struct vector_config *v, const struct vector *vector, struct arena *a,
				 struct vector *ret_vector)
{
	*ret_vector = *vector;
	if (v->sparse)
		return ERR_NONE;
	uint32_t rows = vector->count / v->dim;
	float *values = arena_array(a, vector->count, sizeof(*values));

	if (!values)
		return ERR_NO_MEMORY;
	memcpy(values, vector->values, vector->count * sizeof(*values));
	collection_normalize_rows(v, values, rows);
	ret_vector->kind = vector_config_kind(v);
	ret_vector->rows = v->multi ? rows : 0;
	ret_vector->values = values;
	return ERR_NONE;
}

/* As the vectors of points are kept; those of a query are weighed, too. */
static enum err prepare(struct collection *c, uint32_t at, const struct vector *vector, struct arena *a,
			struct vector *ret_vector)
{
	const struct vector_config *v = &collection_config(c)->vectors[at];

	return v->idf ? collection_idf(c, at, vector, a, ret_vector) : vector_config_normalize(v, vector, a, ret_vector);
}

static enum err prepare_scoring(struct collection *c, uint32_t at, const struct scoring *s, struct arena *a,
				struct scoring *ret_scoring)
{
	struct vector *examples = arena_array(a, s->count, sizeof(*examples));
	enum err e = examples ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0; i < s->count && !e; i++)
		e = prepare(c, at, &s->examples[i], a, &examples[i]);
	*ret_scoring = *s;
	ret_scoring->examples = examples;
	return e;
}

enum err collection_search(struct collection *c, struct pool *pool, const struct search_query *q,
			   struct scored *out, uint32_t *ret_count, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct shard_query query = { .q = q, .k = q->limit };
	uint64_t start_ns = clock_mono_ns(clock_system());
	struct scoring scoring;
	struct vector vector;

	arena_init(&arena, SIZE_MAX);
	enum err e = check_query(c, q, &query.vector, reterr_fault);

	if (e)
		return e;
	const struct vector_config *v = &collection_config(c)->vectors[query.vector];

	if (q->scoring) {
		e = prepare_scoring(c, query.vector, q->scoring, &arena, &scoring);
		query.scoring = &scoring;
	} else {
		e = prepare(c, query.vector, &q->vector, &arena, &vector);
		query.dense = v->sparse ? NULL : vector.values;
		query.sparse = v->sparse ? &vector : NULL;
		query.multi = v->multi ? &vector : NULL;
	}
	if (!e)
		e = search(c, pool, &query, v, out, ret_count);
	metric_observe(METRIC_isthmus_search_duration_seconds,
		       (double)(clock_mono_ns(clock_system()) - start_ns) / NS_PER_S);
	return e ? fault_set(reterr_fault, e, "searching: %s", err_sentence(e)) : ERR_NONE;
}

/* --- other reading --- */

enum err collection_retrieve(struct collection *c, const struct point_id *ids, uint32_t count,
			     const struct record_want *want, struct arena *a, struct record *out,
			     struct fault *reterr_fault)
{
	uint32_t *shard_of = arena_array(a, count, sizeof(*shard_of));
	bool *wanted = arena_array(a, c->shard_count, sizeof(*wanted));

	if (!shard_of || !wanted)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		shard_of[i] = collection_shard_of(c, ids[i]);
		wanted[shard_of[i]] = true;
	}
	for (uint32_t i = 0; i < c->shard_count; i++) {
		enum err e = wanted[i] ? shard_retrieve(c->shards[i], ids, shard_of, count, want, a,
							out, reterr_fault)
				       : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

static int id_compare(const void *a, const void *b)
{
	return point_id_compare(*(const struct point_id *)a, *(const struct point_id *)b);
}

struct id_list {
	struct point_id *items;
	size_t count, cap;
};

static void id_list_release(struct id_list *l)
{
	free(l->items);
}

static enum err id_list_reserve(struct id_list *l, size_t more)
{
	if (l->count + more <= l->cap)
		return ERR_NONE;
	size_t cap = l->count + more;
	struct point_id *items = reallocarray(l->items, cap, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	l->items = items;
	l->cap = cap;
	return ERR_NONE;
}

enum err collection_scroll(struct collection *c, const struct filter *f,
			   const struct point_id *from, uint32_t limit,
			   const struct deadline *deadline, struct point_id *out,
			   uint32_t *ret_count, bool *ret_more, struct point_id *ret_next)
{
	CLEANUP(id_list_release) struct id_list all = { 0 };
	static const struct deadline never;

	for (uint32_t i = 0; i < c->shard_count; i++) {
		/* One more than asked for: whether there is a next page. */
		uint32_t want = (uint32_t)MIN((uint64_t)limit + 1, shard_points(c->shards[i]));
		uint32_t count = 0;
		enum err e = id_list_reserve(&all, want);

		if (!e && want)
			e = shard_scroll(c->shards[i], f, from, want, deadline ? deadline : &never,
					 all.items + all.count, &count);
		if (e)
			return e;
		all.count += count;
	}
	if (c->shard_count > 1 && all.count > 1)
		qsort(all.items, all.count, sizeof(*all.items), id_compare);
	*ret_count = (uint32_t)MIN(all.count, (size_t)limit);
	*ret_more = all.count > limit;
	if (*ret_more)
		*ret_next = all.items[limit];
	if (*ret_count)
		memcpy(out, all.items, *ret_count * sizeof(*out));
	return ERR_NONE;
}

/* Every shard has the same payload indexes. */
enum err collection_row_matches(const struct collection *c, const struct filter *f, const struct row *row,
				bool *ret_match)
{
	return shard_row_matches(c->shards[0], f, row, ret_match);
}

static int in_order(const void *a, const void *b, void *ctx)
{
	return order_compare(ctx, a, b);
}

enum err collection_order(struct collection *c, const struct order_query *q, struct scored *out, uint32_t *ret_count)
{
	CLEANUP(arena_release) struct arena arena;
	struct order_query order = *q;
	uint32_t n = 0;

	arena_init(&arena, SIZE_MAX);
	/* The first of the shards so far, and behind them those of one more. */
	struct scored *all = arena_array(&arena, (size_t)q->limit * 2, sizeof(*all));

	if (!all)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->shard_count; i++) {
		uint32_t count = 0;
		enum err e = shard_order(c->shards[i], q, all + n, &count);

		if (e)
			return e;
		n += count;
		if (n > 1)
			qsort_r(all, n, sizeof(*all), in_order, &order);
		n = MIN(n, q->limit);
	}
	*ret_count = n;
	if (n)
		memcpy(out, all, n * sizeof(*out));
	return ERR_NONE;
}

uint64_t collection_points(const struct collection *c)
{
	uint64_t points = 0;

	for (uint32_t i = 0; i < c->shard_count; i++)
		points += shard_points(c->shards[i]);
	return points;
}

enum err collection_count(struct collection *c, const struct filter *f,
			  const struct deadline *deadline, uint64_t *ret_count)
{
	static const struct deadline never;
	uint64_t total = 0;

	for (uint32_t i = 0; i < c->shard_count; i++) {
		uint64_t count = 0;
		enum err e = shard_count(c->shards[i], f, deadline ? deadline : &never, &count);

		if (e)
			return e;
		total += count;
	}
	*ret_count = total;
	return ERR_NONE;
}

void collection_info(struct collection *c, struct collection_info *ret_info)
{
	*ret_info = (struct collection_info){ 0 };
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_info_add(c->shards[i], ret_info);
}

enum err collection_field_indexes(struct collection *c, struct arena *a,
				  struct field_index_info **ret_items, uint32_t *ret_count)
{
	struct field_list fields;

	pthread_mutex_lock(&c->lock);
	enum err e = field_list_copy(&c->fields, a, &fields);

	pthread_mutex_unlock(&c->lock);
	struct field_index_info *items = e ? NULL : arena_array(a, fields.count, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < fields.count; i++) {
		items[i].config = fields.items[i];
		for (uint32_t k = 0; k < c->shard_count; k++)
			items[i].points += shard_field_points(c->shards[k], fields.items[i].key);
	}
	*ret_items = items;
	*ret_count = fields.count;
	return ERR_NONE;
}

void collection_shard_info(struct collection *c, uint32_t shard, struct shard_info *ret_info)
{
	ASSERT(shard < c->shard_count);
	*ret_info = (struct shard_info){
		.shard = shard,
		.points = shard_points(c->shards[shard]),
		.searches = atomic_load_explicit(&c->shards[shard]->searches, memory_order_relaxed),
	};
}

/* --- writing --- */

static struct shard *shard_at(const struct collection *c, struct point_id id)
{
	return c->shards[collection_shard_of(c, id)];
}

enum err collection_row_load(struct collection *c, struct store_txn *t, struct point_id id,
			     struct arena *a, struct row *ret_row)
{
	return shard_row_load(shard_at(c, id), t, id, a, ret_row);
}

enum err collection_row_store(struct collection *c, struct store_txn *t, struct row *row,
			      struct fault *reterr_fault)
{
	return shard_row_store(shard_at(c, row->id), t, row, reterr_fault);
}

enum err collection_row_remove(struct collection *c, struct store_txn *t, struct point_id id)
{
	return shard_row_remove(shard_at(c, id), t, id);
}

enum err collection_row_clear(struct collection *c, struct store_txn *t, struct point_id id, bool *ret_any)
{
	return shard_row_clear(shard_at(c, id), t, id, ret_any);
}

enum err collection_row_spoil(struct collection *c, struct store_txn *t, struct point_id id)
{
	return shard_row_spoil(shard_at(c, id), t, id);
}

const float *collection_slot_values(struct collection *c, uint32_t shard, struct str vector_name,
				    uint32_t slot)
{
	if (shard >= c->shard_count)
		return NULL;
	const struct shard *s = c->shards[shard];
	int at = shard_find_vector(s->config, vector_name);

	return at < 0 || !s->vectors[at].dense ? NULL : dense_values(s->vectors[at].dense, slot);
}

void collection_slot_free(struct collection *c, uint32_t shard, struct str vector_name,
			  uint32_t slot)
{
	ASSERT(shard < c->shard_count);
	int at = shard_find_vector(c->shards[shard]->config, vector_name);

	ASSERT(at >= 0);
	shard_slot_free(c->shards[shard], (uint32_t)at, slot);
}

enum err collection_slot_mark(struct collection *c, uint32_t shard, struct str vector_name,
			      uint32_t slot)
{
	if (shard >= c->shard_count)
		return ERR_CORRUPT;
	const struct shard *s = c->shards[shard];
	int at = shard_find_vector(s->config, vector_name);

	return at < 0 || !s->vectors[at].dense ? ERR_CORRUPT
					       : dense_mark(s->vectors[at].dense, slot, NULL, NULL);
}

enum err collection_sync(struct collection *c, struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < c->shard_count; i++) {
		enum err e = shard_sync(c->shards[i], reterr_fault);

		if (e)
			return e;
	}
	return ERR_NONE;
}

void collection_publish(struct collection *c)
{
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_publish(c->shards[i]);
}

void collection_abandon(struct collection *c)
{
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_abandon(c->shards[i]);
}

struct merkle *collection_merkle(struct collection *c, uint32_t shard)
{
	ASSERT(shard < c->shard_count);
	return c->shards[shard]->merkle;
}

/* --- audits --- */

enum err collection_leaves_recount(struct collection *c, uint32_t shard, struct leaves_recount *r)
{
	return shard < c->shard_count ? shard_leaves_recount(c->shards[shard], r) : ERR_BAD_INPUT;
}

enum err collection_scan(struct collection *c, struct store_txn *t, uint32_t shard,
			 collection_scan_fn fn, void *ctx)
{
	return shard < c->shard_count ? shard_scan(c->shards[shard], t, fn, ctx) : ERR_BAD_INPUT;
}

enum err collection_read_rows(struct collection *c, uint32_t shard, const struct point_id *ids,
			      uint32_t count, struct collection_rows *out)
{
	return shard < c->shard_count ? shard_read_rows(c->shards[shard], ids, count, out)
				      : ERR_BAD_INPUT;
}

enum err collection_check(struct collection *c, uint32_t shard, struct collection_check *check)
{
	return shard < c->shard_count ? shard_check(c->shards[shard], check) : ERR_BAD_INPUT;
}

enum err collection_read_chunk(struct collection *c, uint32_t shard, struct collection_chunk *chunk)
{
	return shard < c->shard_count ? shard_read_chunk(c->shards[shard], chunk) : ERR_BAD_INPUT;
}
