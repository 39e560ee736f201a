/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries and searches. All forms, also the older ones, become queries. One, or a batch of them, is a list of jobs, done in
 * three passes: planned one after another (in the call's arena, which is no place for two threads), run over the pool, each
 * with an arena of its own, and collected one after another.
 */
#include "gateway/api_inner.h"

#include <string.h>

#include "index/order.h"

/* --- the older forms as queries --- */

struct msg_query *api_new_query(struct call *c, struct msg_points_query *out)
{
	struct msg_query *q = arena_alloc(c->arena, sizeof(*q));

	out->has_query = q != NULL;
	out->query = q;
	return q;
}

static enum err from_search(struct call *c, const struct msg_points_search *m,
			    struct msg_points_query *out)
{
	*out = (struct msg_points_query){
		.collection_name = m->collection_name,
		.using = m->vector.name,
		.has_filter = m->has_filter,
		.filter = m->filter,
		.params = m->params,
		.has_score_threshold = m->has_score_threshold,
		.score_threshold = m->score_threshold,
		.limit = m->limit,
		.offset = m->offset,
		.with_payload = m->with_payload,
		.with_vector = m->with_vector,
	};
	struct msg_query *q = api_new_query(c, out);

	if (!q)
		return ERR_NO_MEMORY;
	q->has_nearest = true;
	q->nearest = (struct vector_input){ .vector = m->vector.vector };
	return ERR_NONE;
}

static enum err from_recommend(struct call *c, const struct msg_points_recommend *m,
			       struct msg_points_query *out)
{
	*out = (struct msg_points_query){
		.collection_name = m->collection_name,
		.using = m->using,
		.has_filter = m->has_filter,
		.filter = m->filter,
		.params = m->params,
		.has_score_threshold = m->has_score_threshold,
		.score_threshold = m->score_threshold,
		.limit = m->limit,
		.offset = m->offset,
		.with_payload = m->with_payload,
		.with_vector = m->with_vector,
		.has_lookup_from = m->has_lookup_from,
		.lookup_from = m->lookup_from,
	};
	struct msg_query *q = api_new_query(c, out);

	if (!q)
		return ERR_NO_MEMORY;
	q->has_recommend = true;
	q->recommend.positive = m->positive;
	q->recommend.negative = m->negative;
	q->recommend.has_strategy = m->has_strategy;
	q->recommend.strategy = m->strategy;
	return ERR_NONE;
}

static enum err context_of(struct call *c, const struct msg_discover_pair_list *pairs,
			   struct context_pair_list *ret_context)
{
	struct msg_context_pair *items = arena_array(c->arena, pairs->count, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < pairs->count; i++)
		items[i] = (struct msg_context_pair){ .positive = pairs->items[i].positive,
						      .negative = pairs->items[i].negative };
	*ret_context = (struct context_pair_list){ .items = items, .count = pairs->count };
	return ERR_NONE;
}

static enum err from_discover(struct call *c, const struct msg_points_discover *m,
			      struct msg_points_query *out)
{
	*out = (struct msg_points_query){
		.collection_name = m->collection_name,
		.using = m->using,
		.has_filter = m->has_filter,
		.filter = m->filter,
		.params = m->params,
		.limit = m->limit,
		.offset = m->offset,
		.with_payload = m->with_payload,
		.with_vector = m->with_vector,
		.has_lookup_from = m->has_lookup_from,
		.lookup_from = m->lookup_from,
	};
	struct msg_query *q = api_new_query(c, out);

	if (!q)
		return ERR_NO_MEMORY;
	if (!m->has_target && m->context.count == 0)
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "discover needs a target, a context, or both");
	q->has_discover = m->has_target;
	q->has_context = !m->has_target;
	if (m->has_target)
		q->discover.target = m->target;
	return context_of(c, &m->context, m->has_target ? &q->discover.context : &q->context);
}

/* --- jobs --- */

struct job {
	struct collection *collection;
	struct pool *pool; /* for the shards of one search; NULL: the pool works on the jobs */
	struct query query;
	struct deadline deadline;
	uint32_t offset;
	struct with_payload with_payload;
	struct with_vectors with_vectors;
	struct arena arena; /* of what was found; begun before the job runs */
	bool begun;
	struct ranking found;
	enum err err;
	struct fault fault;
};

static enum err prepare(struct call *c, struct collection *collection,
			const struct msg_points_query *m, const struct api_limit *limit,
			struct job *job)
{
	enum err err = api_check_vectors(c, collection, &m->with_vector);

	if (!err)
		err = api_plan_query(c, collection, m, &job->query);
	if (err)
		return err;
	job->collection = collection;
	job->deadline = limit->deadline;
	job->offset = job->query.kind == QUERY_SAMPLE && job->query.prefetch_count == 0
			      ? 0
			      : (uint32_t)m->offset;
	job->with_payload = m->with_payload;
	job->with_vectors = m->with_vector;
	return ERR_NONE;
}

static void run_job(void *ctx, unsigned i)
{
	struct job *job = &((struct job *)ctx)[i];

	arena_init(&job->arena, QUERY_BYTES_MAX);
	job->begun = true;
	job->err = query_run(job->collection, job->pool, &job->query, &job->deadline, &job->arena,
			     &job->found, &job->fault);
}

static enum err run_jobs(struct call *c, struct job *jobs, uint32_t count,
			 const struct api_limit *limit)
{
	if (count == 1)
		jobs[0].pool = c->api->pool;
	if (c->api->pool)
		pool_each(c->api->pool, count, run_job, jobs);
	else
		for (uint32_t i = 0; i < count; i++)
			run_job(jobs, i);
	for (uint32_t i = 0; i < count; i++) {
		if (!jobs[i].err)
			continue;
		c->fault = jobs[i].fault;
		return api_read_failed(c, jobs[i].err, "Search", limit);
	}
	return ERR_NONE;
}

static void release_jobs(struct job *jobs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (jobs[i].begun)
			arena_release(&jobs[i].arena);
}

enum err api_show_scored(struct call *c, struct collection *collection, const struct ranking *found,
			 struct api_want want, struct msg_scored_point_list *out)
{
	bool payload = want.payload->kind != WITH_PAYLOAD_NONE,
	     vectors = want.vectors->kind != WITH_VECTORS_NONE;
	struct point_id *ids = arena_array(c->arena, found->count, sizeof(*ids));
	struct record *records = NULL;
	enum err err = ERR_NONE;

	*out = (struct msg_scored_point_list){ .items = arena_array(c->arena, found->count,
								    sizeof(*out->items)) };
	if (!ids || !out->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < found->count; i++)
		ids[i] = found->items[i].id;
	if (payload || vectors)
		err = api_load(c, collection, ids, found->count, want, &records);
	for (uint32_t i = 0; i < found->count && !err; i++) {
		const struct scored *s = &found->items[i];
		const struct record *r = records ? &records[i] : NULL;

		if (r && !r->found) /* deleted since it was found */
			continue;
		struct msg_scored_point *p = &out->items[out->count++];

		*p = (struct msg_scored_point){
			.id = s->id,
			.version = r ? r->version : s->version,
			.score = s->score,
			.has_order_value = s->order.kind != ORDER_VALUE_NONE,
			.order_value = s->order,
		};
		if (!r)
			continue;
		p->has_payload = payload && r->payload.data;
		p->payload = r->payload;
		p->has_vector = vectors;
		p->vector = (struct vector_list){ .items = r->vectors, .count = r->vector_count };
	}
	return err;
}

static enum err collect(struct call *c, const struct job *job, struct msg_scored_point_list *out)
{
	uint32_t from = MIN(job->offset, job->found.count);
	const struct ranking page = { .items = job->found.items + from,
				      .count = job->found.count - from };

	return api_show_scored(c, job->collection, &page,
			       (struct api_want){ &job->with_payload, &job->with_vectors }, out);
}

/* --- one, and batches --- */

/* The queries of one call, all of one collection. */
struct batch {
	struct str collection_name;
	const struct read_consistency *consistency;
	struct api_limit limit;
	struct msg_points_query *queries;
	struct msg_scored_point_list *answers;
	uint32_t count;
};
/* What every message of these methods has. */
#define BATCH(c, m)                                                                                \
	((struct batch){ .collection_name = (m)->collection_name,                                  \
			 .consistency = &(m)->consistency,                                         \
			 .limit = API_LIMIT((c), (m)) })

static enum err batch_init(struct call *c, struct batch *b, uint32_t count)
{
	enum err err = api_check_max(c, "searches", count, SEARCH_BATCH_MAX);

	if (err)
		return err;
	b->count = count;
	b->queries = arena_array(c->arena, count, sizeof(*b->queries));
	b->answers = arena_array(c->arena, count, sizeof(*b->answers));
	return b->queries && b->answers ? ERR_NONE : ERR_NO_MEMORY;
}

/* Queries of a batch may name their collection (protobuf's do): it is that of the batch. */
static enum err check_collection(struct call *c, struct str batch, struct str one)
{
	if (one.len == 0 || str_compare(batch, one) == 0)
		return ERR_NONE;
	return fault_set(&c->fault, ERR_BAD_INPUT,
			 "Cross collection queries are not allowed: `%.*s` in a batch for `%.*s`",
			 STR_FMT(one), STR_FMT(batch));
}

static enum err batch_run_in(struct call *c, struct collection *collection, const struct batch *b)
{
	struct job *jobs = arena_array(c->arena, b->count, sizeof(*jobs));
	enum err err = jobs ? api_check_consistency(c, b->consistency) : ERR_NO_MEMORY;

	for (uint32_t i = 0; i < b->count && !err; i++) {
		err = check_collection(c, b->collection_name, b->queries[i].collection_name);
		if (!err)
			err = prepare(c, collection, &b->queries[i], &b->limit, &jobs[i]);
	}
	if (!err)
		err = run_jobs(c, jobs, b->count, &b->limit);
	for (uint32_t i = 0; i < b->count && !err; i++)
		err = collect(c, &jobs[i], &b->answers[i]);
	if (jobs)
		release_jobs(jobs, b->count);
	return err;
}

static enum err batch_run(struct call *c, const struct batch *b)
{
	struct collection *collection;
	enum err err = api_collection(c, b->collection_name, &collection);

	if (err)
		return err;
	err = batch_run_in(c, collection, b);
	collection_unref(collection);
	if (!err)
		call_touch(c);
	return err;
}

/* --- the methods --- */

void api_points_query(struct call *c)
{
	const struct msg_points_query *in = c->in;
	struct msg_query_reply *out = c->out;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, 1);

	if (!err) {
		b.queries[0] = *in;
		err = batch_run(c, &b);
	}
	if (!err)
		out->points = b.answers[0];
	call_finish(c, err);
}

void api_points_query_batch(struct call *c)
{
	const struct msg_points_query_batch *in = c->in;
	struct msg_query_batch_reply *out = c->out;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, in->searches.count);

	for (uint32_t i = 0; i < b.count && !err; i++)
		b.queries[i] = in->searches.items[i];
	if (!err)
		err = batch_run(c, &b);
	out->result.items = err ? NULL : arena_array(c->arena, b.count, sizeof(*out->result.items));
	if (!err && !out->result.items)
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < b.count && !err; i++)
		out->result.items[out->result.count++].points = b.answers[i];
	call_finish(c, err);
}

/* The older forms: a search, a recommendation, a discovery. */
static void finish_one(struct call *c, const struct batch *b, enum err err)
{
	struct msg_search_reply *out = c->out;

	if (!err)
		err = batch_run(c, b);
	if (!err)
		out->result = b->answers[0];
	call_finish(c, err);
}

static void finish_batch(struct call *c, const struct batch *b, enum err err)
{
	struct msg_search_batch_reply *out = c->out;

	if (!err)
		err = batch_run(c, b);
	out->result.items =
		err ? NULL : arena_array(c->arena, b->count, sizeof(*out->result.items));
	if (!err && !out->result.items)
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < b->count && !err; i++)
		out->result.items[out->result.count++].result = b->answers[i];
	call_finish(c, err);
}

void api_points_search(struct call *c)
{
	const struct msg_points_search *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, 1);

	finish_one(c, &b, err ? err : from_search(c, in, &b.queries[0]));
}

void api_points_search_batch(struct call *c)
{
	const struct msg_points_search_batch *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, in->searches.count);

	for (uint32_t i = 0; i < b.count && !err; i++)
		err = from_search(c, &in->searches.items[i], &b.queries[i]);
	finish_batch(c, &b, err);
}

void api_points_recommend(struct call *c)
{
	const struct msg_points_recommend *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, 1);

	finish_one(c, &b, err ? err : from_recommend(c, in, &b.queries[0]));
}

void api_points_recommend_batch(struct call *c)
{
	const struct msg_points_recommend_batch *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, in->searches.count);

	for (uint32_t i = 0; i < b.count && !err; i++)
		err = from_recommend(c, &in->searches.items[i], &b.queries[i]);
	finish_batch(c, &b, err);
}

void api_points_discover(struct call *c)
{
	const struct msg_points_discover *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, 1);

	finish_one(c, &b, err ? err : from_discover(c, in, &b.queries[0]));
}

void api_points_discover_batch(struct call *c)
{
	const struct msg_points_discover_batch *in = c->in;
	struct batch b = BATCH(c, in);
	enum err err = batch_init(c, &b, in->searches.count);

	for (uint32_t i = 0; i < b.count && !err; i++)
		err = from_discover(c, &in->searches.items[i], &b.queries[i]);
	finish_batch(c, &b, err);
}
