/* SPDX-License-Identifier: Apache-2.0 */
#include "index/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "index/mmr.h"
#include "index/order.h"

/* Of what was neither compared nor sorted by similarity, as Qdrant has it. */
#define SCORE_NONE 1.0f
/* Payloads that a formula has in memory at once. */
#define FORMULA_RECORDS 256u

struct run {
	struct collection *collection;
	struct pool *pool;
	const struct deadline *deadline;
	struct arena *arena;
	struct fault *fault;
};

static enum err run(const struct run *r, const struct query *q, const struct filter *outer,
		    struct ranking *ret_found);

/* --- filters --- */

enum err query_both_filters(const struct filter *x, const struct filter *y, struct arena *a,
			    const struct filter **ret_filter)
{
	if (!x || !y) {
		*ret_filter = x ? x : y;
		return ERR_NONE;
	}
	struct filter *both = arena_alloc(a, sizeof(*both));
	struct condition *items = arena_array(a, 2, sizeof(*items));

	if (!both || !items)
		return ERR_NO_MEMORY;
	/* A condition's filter is not const, as those who build one write it. */
	items[0] = (struct condition){ .kind = CONDITION_FILTER };
	items[1] = (struct condition){ .kind = CONDITION_FILTER };
	memcpy(&items[0].filter, &x, sizeof(x));
	memcpy(&items[1].filter, &y, sizeof(y));
	both->must = (struct condition_list){ .items = items, .count = 2 };
	*ret_filter = both;
	return ERR_NONE;
}

static int by_id(const void *a, const void *b)
{
	return point_id_compare(((const struct scored *)a)->id, ((const struct scored *)b)->id);
}

/* All points of the rankings, each once, by id. */
static enum err unite(const struct run *r, const struct ranking *rankings, uint32_t count,
		      struct ranking *ret_all)
{
	uint32_t total = 0, n = 0, kept = 0;

	for (uint32_t i = 0; i < count; i++)
		total += rankings[i].count;
	struct scored *items = arena_array(r->arena, total, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < rankings[i].count; k++)
			items[n++] = rankings[i].items[k];
	if (n > 1)
		qsort(items, n, sizeof(*items), by_id);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || !point_id_equal(items[kept - 1].id, items[i].id))
			items[kept++] = items[i];
	*ret_all = (struct ranking){ .items = items, .count = kept };
	return ERR_NONE;
}

static enum err filter_of(const struct run *r, const struct ranking *all,
			  const struct filter **ret_filter)
{
	struct filter *f = arena_alloc(r->arena, sizeof(*f));
	struct condition *c = arena_alloc(r->arena, sizeof(*c));
	struct point_id *ids = arena_array(r->arena, all->count, sizeof(*ids));

	if (!f || !c || !ids)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < all->count; i++)
		ids[i] = all->items[i].id;
	*c = (struct condition){ .kind = CONDITION_HAS_ID,
				 .ids = { .items = ids, .count = all->count } };
	f->must = (struct condition_list){ .items = c, .count = 1 };
	*ret_filter = f;
	return ERR_NONE;
}

/* --- one step --- */

/* No more than there is: what a client asks for must not size the memory. */
static uint32_t possible(const struct run *r, uint32_t limit)
{
	return (uint32_t)MIN((uint64_t)limit, collection_points(r->collection));
}

static enum err run_scroll(const struct run *r, const struct query *q, const struct filter *f,
			   struct ranking *ret_found)
{
	const struct record_want nothing = { 0 };
	uint32_t limit = possible(r, q->limit), count = 0;
	struct point_id *ids = arena_array(r->arena, limit, sizeof(*ids)), next;
	struct record *records = arena_array(r->arena, limit, sizeof(*records));
	struct scored *items = arena_array(r->arena, limit, sizeof(*items));
	bool more;

	if (!ids || !records || !items)
		return ERR_NO_MEMORY;
	enum err err = collection_scroll(r->collection, f, NULL, limit, r->deadline, ids, &count,
					 &more, &next);

	if (!err)
		err = collection_retrieve(r->collection, ids, count, &nothing, r->arena, records,
					  r->fault);
	for (uint32_t i = 0; i < count && !err; i++)
		items[i] = (struct scored){ .id = ids[i],
					    .score = SCORE_NONE,
					    .version = records[i].version };
	*ret_found = (struct ranking){ .items = items, .count = count };
	return err;
}

static enum err run_search(const struct run *r, const struct query *q, const struct filter *f,
			   uint32_t limit, struct ranking *ret_found)
{
	const struct search_query search = {
		.vector_name = q->vector_name,
		.vector = q->vector,
		.scoring = q->scoring,
		.filter = f,
		.limit = possible(r, limit),
		.hnsw_ef = q->hnsw_ef,
		.exact = q->exact,
		.indexed_only = q->indexed_only,
		.has_threshold = q->has_threshold,
		.threshold = q->threshold,
		.deadline = *r->deadline,
	};
	struct scored *items = arena_array(r->arena, search.limit, sizeof(*items));
	uint32_t count = 0;

	if (!items)
		return ERR_NO_MEMORY;
	enum err err = collection_search(r->collection, r->pool, &search, items, &count, r->fault);

	*ret_found = (struct ranking){ .items = items, .count = count };
	return err;
}

static enum err run_order(const struct run *r, const struct query *q, const struct filter *f,
			  struct ranking *ret_found)
{
	const struct order_query order = {
		.key = q->kind == QUERY_ORDER ? q->order_key : NULL,
		.schema = q->order_schema,
		.descending = q->order_descending,
		.start = q->order_start,
		.seed = q->seed,
		.filter = f,
		.limit = q->kind == QUERY_ORDER ? q->limit : possible(r, q->limit),
		.deadline = *r->deadline,
	};
	struct scored *items = arena_array(r->arena, order.limit, sizeof(*items));
	uint32_t count = 0;

	if (!items)
		return ERR_NO_MEMORY;
	enum err err = collection_order(r->collection, &order, items, &count);

	for (uint32_t i = 0; i < count && q->kind == QUERY_SAMPLE; i++)
		items[i].order = (struct order_value){ 0 };
	*ret_found = (struct ranking){ .items = items, .count = count };
	return err;
}

/* --- mmr --- */

struct candidates {
	enum distance distance;
	const struct vector *vectors;
};

static float candidate_similarity(const void *ctx, uint32_t a, uint32_t b)
{
	const struct candidates *c = ctx;

	return scoring_similarity(c->distance, &c->vectors[a], &c->vectors[b]);
}

/* The vectors of what was found; points that have none any more are left out of both. */
static enum err load_vectors(const struct run *r, const struct query *q, struct scored *items,
			     uint32_t *count, struct vector *vectors)
{
	const struct record_want want = { .vectors = true,
					  .vector_names = &q->vector_name,
					  .vector_name_count = 1 };
	struct point_id *ids = arena_array(r->arena, *count, sizeof(*ids));
	struct record *records = arena_array(r->arena, *count, sizeof(*records));
	uint32_t n = 0;

	if (!ids || !records)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < *count; i++)
		ids[i] = items[i].id;
	enum err err =
		collection_retrieve(r->collection, ids, *count, &want, r->arena, records, r->fault);

	for (uint32_t i = 0; i < *count && !err; i++) {
		if (!records[i].found || records[i].vector_count == 0)
			continue;
		vectors[n] = records[i].vectors[0].vector;
		items[n++] = items[i];
	}
	*count = n;
	return err;
}

static enum err pick_unlike(const struct run *r, const struct query *q, struct scored *items,
			    uint32_t count, struct ranking *ret_found)
{
	const struct vector_config *config = collection_vector(r->collection, q->vector_name);
	struct vector *vectors = arena_array(r->arena, count, sizeof(*vectors));
	float *relevance = arena_array(r->arena, count, sizeof(*relevance));
	uint32_t *picks = arena_array(r->arena, count, sizeof(*picks));
	struct scored *picked = arena_array(r->arena, count, sizeof(*picked));
	struct vector vector = { 0 };
	uint32_t n = 0;

	if (!vectors || !relevance || !picks || !picked)
		return ERR_NO_MEMORY;
	ASSERT(config); /* it was searched */
	const struct candidates c = { .distance = config->sparse ? DISTANCE_DOT
								 : vector_config_distance(config),
				      .vectors = vectors };
	enum err err = vector_config_normalize(config, &q->vector, r->arena, &vector);

	if (!err)
		err = load_vectors(r, q, items, &count, vectors);
	for (uint32_t i = 0; i < count && !err; i++)
		relevance[i] = scoring_similarity(c.distance, &vector, &vectors[i]);
	const struct mmr mmr = {
		.relevance = relevance,
		.count = count,
		.lambda = q->mmr_lambda,
		.similarity = candidate_similarity,
		.ctx = &c,
		.deadline = *r->deadline,
	};

	if (!err)
		err = mmr_pick(&mmr, MIN(q->limit, count), picks, &n);
	for (uint32_t i = 0; i < n && !err; i++)
		picked[i] = items[picks[i]];
	*ret_found = (struct ranking){ .items = picked, .count = n };
	return err;
}

static enum err run_mmr(const struct run *r, const struct query *q, const struct filter *f,
			struct ranking *ret_found)
{
	struct ranking found;
	enum err err = run_search(r, q, f, q->mmr_candidates, &found);

	if (err)
		return err;
	struct scored *items = arena_array(r->arena, found.count, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	if (found.count)
		memcpy(items, found.items, found.count * sizeof(*items));
	return pick_unlike(r, q, items, found.count, ret_found);
}

/* --- what prefetches found --- */

/* The first that pass the threshold; they are in order. */
static void cut(const struct query *q, const struct scored *items, uint32_t count,
		struct ranking *ret_found)
{
	uint32_t n = 0;

	while (n < MIN(count, q->limit) && (!q->has_threshold || items[n].score >= q->threshold))
		n++;
	*ret_found = (struct ranking){ .items = items, .count = n };
}

static enum err run_fusion(const struct run *r, const struct query *q,
			   const struct ranking *sources, struct ranking *ret_found)
{
	struct scored *items;
	uint32_t count;
	enum err err =
		fusion_merge(&q->fusion, sources, q->prefetch_count, r->arena, &items, &count);

	if (!err)
		cut(q, items, count, ret_found);
	return err;
}

struct formula_run {
	const struct run *run;
	const struct query *q;
	struct ranking *sources; /* by id */
	uint32_t *cursors;       /* into them */
	float *scores;           /* of the point that is looked at */
	bool *found;
};

static bool record_has_vector(const struct filter_subject *s, struct str name)
{
	const struct record *record = s->ctx;

	for (uint32_t i = 0; i < record->vector_count; i++)
		if (str_compare(record->vectors[i].name, name) == 0)
			return true;
	return false;
}

/* Points come by id, and so do the sources. */
static void find_scores(struct formula_run *f, struct point_id id)
{
	for (uint32_t i = 0; i < f->q->prefetch_count; i++) {
		const struct ranking *s = &f->sources[i];
		uint32_t *at = &f->cursors[i];

		while (*at < s->count && point_id_compare(s->items[*at].id, id) < 0)
			(*at)++;
		f->found[i] = *at < s->count && point_id_equal(s->items[*at].id, id);
		f->scores[i] = f->found[i] ? s->items[*at].score : 0;
	}
}

static enum err score_record(struct formula_run *f, const struct record *record, float *ret_score)
{
	const struct filter_subject point = { .id = record->id,
					      .payload = record->payload,
					      .has_vector = record_has_vector,
					      .ctx = record };
	const struct formula_scores scores = { .items = f->scores,
					       .found = f->found,
					       .count = f->q->prefetch_count };

	find_scores(f, record->id);
	return formula_evaluate(f->q->formula, &point, &scores, ret_score, f->run->fault);
}

/* Some of the points; those that are gone are left out. */
static enum err score_some(struct formula_run *f, const struct scored *points, uint32_t count,
			   struct scored *out, uint32_t *ret_count)
{
	CLEANUP(arena_release) struct arena arena;
	const struct record_want want = { .payload = true,
					  .vectors = formula_needs_vectors(f->q->formula) };
	struct point_id ids[FORMULA_RECORDS];
	struct record records[FORMULA_RECORDS] = { 0 };
	uint32_t n = 0;

	arena_init(&arena, SIZE_MAX);
	for (uint32_t i = 0; i < count; i++)
		ids[i] = points[i].id;
	enum err err = collection_retrieve(f->run->collection, ids, count, &want, &arena, records,
					   f->run->fault);

	for (uint32_t i = 0; i < count && !err; i++) {
		if (!records[i].found)
			continue;
		out[n] = points[i];
		out[n].order = (struct order_value){ 0 };
		err = score_record(f, &records[i], &out[n++].score);
	}
	*ret_count = n;
	return err;
}

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return point_id_compare(x->id, y->id);
}

static enum err sort_sources(struct formula_run *f, const struct ranking *sources)
{
	uint32_t count = f->q->prefetch_count;
	struct arena *a = f->run->arena;
	enum err err = ERR_NONE;

	f->sources = arena_array(a, count, sizeof(*f->sources));
	f->cursors = arena_array(a, count, sizeof(*f->cursors));
	f->scores = arena_array(a, count, sizeof(*f->scores));
	f->found = arena_array(a, count, sizeof(*f->found));
	if (!f->sources || !f->cursors || !f->scores || !f->found)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++)
		err = unite(f->run, &sources[i], 1, &f->sources[i]);
	return err;
}

static enum err run_formula(const struct run *r, const struct query *q,
			    const struct ranking *sources, struct ranking *ret_found)
{
	struct formula_run f = { .run = r, .q = q };
	struct ranking all = { 0 };
	uint32_t n = 0, some;
	enum err err = sort_sources(&f, sources);

	if (!err)
		err = unite(r, sources, q->prefetch_count, &all);
	struct scored *items = err ? NULL : arena_array(r->arena, all.count, sizeof(*items));

	if (!items)
		return err ? err : ERR_NO_MEMORY;
	for (uint32_t i = 0; i < all.count && !err; i += FORMULA_RECORDS) {
		err = deadline_check(r->deadline);
		if (!err)
			err = score_some(&f, all.items + i, MIN(FORMULA_RECORDS, all.count - i),
					 items + n, &some);
		n += err ? 0 : some;
	}
	if (err)
		return err;
	if (n > 1)
		qsort(items, n, sizeof(*items), by_score);
	cut(q, items, n, ret_found);
	return ERR_NONE;
}

/* --- the tree --- */

static enum err run_prefetches(const struct run *r, const struct query *q, const struct filter *f,
			       struct ranking **ret_sources)
{
	struct ranking *sources = arena_array(r->arena, q->prefetch_count, sizeof(*sources));
	enum err err = sources ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0; i < q->prefetch_count && !err; i++)
		err = run(r, &q->prefetches[i], f, &sources[i]);
	*ret_sources = sources;
	return err;
}

static enum err run_own(const struct run *r, const struct query *q, const struct filter *f,
			struct ranking *ret_found)
{
	switch (q->kind) {
	case QUERY_SCROLL:
		return run_scroll(r, q, f, ret_found);
	case QUERY_SEARCH:
		return run_search(r, q, f, q->limit, ret_found);
	case QUERY_MMR:
		return run_mmr(r, q, f, ret_found);
	case QUERY_ORDER:
	case QUERY_SAMPLE:
		return run_order(r, q, f, ret_found);
	case QUERY_FUSION:
	case QUERY_FORMULA:
		break;
	}
	PANIC("without prefetches there is nothing to merge");
}

static enum err run(const struct run *r, const struct query *q, const struct filter *outer,
		    struct ranking *ret_found)
{
	const struct filter *f;
	struct ranking *sources;
	struct ranking all;
	enum err err = query_both_filters(outer, q->filter, r->arena, &f);

	if (!err && q->prefetch_count == 0)
		return run_own(r, q, f, ret_found);
	if (!err)
		err = run_prefetches(r, q, f, &sources);
	if (!err && q->kind == QUERY_FUSION)
		return run_fusion(r, q, sources, ret_found);
	if (!err && q->kind == QUERY_FORMULA)
		return run_formula(r, q, sources, ret_found);
	if (!err)
		err = unite(r, sources, q->prefetch_count, &all);
	if (!err)
		err = filter_of(r, &all, &f);
	return err ? err : run_own(r, q, f, ret_found);
}

enum err query_run(struct collection *c, struct pool *pool, const struct query *q,
		   const struct deadline *deadline, struct arena *a, struct ranking *ret_found,
		   struct fault *reterr_fault)
{
	const struct run r = { .collection = c,
			       .pool = pool,
			       .deadline = deadline,
			       .arena = a,
			       .fault = reterr_fault };

	return run(&r, q, NULL, ret_found);
}
