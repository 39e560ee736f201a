/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches. One search, or a batch of them, is a list of jobs, done in three passes: prepared one after another (in the
 * call's arena, which is no place for two threads), run over the pool, and collected one after another.
 */
#include "gateway/api_inner.h"

#include <string.h>

#include "index/order.h"

/* The score of what was not scored, as Qdrant has it. */
#define SCORE_NONE 1.0f

struct job {
	struct collection *collection;
	struct pool *pool; /* for the shards of one search; NULL: the pool works on the jobs */
	bool scroll;       /* no vector: by id */
	struct search_query query;
	uint32_t offset;
	const struct with_payload *with_payload;
	const struct with_vectors *with_vectors;
	struct scored *found; /* query.limit */
	struct point_id *ids; /* query.limit; of what was found */
	uint32_t count;
	enum err err;
	struct fault fault;
};

/* What search and query have in common. */
struct wish {
	struct str vector_name;
	const struct filter *filter;
	const struct msg_search_params *params;
	const float *threshold; /* or NULL */
	uint64_t limit;
	uint64_t offset;
	const struct with_payload *with_payload;
	const struct with_vectors *with_vectors;
};

/* --- preparing --- */

static enum err prepare(struct call *c, struct collection *collection, const struct wish *w,
			const struct api_limit *limit, struct job *job)
{
	enum err err = api_check_max(c, "limit", w->limit, SEARCH_LIMIT_MAX);

	if (!err)
		err = api_check_max(c, "offset", w->offset, SEARCH_OFFSET_LIMIT_MAX - w->limit);
	if (!err)
		err = api_check_vectors(c, collection, w->with_vectors);
	if (err)
		return err;
	job->collection = collection;
	job->offset = (uint32_t)w->offset;
	job->with_payload = w->with_payload;
	job->with_vectors = w->with_vectors;
	job->query = (struct search_query){
		.vector_name = w->vector_name,
		.filter = w->filter,
		.limit = (uint32_t)(w->limit + w->offset),
		.hnsw_ef = w->params->has_hnsw_ef
				   ? (uint32_t)MIN(w->params->hnsw_ef, SEARCH_OFFSET_LIMIT_MAX)
				   : 0,
		.exact = w->params->exact,
		.indexed_only = w->params->indexed_only,
		.has_threshold = w->threshold != NULL,
		.threshold = w->threshold ? *w->threshold : 0,
		.deadline = limit->deadline,
	};
	job->found = arena_array(c->arena, job->query.limit, sizeof(*job->found));
	job->ids = arena_array(c->arena, job->query.limit, sizeof(*job->ids));
	return job->found && job->ids ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err vector_of_point(struct call *c, struct collection *collection, struct point_id id,
				struct str name, struct vector *ret_vector)
{
	const struct with_payload no_payload = { .kind = WITH_PAYLOAD_NONE };
	const struct with_vectors only = { .kind = WITH_VECTORS_NAMED, .count = 1, .names = &name };
	char text[POINT_ID_TEXT_MAX];
	struct record *record;
	enum err err = api_check_vectors(c, collection, &only);

	if (!err)
		err = api_load(c, collection, &id, 1, (struct api_want){ &no_payload, &only },
			       &record);
	if (err)
		return err;
	(void)point_id_format(id, text);
	if (!record->found)
		return fault_set(&c->fault, ERR_NOT_FOUND, "No point with id %s found", text);
	for (uint32_t i = 0; i < record->vector_count; i++)
		if (str_compare(record->vectors[i].name, name) == 0) {
			*ret_vector = record->vectors[i].vector;
			return ERR_NONE;
		}
	return fault_set(&c->fault, ERR_NOT_FOUND, "Point %s has no vector `%.*s`", text,
			 STR_FMT(name));
}

/* The filter, and not this point: the one that a query names is no answer to it. */
static enum err without_point(struct call *c, const struct filter *f, struct point_id id,
			      const struct filter **ret_filter)
{
	static const struct filter all;
	struct filter *copy = arena_alloc(c->arena, sizeof(*copy));
	struct point_id *ids = arena_alloc(c->arena, sizeof(*ids));

	if (!copy || !ids)
		return ERR_NO_MEMORY;
	*copy = f ? *f : all;
	*ids = id;
	struct condition_list *nots = &copy->must_not;
	struct condition *items = arena_array(c->arena, (size_t)nots->count + 1, sizeof(*items));
	if (!items)
		return ERR_NO_MEMORY;
	if (nots->count > 0)
		memcpy(items, nots->items, nots->count * sizeof(*items));
	items[nots->count] =
		(struct condition){ .kind = CONDITION_HAS_ID, .ids = { .items = ids, .count = 1 } };
	*nots = (struct condition_list){ .items = items, .count = nots->count + 1 };
	*ret_filter = copy;
	return ERR_NONE;
}

static enum err prepare_search(struct call *c, struct collection *collection,
			       const struct msg_points_search *in, const struct api_limit *limit,
			       struct job *job)
{
	const struct wish w = {
		.vector_name = in->vector.name,
		.filter = in->has_filter ? in->filter : NULL,
		.params = &in->params,
		.threshold = in->has_score_threshold ? &in->score_threshold : NULL,
		.limit = in->limit,
		.offset = in->offset,
		.with_payload = &in->with_payload,
		.with_vectors = &in->with_vector,
	};

	enum err err = prepare(c, collection, &w, limit, job);

	job->query.vector = in->vector.vector;
	return err;
}

static enum err prepare_query(struct call *c, struct collection *collection,
			      const struct msg_points_query *in, const struct api_limit *limit,
			      struct job *job)
{
	const struct wish w = {
		.vector_name = in->using,
		.filter = in->has_filter ? in->filter : NULL,
		.params = &in->params,
		.threshold = in->has_score_threshold ? &in->score_threshold : NULL,
		.limit = in->limit,
		.offset = in->offset,
		.with_payload = &in->with_payload,
		.with_vectors = &in->with_vector,
	};
	enum err err = prepare(c, collection, &w, limit, job);

	if (err)
		return err;
	switch (in->query.kind) {
	case QUERY_VECTOR:
		job->query.vector = in->query.vector;
		return ERR_NONE;
	case QUERY_POINT:
		err = vector_of_point(c, collection, in->query.id, in->using, &job->query.vector);
		return err ? err : without_point(c, w.filter, in->query.id, &job->query.filter);
	case QUERY_NONE:
		break;
	}
	if (w.threshold)
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "A query is needed to use the score_threshold");
	job->scroll = true;
	return ERR_NONE;
}

/* --- running --- */

static enum err run_scroll(struct job *job)
{
	struct point_id next;
	bool more;
	enum err err = collection_scroll(job->collection, job->query.filter, NULL, job->query.limit,
					 &job->query.deadline, job->ids, &job->count, &more, &next);

	for (uint32_t i = 0; i < job->count && !err; i++)
		job->found[i] = (struct scored){ .id = job->ids[i], .score = SCORE_NONE };
	return err;
}

static void run_job(void *ctx, unsigned i)
{
	struct job *job = &((struct job *)ctx)[i];

	job->err = job->scroll ? run_scroll(job)
			       : collection_search(job->collection, job->pool, &job->query,
						   job->found, &job->count, &job->fault);
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

/* --- collecting --- */

/* A point that was deleted since it was found is left out. */
static void show_scored(const struct job *job, const struct record *records, uint32_t count,
			struct msg_scored_point_list *out)
{
	const struct scored *found = job->found + job->offset;
	bool payload = job->with_payload->kind != WITH_PAYLOAD_NONE;
	bool vectors = job->with_vectors->kind != WITH_VECTORS_NONE;

	for (uint32_t i = 0; i < count; i++) {
		const struct record *r = records ? &records[i] : NULL;
		if (r && !r->found)
			continue;
		struct msg_scored_point *p = &out->items[out->count++];
		*p = (struct msg_scored_point){ .id = found[i].id,
						.version = r ? r->version : found[i].version,
						.score = found[i].score };
		if (!r)
			continue;
		p->has_payload = payload && r->payload.data;
		p->payload = r->payload;
		p->has_vector = vectors;
		p->vector = (struct vector_list){ .items = r->vectors, .count = r->vector_count };
	}
}

static enum err collect(struct call *c, struct job *job, struct msg_scored_point_list *out)
{
	uint32_t count = job->count > job->offset ? job->count - job->offset : 0;
	bool bare = job->with_payload->kind == WITH_PAYLOAD_NONE &&
		    job->with_vectors->kind == WITH_VECTORS_NONE;
	struct record *records = NULL;
	enum err err = ERR_NONE;

	out->items = arena_array(c->arena, count, sizeof(*out->items));
	if (!out->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		job->ids[i] = job->found[job->offset + i].id;
	/* A scroll knows no versions. */
	if (!bare || job->scroll)
		err = api_load(c, job->collection, job->ids, count,
			       (struct api_want){ job->with_payload, job->with_vectors }, &records);
	if (!err)
		show_scored(job, records, count, out);
	return err;
}

/* --- one --- */

static enum err run_one(struct call *c, struct job *job, const struct api_limit *limit,
			struct msg_scored_point_list *out)
{
	enum err err = run_jobs(c, job, 1, limit);

	return err ? err : collect(c, job, out);
}

static void end(struct call *c, struct collection *collection, enum err err)
{
	collection_unref(collection);
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

void api_points_search(struct call *c)
{
	const struct msg_points_search *in = c->in;
	struct msg_search_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	struct collection *collection;
	struct job job = { 0 };
	enum err err = api_collection(c, in->collection_name, &collection);

	if (err) {
		call_finish(c, err);
		return;
	}
	err = api_check_consistency(c, &in->consistency);
	if (!err)
		err = prepare_search(c, collection, in, &limit, &job);
	if (!err)
		err = run_one(c, &job, &limit, &out->result);
	end(c, collection, err);
}

void api_points_query(struct call *c)
{
	const struct msg_points_query *in = c->in;
	struct msg_query_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	struct collection *collection;
	struct job job = { 0 };
	enum err err = api_collection(c, in->collection_name, &collection);

	if (err) {
		call_finish(c, err);
		return;
	}
	err = api_check_consistency(c, &in->consistency);
	if (!err)
		err = prepare_query(c, collection, in, &limit, &job);
	if (!err)
		err = run_one(c, &job, &limit, &out->points);
	end(c, collection, err);
}

/* --- batches --- */

/* Searches of a batch may name their collection (protobuf's do): it is that of the batch. */
static enum err check_collection(struct call *c, struct str batch, struct str one)
{
	if (one.len == 0 || str_compare(batch, one) == 0)
		return ERR_NONE;
	return fault_set(&c->fault, ERR_BAD_INPUT,
			 "Cross collection queries are not allowed: `%.*s` in a batch for `%.*s`",
			 STR_FMT(one), STR_FMT(batch));
}

/* NULL when there are too many, or no memory: *ret_err. */
static struct job *new_jobs(struct call *c, uint32_t count, enum err *ret_err)
{
	*ret_err = api_check_max(c, "searches", count, SEARCH_BATCH_MAX);
	if (*ret_err)
		return NULL;
	struct job *jobs = arena_array(c->arena, count, sizeof(*jobs));
	*ret_err = jobs ? ERR_NONE : ERR_NO_MEMORY;
	return jobs;
}

static enum err search_batch(struct call *c, struct collection *collection)
{
	const struct msg_points_search_batch *in = c->in;
	struct msg_search_batch_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	uint32_t count = in->searches.count;
	enum err err;
	struct job *jobs = new_jobs(c, count, &err);

	for (uint32_t i = 0; i < count && !err; i++) {
		err = check_collection(c, in->collection_name,
				       in->searches.items[i].collection_name);
		if (!err)
			err = prepare_search(c, collection, &in->searches.items[i], &limit,
					     &jobs[i]);
	}
	if (!err)
		err = run_jobs(c, jobs, count, &limit);
	if (err)
		return err;
	out->result.items = arena_array(c->arena, count, sizeof(*out->result.items));
	if (!out->result.items)
		return ERR_NO_MEMORY;
	out->result.count = count;
	for (uint32_t i = 0; i < count && !err; i++)
		err = collect(c, &jobs[i], &out->result.items[i].result);
	return err;
}

static enum err query_batch(struct call *c, struct collection *collection)
{
	const struct msg_points_query_batch *in = c->in;
	struct msg_query_batch_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	uint32_t count = in->searches.count;
	enum err err;
	struct job *jobs = new_jobs(c, count, &err);

	for (uint32_t i = 0; i < count && !err; i++) {
		err = check_collection(c, in->collection_name,
				       in->searches.items[i].collection_name);
		if (!err)
			err = prepare_query(c, collection, &in->searches.items[i], &limit,
					    &jobs[i]);
	}
	if (!err)
		err = run_jobs(c, jobs, count, &limit);
	if (err)
		return err;
	out->result.items = arena_array(c->arena, count, sizeof(*out->result.items));
	if (!out->result.items)
		return ERR_NO_MEMORY;
	out->result.count = count;
	for (uint32_t i = 0; i < count && !err; i++)
		err = collect(c, &jobs[i], &out->result.items[i].points);
	return err;
}

void api_points_search_batch(struct call *c)
{
	const struct msg_points_search_batch *in = c->in;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (err) {
		call_finish(c, err);
		return;
	}
	err = api_check_consistency(c, &in->consistency);
	end(c, collection, err ? err : search_batch(c, collection));
}

void api_points_query_batch(struct call *c)
{
	const struct msg_points_query_batch *in = c->in;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (err) {
		call_finish(c, err);
		return;
	}
	err = api_check_consistency(c, &in->consistency);
	end(c, collection, err ? err : query_batch(c, collection));
}
